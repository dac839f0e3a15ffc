// Recomputation: copies of forward nodes, made when the backward pass first asks for them.
#include "graph/recompute.h"

#include "graph/ops.h"

#include <string.h>

static const char *const names[TV_RECOMPUTE_COUNT] = {[TV_RECOMPUTE_NONE] = "none",
                                                      [TV_RECOMPUTE_SELECTIVE] = "selective",
                                                      [TV_RECOMPUTE_BLOCK] = "block"};

// Where nothing writes a tensor.
static const size_t NOWHERE = SIZE_MAX;

typedef struct recomputer {
    tv_graph *graph;
    tv_recompute mode;
    size_t end;         // nodes from here on are not copied
    size_t *writers;    // by tensor: the forward node that writes it
    tv_tensor **copies; // by tensor: what the backward pass reads instead; NULL: none yet
} recomputer;

const char *tv_recompute_name(tv_recompute mode)
{
    return names[mode];
}

tv_recompute tv_recompute_parse(const char *name)
{
    for (int i = 0; i < TV_RECOMPUTE_COUNT; i++)
        if (strcmp(name, names[i]) == 0)
            return (tv_recompute)i;
    return TV_RECOMPUTE_NONE;
}

// Whether a node's output takes a few FLOP for each byte, from inputs that are needed anyway. For
// products, attention and RoPE see docs/dev/recompute.md.
static bool is_cheap(const tv_node *node, const tv_tensor *output)
{
    switch (node->op) {
    case TV_OP_GELU:
    case TV_OP_SWIGLU:
    case TV_OP_LAYERNORM:
    case TV_OP_RMSNORM:
        return true;
    case TV_OP_ADD_LAYERNORM:
    case TV_OP_ADD_RMSNORM:
        return output != node->out[2]; // a sum would take all sums before it
    default:
        return false;
    }
}

static bool is_recomputed(const recomputer *r, const tv_tensor *tensor)
{
    size_t writer = r->writers[tensor->id];
    if (tensor->kind != TV_ACTIVATION || tensor->kept || writer == NOWHERE || writer >= r->end)
        return false;
    return r->mode == TV_RECOMPUTE_BLOCK || is_cheap(r->graph->nodes[writer], tensor);
}

static tv_tensor *stand_in(recomputer *r, tv_tensor *tensor);

static tv_tensor *new_copy(recomputer *r, const tv_tensor *x)
{
    const char *name = tv_arena_printf(&r->graph->arena, "%s.again", x->name);
    tv_tensor *copy = tv_graph_tensor(r->graph, x->kind, x->dtype, x->rows, x->columns, name);
    r->copies[x->id] = copy;
    return copy;
}

static void add_copy(recomputer *r, const tv_node *original)
{
    tv_node node = *original;
    tv_tensor *sum = tv_op_get_info(node.op)->outputs > 2 ? node.out[2] : NULL;
    if (sum && !is_recomputed(r, sum))
        node = tv_norm_of_sum(&node);
    for (size_t i = 0; i < TV_NODE_INPUTS; i++)
        node.in[i] = stand_in(r, node.in[i]);
    for (size_t i = 0; i < TV_NODE_OUTPUTS; i++)
        if (node.out[i])
            node.out[i] = new_copy(r, node.out[i]);
    tv_graph_add(r->graph, node.op, &node.attrs, node.in, node.out);
}

// What the backward pass reads instead of a tensor: often that itself.
static tv_tensor *stand_in(recomputer *r, tv_tensor *tensor)
{
    if (!tensor || !is_recomputed(r, tensor))
        return tensor;
    if (!r->copies[tensor->id])
        add_copy(r, r->graph->nodes[r->writers[tensor->id]]);
    return r->copies[tensor->id];
}

// The forward pass: which node writes what, and the last one that writes something kept.
static void find_writers(recomputer *r)
{
    const tv_graph *graph = r->graph;
    for (size_t i = 0; i < graph->tensor_count; i++)
        r->writers[i] = NOWHERE;
    for (size_t n = 0; n < graph->node_count; n++) {
        const tv_node *node = graph->nodes[n];
        for (size_t i = 0; i < TV_NODE_OUTPUTS && node->phase == graph->phase; i++) {
            if (!node->out[i])
                continue;
            r->writers[node->out[i]->id] = n;
            if (node->out[i]->kept)
                r->end = n;
        }
    }
}

void tv_graph_recompute(tv_graph *graph, size_t backward, tv_recompute mode)
{
    if (mode == TV_RECOMPUTE_NONE)
        return;
    size_t tensors = graph->tensor_count, count;
    recomputer r = {.graph = graph,
                    .mode = mode,
                    .writers = tv_alloc(tensors, sizeof *r.writers),
                    .copies = tv_alloc(tensors, sizeof *r.copies)};
    tv_node **gradients = tv_graph_take(graph, backward, &count);
    find_writers(&r);
    for (size_t i = 0; i < count; i++) {
        const tv_node *node = gradients[i];
        tv_tensor *in[TV_NODE_INPUTS];
        for (size_t k = 0; k < TV_NODE_INPUTS; k++)
            in[k] = stand_in(&r, node->in[k]);
        tv_graph_add(graph, node->op, &node->attrs, in, node->out);
    }
    tv_free(gradients);
    tv_free(r.writers);
    tv_free(r.copies);
}
