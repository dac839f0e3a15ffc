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
    {"attention", TV_F16, "attention_coop_f16", false},
    {"attention", TV_BF16, "attention_coop_bf16", false},
    {"attention_dq", TV_F16, "attention_dq_coop_f16", false},
    {"attention_dq", TV_BF16, "attention_dq_coop_bf16", false},
    {"attention_dkv", TV_F16, "attention_dkv_coop_f16", false},
    {"attention_dkv", TV_BF16, "attention_dkv_coop_bf16", false},
};

static const coop_kernel *find_kernel(const tv_lowering *lowering, const char *base, tv_dtype type,
                                      bool whole_group)
{
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (kernels[i].type == type && kernels[i].whole_group == whole_group &&
            strcmp(kernels[i].base, base) == 0 &&
            tv_device_has_kernel(lowering->device, kernels[i].name))
            return &kernels[i];
    return NULL;
}

// ------------------------------------------------------------------------------------- products

// Tiles of a group, the fastest first. A smaller one keeps more of a wide device busy.
typedef struct coop_tile {
    uint32_t m, n, k;
    uint32_t lanes;               // of a group, where it multiplies as a whole
    uint32_t subgroups[2], depth; // else: along M and N, and steps on their way in registers
} coop_tile;
static const coop_tile tiles[] = {
    {128, 128, 64, 128, {0}, 0},  {64, 64, 64, 128, {0}, 0},    {64, 128, 64, 64, {0}, 0},
    {64, 256, 64, 128, {0}, 0},   {128, 256, 64, 256, {0}, 0},  {128, 128, 32, 0, {2, 2}, 2},
    {64, 64, 32, 0, {2, 2}, 2},   {128, 256, 32, 0, {2, 4}, 2}, {256, 128, 32, 0, {4, 2}, 2},
    {128, 128, 32, 0, {2, 2}, 1},
};
enum {
    TILE_COUNT = sizeof tiles / sizeof *tiles,
    BUSY_GROUPS = 100
}; // about as many as a wide device runs at once

// Bytes of shared memory of a tile for subgroups: a step's part of A and of B, whose rows are
// longer by one unit of eight; and each subgroup hands on one matrix of its sums.
static uint64_t shared_bytes(const tv_caps *caps, const coop_tile *tile, tv_layout layout)
{
    uint64_t a_rows = layout == TV_TN ? tile->k : tile->m,
             b_rows = layout == TV_NT ? tile->n : tile->k;
    uint64_t a = a_rows * (tile->m * tile->k / a_rows / 8 + 1);
    uint64_t b = b_rows * (tile->n * tile->k / b_rows / 8 + 1);
    uint64_t sums = 4ull * (caps->coop_shape & 255) * (caps->coop_shape >> 8 & 255);
    return 16 * (a + b) + sums * tile->subgroups[0] * tile->subgroups[1];
}

static bool goes_in_eights(const tv_product *p)
{
    tv_offsets first = tv_product_offsets(p);
    return (p->a->columns | p->b->columns | first.a | first.b) % 8 == 0;
}

// Members of a batch may begin where matrix units cannot read.
static bool begins_in_eights(const tv_product *p)
{
    tv_offsets first = tv_product_offsets(p);
    return (first.a | first.b | first.c) % 8 == 0;
}

static tv_kernel_choice choice_of(const tv_caps *caps, const coop_kernel *kernel,
                                  const coop_tile *tile, uint32_t layout)
{
    if (kernel->whole_group)
        return (tv_kernel_choice){.name = kernel->name,
                                  .group = tile->lanes,
                                  .constants = {tile->m, tile->n, tile->k, layout}};
    return (tv_kernel_choice){
        .name = kernel->name,
        .group = tile->subgroups[0] * tile->subgroups[1] * caps->subgroup,
        .constants = {tile->m, tile->n,
                      caps->coop_shape | tile->subgroups[0] << 24 | tile->subgroups[1] << 28,
                      layout + tile->k + (tile->depth << 8)}};
}

// The first tile that keeps a wide device busy comes first, or else the one with most groups.
static void best_first(const tv_product *p, tv_variant *variants, size_t count)
{
    size_t best = 0;
    uint64_t most = 0;
    for (size_t i = 0; i < count && most < BUSY_GROUPS; i++) {
        const tv_variant *v = &variants[i];
        uint64_t groups = tv_div_up(p->m, v->tile_m) * tv_div_up(p->n, v->tile_n);
        if (groups > most) {
            most = groups;
            best = i;
        }
    }
    tv_variant first = variants[best];
    memmove(variants + 1, variants, best * sizeof *variants);
    variants[0] = first;
}

size_t tv_coop_variants(const tv_lowering *lowering, const tv_product *p,
                        tv_variant variants[TV_VARIANTS_MAX])
{
    const tv_caps *caps = lowering->caps;
    tv_dtype type = p->a->dtype;
    const coop_kernel *kernel = find_kernel(lowering, "matmul", type, true);
    if (!kernel)
        kernel = find_kernel(lowering, "matmul", type, false);
    bool one_type = p->b->dtype == type && (p->c->dtype == type || p->c->dtype == TV_F32) &&
                    (!p->bias || p->bias->dtype == type || p->bias->dtype == TV_F32) &&
                    (!p->other || p->other->dtype == type || p->other->dtype == TV_F32) &&
                    (p->members == 0 || begins_in_eights(p));
    uint32_t layout = p->layout + (goes_in_eights(p) ? 4 : 0);
    size_t count = 0;
    for (size_t i = 0; i < TILE_COUNT && kernel && one_type; i++) {
        const coop_tile *tile = &tiles[i];
        if (kernel->whole_group != (tile->lanes > 0) ||
            (tile->depth && shared_bytes(caps, tile, p->layout) > caps->shared_bytes))
            continue;
        tv_kernel_choice choice = choice_of(caps, kernel, tile, layout);
        if (choice.group <= caps->max_group)
            variants[count++] = (tv_variant){choice, tile->m, tile->n, false, false};
    }
    if (count > 0)
        best_first(p, variants, count);
    return count;
}

// ------------------------------------------------------------------------------------ attention

enum { GROUP_ROWS = 64, GROUP_LANES = 128, GROUP_HEAD_MOST = 128 };
enum { SUBGROUPS = 4, HEAD_LEAST = 32, HEAD_MOST = 256 };
enum { SMALL_BLOCK = 16, LARGE_BLOCK = 64, LARGE_BLOCK_HEAD = 64 };

// Bytes of shared memory of a group of subgroups (attention_coop.h): two blocks of the head's rows,
// for each subgroup its rows of scores, rows longer by one unit, and two numbers for each row.
static uint64_t attention_bytes(uint32_t head_size, uint32_t block, uint32_t rows)
{
    return 16ull * (2 * block * (head_size / 8 + 1) + rows * (block / 4 + 1)) +
           8ull * (rows > block ? rows : block);
}

// Whether matrices of the device's shape cut up the head and a block, and lanes share out rows.
static bool takes_block(const tv_caps *caps, uint32_t head_size, uint32_t block)
{
    uint32_t m = caps->coop_shape & 255, n = caps->coop_shape >> 8 & 255,
             k = caps->coop_shape >> 16 & 255;
    return head_size % n == 0 && head_size % k == 0 && block % n == 0 && block % k == 0 &&
           head_size % 8 == 0 && caps->subgroup * 8 <= m * block &&
           SUBGROUPS * caps->subgroup <= caps->max_group &&
           attention_bytes(head_size, block, SUBGROUPS * m) <= caps->shared_bytes;
}

static bool attention_by_subgroups(const tv_lowering *lowering, const coop_kernel *kernel,
                                   uint32_t head_size, tv_kernel_choice *choice, uint32_t *rows)
{
    const tv_caps *caps = lowering->caps;
    uint32_t block = head_size <= LARGE_BLOCK_HEAD ? LARGE_BLOCK : LARGE_BLOCK / 2;
    if (!kernel || !caps->coop)
        return false;
    while (block >= SMALL_BLOCK && !takes_block(caps, head_size, block))
        block /= 2;
    if (block < SMALL_BLOCK)
        return false;
    *rows = SUBGROUPS * (caps->coop_shape & 255);
    *choice =
        (tv_kernel_choice){.name = kernel->name,
                           .group = SUBGROUPS * caps->subgroup,
                           .constants = {head_size, block, caps->coop_shape | SUBGROUPS << 24, 1}};
    return true;
}

bool tv_coop_attention(const tv_lowering *lowering, const char *base, const tv_tensor *qkv,
                       uint32_t head_size, tv_kernel_choice *choice, uint32_t *rows)
{
    const coop_kernel *kernel = find_kernel(lowering, base, qkv->dtype, true);
    if (head_size < HEAD_LEAST || head_size > HEAD_MOST)
        return false;
    if (!kernel || head_size % 16 != 0 || head_size > GROUP_HEAD_MOST)
        return attention_by_subgroups(lowering, find_kernel(lowering, base, qkv->dtype, false),
                                      head_size, choice, rows);
    *rows = GROUP_ROWS;
    *choice = (tv_kernel_choice){
        .name = kernel->name, .group = GROUP_LANES, .constants = {head_size, GROUP_ROWS}};
    return true;
}
