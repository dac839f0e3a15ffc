// Offloading of activations: copies to the host and back.
#include "graph/offload.h"

#include "graph/ops.h"

typedef struct offloader {
    tv_graph *graph;
    const tv_tensor *last; // the kept tensor that is made last
    tv_tensor **there;     // by tensor: its copy in the host's memory; NULL: none
    tv_tensor **back;      // and the copy of that
} offloader;

static bool is_read(tv_node *const *nodes, size_t count, const tv_tensor *tensor)
{
    for (size_t n = 0; n < count; n++)
        for (size_t i = 0; i < TV_NODE_INPUTS; i++)
            if (nodes[n]->in[i] == tensor)
                return true;
    return false;
}

// A node of the forward pass, and behind it copies of what it made.
static void add_forward(offloader *o, const tv_node *node, tv_node *const *later, size_t count)
{
    tv_graph_add(o->graph, node->op, &node->attrs, node->in, node->out);
    for (size_t i = 0; i < TV_NODE_OUTPUTS; i++) {
        tv_tensor *x = node->out[i];
        if (!x || x->kind != TV_ACTIVATION || !x->kept || x == o->last || !is_read(later, count, x))
            continue;
        o->there[x->id] = tv_copy(o->graph, x, "offloaded");
        o->there[x->id]->on_host = true;
    }
}

// A node of the backward pass, and in front of it copies of what it reads.
static void add_backward(offloader *o, const tv_node *node)
{
    tv_tensor *in[TV_NODE_INPUTS];
    for (size_t i = 0; i < TV_NODE_INPUTS; i++) {
        tv_tensor *x = in[i] = node->in[i];
        if (!x || !o->there[x->id])
            continue;
        if (!o->back[x->id])
            o->back[x->id] = tv_copy(o->graph, o->there[x->id], "fetched");
        in[i] = o->back[x->id];
    }
    tv_graph_add(o->graph, node->op, &node->attrs, in, node->out);
}

static const tv_tensor *last_kept(tv_node *const *nodes, size_t count)
{
    for (size_t n = count; n-- > 0;)
        for (size_t i = 0; i < TV_NODE_OUTPUTS; i++)
            if (nodes[n]->out[i] && nodes[n]->out[i]->kept)
                return nodes[n]->out[i];
    return NULL;
}

void tv_graph_offload(tv_graph *graph, size_t backward)
{
    size_t first = backward, tensors = graph->tensor_count, count;
    while (first > 0 && graph->nodes[first - 1]->phase == graph->phase)
        first--;
    size_t forward = backward - first;
    tv_node **nodes = tv_graph_take(graph, first, &count);
    offloader o = {.graph = graph,
                   .there = tv_alloc(tensors, sizeof *o.there),
                   .back = tv_alloc(tensors, sizeof *o.back)};
    o.last = last_kept(nodes, forward);
    for (size_t n = 0; n < count; n++)
        if (n < forward)
            add_forward(&o, nodes[n], nodes + forward, count - forward);
        else
            add_backward(&o, nodes[n]);
    tv_free(nodes);
    tv_free(o.there);
    tv_free(o.back);
}
