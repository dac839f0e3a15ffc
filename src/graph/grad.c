// Gradients: the rules. Each takes a forward node and appends nodes that carry its output's
// gradient on to its inputs. Contributions to one tensor are added in a fixed order.
#include "graph/grad.h"

#include "base/error.h"
#include "graph/ops.h"

#include <string.h>

typedef void grad_rule(tv_graph *graph, const tv_node *node, tv_tensor *dy);

// Fewer rows are summed at once.
enum { SUM_BLOCK = 32 };

static tv_tensor *emit(tv_graph *graph, tv_op op, const tv_attrs *attrs, tv_tensor *const *in,
                       tv_tensor *out)
{
    tv_graph_add(graph, op, attrs, in, &out);
    return out;
}

// A new activation of the shape and type of `like`.
static tv_tensor *new_like(tv_graph *graph, const tv_tensor *like, const char *name)
{
    tv_tensor *tensor = tv_activation(graph, like->rows, like->columns, name);
    tensor->dtype = like->dtype;
    return tensor;
}

// Adds a finished contribution to the gradient of a tensor that is no weight.
static void contribute(tv_graph *graph, tv_tensor *tensor, tv_tensor *gradient)
{
    TV_CHECK(tensor->kind != TV_WEIGHT, "the gradient of %s must be accumulated", tensor->name);
    tensor->gradient = tensor->gradient ? tv_add(graph, tensor->gradient, gradient) : gradient;
}

// Rows that one partial sum covers: so that there are about as many partial sums as rows in each.
static uint32_t sum_block(uint32_t rows)
{
    uint32_t block = SUM_BLOCK;
    while (block * block < rows)
        block *= 2;
    return block;
}

// target [1,C] += sums over the rows of x's columns from `offset` on.
static void add_rows(tv_graph *graph, tv_tensor *x, uint32_t offset, tv_tensor *target)
{
    tv_attrs attrs = {.offset = offset, .block = x->rows, .accumulate = true};
    emit(graph, TV_OP_COLSUM, &attrs, &x, target);
}

// target [1,C] += sums over the rows of x [R,C], in two fixed stages.
static void add_column_sums(tv_graph *graph, tv_tensor *x, tv_tensor *target)
{
    if (x->rows > SUM_BLOCK) {
        tv_attrs first = {.block = sum_block(x->rows)};
        uint32_t blocks = (uint32_t)tv_div_up(x->rows, first.block);
        tv_tensor *part = tv_statistic(graph, blocks, target->columns, "colsum");
        x = emit(graph, TV_OP_COLSUM, &first, &x, part);
    }
    add_rows(graph, x, 0, target);
}

static void grad_add(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    contribute(graph, node->in[0], dy);
    contribute(graph, node->in[1], dy);
}

static void grad_gelu(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    tv_tensor *x = node->in[0], *in[] = {x, dy};
    contribute(graph, x, emit(graph, TV_OP_GELU_GRAD, NULL, in, new_like(graph, x, "gelu.dx")));
}

static void grad_swiglu(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    tv_tensor *x = node->in[0], *in[] = {x, dy};
    contribute(graph, x, emit(graph, TV_OP_SWIGLU_GRAD, NULL, in, new_like(graph, x, "swiglu.dx")));
}

static void grad_dropout(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    tv_tensor *in[] = {dy, node->in[1], node->in[2]};
    contribute(graph, node->in[0],
               emit(graph, TV_OP_DROPOUT, &node->attrs, in, new_like(graph, dy, "dropout.dx")));
}

static void grad_rope(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    tv_attrs attrs = node->attrs;
    attrs.backward = !attrs.backward;
    tv_tensor *in[] = {dy, node->in[1], node->in[2]};
    contribute(graph, node->in[0],
               emit(graph, TV_OP_ROPE, &attrs, in, new_like(graph, dy, "rope.dx")));
}

static void grad_posadd(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    emit(graph, TV_OP_POSADD_GRAD, &node->attrs, &dy, node->in[1]->gradient);
    contribute(graph, node->in[0], dy);
}

static void grad_embed(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    tv_tensor *in[] = {node->in[0], node->in[2], dy};
    emit(graph, TV_OP_EMBED_GRAD, NULL, in, node->in[1]->gradient);
}

// The gradient of the normed x from that of the norm, and from what x's gradient is so far.
static tv_tensor *norm_gradient(tv_graph *graph, tv_op op, tv_op op_add, tv_tensor *x, tv_tensor *w,
                                tv_tensor *stats, tv_tensor *dy)
{
    tv_tensor *in[] = {x, w, stats, dy, x->gradient};
    return emit(graph, x->gradient ? op_add : op, NULL, in, new_like(graph, x, "norm.dx"));
}

// The gradients of w and, unless NULL, b, which follow one another in the partial sums.
static void norm_weights(tv_graph *graph, tv_op op, tv_tensor *x, tv_tensor *w, tv_tensor *b,
                         tv_tensor *stats, tv_tensor *dy)
{
    tv_attrs attrs = {.block = sum_block(x->rows)};
    uint32_t blocks = (uint32_t)tv_div_up(x->rows, attrs.block);
    tv_tensor *part = tv_statistic(graph, blocks, (b ? 2 : 1) * x->columns, "norm.part");
    emit(graph, op, &attrs, (tv_tensor *[]){x, stats, dy}, part);
    add_rows(graph, part, 0, w->gradient);
    if (b)
        add_rows(graph, part, x->columns, b->gradient);
}

static tv_tensor *layernorm_gradient(tv_graph *graph, tv_tensor *x, tv_tensor *w, tv_tensor *b,
                                     tv_tensor *stats, tv_tensor *dy)
{
    norm_weights(graph, TV_OP_LAYERNORM_PARTIAL, x, w, b, stats, dy);
    return norm_gradient(graph, TV_OP_LAYERNORM_GRAD, TV_OP_LAYERNORM_GRAD_ADD, x, w, stats, dy);
}

static tv_tensor *rmsnorm_gradient(tv_graph *graph, tv_tensor *x, tv_tensor *w, tv_tensor *rstd,
                                   tv_tensor *dy)
{
    norm_weights(graph, TV_OP_RMSNORM_PARTIAL, x, w, NULL, rstd, dy);
    return norm_gradient(graph, TV_OP_RMSNORM_GRAD, TV_OP_RMSNORM_GRAD_ADD, x, w, rstd, dy);
}

static void grad_layernorm(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    tv_tensor *x = node->in[0];
    x->gradient = layernorm_gradient(graph, x, node->in[1], node->in[2], node->out[1], dy);
}

static void grad_rmsnorm(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    tv_tensor *x = node->in[0];
    x->gradient = rmsnorm_gradient(graph, x, node->in[1], node->out[1], dy);
}

static void grad_add_layernorm(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    grad_add(graph, node,
             layernorm_gradient(graph, node->out[2], node->in[2], node->in[3], node->out[1], dy));
}

static void grad_add_rmsnorm(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    grad_add(graph, node, rmsnorm_gradient(graph, node->out[2], node->in[2], node->out[1], dy));
}

// The gradient of an operand x of a product is the product of two others, first and second.
static void carry_product(tv_graph *graph, const tv_node *node, tv_layout layout, tv_tensor *first,
                          tv_tensor *second, tv_tensor *x)
{
    tv_attrs attrs = {
        .layout = layout, .batch = node->attrs.batch, .accumulate = x->kind == TV_WEIGHT};
    tv_tensor *pair[] = {first, second, NULL};
    if (x->kind == TV_WEIGHT)
        emit(graph, TV_OP_MATMUL, &attrs, pair, x->gradient);
    else
        contribute(graph, x,
                   emit(graph, TV_OP_MATMUL, &attrs, pair, new_like(graph, x, "linear.dx")));
}

static void grad_matmul(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    tv_tensor *a = node->in[0], *b = node->in[1], *bias = node->in[2];
    uint32_t layout = node->attrs.layout;
    if (layout == TV_NT) // y = a b', so db = dy' a
        carry_product(graph, node, TV_TN, dy, a, b);
    else
        carry_product(graph, node, layout == TV_NN ? TV_TN : TV_NN, a, dy, b);
    if (bias)
        add_column_sums(graph, dy, bias->gradient);
    if (layout == TV_TN) // y = a' b, so da = b dy'
        carry_product(graph, node, TV_NT, b, dy, a);
    else
        carry_product(graph, node, layout == TV_NT ? TV_NN : TV_NT, dy, b, a);
}

static void grad_attention(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    tv_tensor *qkv = node->in[0], *o = node->out[0], *lse = node->out[1];
    tv_tensor *delta = new_like(graph, lse, "attention.delta");
    emit(graph, TV_OP_ATTENTION_DELTA, &node->attrs, (tv_tensor *[]){dy, o}, delta);
    contribute(graph, qkv,
               emit(graph, TV_OP_ATTENTION_GRAD, &node->attrs, (tv_tensor *[]){qkv, dy, lse, delta},
                    new_like(graph, qkv, "attention.dqkv")));
}

static void grad_linear_cross_entropy(tv_graph *graph, const tv_node *node, tv_tensor *dy)
{
    TV_CHECK(!dy && node->attrs.backward, "a loss makes its own gradient");
    contribute(graph, node->in[0], node->out[1]);
}

#define grad_none NULL
static grad_rule *const rules[] = {
#define OP(name, kernel, inputs, outputs, lower, gradient) grad_##gradient,
#include "graph/ops.def"
#undef OP
};

void tv_graph_backward(tv_graph *graph, tv_tensor *output, tv_tensor *seed)
{
    output->gradient = seed;
    for (size_t i = graph->node_count; i-- > 0;) {
        const tv_node *node = graph->nodes[i];
        tv_tensor *dy = node->out[0]->gradient;
        bool is_loss = node->out[0] == output && !seed;
        if (node->phase == graph->phase && rules[node->op] && (dy || is_loss))
            rules[node->op](graph, node, dy);
    }
}
