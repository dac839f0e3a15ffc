// Cases: how each row's graph is built, and the rows.
#include "harness/op_table.h"

#include "base/memory.h"
#include "graph/ops.h"
#include "harness/op_reference.h"

#include <math.h>
#include <string.h>

static uint32_t at(const op_subject *s, int i)
{
    return s->row->size[i];
}

// A tensor that a model would have computed: differentiated where the row asks for gradients.
static tv_tensor *input(op_subject *s, uint32_t rows, uint32_t columns)
{
    return op_leaf_add(s, TV_FEED, TV_F32, rows, columns)->tensor;
}

static tv_tensor *weight(op_subject *s, uint32_t rows, uint32_t columns)
{
    return op_leaf_add(s, TV_WEIGHT, TV_F32, rows, columns)->tensor;
}

// What a node updates: random values that it adds to or replaces.
static tv_tensor *target(op_subject *s, uint32_t rows, uint32_t columns)
{
    return op_leaf_add(s, TV_GRADIENT, TV_F32, rows, columns)->tensor;
}

static void output(op_subject *s, tv_tensor *tensor)
{
    s->outputs[s->output_count++] = tensor;
}

static const tv_node *last_node(const op_subject *s)
{
    return s->graph->nodes[s->graph->node_count - 1];
}

// ids [1,R]: some of them repeat, the first and the last one of the table occur.
static op_leaf *ids(op_subject *s, uint32_t rows, uint32_t table)
{
    op_leaf *leaf = op_leaf_add(s, TV_FEED, TV_U32, 1, rows);
    for (uint32_t r = 0; r < rows; r++)
        leaf->words[r] = r % 3 == 0 ? (r % 2 ? 0 : table - 1) : tv_rng_below(&s->rng, table);
    return leaf;
}

// Row numbers sorted by id; equal ids in row order.
static tv_tensor *order(op_subject *s, const uint32_t *id, uint32_t rows, uint32_t table)
{
    op_leaf *leaf = op_leaf_add(s, TV_FEED, TV_U32, 1, rows);
    uint32_t place = 0;
    for (uint32_t v = 0; v < table; v++)
        for (uint32_t r = 0; r < rows; r++)
            if (id[r] == v)
                leaf->words[place++] = r;
    return leaf->tensor;
}

// ------------------------------------------------------------------------------- build functions

// rows, columns
static void build_add(op_subject *s)
{
    tv_tensor *a = input(s, at(s, 0), at(s, 1)), *b = input(s, at(s, 0), at(s, 1));
    output(s, tv_add(s->graph, a, b));
}

// rows, columns
static void build_gelu(op_subject *s)
{
    output(s, tv_gelu(s->graph, input(s, at(s, 0), at(s, 1))));
}

// rows, columns of the output
static void build_swiglu(op_subject *s)
{
    output(s, tv_swiglu(s->graph, input(s, at(s, 0), 2 * at(s, 1))));
}

// sequences, rows of each, columns, percent dropped
static void build_dropout(op_subject *s)
{
    tv_tensor *x = input(s, at(s, 0) * at(s, 1), at(s, 2)), *step = op_step(s, 0, 0);
    op_leaf *samples = op_leaf_add(s, TV_FEED, TV_U32, 1, at(s, 0));
    for (uint32_t b = 0; b < at(s, 0); b++)
        samples->words[b] = 1000003u * b + 17;
    output(s, tv_dropout(s->graph, x, step, samples->tensor, 5, (float)at(s, 3) / 100));
}

// sequences, time, heads, of them rotated, head size, position
static void build_rope(op_subject *s)
{
    uint32_t time = at(s, 1), size = at(s, 4), positions = time + at(s, 5);
    tv_tensor *x = input(s, at(s, 0) * time, at(s, 2) * size);
    op_leaf *table = op_leaf_add(s, TV_CONSTANT, TV_F32, positions, size);
    for (uint32_t i = 0; i < positions * size; i++) {
        uint32_t pair = i % size % (size / 2);
        double angle = i / size * pow(10000, -2.0 * pair / size);
        op_leaf_set(table, i, (float)(i % size < size / 2 ? cos(angle) : sin(angle)));
    }
    tv_tensor *step = op_step(s, at(s, 5), 0);
    output(s, tv_rope(s->graph, x, table->tensor, step, time, at(s, 3), size));
}

// sequences, time, columns, rows of the table, position
static void build_posadd(op_subject *s)
{
    tv_tensor *x = input(s, at(s, 0) * at(s, 1), at(s, 2)), *table = weight(s, at(s, 3), at(s, 2));
    output(s, tv_posadd(s->graph, x, table, op_step(s, at(s, 4), 0), at(s, 1)));
}

// rows, columns, rows of the table
static void build_embed(op_subject *s)
{
    op_leaf *id = ids(s, at(s, 0), at(s, 2));
    tv_tensor *table = weight(s, at(s, 2), at(s, 1));
    tv_tensor *sorted = order(s, id->words, at(s, 0), at(s, 2));
    output(s, tv_embed(s->graph, id->tensor, table, sorted));
}

// A normal epsilon, or one that keeps a few values from making an ill-conditioned variance.
static float epsilon(const op_subject *s)
{
    return at(s, 1) < 8 ? 0.5f : 1e-5f;
}

// rows, columns
static void build_layernorm(op_subject *s)
{
    tv_tensor *x = input(s, at(s, 0), at(s, 1));
    tv_tensor *w = weight(s, 1, at(s, 1)), *b = weight(s, 1, at(s, 1));
    output(s, tv_layernorm(s->graph, x, w, b, epsilon(s)));
    output(s, last_node(s)->out[1]);
}

// rows, columns
static void build_rmsnorm(op_subject *s)
{
    tv_tensor *x = input(s, at(s, 0), at(s, 1)), *w = weight(s, 1, at(s, 1));
    output(s, tv_rmsnorm(s->graph, x, w, epsilon(s)));
    output(s, last_node(s)->out[1]);
}

// rows, inner, outer, layout, 1 with bias
static void build_linear(op_subject *s)
{
    uint32_t inner = at(s, 1), outer = at(s, 2);
    bool transposed = at(s, 3) == TV_NT;
    tv_tensor *x = input(s, at(s, 0), inner);
    tv_tensor *w = weight(s, transposed ? outer : inner, transposed ? inner : outer);
    tv_tensor *bias = at(s, 4) ? weight(s, 1, outer) : NULL;
    output(s, tv_linear(s->graph, x, w, bias, (tv_layout)at(s, 3)));
}

// sequences, time, heads, key/value heads, head size
static void build_attention(op_subject *s)
{
    uint32_t heads = at(s, 2), kv_heads = at(s, 3), size = at(s, 4);
    tv_tensor *qkv = input(s, at(s, 0) * at(s, 1), (heads + 2 * kv_heads) * size);
    output(s, tv_attention(s->graph, qkv, at(s, 0), heads, kv_heads, size));
    output(s, last_node(s)->out[1]);
}

// rows, heads, key/value heads, head size, rows of the caches, position
static void build_attention_cached(op_subject *s)
{
    uint32_t heads = at(s, 1), kv_heads = at(s, 2), size = at(s, 3);
    tv_tensor *qkv = input(s, at(s, 0), (heads + 2 * kv_heads) * size);
    tv_tensor *step = op_step(s, at(s, 5), 0);
    tv_tensor *k = op_leaf_add(s, TV_CACHE, TV_F32, at(s, 4), kv_heads * size)->tensor;
    tv_tensor *v = op_leaf_add(s, TV_CACHE, TV_F32, at(s, 4), kv_heads * size)->tensor;
    output(s, tv_attention_cached(s->graph, qkv, step, k, v, heads, kv_heads, size));
    output(s, k);
    output(s, v);
}

// rows, columns, vocabulary, chunk, percent of ignored targets
static void build_loss(op_subject *s)
{
    tv_tensor *x = input(s, at(s, 0), at(s, 1)), *w = weight(s, at(s, 2), at(s, 1));
    op_leaf *targets = op_leaf_add(s, TV_FEED, TV_U32, 1, at(s, 0));
    for (uint32_t r = 0; r < at(s, 0); r++)
        targets->words[r] = tv_rng_below(&s->rng, 100) < at(s, 4) ? TV_IGNORE_TARGET
                            : r == 0                              ? at(s, 2) - 1
                                                                  : tv_rng_below(&s->rng, at(s, 2));
    for (size_t i = 0; i < s->leaves[1].count && s->row->spread == 0; i++) // logits of about 1
        op_leaf_set(&s->leaves[1], i, (float)(s->leaves[1].x[i] / sqrt(at(s, 1))));
    output(s, tv_linear_cross_entropy(s->graph, x, w, targets->tensor, op_step(s, 0, 0), at(s, 3),
                                      s->row->check != OP_FORWARD));
}

// rows, columns
static void build_fill(op_subject *s)
{
    output(s, target(s, at(s, 0), at(s, 1)));
    tv_fill(s->graph, s->outputs[0], -2.5f);
}

// rows, columns
static void build_reduce_sum(op_subject *s)
{
    tv_tensor *x = input(s, at(s, 0), at(s, 1));
    output(s, target(s, 1, 1));
    tv_reduce_sum_into(s->graph, x, s->outputs[0]);
}

// rows, columns, elements of each sum, place of the first sum
static void build_sumsq(op_subject *s)
{
    tv_attrs attrs = {.block = at(s, 2), .offset = at(s, 3)};
    tv_tensor *x = input(s, at(s, 0), at(s, 1));
    output(s, target(s, 1, at(s, 3) + (uint32_t)tv_div_up(tv_tensor_count(x), at(s, 2)) + 1));
    tv_graph_add(s->graph, TV_OP_SUMSQ, &attrs, &x, s->outputs);
}

// largest norm times 1000, then rows of up to 3 gradients of 37 columns
static void build_grad_norm(op_subject *s)
{
    tv_tensor *step = op_step(s, 0, (float)at(s, 0) / 1000), *gradients[3];
    uint32_t count = 0;
    for (; count < 3 && at(s, 1 + (int)count) > 0; count++)
        gradients[count] = target(s, at(s, 1 + (int)count), 37);
    output(s, tv_graph_tensor(s->graph, TV_RESULT, TV_F32, 1, TV_STAT_WORDS, "stat"));
    tv_grad_norm(s->graph, gradients, count, step, s->outputs[0]);
}

// rows, columns, columns of x, first column, rows of a block, 1 to add to what is there
static void build_colsum(op_subject *s)
{
    tv_attrs attrs = {.offset = at(s, 3), .block = at(s, 4), .accumulate = at(s, 5)};
    tv_tensor *x = input(s, at(s, 0), at(s, 2));
    output(s, target(s, (uint32_t)tv_div_up(at(s, 0), at(s, 4)), at(s, 1)));
    tv_graph_add(s->graph, TV_OP_COLSUM, &attrs, &x, s->outputs);
}

// rows, columns, rows of a block: LayerNorm's statistics are two columns, RMSNorm's one
static void build_partial(op_subject *s)
{
    uint32_t rows = at(s, 0), columns = at(s, 1), wide = s->row->op == TV_OP_LAYERNORM_PARTIAL;
    tv_attrs attrs = {.block = at(s, 2)};
    tv_tensor *x = input(s, rows, columns), *stats = input(s, rows, 1 + wide);
    tv_tensor *in[] = {x, stats, input(s, rows, columns)};
    output(s, target(s, (uint32_t)tv_div_up(rows, at(s, 2)), (1 + wide) * columns));
    tv_graph_add(s->graph, s->row->op, &attrs, in, s->outputs);
}

static void build_layernorm_partial(op_subject *s)
{
    build_partial(s);
}

static void build_rmsnorm_partial(op_subject *s)
{
    build_partial(s);
}

// sequences, time, columns, rows of the table
static void build_posadd_grad(op_subject *s)
{
    tv_attrs attrs = {.time = at(s, 1)};
    tv_tensor *dy = input(s, at(s, 0) * at(s, 1), at(s, 2));
    output(s, target(s, at(s, 3), at(s, 2)));
    tv_graph_add(s->graph, TV_OP_POSADD_GRAD, &attrs, &dy, s->outputs);
}

// rows, columns, rows of the table
static void build_embed_grad(op_subject *s)
{
    op_leaf *id = ids(s, at(s, 0), at(s, 2));
    tv_tensor *in[] = {id->tensor, order(s, id->words, at(s, 0), at(s, 2)),
                       input(s, at(s, 0), at(s, 1))};
    output(s, target(s, at(s, 2), at(s, 1)));
    tv_graph_add(s->graph, TV_OP_EMBED_GRAD, NULL, in, s->outputs);
}

// rows, columns, 1 if the gradients are finite
static void build_adamw(op_subject *s)
{
    static const tv_attrs attrs = {
        .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-6f, .weight_decay = 0.1f};
    uint32_t rows = at(s, 0), columns = at(s, 1);
    tv_tensor *w = weight(s, rows, columns);
    tv_tensor *m = op_leaf_add(s, TV_OPTIMIZER, TV_F32, rows, columns)->tensor;
    op_leaf *v = op_leaf_add(s, TV_OPTIMIZER, TV_F32, rows, columns);
    op_leaf *stat = op_leaf_add(s, TV_RESULT, TV_F32, 1, TV_STAT_WORDS);
    for (size_t i = 0; i < v->count; i++)
        op_leaf_set(v, i, (float)fabs(v->x[i]));
    op_leaf_set(stat, TV_STAT_COEFFICIENT, at(s, 2) ? 0.75f : 0);
    op_leaf_set(stat, TV_STAT_FINITE, at(s, 2) ? 1 : 0);
    tv_tensor *step = op_step(s, 0, 0);
    tv_adamw(s->graph, w, m, v->tensor, stat->tensor, step, &attrs);
    output(s, w);
    output(s, m);
    output(s, v->tensor);
}

// ------------------------------------------------------------------------------------------- rows

// EXACT: splitting launches does not change a bit of the outputs; SUMMED: it changes their sums.
#define EXACT(op, check, name, ...)                                                                \
    {TV_OP_##op, check, build_##name, ref_##name, {__VA_ARGS__}, 0, 0, true},
#define SUMMED(op, check, name, ...)                                                               \
    {TV_OP_##op, check, build_##name, ref_##name, {__VA_ARGS__}, 0, 0, false},
#define SPREAD(op, check, name, spread, ...)                                                       \
    {TV_OP_##op, check, build_##name, ref_##name, {__VA_ARGS__}, spread, 0, true},
// Results are small differences of terms of about this size.
#define CANCELS(op, check, name, size, ...)                                                        \
    {TV_OP_##op, check, build_##name, ref_##name, {__VA_ARGS__}, 0, size, true},

// clang-format off
const op_case op_table[] = {
    EXACT(ADD, OP_GRADIENT, add, 1, 1)
    EXACT(ADD, OP_GRADIENT, add, 3, 17)
    EXACT(ADD, OP_GRADIENT, add, 130, 1030)
    EXACT(GELU, OP_GRADIENT, gelu, 1, 1)
    EXACT(GELU, OP_GRADIENT, gelu, 7, 257)
    EXACT(GELU, OP_GRADIENT, gelu, 128, 1030)
    SPREAD(GELU, OP_GRADIENT, gelu, 1e4f, 9, 130)
    EXACT(SWIGLU, OP_GRADIENT, swiglu, 1, 1)
    EXACT(SWIGLU, OP_GRADIENT, swiglu, 5, 3)
    EXACT(SWIGLU, OP_GRADIENT, swiglu, 17, 66)
    EXACT(SWIGLU, OP_GRADIENT, swiglu, 130, 512)
    SPREAD(SWIGLU, OP_GRADIENT, swiglu, 1e4f, 9, 130)
    EXACT(DROPOUT, OP_GRADIENT, dropout, 1, 1, 1, 50)
    EXACT(DROPOUT, OP_GRADIENT, dropout, 3, 5, 7, 10)
    EXACT(DROPOUT, OP_GRADIENT, dropout, 3, 1, 1, 50)
    EXACT(DROPOUT, OP_GRADIENT, dropout, 4, 64, 512, 25)
    EXACT(DROPOUT, OP_GRADIENT, dropout, 2, 9, 12, 0)
    EXACT(ROPE, OP_GRADIENT, rope, 1, 1, 1, 1, 2)
    EXACT(ROPE, OP_GRADIENT, rope, 2, 17, 5, 3, 8)
    EXACT(ROPE, OP_GRADIENT, rope, 3, 7, 4, 3, 18)
    EXACT(ROPE, OP_GRADIENT, rope, 3, 64, 8, 6, 64)
    EXACT(ROPE, OP_GRADIENT, rope, 2, 33, 3, 3, 6)
    EXACT(ROPE, OP_FORWARD, rope, 1, 3, 4, 3, 32, 29)
    EXACT(POSADD, OP_GRADIENT, posadd, 1, 1, 1, 1)
    EXACT(POSADD, OP_GRADIENT, posadd, 3, 17, 7, 20)
    EXACT(POSADD, OP_GRADIENT, posadd, 4, 64, 512, 64)
    EXACT(POSADD, OP_FORWARD, posadd, 1, 3, 64, 33, 30)
    EXACT(EMBED, OP_GRADIENT, embed, 1, 1, 3)
    EXACT(EMBED, OP_GRADIENT, embed, 17, 3, 5)
    EXACT(EMBED, OP_GRADIENT, embed, 130, 64, 1030)
    EXACT(EMBED, OP_GRADIENT, embed, 260, 257, 320)
    EXACT(EMBED, OP_GRADIENT, embed, 64, 130, 7)
    CANCELS(LAYERNORM, OP_GRADIENT, layernorm, 1, 3, 1)
    CANCELS(LAYERNORM, OP_GRADIENT, layernorm, 1, 17, 3)
    EXACT(LAYERNORM, OP_GRADIENT, layernorm, 1, 64)
    EXACT(LAYERNORM, OP_GRADIENT, layernorm, 33, 17)
    EXACT(LAYERNORM, OP_GRADIENT, layernorm, 65, 130)
    EXACT(LAYERNORM, OP_GRADIENT, layernorm, 70, 1030)
    EXACT(LAYERNORM, OP_GRADIENT, layernorm, 600, 256)
    CANCELS(RMSNORM, OP_GRADIENT, rmsnorm, 1, 3, 1)
    CANCELS(RMSNORM, OP_GRADIENT, rmsnorm, 1, 17, 3)
    EXACT(RMSNORM, OP_GRADIENT, rmsnorm, 1, 64)
    EXACT(RMSNORM, OP_GRADIENT, rmsnorm, 33, 17)
    EXACT(RMSNORM, OP_GRADIENT, rmsnorm, 65, 130)
    EXACT(RMSNORM, OP_GRADIENT, rmsnorm, 70, 1030)
    EXACT(RMSNORM, OP_GRADIENT, rmsnorm, 600, 256)
    EXACT(MATMUL, OP_GRADIENT, linear, 1, 1, 1, TV_NT, 1)
    EXACT(MATMUL, OP_GRADIENT, linear, 3, 17, 5, TV_NT, 0)
    EXACT(MATMUL, OP_GRADIENT, linear, 65, 64, 130, TV_NT, 1)
    EXACT(MATMUL, OP_GRADIENT, linear, 64, 128, 64, TV_NT, 0)
    EXACT(MATMUL, OP_GRADIENT, linear, 70, 36, 132, TV_NT, 1)
    EXACT(MATMUL, OP_GRADIENT, linear, 33, 1030, 7, TV_NT, 0)
    EXACT(MATMUL, OP_GRADIENT, linear, 400, 256, 12, TV_NT, 1)
    EXACT(MATMUL, OP_GRADIENT, linear, 12, 256, 400, TV_NT, 1)
    SUMMED(MATMUL, OP_GRADIENT, linear, 1, 1, 1, TV_NN, 1)
    SUMMED(MATMUL, OP_GRADIENT, linear, 17, 3, 5, TV_NN, 0)
    SUMMED(MATMUL, OP_GRADIENT, linear, 65, 130, 64, TV_NN, 1)
    SUMMED(MATMUL, OP_GRADIENT, linear, 64, 128, 64, TV_NN, 0)
    SUMMED(MATMUL, OP_GRADIENT, linear, 67, 68, 100, TV_NN, 1)
    SUMMED(MATMUL, OP_GRADIENT, linear, 9, 400, 252, TV_NN, 1)
    SUMMED(MATMUL, OP_GRADIENT, linear, 257, 33, 257, TV_NN, 0)
    EXACT(ATTENTION, OP_GRADIENT, attention, 1, 1, 1, 1, 4)
    EXACT(ATTENTION, OP_GRADIENT, attention, 2, 17, 4, 2, 8)
    EXACT(ATTENTION, OP_GRADIENT, attention, 1, 33, 6, 2, 20)
    EXACT(ATTENTION, OP_GRADIENT, attention, 3, 65, 2, 2, 32)
    EXACT(ATTENTION, OP_GRADIENT, attention, 1, 130, 1, 1, 64)
    EXACT(ATTENTION, OP_GRADIENT, attention, 2, 9, 5, 5, 12)
    EXACT(ATTENTION, OP_GRADIENT, attention, 3, 64, 4, 2, 64)
    EXACT(ATTENTION, OP_GRADIENT, attention, 1, 19, 2, 1, 128)
    EXACT(ATTENTION, OP_FORWARD, attention, 1, 5, 2, 1, 256)
    EXACT(ATTENTION, OP_GRADIENT, attention, 1, 64, 1, 1, 100)
    SPREAD(ATTENTION, OP_FINITE, attention, 100, 1, 40, 2, 1, 16)
    EXACT(ATTENTION_CACHE, OP_FORWARD, attention_cached, 1, 1, 1, 4, 1, 0)
    EXACT(ATTENTION_CACHE, OP_FORWARD, attention_cached, 17, 4, 2, 8, 17, 0)
    EXACT(ATTENTION_CACHE, OP_FORWARD, attention_cached, 5, 6, 2, 20, 130, 64)
    EXACT(ATTENTION_CACHE, OP_FORWARD, attention_cached, 1, 5, 5, 64, 130, 129)
    EXACT(ATTENTION_CACHE, OP_FORWARD, attention_cached, 3, 4, 2, 32, 300, 250)
    EXACT(ATTENTION_CACHE, OP_FORWARD, attention_cached, 7, 2, 1, 256, 9, 1)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_LOSS, loss, 1, 1, 3, 1, 0)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_LOSS, loss, 5, 3, 5, 8, 30)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_LOSS, loss, 150, 32, 130, 64, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_LOSS, loss, 65, 36, 257, 65, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_LOSS, loss, 33, 128, 64, 64, 0)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_LOSS, loss, 9, 17, 3, 64, 100)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_FORWARD, loss, 150, 64, 1030, 64, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_LOSS_FINITE, loss, 150, 64, 1030, 64, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_LOSS, loss, 20, 128, 1030, 64, 10)
    SUMMED(LINEAR_CROSS_ENTROPY, OP_FORWARD, loss, 7, 257, 131, 64, 0)
    SPREAD(LINEAR_CROSS_ENTROPY, OP_LOSS_FINITE, loss, 1e4f, 70, 4, 133, 64, 10)
    EXACT(FILL, OP_FORWARD, fill, 1, 1)
    EXACT(FILL, OP_FORWARD, fill, 3, 17)
    EXACT(FILL, OP_FORWARD, fill, 130, 1030)
    EXACT(REDUCE_SUM, OP_FORWARD, reduce_sum, 1, 1)
    EXACT(REDUCE_SUM, OP_FORWARD, reduce_sum, 1, 257)
    EXACT(REDUCE_SUM, OP_FORWARD, reduce_sum, 64, 130)
    EXACT(SUMSQ, OP_FORWARD, sumsq, 1, 1, 64, 0)
    EXACT(SUMSQ, OP_FORWARD, sumsq, 3, 130, 64, 5)
    EXACT(SUMSQ, OP_FORWARD, sumsq, 257, 512, 4096, 1)
    EXACT(GRAD_NORM, OP_FORWARD, grad_norm, 0, 1)
    EXACT(GRAD_NORM, OP_FORWARD, grad_norm, 1000, 17, 1, 1000)
    EXACT(GRAD_NORM, OP_FORWARD, grad_norm, 1000000, 17, 3000, 3)
    EXACT(ADAMW, OP_FORWARD, adamw, 1, 1, 1)
    EXACT(ADAMW, OP_FORWARD, adamw, 3, 17, 1)
    EXACT(ADAMW, OP_FORWARD, adamw, 130, 1030, 1)
    EXACT(ADAMW, OP_FORWARD, adamw, 3, 17, 0)
    EXACT(COLSUM, OP_FORWARD, colsum, 1, 1, 1, 0, 1, 0)
    SUMMED(COLSUM, OP_FORWARD, colsum, 33, 17, 17, 0, 33, 1)
    SUMMED(COLSUM, OP_FORWARD, colsum, 33, 17, 51, 30, 33, 1)
    EXACT(COLSUM, OP_FORWARD, colsum, 70, 1030, 1030, 0, 32, 0)
    EXACT(COLSUM, OP_FORWARD, colsum, 130, 1024, 1030, 5, 32, 0)
    EXACT(COLSUM, OP_FORWARD, colsum, 130, 64, 130, 66, 32, 0)
    EXACT(COLSUM, OP_FORWARD, colsum, 700, 128, 128, 0, 32, 0)
    SUMMED(COLSUM, OP_FORWARD, colsum, 700, 128, 128, 0, 700, 1)
    EXACT(LAYERNORM_PARTIAL, OP_FORWARD, layernorm_partial, 1, 1, 32)
    EXACT(LAYERNORM_PARTIAL, OP_FORWARD, layernorm_partial, 65, 17, 32)
    EXACT(LAYERNORM_PARTIAL, OP_FORWARD, layernorm_partial, 130, 130, 32)
    EXACT(RMSNORM_PARTIAL, OP_FORWARD, rmsnorm_partial, 1, 1, 32)
    EXACT(RMSNORM_PARTIAL, OP_FORWARD, rmsnorm_partial, 65, 17, 32)
    EXACT(RMSNORM_PARTIAL, OP_FORWARD, rmsnorm_partial, 130, 130, 32)
    EXACT(POSADD_GRAD, OP_FORWARD, posadd_grad, 1, 1, 1, 1)
    EXACT(POSADD_GRAD, OP_FORWARD, posadd_grad, 3, 7, 17, 9)
    SUMMED(POSADD_GRAD, OP_FORWARD, posadd_grad, 8, 64, 257, 64)
    EXACT(EMBED_GRAD, OP_FORWARD, embed_grad, 1, 1, 1)
    EXACT(EMBED_GRAD, OP_FORWARD, embed_grad, 40, 3, 2)
    EXACT(EMBED_GRAD, OP_FORWARD, embed_grad, 200, 300, 500)
};
// clang-format on

const size_t op_table_count = sizeof op_table / sizeof *op_table;
