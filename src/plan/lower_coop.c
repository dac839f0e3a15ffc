// Lowering onto matrix units: which cooperative matrix kernel takes a product or an attention node,
// and with what tile.
#include "plan/lower.h"

#include <string.h>

typedef struct coop_kernel {
    const char *base; // the kernel of the dialect that it stands for
    tv_dtype type;    // of its matrices
    const char *name;
    bool whole_group; // matrices of a group (NV_cooperative_matrix2), not of a subgroup
} coop_kernel;

static const coop_kernel kernels[] = {
    {"matmul", TV_F16, "matmul_cm2_f16", true},
    {"matmul", TV_BF16, "matmul_cm2_bf16", true},
    {"matmul", TV_F16, "matmul_coop_f16", false},
    {"matmul", TV_BF16, "matmul_coop_bf16", false},
    {"attention", TV_F16, "attention_cm2_f16", true},
    {"attention", TV_BF16, "attention_cm2_bf16", true},
    {"attention_dq", TV_F16, "attention_dq_cm2_f16", true},
    {"attention_dq", TV_BF16, "attention_dq_cm2_bf16", true},
    {"attention_dkv", TV_F16, "attention_dkv_cm2_f16", true},
    {"attention_dkv", TV_BF16, "attention_dkv_cm2_bf16", true},
};

static const coop_kernel *find_kernel(const tv_lowering *lowering, const char *base, tv_dtype type)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (kernels[i].type == type && strcmp(kernels[i].base, base) == 0 &&
            tv_device_has_kernel(lowering->device, kernels[i].name))
            return &kernels[i];
    return NULL;
}

// ------------------------------------------------------------------------------------- products

// Tiles of a group, the fastest first. A smaller one keeps more of a wide device busy.
typedef struct coop_tile {
    uint32_t m, n, k;
    uint32_t lanes;                 // of a group, where it multiplies as a whole
    uint32_t subgroups[2], buffers; // else: along M and N, and tiles of a step
} coop_tile;
static const coop_tile group_tiles[] = {{128, 128, 64, 128, {0}, 0}, {64, 64, 64, 128, {0}, 0}};
static const coop_tile subgroup_tiles[] = {{128, 128, 32, 0, {2, 2}, 2},
                                           {128, 128, 32, 0, {2, 2}, 1},
                                           {64, 64, 32, 0, {2, 2}, 2},
                                           {64, 64, 32, 0, {2, 2}, 1}};
enum { BUSY_GROUPS = 100 }; // about as many as a wide device runs at once

static uint64_t groups_of(const coop_tile *tile, const tv_product *p)
{
    return tv_div_up(p->m, tile->m) * tv_div_up(p->n, tile->n);
}

// Bytes of shared memory of a tile for subgroups: each buffer has a step's part of A and of B,
// whose rows are longer by one unit of eight; and each subgroup hands on one matrix of its sums.
static uint64_t shared_bytes(const tv_caps *caps, const coop_tile *tile, tv_layout layout)
{
    uint64_t a_rows = layout == TV_TN ? tile->k : tile->m,
             b_rows = layout == TV_NT ? tile->n : tile->k;
    uint64_t a = a_rows * (tile->m * tile->k / a_rows / 8 + 1);
    uint64_t b = b_rows * (tile->n * tile->k / b_rows / 8 + 1);
    uint64_t sums = 4ull * (caps->coop_shape & 255) * (caps->coop_shape >> 8 & 255);
    return tile->buffers * 16 * (a + b) + sums * tile->subgroups[0] * tile->subgroups[1];
}

static const coop_tile *choose_tile(const tv_caps *caps, const coop_tile *tiles, size_t count,
                                    const tv_product *p)
{
    const coop_tile *chosen = NULL;
    for (size_t i = 0; i < count; i++) {
        if (tiles[i].buffers && shared_bytes(caps, &tiles[i], p->layout) > caps->shared_bytes)
            continue;
        chosen = &tiles[i];
        if (groups_of(chosen, p) >= BUSY_GROUPS)
            break;
    }
    return chosen;
}

static bool goes_in_eights(const tv_product *p)
{
    return (p->a->columns | p->b->columns | p->a_column) % 8 == 0;
}

bool tv_coop_product(const tv_lowering *lowering, const tv_product *p, tv_kernel_choice *choice,
                     uint32_t *tile_m, uint32_t *tile_n)
{
    tv_dtype type = p->a->dtype;
    const coop_kernel *kernel = find_kernel(lowering, "matmul", type);
    bool one_type = p->b->dtype == type && (p->c->dtype == type || p->c->dtype == TV_F32) &&
                    (!p->bias || p->bias->dtype == type || p->bias->dtype == TV_F32);
    if (!kernel || !one_type)
        return false;
    const coop_tile *tile = kernel->whole_group ? choose_tile(lowering->caps, group_tiles, 2, p)
                                                : choose_tile(lowering->caps, subgroup_tiles, 4, p);
    if (!tile)
        return false;
    uint32_t layout = p->layout + (goes_in_eights(p) ? 4 : 0);
    if (kernel->whole_group)
        *choice = (tv_kernel_choice){.name = kernel->name,
                                     .group = tile->lanes,
                                     .constants = {tile->m, tile->n, tile->k, layout}};
    else
        *choice = (tv_kernel_choice){
            .name = kernel->name,
            .group = tile->subgroups[0] * tile->subgroups[1] * lowering->caps->subgroup,
            .constants = {tile->m, tile->n,
                          lowering->caps->coop_shape | tile->subgroups[0] << 24 |
                              tile->subgroups[1] << 28,
                          layout + tile->k + (tile->buffers << 8)}};
    if (choice->group > lowering->caps->max_group)
        return false;
    *tile_m = tile->m;
    *tile_n = tile->n;
    return true;
}

// ------------------------------------------------------------------------------------ attention

enum { ATTENTION_ROWS = 64, ATTENTION_LANES = 128 };

bool tv_coop_attention(const tv_lowering *lowering, const char *base, const tv_tensor *qkv,
                       uint32_t head_size, tv_kernel_choice *choice, uint32_t *rows)
{
    const coop_kernel *kernel = find_kernel(lowering, base, qkv->dtype);
    if (!kernel || head_size % 16 != 0 || head_size < 32 || head_size > 128)
        return false;
    *rows = ATTENTION_ROWS;
    *choice = (tv_kernel_choice){
        .name = kernel->name, .group = ATTENTION_LANES, .constants = {head_size, ATTENTION_ROWS}};
    return true;
}
