// Ops: shape checks and nodes for the functions that models are written with.
#include "graph/ops.h"

#include "base/error.h"

#include <math.h>
#include <stdio.h>

// More than this many elements per partial sum of squares would starve wide devices.
enum { SUMSQ_BLOCK = 1 << 14 };

static tv_tensor *activation(tv_graph *graph, tv_dtype dtype, uint32_t rows, uint32_t columns,
                             const char *name)
{
    char label[96];
    snprintf(label, sizeof label, "%s#%zu", name, graph->tensor_count);
    return tv_graph_tensor(graph, TV_ACTIVATION, dtype, rows, columns, label);
}

tv_tensor *tv_activation(tv_graph *graph, uint32_t rows, uint32_t columns, const char *name)
{
    return activation(graph, graph->storage, rows, columns, name);
}

tv_tensor *tv_statistic(tv_graph *graph, uint32_t rows, uint32_t columns, const char *name)
{
    return activation(graph, TV_F32, rows, columns, name);
}

static tv_tensor *add_node(tv_graph *graph, tv_op op, const tv_attrs *attrs, tv_tensor *const *in,
                           tv_tensor *out)
{
    tv_graph_add(graph, op, attrs, in, &out);
    return out;
}

tv_tensor *tv_copy(tv_graph *graph, tv_tensor *x, const char *name)
{
    return add_node(graph, TV_OP_COPY, NULL, &x,
                    activation(graph, x->dtype, x->rows, x->columns, name));
}

tv_tensor *tv_add(tv_graph *graph, tv_tensor *a, tv_tensor *b)
{
    TV_CHECK(a->rows == b->rows && a->columns == b->columns, "add: %s and %s", a->name, b->name);
    return add_node(graph, TV_OP_ADD, NULL, (tv_tensor *[]){a, b},
                    tv_activation(graph, a->rows, a->columns, "add"));
}

tv_tensor *tv_gelu(tv_graph *graph, tv_tensor *x)
{
    return add_node(graph, TV_OP_GELU, NULL, &x, tv_activation(graph, x->rows, x->columns, "gelu"));
}

tv_tensor *tv_swiglu(tv_graph *graph, tv_tensor *x)
{
    TV_CHECK(x->columns % 2 == 0, "swiglu: %s has %u columns", x->name, x->columns);
    return add_node(graph, TV_OP_SWIGLU, NULL, &x,
                    tv_activation(graph, x->rows, x->columns / 2, "swiglu"));
}

tv_tensor *tv_dropout(tv_graph *graph, tv_tensor *x, tv_tensor *step, tv_tensor *samples,
                      uint32_t site, float rate)
{
    TV_CHECK(x->rows % samples->columns == 0 && rate >= 0 && rate < 1, "dropout: %s", x->name);
    tv_attrs attrs = {.site = site, .rate = rate};
    return add_node(graph, TV_OP_DROPOUT, &attrs, (tv_tensor *[]){x, step, samples},
                    tv_activation(graph, x->rows, x->columns, "dropout"));
}

tv_tensor *tv_rope(tv_graph *graph, tv_tensor *x, tv_tensor *table, tv_tensor *step, uint32_t time,
                   uint32_t rotated, uint32_t head_size)
{
    TV_CHECK(head_size % 2 == 0 && x->columns % head_size == 0 && table->columns == head_size &&
                 rotated * head_size <= x->columns && time <= table->rows,
             "rope: %s", x->name);
    tv_attrs attrs = {.time = time, .rotated = rotated, .head_size = head_size};
    return add_node(graph, TV_OP_ROPE, &attrs, (tv_tensor *[]){x, table, step},
                    tv_activation(graph, x->rows, x->columns, "rope"));
}

tv_tensor *tv_posadd(tv_graph *graph, tv_tensor *x, tv_tensor *table, tv_tensor *step,
                     uint32_t time)
{
    TV_CHECK(x->columns == table->columns && time <= table->rows, "posadd: %s", x->name);
    tv_attrs attrs = {.time = time};
    return add_node(graph, TV_OP_POSADD, &attrs, (tv_tensor *[]){x, table, step},
                    tv_activation(graph, x->rows, x->columns, "posadd"));
}

tv_tensor *tv_embed(tv_graph *graph, tv_tensor *ids, tv_tensor *table, tv_tensor *order)
{
    return add_node(graph, TV_OP_EMBED, NULL, (tv_tensor *[]){ids, table, order},
                    tv_activation(graph, ids->columns, table->columns, "embed"));
}

tv_tensor *tv_layernorm(tv_graph *graph, tv_tensor *x, tv_tensor *w, tv_tensor *b, float epsilon)
{
    TV_CHECK(w->columns == x->columns && b->columns == x->columns, "layernorm: %s", x->name);
    tv_attrs attrs = {.epsilon = epsilon};
    tv_tensor *y = tv_activation(graph, x->rows, x->columns, "layernorm");
    tv_tensor *stats = tv_statistic(graph, x->rows, 2, "layernorm.stats");
    tv_graph_add(graph, TV_OP_LAYERNORM, &attrs, (tv_tensor *[]){x, w, b},
                 (tv_tensor *[]){y, stats});
    return y;
}

tv_tensor *tv_rmsnorm(tv_graph *graph, tv_tensor *x, tv_tensor *w, float epsilon)
{
    TV_CHECK(w->columns == x->columns, "rmsnorm: %s", x->name);
    tv_attrs attrs = {.epsilon = epsilon};
    tv_tensor *y = tv_activation(graph, x->rows, x->columns, "rmsnorm");
    tv_tensor *rstd = tv_statistic(graph, x->rows, 1, "rmsnorm.rstd");
    tv_graph_add(graph, TV_OP_RMSNORM, &attrs, (tv_tensor *[]){x, w}, (tv_tensor *[]){y, rstd});
    return y;
}

// Appends ADD_LAYERNORM or ADD_RMSNORM, whose inputs begin with x and h; *x becomes the sum.
static tv_tensor *add_norm(tv_graph *graph, tv_op op, tv_tensor *const *in, float epsilon,
                           uint32_t statistics, tv_tensor **x)
{
    const tv_tensor *h = in[1];
    tv_attrs attrs = {.epsilon = epsilon};
    TV_CHECK(h->rows == (*x)->rows && h->columns == (*x)->columns, "add: %s and %s", (*x)->name,
             h->name);
    tv_tensor *y = tv_activation(graph, h->rows, h->columns, "norm");
    tv_tensor *stats = tv_statistic(graph, h->rows, statistics, "norm.stats");
    tv_tensor *sum = tv_activation(graph, h->rows, h->columns, "residual");
    tv_graph_add(graph, op, &attrs, in, (tv_tensor *[]){y, stats, sum});
    *x = sum;
    return y;
}

tv_tensor *tv_add_layernorm(tv_graph *graph, tv_tensor **x, tv_tensor *h, tv_tensor *w,
                            tv_tensor *b, float epsilon)
{
    TV_CHECK(w->columns == h->columns && b->columns == h->columns, "layernorm: %s", h->name);
    return add_norm(graph, TV_OP_ADD_LAYERNORM, (tv_tensor *[]){*x, h, w, b}, epsilon, 2, x);
}

tv_tensor *tv_add_rmsnorm(tv_graph *graph, tv_tensor **x, tv_tensor *h, tv_tensor *w, float epsilon)
{
    TV_CHECK(w->columns == h->columns, "rmsnorm: %s", h->name);
    return add_norm(graph, TV_OP_ADD_RMSNORM, (tv_tensor *[]){*x, h, w}, epsilon, 1, x);
}

tv_node tv_norm_of_sum(const tv_node *node)
{
    tv_node norm = *node;
    norm.op = node->op == TV_OP_ADD_LAYERNORM ? TV_OP_LAYERNORM : TV_OP_RMSNORM;
    norm.in[0] = node->out[2];
    norm.in[1] = node->in[2];
    norm.in[2] = node->in[3];
    norm.in[3] = norm.out[2] = NULL;
    return norm;
}

tv_tensor *tv_linear(tv_graph *graph, tv_tensor *x, tv_tensor *w, tv_tensor *bias, tv_layout layout)
{
    TV_CHECK(layout != TV_TN, "linear: a transposed input");
    uint32_t inner = layout == TV_NT ? w->columns : w->rows;
    uint32_t outer = layout == TV_NT ? w->rows : w->columns;
    TV_CHECK(inner == x->columns && (!bias || bias->columns == outer), "linear: %s by %s", x->name,
             w->name);
    tv_attrs attrs = {.layout = layout};
    return add_node(graph, TV_OP_MATMUL, &attrs, (tv_tensor *[]){x, w, bias},
                    tv_activation(graph, x->rows, outer, "linear"));
}

tv_tensor *tv_matmul(tv_graph *graph, tv_tensor *a, tv_tensor *b, uint32_t batch, tv_layout layout)
{
    TV_CHECK(batch > 0 && a->rows % batch == 0 && b->rows % batch == 0, "matmul: %s by %s", a->name,
             b->name);
    bool tn = layout == TV_TN, nt = layout == TV_NT;
    uint32_t inner = nt ? b->columns : b->rows / batch;
    TV_CHECK(inner == (tn ? a->rows / batch : a->columns), "matmul: %s by %s", a->name, b->name);
    tv_attrs attrs = {.layout = layout, .batch = batch};
    return add_node(graph, TV_OP_MATMUL, &attrs, (tv_tensor *[]){a, b, NULL},
                    tv_activation(graph, tn ? batch * a->columns : a->rows,
                                  nt ? b->rows / batch : b->columns, "matmul"));
}

tv_tensor *tv_attention(tv_graph *graph, tv_tensor *qkv, uint32_t batch, uint32_t heads,
                        uint32_t kv_heads, uint32_t head_size)
{
    TV_CHECK(qkv->columns == (heads + 2 * kv_heads) * head_size && heads % kv_heads == 0 &&
                 head_size % 4 == 0 && head_size <= 256 && qkv->rows % batch == 0,
             "attention: %s", qkv->name);
    tv_attrs attrs = {.batch = batch,
                      .time = qkv->rows / batch,
                      .heads = heads,
                      .kv_heads = kv_heads,
                      .head_size = head_size,
                      .scale = (float)(1 / sqrt(head_size))};
    tv_tensor *o = tv_activation(graph, qkv->rows, heads * head_size, "attention");
    tv_tensor *lse = tv_statistic(graph, batch, heads * attrs.time, "attention.lse");
    tv_graph_add(graph, TV_OP_ATTENTION, &attrs, &qkv, (tv_tensor *[]){o, lse});
    return o;
}

tv_tensor *tv_attention_cached(tv_graph *graph, tv_tensor *qkv, tv_tensor *step, tv_tensor *k_cache,
                               tv_tensor *v_cache, uint32_t heads, uint32_t kv_heads,
                               uint32_t head_size)
{
    TV_CHECK(qkv->columns == (heads + 2 * kv_heads) * head_size && heads % kv_heads == 0 &&
                 k_cache->columns == kv_heads * head_size && v_cache->rows == k_cache->rows,
             "attention: %s", qkv->name);
    tv_attrs attrs = {.heads = heads,
                      .kv_heads = kv_heads,
                      .head_size = head_size,
                      .scale = (float)(1 / sqrt(head_size))};
    tv_graph_add(graph, TV_OP_KV_APPEND, &attrs, (tv_tensor *[]){qkv, step},
                 (tv_tensor *[]){k_cache, v_cache});
    return add_node(graph, TV_OP_ATTENTION_CACHE, &attrs,
                    (tv_tensor *[]){qkv, k_cache, v_cache, step},
                    tv_activation(graph, qkv->rows, heads * head_size, "attention"));
}

tv_tensor *tv_linear_cross_entropy(tv_graph *graph, tv_tensor *x, tv_tensor *w, tv_tensor *targets,
                                   tv_tensor *step, uint32_t chunk, bool backward)
{
    TV_CHECK(x->columns == w->columns && targets->columns == x->rows && chunk > 0, "loss: %s",
             x->name);
    uint32_t rows = chunk < x->rows ? chunk : x->rows;
    uint32_t pitch = (w->rows + 7) / 8 * 8; // kernels read logits four or eight at a time
    tv_attrs attrs = {.valid = w->rows, .block = rows, .backward = backward};
    tv_tensor *loss = tv_statistic(graph, 1, x->rows, "loss");
    tv_tensor *logits = tv_statistic(graph, rows, pitch, "logits");
    tv_tensor *dx = NULL, *dlogits = tv_activation(graph, backward ? rows : 1, pitch, "dlogits");
    if (backward)
        dx = tv_activation(graph, x->rows, x->columns, "loss.dx");
    tv_graph_add(graph, TV_OP_LINEAR_CROSS_ENTROPY, &attrs, (tv_tensor *[]){x, w, targets, step},
                 (tv_tensor *[]){loss, dx, logits, dlogits, backward ? w->gradient : NULL});
    return loss;
}

void tv_reduce_sum_into(tv_graph *graph, tv_tensor *x, tv_tensor *sum, bool accumulate)
{
    tv_graph_add(graph, TV_OP_REDUCE_SUM, &(tv_attrs){.accumulate = accumulate}, &x, &sum);
}

void tv_fill(tv_graph *graph, tv_tensor *x, float value)
{
    tv_graph_add(graph, TV_OP_FILL, &(tv_attrs){.value = value}, NULL, &x);
}

// Elements of a gradient whose optimizer state is sharded like `state`: those that are held.
static tv_attrs held_elements(const tv_tensor *state)
{
    const tv_sharding *sharding = state->sharding;
    tv_attrs attrs = {0};
    if (sharding && sharding->held) {
        attrs.first = sharding->first;
        attrs.count = tv_tensor_count(sharding->held);
    }
    return attrs;
}

// Of a tensor, or what is held of it.
static tv_tensor *held_of(tv_tensor *tensor)
{
    return tensor->sharding ? tensor->sharding->held : tensor;
}

static bool holds_none(const tv_tensor *state)
{
    return state->sharding && !state->sharding->held;
}

// Sums of squares of parts of the gradients.
static tv_tensor *add_sumsq(tv_graph *graph, tv_tensor *const *gradients, tv_tensor *const *like,
                            size_t count)
{
    uint64_t parts = 0;
    for (size_t i = 0; i < count; i++)
        if (!holds_none(like[i])) {
            uint64_t held = held_elements(like[i]).count;
            parts += tv_div_up(held ? held : tv_tensor_count(gradients[i]), SUMSQ_BLOCK);
        }
    TV_CHECK(parts <= UINT32_MAX, "too many gradients");
    if (parts == 0)
        return NULL;
    tv_tensor *part = tv_statistic(graph, 1, (uint32_t)parts, "grad_norm.parts");
    uint32_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        if (holds_none(like[i]))
            continue;
        tv_attrs attrs = held_elements(like[i]);
        attrs.offset = offset;
        attrs.block = SUMSQ_BLOCK;
        tv_tensor *gradient = held_of(gradients[i]);
        attrs.first = gradients[i]->sharding ? 0 : attrs.first;
        tv_graph_add(graph, TV_OP_SUMSQ, &attrs, &gradient, &part);
        offset +=
            (uint32_t)tv_div_up(attrs.count ? attrs.count : tv_tensor_count(gradient), SUMSQ_BLOCK);
    }
    return part;
}

void tv_grad_norm_of(tv_graph *graph, tv_tensor *total, tv_tensor *step, tv_tensor *stat)
{
    tv_graph_add(graph, TV_OP_GRAD_NORM, NULL, (tv_tensor *[]){total, step}, &stat);
}

void tv_grad_norm(tv_graph *graph, tv_tensor *const *gradients, size_t count, tv_tensor *step,
                  tv_tensor *stat)
{
    tv_grad_norm_of(graph, add_sumsq(graph, gradients, gradients, count), step, stat);
}

void tv_grad_sumsq(tv_graph *graph, tv_tensor *const *gradients, tv_tensor *const *like,
                   size_t count, tv_tensor *sum)
{
    tv_tensor *part = add_sumsq(graph, gradients, like, count);
    if (part)
        tv_reduce_sum_into(graph, part, sum, false);
    else
        tv_fill(graph, sum, 0);
}

void tv_adamw(tv_graph *graph, tv_tensor *w, tv_tensor *m, tv_tensor *v, tv_tensor *stat,
              tv_tensor *step, const tv_attrs *attrs)
{
    tv_tensor *master = w->master ? w->master : w, *copy = w->master ? w : NULL;
    tv_attrs held = held_elements(m), all = *attrs;
    TV_CHECK(master->dtype != TV_F16 && m->dtype == v->dtype && m->dtype != TV_F16,
             "adamw: %s and its moments must be float or bfloat16", w->name);
    if (holds_none(m))
        return;
    all.first = held.first;
    all.count = held.count;
    all.site += (uint32_t)(held.first / 4);
    tv_tensor *in[] = {held_of(w->gradient), stat, step};
    tv_tensor *out[] = {held_of(master), held_of(m), held_of(v), copy ? held_of(copy) : NULL};
    tv_graph_add(graph, TV_OP_ADAMW, &all, in, out);
}
