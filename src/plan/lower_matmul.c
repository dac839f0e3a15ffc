// Lowering of matrix products: choice of kernel, splitting along M, N or K, and batches.
#include "plan/tune.h"

#include <stdio.h>

// A family of kernels: names by layout, its tile and its group (0: the kernel's own).
typedef struct matmul_family {
    const char *names[3];
    uint32_t tile_m, tile_n, group;
    enum { FOR_ALL, FOR_SUBGROUPS, FOR_CPUS } device; // FOR_SUBGROUPS: of exactly a group's size
} matmul_family;

static const matmul_family families[] = {
    {{"matmul_s16", "matmul_s16", "matmul_s16"}, 64, 64, 16, FOR_SUBGROUPS},
    {{"matmul_s8", "matmul_s8", "matmul_s8"}, 32, 32, 8, FOR_SUBGROUPS},
    {{"matmul_nt_v16", "matmul_nn_v16", "matmul_tn_v16"}, 256, 144, 1, FOR_CPUS},
    {{"matmul_nt", "matmul_nn", "matmul_tn"}, 64, 64, 0, FOR_ALL},
    {{"matmul_nt_wide", "matmul_nn_wide", "matmul_tn_wide"}, 128, 128, 0, FOR_ALL},
};
enum { WIDE_LANES = 256, WIDE_BYTES = 16 << 10, PACKED_LEAST = 128 };

static uint32_t unaligned(const tv_tensor *tensor, uint64_t first)
{
    return (uint32_t)(first * tensor->columns % TV_WINDOW_UNIT);
}

tv_offsets tv_product_offsets(const tv_product *p)
{
    return (tv_offsets){p->a_column + unaligned(p->a, p->a_first),
                        p->b_column + unaligned(p->b, p->b_first),
                        p->c_column + unaligned(p->c, p->c_first)};
}

// Rows of a matrix, and what is before them where they do not begin aligned.
static tv_window aligned_rows(const tv_tensor *tensor, uint64_t first, uint64_t rows,
                              tv_access access)
{
    tv_window window = tv_rows(tensor, first, rows, access);
    window.first -= unaligned(tensor, first);
    window.count += unaligned(tensor, first);
    return window;
}

// What keeps the subgroup kernels from reading and writing four elements at a time along rows.
static uint32_t odd_parts(const tv_product *p)
{
    tv_offsets first = tv_product_offsets(p);
    return ((p->a->columns | first.a) % 4 ? TV_ODD_A : 0) |
           ((p->b->columns | first.b) % 4 ? TV_ODD_B : 0) |
           ((p->c->columns | first.c | p->n) % 4 ? TV_ODD_C : 0) | (p->k % 4 ? TV_ODD_K : 0);
}

static bool suits(const tv_lowering *lowering, const matmul_family *family, const tv_product *p)
{
    if (family->device == FOR_ALL)
        return family->tile_m <= 64 || (lowering->caps->max_group >= WIDE_LANES &&
                                        lowering->caps->shared_bytes >= WIDE_BYTES);
    if (!tv_device_has_kernel(lowering->device, family->names[p->layout]))
        return false;
    return family->device == FOR_CPUS ? lowering->caps->cpu_kernels
                                      : family->group == lowering->caps->subgroup;
}

// Packing costs time by M K + N K, and saves time by M N K. Measured: docs/dev/lavapipe.md.
static bool worth_packing(const tv_product *p)
{
    return (double)p->m * p->n > (double)PACKED_LEAST * (p->m + (double)p->n);
}

// One kernel reads inputs as they lie, or panels.
static size_t add_subgroup_kernel(const matmul_family *f, const tv_product *p, tv_variant *variants)
{
    tv_variant plain = {{.name = f->names[0], .group = f->group, .constants = {odd_parts(p)}},
                        f->tile_m,
                        f->tile_n,
                        .members = true};
    tv_variant packed = plain;
    plain.choice.constants[2] = (p->layout == TV_TN ? TV_ACROSS_K : TV_ALONG_K) +
                                4 * (p->layout == TV_NT ? TV_ALONG_K : TV_ACROSS_K);
    packed.choice.constants[2] = TV_PACKED + 4 * TV_PACKED;
    packed.packed = true;
    packed.members = false;
    bool first = worth_packing(p);
    variants[first ? 0 : 1] = packed;
    variants[first ? 1 : 0] = plain;
    return 2;
}

static size_t add_families(const tv_lowering *lowering, const tv_product *p, bool general,
                           tv_variant *variants)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const matmul_family *f = &families[i];
        if ((f->device == FOR_ALL) != general || !suits(lowering, f, p) ||
            (p->epilogue && f->device == FOR_SUBGROUPS))
            continue;
        if (f->device == FOR_SUBGROUPS)
            count += add_subgroup_kernel(f, p, &variants[count]);
        else
            variants[count++] = (tv_variant){{.name = f->names[p->layout], .group = f->group},
                                             f->tile_m,
                                             f->tile_n,
                                             false,
                                             true};
    }
    return count;
}

// Kernels that are made for a kind of device keep out those for any.
size_t tv_product_variants(const tv_lowering *lowering, const tv_product *p,
                           tv_variant variants[TV_VARIANTS_MAX])
{
    size_t count = tv_coop_variants(lowering, p, variants);
    if (count == 0)
        count = add_families(lowering, p, false, variants);
    return count > 0 ? count : add_families(lowering, p, true, variants);
}

// Of the second matrix of an epilogue, or an absent one. The slot is one that kernels can write,
// and validation layers judge by that: what only reads it waits for other readers, too.
static tv_window other_window(const tv_product *p, tv_access of_c)
{
    if (!p->other)
        return aligned_rows(p->c, p->c_first, p->c_rows, of_c);
    return tv_rows(p->other, p->c_first, p->c_rows,
                   p->epilogue == TV_EPILOGUE_GELU_KEEP ? TV_WRITE : TV_READ_WRITE);
}

static tv_variant choose_variant(const tv_lowering *lowering, const tv_product *p)
{
    tv_variant variants[TV_VARIANTS_MAX];
    size_t count = tv_product_variants(lowering, p, variants);
    return variants[tv_tuner_pick(lowering->tuner, p, variants, count)];
}

static void emit_product(tv_lowering *lowering, const tv_node *node, const tv_product *p,
                         const tv_variant *v)
{
    tv_access of_c = p->accumulate ? TV_READ_WRITE : TV_WRITE;
    tv_offsets first = tv_product_offsets(p);
    uint32_t members = p->members ? p->members : 1;
    tv_window a = aligned_rows(p->a, p->a_first, p->a_rows, TV_READ);
    tv_launch launch = {
        .choice = v->choice,
        .windows = {a, aligned_rows(p->b, p->b_first, p->b_rows, TV_READ),
                    aligned_rows(p->c, p->c_first, p->c_rows, of_c),
                    p->bias ? (tv_window){p->bias, p->c_column, p->n, TV_READ} : a,
                    other_window(p, of_c)},
        .window_count = 5,
        .groups = {(uint32_t)tv_div_up(p->n, v->tile_n), (uint32_t)tv_div_up(p->m, v->tile_m),
                   members},
        .args.u = {p->m, p->n, p->k, p->a->columns, p->b->columns, p->c->columns,
                   (p->accumulate ? TV_MATMUL_ACCUMULATE : 0) | (p->bias ? TV_MATMUL_BIAS : 0),
                   first.c, first.a, first.b},
        .epilogue = p->epilogue,
        .work = 2.0 * p->m * p->n * p->k * members};
    launch.choice.constants[3] |= p->epilogue << TV_EPILOGUE_BIT;
    if (v->packed)
        tv_pack_inputs(lowering, node, p, v, &launch);
    tv_emit(lowering, node, &launch);
}

// Halves a step, keeping every window aligned.
static bool halve(uint32_t *step)
{
    uint32_t half = (*step / 2 + TV_WINDOW_UNIT - 1) / TV_WINDOW_UNIT * TV_WINDOW_UNIT;
    if (half >= *step)
        return false;
    *step = half;
    return true;
}

static tv_err choose_steps(const tv_lowering *lowering, const tv_product *p, tv_steps *s)
{
    const tv_tensor *ac[] = {p->c, p->a}, *ab[] = {p->b, p->a};
    bool tn = p->layout == TV_TN;
    *s = (tv_steps){p->m, p->n, p->k};
    TV_TRY(tv_row_step(lowering, ac, tn ? 1 : 2, TV_WINDOW_UNIT, p->m, &s->m));
    if (p->layout == TV_NT)
        TV_TRY(tv_row_step(lowering, &p->b, 1, TV_WINDOW_UNIT, p->n, &s->n));
    else
        TV_TRY(tv_row_step(lowering, ab, tn ? 2 : 1, TV_WINDOW_UNIT, p->k, &s->k));
    uint32_t most = lowering->caps->max_groups[1];
    while (2.0 * s->m * s->n * s->k > lowering->budget || s->m / 32 >= most)
        if (!halve(&s->m) && !(p->layout == TV_NT && halve(&s->n)))
            break;
    return TV_OK;
}

tv_err tv_lower_product(tv_lowering *lowering, const tv_node *node, const tv_product *product)
{
    tv_steps s;
    tv_variant whole = choose_variant(lowering, product);
    TV_TRY(choose_steps(lowering, product, &s));
    if (whole.packed) {
        tv_pack_steps(lowering, product, &s);
        tv_pack_begin(lowering, &whole, &s);
    }
    for (uint32_t k = 0; k < product->k; k += s.k)
        for (uint32_t n = 0; n < product->n; n += s.n)
            for (uint32_t m = 0; m < product->m; m += s.m) {
                tv_product p = *product;
                p.m = (uint32_t)tv_min_size(s.m, product->m - m);
                p.n = (uint32_t)tv_min_size(s.n, product->n - n);
                p.k = (uint32_t)tv_min_size(s.k, product->k - k);
                bool tn = p.layout == TV_TN, nt = p.layout == TV_NT;
                p.a_first += tn ? k : m;
                p.a_rows = tn ? p.k : p.m;
                p.a_column += tn ? m : k;
                p.b_first += nt ? n : k;
                p.b_rows = nt ? p.n : p.k;
                p.b_column += nt ? k : n;
                p.c_first += m;
                p.c_rows = p.m;
                p.c_column += n;
                p.accumulate |= k > 0;
                p.bias = k > 0 ? NULL : p.bias;
                if (k + p.k < product->k) { // only a finished sum has an epilogue
                    p.epilogue = TV_EPILOGUE_NONE;
                    p.other = NULL;
                }
                tv_variant part = choose_variant(lowering, &p); // panels are those of the whole
                emit_product(lowering, node, &p, whole.packed || part.packed ? &whole : &part);
            }
    return TV_OK;
}

// ---------------------------------------------------------------------------------------- batches

// How many members' rows of a tensor a window takes, wherever the first one begins.
static uint64_t members_in_window(const tv_lowering *lowering, const tv_tensor *tensor,
                                  uint64_t rows)
{
    uint64_t elements = lowering->caps->max_range / tv_dtype_bytes(tensor->dtype);
    return (elements - TV_WINDOW_UNIT) / (rows * tensor->columns);
}

// The product of `members` of a batch, from member `first` on.
static tv_product part_of_batch(const tv_product *whole, uint32_t first, uint32_t members)
{
    tv_product p = *whole;
    uint32_t a_rows = p.layout == TV_TN ? p.k : p.m, b_rows = p.layout == TV_NT ? p.n : p.k;
    p.members = members;
    p.a_first = (uint64_t)first * a_rows;
    p.b_first = (uint64_t)first * b_rows;
    p.c_first = (uint64_t)first * p.m;
    p.a_rows = (uint64_t)members * a_rows;
    p.b_rows = (uint64_t)members * b_rows;
    p.c_rows = (uint64_t)members * p.m;
    return p;
}

// How many members one launch of the variant takes, of `batch` that are shared out evenly.
static uint32_t members_at_once(const tv_lowering *lowering, const tv_product *p,
                                const tv_variant *v, uint32_t batch)
{
    const uint32_t *groups = lowering->caps->max_groups;
    uint64_t most = tv_min_size(batch, groups[2]);
    if (!v->members || tv_div_up(p->m, v->tile_m) > groups[1])
        return 1;
    most = tv_min_size(most, (uint64_t)(lowering->budget / (2.0 * p->m * p->n * p->k)));
    most = tv_min_size(most, members_in_window(lowering, p->a, p->a_rows));
    most = tv_min_size(most, members_in_window(lowering, p->b, p->b_rows));
    most = tv_min_size(most, members_in_window(lowering, p->c, p->c_rows));
    return most > 1 ? (uint32_t)tv_div_up(batch, tv_div_up(batch, most)) : 1;
}

// Members that no launch takes several of are products of their own. What aligns their windows
// adds to what is bound.
static tv_err lower_batch(tv_lowering *lowering, const tv_node *node, const tv_product *product,
                          uint32_t batch)
{
    const tv_caps *caps = lowering->caps;
    tv_caps narrow = *caps;
    tv_err err = TV_OK;
    narrow.max_range -= TV_WINDOW_UNIT * sizeof(float);
    for (uint32_t first = 0, count; first < batch && err == TV_OK; first += count) {
        tv_product p = part_of_batch(product, first, 1);
        tv_variant v = choose_variant(lowering, &p);
        count = members_at_once(lowering, &p, &v, batch - first);
        p = part_of_batch(product, first, count);
        if (count > 1) {
            emit_product(lowering, node, &p, &v);
        } else {
            lowering->caps = &narrow;
            err = tv_lower_product(lowering, node, &p);
            lowering->caps = caps;
        }
    }
    return err;
}

tv_err tv_lower_matmul(tv_lowering *lowering, const tv_node *node)
{
    const tv_tensor *a = node->in[0], *b = node->in[1], *c = node->out[0];
    uint32_t batch = node->attrs.batch > 1 ? node->attrs.batch : 1;
    bool tn = node->attrs.layout == TV_TN;
    tv_product product = {.layout = (tv_layout)node->attrs.layout,
                          .m = c->rows / batch,
                          .n = c->columns,
                          .k = tn ? a->rows / batch : a->columns,
                          .a = a,
                          .b = b,
                          .c = c,
                          .bias = node->in[2],
                          .other = node->in[3] ? node->in[3] : node->out[1],
                          .accumulate = node->attrs.accumulate,
                          .epilogue = node->attrs.epilogue};
    return batch > 1 ? lower_batch(lowering, node, &product, batch)
                     : tv_lower_product(lowering, node, &product);
}
