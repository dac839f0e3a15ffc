// Cases: how each row's graph is built, and the rows.
#include "conformance/case.h"

#include "base/memory.h"
#include "conformance/reference.h"
#include "graph/ops.h"

#include <math.h>
#include <string.h>

static uint32_t at(const tv_trial *t, int i)
{
    return t->row->size[i];
}

// A tensor that a model would have computed: differentiated where the row asks for gradients.
static tv_tensor *input(tv_trial *t, uint32_t rows, uint32_t columns)
{
    return tv_trial_leaf(t, TV_FEED, t->storage, rows, columns)->tensor;
}

static tv_tensor *weight(tv_trial *t, uint32_t rows, uint32_t columns)
{
    return tv_trial_leaf(t, TV_WEIGHT, t->storage, rows, columns)->tensor;
}

// What a node updates: random values that it adds to or replaces.
static tv_tensor *target(tv_trial *t, uint32_t rows, uint32_t columns)
{
    return tv_trial_leaf(t, TV_GRADIENT, TV_F32, rows, columns)->tensor;
}

// What the gradient of a norm reads: float in every storage type.
static tv_tensor *statistics(tv_trial *t, uint32_t rows, uint32_t columns)
{
    return tv_trial_leaf(t, TV_FEED, TV_F32, rows, columns)->tensor;
}

static void output(tv_trial *t, tv_tensor *tensor)
{
    t->outputs[t->output_count++] = tensor;
}

static const tv_node *last_node(const tv_trial *t)
{
    return t->graph->nodes[t->graph->node_count - 1];
}

// ids [1,R]: some of them repeat, the first and the last one of the table occur.
static tv_leaf *ids(tv_trial *t, uint32_t rows, uint32_t table)
{
    tv_leaf *leaf = tv_trial_leaf(t, TV_FEED, TV_U32, 1, rows);
    for (uint32_t r = 0; r < rows; r++)
        leaf->words[r] = r % 3 == 0 ? (r % 2 ? 0 : table - 1) : tv_rng_below(&t->rng, table);
    return leaf;
}

// Row numbers sorted by id; equal ids in row order.
static tv_tensor *order(tv_trial *t, const uint32_t *id, uint32_t rows, uint32_t table)
{
    tv_leaf *leaf = tv_trial_leaf(t, TV_FEED, TV_U32, 1, rows);
    uint32_t place = 0;
    for (uint32_t v = 0; v < table; v++)
        for (uint32_t r = 0; r < rows; r++)
            if (id[r] == v)
                leaf->words[place++] = r;
    return leaf->tensor;
}

// ------------------------------------------------------------------------------- build functions

// rows, columns
static void build_copy(tv_trial *t)
{
    output(t, tv_copy(t->graph, input(t, at(t, 0), at(t, 1)), "copy"));
}

// rows, columns
static void build_add(tv_trial *t)
{
    tv_tensor *a = input(t, at(t, 0), at(t, 1)), *b = input(t, at(t, 0), at(t, 1));
    output(t, tv_add(t->graph, a, b));
}

// rows, columns
static void build_gelu(tv_trial *t)
{
    output(t, tv_gelu(t->graph, input(t, at(t, 0), at(t, 1))));
}

// rows, columns of the output
static void build_swiglu(tv_trial *t)
{
    output(t, tv_swiglu(t->graph, input(t, at(t, 0), 2 * at(t, 1))));
}

// sequences, rows of each, columns, percent dropped
static void build_dropout(tv_trial *t)
{
    tv_tensor *x = input(t, at(t, 0) * at(t, 1), at(t, 2)), *step = tv_trial_step(t, 0, 0);
    tv_leaf *samples = tv_trial_leaf(t, TV_FEED, TV_U32, 1, at(t, 0));
    for (uint32_t b = 0; b < at(t, 0); b++)
        samples->words[b] = 1000003u * b + 17;
    output(t, tv_dropout(t->graph, x, step, samples->tensor, 5, (float)at(t, 3) / 100));
}

// the same: a residual to which the result is added
static void build_dropout_add(tv_trial *t)
{
    build_dropout(t);
    tv_tensor *residual = input(t, at(t, 0) * at(t, 1), at(t, 2));
    t->outputs[0] = tv_add(t->graph, residual, t->outputs[0]);
}

// sequences, time, heads, of them rotated, head size, position
static void build_rope(tv_trial *t)
{
    uint32_t time = at(t, 1), size = at(t, 4), positions = time + at(t, 5);
    tv_tensor *x = input(t, at(t, 0) * time, at(t, 2) * size);
    tv_leaf *table = tv_trial_leaf(t, TV_CONSTANT, TV_F32, positions, size);
    for (uint32_t i = 0; i < positions * size; i++) {
        uint32_t pair = i % size % (size / 2);
        double angle = i / size * pow(10000, -2.0 * pair / size);
        tv_leaf_set(table, i, (float)(i % size < size / 2 ? cos(angle) : sin(angle)));
    }
    tv_tensor *step = tv_trial_step(t, at(t, 5), 0);
    output(t, tv_rope(t->graph, x, table->tensor, step, time, at(t, 3), size));
}

// sequences, time, columns, rows of the table, position
static void build_posadd(tv_trial *t)
{
    tv_tensor *x = input(t, at(t, 0) * at(t, 1), at(t, 2)), *table = weight(t, at(t, 3), at(t, 2));
    output(t, tv_posadd(t->graph, x, table, tv_trial_step(t, at(t, 4), 0), at(t, 1)));
}

// rows, columns, rows of the table
static void build_embed(tv_trial *t)
{
    tv_leaf *id = ids(t, at(t, 0), at(t, 2));
    tv_tensor *table = weight(t, at(t, 2), at(t, 1));
    tv_tensor *sorted = order(t, id->words, at(t, 0), at(t, 2));
    output(t, tv_embed(t->graph, id->tensor, table, sorted));
}

// A normal epsilon, or one that keeps a few values from making an ill-conditioned variance.
static float epsilon(const tv_trial *t)
{
    return at(t, 1) < 8 ? 0.5f : 1e-5f;
}

// rows, columns
static void build_layernorm(tv_trial *t)
{
    tv_tensor *x = input(t, at(t, 0), at(t, 1));
    tv_tensor *w = weight(t, 1, at(t, 1)), *b = weight(t, 1, at(t, 1));
    output(t, tv_layernorm(t->graph, x, w, b, epsilon(t)));
    output(t, last_node(t)->out[1]);
}

// rows, columns
static void build_rmsnorm(tv_trial *t)
{
    tv_tensor *x = input(t, at(t, 0), at(t, 1)), *w = weight(t, 1, at(t, 1));
    output(t, tv_rmsnorm(t->graph, x, w, epsilon(t)));
    output(t, last_node(t)->out[1]);
}

// rows, columns
static void build_add_layernorm(tv_trial *t)
{
    tv_tensor *x = input(t, at(t, 0), at(t, 1)), *h = input(t, at(t, 0), at(t, 1));
    tv_tensor *w = weight(t, 1, at(t, 1)), *b = weight(t, 1, at(t, 1));
    output(t, tv_add_layernorm(t->graph, &x, h, w, b, epsilon(t)));
    output(t, last_node(t)->out[1]);
    output(t, x);
}

// rows, columns
static void build_add_rmsnorm(tv_trial *t)
{
    tv_tensor *x = input(t, at(t, 0), at(t, 1)), *h = input(t, at(t, 0), at(t, 1));
    output(t, tv_add_rmsnorm(t->graph, &x, h, weight(t, 1, at(t, 1)), epsilon(t)));
    output(t, last_node(t)->out[1]);
    output(t, x);
}

// rows, columns
static void build_norm_grad_add(tv_trial *t)
{
    uint32_t rows = at(t, 0), columns = at(t, 1);
    uint32_t wide = t->row->op == TV_OP_LAYERNORM_GRAD_ADD ? 2 : 1;
    tv_tensor *in[] = {input(t, rows, columns), weight(t, 1, columns), statistics(t, rows, wide),
                       input(t, rows, columns), input(t, rows, columns)};
    output(t, tv_activation(t->graph, rows, columns, "dx"));
    tv_graph_add(t->graph, t->row->op, NULL, in, t->outputs);
}

// rows, inner, outer, layout, 1 with bias
static void build_linear(tv_trial *t)
{
    uint32_t inner = at(t, 1), outer = at(t, 2);
    bool transposed = at(t, 3) == TV_NT;
    tv_tensor *x = input(t, at(t, 0), inner);
    tv_tensor *w = weight(t, transposed ? outer : inner, transposed ? inner : outer);
    tv_tensor *bias = at(t, 4) ? weight(t, 1, outer) : NULL;
    output(t, tv_linear(t->graph, x, w, bias, (tv_layout)at(t, 3)));
}

// members, rows and columns of each result, inner size, layout, 1 where b is a weight
static void build_batched(tv_trial *t)
{
    uint32_t batch = at(t, 0), m = at(t, 1), n = at(t, 2), k = at(t, 3);
    tv_layout layout = (tv_layout)at(t, 4);
    bool tn = layout == TV_TN, nt = layout == TV_NT;
    tv_tensor *a = input(t, batch * (tn ? k : m), tn ? m : k);
    tv_tensor *b = (at(t, 5) ? weight : input)(t, batch * (nt ? n : k), nt ? k : n);
    output(t, tv_matmul(t->graph, a, b, batch, layout));
}

// rows, columns of x, inner ones, layout
static void build_mlp(tv_trial *t)
{
    uint32_t width = at(t, 1), inner = at(t, 2);
    bool transposed = at(t, 3) == TV_NT;
    tv_tensor *x = input(t, at(t, 0), width);
    for (int i = 0; i < 2; i++) { // weights that keep what they multiply of about one size
        uint32_t from = i ? inner : width, to = i ? width : inner;
        tv_leaf *w =
            tv_trial_leaf(t, TV_WEIGHT, t->storage, transposed ? to : from, transposed ? from : to);
        for (size_t k = 0; k < w->count; k++)
            tv_leaf_set(w, k, (float)(w->x[k] / sqrt(from)));
        x = tv_linear(t->graph, x, w->tensor, weight(t, 1, to), (tv_layout)at(t, 3));
        x = i ? x : tv_gelu(t->graph, x);
    }
    output(t, x);
}

// sequences, time, heads, key/value heads, head size
static void build_attention(tv_trial *t)
{
    uint32_t heads = at(t, 2), kv_heads = at(t, 3), size = at(t, 4);
    tv_tensor *qkv = input(t, at(t, 0) * at(t, 1), (heads + 2 * kv_heads) * size);
    output(t, tv_attention(t->graph, qkv, at(t, 0), heads, kv_heads, size));
    output(t, last_node(t)->out[1]);
}

// rows, heads, key/value heads, head size, rows of the caches, position
static void build_attention_cached(tv_trial *t)
{
    uint32_t heads = at(t, 1), kv_heads = at(t, 2), size = at(t, 3);
    tv_tensor *qkv = input(t, at(t, 0), (heads + 2 * kv_heads) * size);
    tv_tensor *step = tv_trial_step(t, at(t, 5), 0);
    tv_tensor *k = tv_trial_leaf(t, TV_CACHE, t->storage, at(t, 4), kv_heads * size)->tensor;
    tv_tensor *v = tv_trial_leaf(t, TV_CACHE, t->storage, at(t, 4), kv_heads * size)->tensor;
    output(t, tv_attention_cached(t->graph, qkv, step, k, v, heads, kv_heads, size));
    output(t, k);
    output(t, v);
}

// rows, columns, vocabulary, chunk, percent of ignored targets
static void build_loss(tv_trial *t)
{
    tv_tensor *x = input(t, at(t, 0), at(t, 1)), *w = weight(t, at(t, 2), at(t, 1));
    tv_leaf *targets = tv_trial_leaf(t, TV_FEED, TV_U32, 1, at(t, 0));
    for (uint32_t r = 0; r < at(t, 0); r++)
        targets->words[r] = tv_rng_below(&t->rng, 100) < at(t, 4) ? TV_IGNORE_TARGET
                            : r == 0                              ? at(t, 2) - 1
                                                                  : tv_rng_below(&t->rng, at(t, 2));
    for (size_t i = 0; i < t->leaves[1].count && t->row->spread == 0; i++) // logits of about 1
        tv_leaf_set(&t->leaves[1], i, (float)(t->leaves[1].x[i] / sqrt(at(t, 1))));
    output(t, tv_linear_cross_entropy(t->graph, x, w, targets->tensor, tv_trial_step(t, 0, 0),
                                      at(t, 3), t->row->check != TV_CASE_FORWARD));
}

// rows, columns
static void build_fill(tv_trial *t)
{
    output(t, tv_trial_leaf(t, TV_GRADIENT, t->storage, at(t, 0), at(t, 1))->tensor);
    tv_fill(t->graph, t->outputs[0], -2.5f);
}

// rows, columns, 1 to overwrite what was there
static void build_reduce_sum(tv_trial *t)
{
    tv_tensor *x = input(t, at(t, 0), at(t, 1));
    output(t, target(t, 1, 1));
    tv_reduce_sum_into(t->graph, x, t->outputs[0], at(t, 2) == 0);
}

// rows, columns, elements of each sum, place of the first sum
static void build_sumsq(tv_trial *t)
{
    tv_attrs attrs = {.block = at(t, 2), .offset = at(t, 3)};
    tv_tensor *x = input(t, at(t, 0), at(t, 1));
    output(t, target(t, 1, at(t, 3) + (uint32_t)tv_div_up(tv_tensor_count(x), at(t, 2)) + 1));
    tv_graph_add(t->graph, TV_OP_SUMSQ, &attrs, &x, t->outputs);
}

// largest norm times 1000, then rows of up to 3 gradients of 37 columns
static void build_grad_norm(tv_trial *t)
{
    tv_tensor *step = tv_trial_step(t, 0, (float)at(t, 0) / 1000), *gradients[3];
    uint32_t count = 0;
    for (; count < 3 && at(t, 1 + (int)count) > 0; count++)
        gradients[count] = target(t, at(t, 1 + (int)count), 37);
    output(t, tv_graph_tensor(t->graph, TV_RESULT, TV_F32, 1, TV_STAT_WORDS, "stat"));
    tv_grad_norm(t->graph, gradients, count, step, t->outputs[0]);
}

// rows, columns, columns of x, first column, rows of a block, 1 to add to what is there
static void build_colsum(tv_trial *t)
{
    tv_attrs attrs = {.offset = at(t, 3), .block = at(t, 4), .accumulate = at(t, 5)};
    tv_tensor *x = input(t, at(t, 0), at(t, 2));
    output(t, target(t, (uint32_t)tv_div_up(at(t, 0), at(t, 4)), at(t, 1)));
    tv_graph_add(t->graph, TV_OP_COLSUM, &attrs, &x, t->outputs);
}

// rows, columns, rows of a block: LayerNorm's statistics are two columns, RMSNorm's one
static void build_partial(tv_trial *t)
{
    uint32_t rows = at(t, 0), columns = at(t, 1), wide = t->row->op == TV_OP_LAYERNORM_PARTIAL;
    tv_attrs attrs = {.block = at(t, 2)};
    tv_tensor *x = input(t, rows, columns), *stats = statistics(t, rows, 1 + wide);
    tv_tensor *in[] = {x, stats, input(t, rows, columns)};
    output(t, target(t, (uint32_t)tv_div_up(rows, at(t, 2)), (1 + wide) * columns));
    tv_graph_add(t->graph, t->row->op, &attrs, in, t->outputs);
}

static void build_layernorm_partial(tv_trial *t)
{
    build_partial(t);
}

static void build_rmsnorm_partial(tv_trial *t)
{
    build_partial(t);
}

// sequences, time, columns, rows of the table
static void build_posadd_grad(tv_trial *t)
{
    tv_attrs attrs = {.time = at(t, 1)};
    tv_tensor *dy = input(t, at(t, 0) * at(t, 1), at(t, 2));
    output(t, target(t, at(t, 3), at(t, 2)));
    tv_graph_add(t->graph, TV_OP_POSADD_GRAD, &attrs, &dy, t->outputs);
}

// rows, columns, rows of the table
static void build_embed_grad(tv_trial *t)
{
    tv_leaf *id = ids(t, at(t, 0), at(t, 2));
    tv_tensor *in[] = {id->tensor, order(t, id->words, at(t, 0), at(t, 2)),
                       input(t, at(t, 0), at(t, 1))};
    output(t, target(t, at(t, 2), at(t, 1)));
    tv_graph_add(t->graph, TV_OP_EMBED_GRAD, NULL, in, t->outputs);
}

// rows, columns, 1 if the gradients are finite, 1 for weights without a master: then weights and
// moments are of the storage type. AdamW knows of no half-precision ones, those get a master.
static void build_adamw(tv_trial *t)
{
    static const tv_attrs attrs = {
        .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-6f, .weight_decay = 0.1f, .site = 3};
    uint32_t rows = at(t, 0), columns = at(t, 1);
    bool own = t->storage == TV_F32 || (t->storage == TV_BF16 && at(t, 3));
    tv_dtype state = own ? t->storage : TV_F32;
    tv_tensor *w = weight(t, rows, columns);
    tv_tensor *m = tv_trial_leaf(t, TV_OPTIMIZER, state, rows, columns)->tensor;
    tv_leaf *v = tv_trial_leaf(t, TV_OPTIMIZER, state, rows, columns);
    tv_leaf *stat = tv_trial_leaf(t, TV_RESULT, TV_F32, 1, TV_STAT_WORDS);
    for (size_t i = 0; i < v->count; i++)
        tv_leaf_set(v, i, (float)fabs(v->x[i]));
    tv_leaf_set(stat, TV_STAT_COEFFICIENT, at(t, 2) ? 0.75f : 0);
    tv_leaf_set(stat, TV_STAT_FINITE, at(t, 2) ? 1 : 0);
    tv_tensor *step = tv_trial_step(t, 0, 0);
    if (!own)
        w->master = tv_trial_leaf(t, TV_MASTER, TV_F32, rows, columns)->tensor;
    tv_adamw(t->graph, w, m, v->tensor, stat->tensor, step, &attrs);
    output(t, w);
    output(t, m);
    output(t, v->tensor);
    if (!own)
        output(t, w->master);
}

// ------------------------------------------------------------------------------------------- rows

// EXACT: splitting launches does not change a bit of the outputs; SUMMED: it changes their sums.
#define EXACT(op, check, name, ...)                                                                \
    {TV_OP_##op, TV_CASE_##check, build_##name, tv_ref_##name, {__VA_ARGS__}, 0, 0, true},
#define SUMMED(op, check, name, ...)                                                               \
    {TV_OP_##op, TV_CASE_##check, build_##name, tv_ref_##name, {__VA_ARGS__}, 0, 0, false},
#define SPREAD(op, check, name, spread, ...)                                                       \
    {TV_OP_##op, TV_CASE_##check, build_##name, tv_ref_##name, {__VA_ARGS__}, spread, 0, true},
// Results are small differences of terms of about this size.
#define CANCELS(op, check, name, size, ...)                                                        \
    {TV_OP_##op, TV_CASE_##check, build_##name, tv_ref_##name, {__VA_ARGS__}, 0, size, true},

// clang-format off
const tv_case tv_cases[] = {
    EXACT(COPY, FORWARD, copy, 1, 1)
    EXACT(COPY, FORWARD, copy, 3, 17)
    EXACT(COPY, FORWARD, copy, 130, 1030)
    EXACT(ADD, GRADIENT, add, 1, 1)
    EXACT(ADD, GRADIENT, add, 3, 17)
    EXACT(ADD, GRADIENT, add, 130, 1030)
    EXACT(GELU, GRADIENT, gelu, 1, 1)
    EXACT(GELU, GRADIENT, gelu, 7, 257)
    EXACT(GELU, GRADIENT, gelu, 128, 1030)
    SPREAD(GELU, GRADIENT, gelu, 1e4f, 9, 130)
    EXACT(SWIGLU, GRADIENT, swiglu, 1, 1)
    EXACT(SWIGLU, GRADIENT, swiglu, 5, 3)
    EXACT(SWIGLU, GRADIENT, swiglu, 17, 66)
    EXACT(SWIGLU, GRADIENT, swiglu, 130, 512)
    SPREAD(SWIGLU, GRADIENT, swiglu, 1e4f, 9, 130)
    EXACT(DROPOUT, GRADIENT, dropout, 1, 1, 1, 50)
    EXACT(DROPOUT, GRADIENT, dropout, 3, 5, 7, 10)
    EXACT(DROPOUT, GRADIENT, dropout, 3, 1, 1, 50)
    EXACT(DROPOUT, GRADIENT, dropout, 4, 64, 512, 25)
    EXACT(DROPOUT, GRADIENT, dropout, 2, 9, 12, 0)
    EXACT(DROPOUT, GRADIENT, dropout_add, 3, 5, 7, 10)
    EXACT(DROPOUT, GRADIENT, dropout_add, 4, 64, 512, 25)
    EXACT(ROPE, GRADIENT, rope, 1, 1, 1, 1, 2)
    EXACT(ROPE, GRADIENT, rope, 2, 17, 5, 3, 8)
    EXACT(ROPE, GRADIENT, rope, 3, 7, 4, 3, 18)
    EXACT(ROPE, GRADIENT, rope, 3, 64, 8, 6, 64)
    EXACT(ROPE, GRADIENT, rope, 2, 33, 3, 3, 6)
    EXACT(ROPE, GRADIENT, rope, 2, 9, 3, 2, 80)
    EXACT(ROPE, FORWARD, rope, 1, 3, 4, 3, 32, 29)
    EXACT(POSADD, GRADIENT, posadd, 1, 1, 1, 1)
    EXACT(POSADD, GRADIENT, posadd, 3, 17, 7, 20)
    EXACT(POSADD, GRADIENT, posadd, 4, 64, 512, 64)
    EXACT(POSADD, FORWARD, posadd, 1, 3, 64, 33, 30)
    EXACT(EMBED, GRADIENT, embed, 1, 1, 3)
    EXACT(EMBED, GRADIENT, embed, 17, 3, 5)
    EXACT(EMBED, GRADIENT, embed, 130, 64, 1030)
    EXACT(EMBED, GRADIENT, embed, 260, 257, 320)
    EXACT(EMBED, GRADIENT, embed, 64, 130, 7)
    CANCELS(LAYERNORM, GRADIENT, layernorm, 1, 3, 1)
    CANCELS(LAYERNORM, GRADIENT, layernorm, 1, 17, 3)
    EXACT(LAYERNORM, GRADIENT, layernorm, 1, 64)
    EXACT(LAYERNORM, GRADIENT, layernorm, 33, 17)
    EXACT(LAYERNORM, GRADIENT, layernorm, 65, 130)
    EXACT(LAYERNORM, GRADIENT, layernorm, 70, 1030)
    EXACT(LAYERNORM, GRADIENT, layernorm, 600, 256)
    CANCELS(RMSNORM, GRADIENT, rmsnorm, 1, 3, 1)
    CANCELS(RMSNORM, GRADIENT, rmsnorm, 1, 17, 3)
    EXACT(RMSNORM, GRADIENT, rmsnorm, 1, 64)
    EXACT(RMSNORM, GRADIENT, rmsnorm, 33, 17)
    EXACT(RMSNORM, GRADIENT, rmsnorm, 65, 130)
    EXACT(RMSNORM, GRADIENT, rmsnorm, 70, 1030)
    EXACT(RMSNORM, GRADIENT, rmsnorm, 600, 256)
    CANCELS(ADD_LAYERNORM, GRADIENT, add_layernorm, 1, 17, 3)
    EXACT(ADD_LAYERNORM, GRADIENT, add_layernorm, 33, 17)
    EXACT(ADD_LAYERNORM, GRADIENT, add_layernorm, 65, 130)
    EXACT(ADD_LAYERNORM, GRADIENT, add_layernorm, 70, 1030)
    EXACT(ADD_LAYERNORM, GRADIENT, add_layernorm, 600, 256)
    CANCELS(ADD_RMSNORM, GRADIENT, add_rmsnorm, 1, 17, 3)
    EXACT(ADD_RMSNORM, GRADIENT, add_rmsnorm, 33, 17)
    EXACT(ADD_RMSNORM, GRADIENT, add_rmsnorm, 65, 130)
    EXACT(ADD_RMSNORM, GRADIENT, add_rmsnorm, 70, 1030)
    EXACT(ADD_RMSNORM, GRADIENT, add_rmsnorm, 600, 256)
    EXACT(MATMUL, GRADIENT, linear, 1, 1, 1, TV_NT, 1)
    EXACT(MATMUL, GRADIENT, linear, 3, 17, 5, TV_NT, 0)
    EXACT(MATMUL, GRADIENT, linear, 65, 64, 130, TV_NT, 1)
    EXACT(MATMUL, GRADIENT, linear, 64, 128, 64, TV_NT, 0)
    EXACT(MATMUL, GRADIENT, linear, 70, 36, 132, TV_NT, 1)
    EXACT(MATMUL, GRADIENT, linear, 33, 1030, 7, TV_NT, 0)
    EXACT(MATMUL, GRADIENT, linear, 400, 256, 12, TV_NT, 1)
    EXACT(MATMUL, GRADIENT, linear, 12, 256, 400, TV_NT, 1)
    SUMMED(MATMUL, GRADIENT, linear, 1, 1, 1, TV_NN, 1)
    SUMMED(MATMUL, GRADIENT, linear, 17, 3, 5, TV_NN, 0)
    SUMMED(MATMUL, GRADIENT, linear, 65, 130, 64, TV_NN, 1)
    SUMMED(MATMUL, GRADIENT, linear, 64, 128, 64, TV_NN, 0)
    SUMMED(MATMUL, GRADIENT, linear, 67, 68, 100, TV_NN, 1)
    SUMMED(MATMUL, GRADIENT, linear, 9, 400, 252, TV_NN, 1)
    SUMMED(MATMUL, GRADIENT, linear, 257, 33, 257, TV_NN, 0)
    SUMMED(MATMUL, GRADIENT, mlp, 1, 1, 1, TV_NN)
    SUMMED(MATMUL, GRADIENT, mlp, 17, 5, 7, TV_NT)
    SUMMED(MATMUL, GRADIENT, mlp, 65, 68, 148, TV_NN)
    SUMMED(MATMUL, GRADIENT, mlp, 70, 132, 36, TV_NT)
    SUMMED(MATMUL, GRADIENT, mlp, 9, 400, 252, TV_NN)
    SUMMED(MATMUL, GRADIENT, mlp, 9, 400, 252, TV_NT)
    SUMMED(MATMUL, GRADIENT, mlp, 150, 136, 264, TV_NT)
    SUMMED(MATMUL, FORWARD, mlp, 33, 20, 67, TV_NN)
    SUMMED(MATMUL, FORWARD, mlp, 9, 400, 252, TV_NN)
    EXACT(MATMUL, GRADIENT, batched, 1, 5, 3, 7, TV_TN, 0)
    EXACT(MATMUL, GRADIENT, batched, 3, 5, 7, 3, TV_NT, 0)
    SUMMED(MATMUL, GRADIENT, batched, 3, 5, 7, 3, TV_NN, 1)
    SUMMED(MATMUL, GRADIENT, batched, 7, 1, 3, 5, TV_TN, 0)
    EXACT(MATMUL, GRADIENT, batched, 2, 65, 130, 36, TV_NT, 1)
    SUMMED(MATMUL, GRADIENT, batched, 5, 64, 32, 64, TV_NN, 0)
    SUMMED(MATMUL, GRADIENT, batched, 2, 33, 70, 131, TV_TN, 1)
    SUMMED(MATMUL, GRADIENT, batched, 2, 257, 36, 12, TV_NN, 1)
    EXACT(MATMUL, FORWARD, batched, 24, 64, 64, 64, TV_TN, 0)
    EXACT(MATMUL, FORWARD, batched, 30, 61, 50, 59, TV_NT, 0)
    SUMMED(MATMUL, FORWARD, batched, 2, 260, 290, 260, TV_NT, 0)
    EXACT(ATTENTION, GRADIENT, attention, 1, 1, 1, 1, 4)
    EXACT(ATTENTION, GRADIENT, attention, 2, 17, 4, 2, 8)
    EXACT(ATTENTION, GRADIENT, attention, 1, 33, 6, 2, 20)
    EXACT(ATTENTION, GRADIENT, attention, 3, 65, 2, 2, 32)
    EXACT(ATTENTION, GRADIENT, attention, 1, 130, 1, 1, 64)
    EXACT(ATTENTION, GRADIENT, attention, 2, 9, 5, 5, 12)
    EXACT(ATTENTION, GRADIENT, attention, 3, 64, 4, 2, 64)
    EXACT(ATTENTION, GRADIENT, attention, 1, 19, 2, 1, 128)
    EXACT(ATTENTION, FORWARD, attention, 1, 5, 2, 1, 256)
    EXACT(ATTENTION, GRADIENT, attention, 1, 64, 1, 1, 100)
    EXACT(ATTENTION, GRADIENT, attention, 1, 140, 4, 1, 64)
    EXACT(ATTENTION, GRADIENT, attention, 1, 70, 2, 1, 48)
    EXACT(ATTENTION, GRADIENT, attention, 1, 140, 3, 1, 96)
    EXACT(ATTENTION, GRADIENT, attention, 1, 72, 1, 1, 256)
    SPREAD(ATTENTION, FINITE, attention, 100, 1, 40, 2, 1, 16)
    EXACT(ATTENTION_CACHE, FORWARD, attention_cached, 1, 1, 1, 4, 1, 0)
    EXACT(ATTENTION_CACHE, FORWARD, attention_cached, 17, 4, 2, 8, 17, 0)
    EXACT(ATTENTION_CACHE, FORWARD, attention_cached, 5, 6, 2, 20, 130, 64)
    EXACT(ATTENTION_CACHE, FORWARD, attention_cached, 1, 5, 5, 64, 130, 129)
    EXACT(ATTENTION_CACHE, FORWARD, attention_cached, 3, 4, 2, 32, 300, 250)
    EXACT(ATTENTION_CACHE, FORWARD, attention_cached, 7, 2, 1, 256, 9, 1)
    SUMMED(LINEAR_CROSS_ENTROPY, LOSS, loss, 1, 1, 3, 1, 0)
    SUMMED(LINEAR_CROSS_ENTROPY, LOSS, loss, 5, 3, 5, 8, 30)
    SUMMED(LINEAR_CROSS_ENTROPY, LOSS, loss, 150, 32, 130, 64, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, LOSS, loss, 65, 36, 257, 65, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, LOSS, loss, 33, 128, 64, 64, 0)
    SUMMED(LINEAR_CROSS_ENTROPY, LOSS, loss, 9, 17, 3, 64, 100)
    SUMMED(LINEAR_CROSS_ENTROPY, FORWARD, loss, 150, 64, 1030, 64, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, LOSS_FINITE, loss, 150, 64, 1030, 64, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, LOSS, loss, 20, 128, 1030, 64, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, FORWARD, loss, 7, 257, 131, 64, 0)
    SPREAD(LINEAR_CROSS_ENTROPY, LOSS_FINITE, loss, 1e4f, 70, 4, 133, 64, 10)
    EXACT(FILL, FORWARD, fill, 1, 1)
    EXACT(FILL, FORWARD, fill, 3, 17)
    EXACT(FILL, FORWARD, fill, 130, 1030)
    EXACT(REDUCE_SUM, FORWARD, reduce_sum, 1, 1)
    EXACT(REDUCE_SUM, FORWARD, reduce_sum, 1, 257)
    EXACT(REDUCE_SUM, FORWARD, reduce_sum, 64, 130)
    EXACT(REDUCE_SUM, FORWARD, reduce_sum, 3, 17, 1)
    EXACT(SUMSQ, FORWARD, sumsq, 1, 1, 64, 0)
    EXACT(SUMSQ, FORWARD, sumsq, 3, 130, 64, 5)
    EXACT(SUMSQ, FORWARD, sumsq, 257, 512, 4096, 1)
    EXACT(GRAD_NORM, FORWARD, grad_norm, 0, 1)
    EXACT(GRAD_NORM, FORWARD, grad_norm, 1000, 17, 1, 1000)
    EXACT(GRAD_NORM, FORWARD, grad_norm, 1000000, 17, 3000, 3)
    EXACT(ADAMW, FORWARD, adamw, 1, 1, 1)
    EXACT(ADAMW, FORWARD, adamw, 3, 17, 1)
    EXACT(ADAMW, FORWARD, adamw, 130, 1030, 1)
    EXACT(ADAMW, FORWARD, adamw, 3, 17, 0)
    EXACT(ADAMW, FORWARD, adamw, 3, 17, 1, 1)
    EXACT(ADAMW, FORWARD, adamw, 131, 66, 1, 1)
    EXACT(COLSUM, FORWARD, colsum, 1, 1, 1, 0, 1, 0)
    SUMMED(COLSUM, FORWARD, colsum, 33, 17, 17, 0, 33, 1)
    SUMMED(COLSUM, FORWARD, colsum, 33, 17, 51, 30, 33, 1)
    EXACT(COLSUM, FORWARD, colsum, 70, 1030, 1030, 0, 32, 0)
    EXACT(COLSUM, FORWARD, colsum, 130, 1024, 1030, 5, 32, 0)
    EXACT(COLSUM, FORWARD, colsum, 130, 64, 130, 66, 32, 0)
    EXACT(COLSUM, FORWARD, colsum, 700, 128, 128, 0, 32, 0)
    SUMMED(COLSUM, FORWARD, colsum, 700, 128, 128, 0, 700, 1)
    EXACT(LAYERNORM_GRAD_ADD, FORWARD, norm_grad_add, 1, 17)
    EXACT(LAYERNORM_GRAD_ADD, FORWARD, norm_grad_add, 33, 130)
    EXACT(LAYERNORM_GRAD_ADD, FORWARD, norm_grad_add, 600, 256)
    EXACT(RMSNORM_GRAD_ADD, FORWARD, norm_grad_add, 1, 17)
    EXACT(RMSNORM_GRAD_ADD, FORWARD, norm_grad_add, 33, 130)
    EXACT(RMSNORM_GRAD_ADD, FORWARD, norm_grad_add, 600, 256)
    EXACT(LAYERNORM_PARTIAL, FORWARD, layernorm_partial, 1, 1, 32)
    EXACT(LAYERNORM_PARTIAL, FORWARD, layernorm_partial, 65, 17, 32)
    EXACT(LAYERNORM_PARTIAL, FORWARD, layernorm_partial, 130, 130, 32)
    EXACT(RMSNORM_PARTIAL, FORWARD, rmsnorm_partial, 1, 1, 32)
    EXACT(RMSNORM_PARTIAL, FORWARD, rmsnorm_partial, 65, 17, 32)
    EXACT(RMSNORM_PARTIAL, FORWARD, rmsnorm_partial, 130, 130, 32)
    EXACT(POSADD_GRAD, FORWARD, posadd_grad, 1, 1, 1, 1)
    EXACT(POSADD_GRAD, FORWARD, posadd_grad, 3, 7, 17, 9)
    SUMMED(POSADD_GRAD, FORWARD, posadd_grad, 8, 64, 257, 64)
    EXACT(EMBED_GRAD, FORWARD, embed_grad, 1, 1, 1)
    EXACT(EMBED_GRAD, FORWARD, embed_grad, 40, 3, 2)
    EXACT(EMBED_GRAD, FORWARD, embed_grad, 200, 300, 500)
};
// clang-format on

const size_t tv_case_count = sizeof tv_cases / sizeof *tv_cases;
