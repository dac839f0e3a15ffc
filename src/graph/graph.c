// Graphs: nodes and tensors, owned by the graph's arena.
#include "graph/graph.h"

#include "base/error.h"

#include <string.h>

static const tv_op_info op_infos[] = {
#define OP(name, kernel, inputs, outputs, lower, gradient)                                         \
    {#name, kernel, inputs, outputs, #gradient},
#include "graph/ops.def"
#undef OP
};

const tv_op_info *tv_op_get_info(tv_op op)
{
    return &op_infos[op];
}

static uint32_t add_phase(tv_graph *graph, bool new_pass)
{
    uint32_t before = graph->phase, phase = graph->phase_count++;
    TV_RESERVE(graph->passes, graph->pass_capacity, graph->phase_count);
    graph->passes[phase] = new_pass ? phase : graph->passes[before];
    return graph->phase = phase;
}

tv_graph *tv_graph_create(void)
{
    tv_graph *graph = tv_alloc(1, sizeof *graph);
    add_phase(graph, true);
    return graph;
}

void tv_graph_destroy(tv_graph **graph)
{
    if (!*graph)
        return;
    tv_arena_finish(&(*graph)->arena);
    tv_free((*graph)->tensors);
    tv_free((*graph)->nodes);
    tv_free((*graph)->watches);
    tv_free((*graph)->passes);
    tv_free(*graph);
    *graph = NULL;
}

uint32_t tv_graph_new_phase(tv_graph *graph)
{
    return add_phase(graph, true);
}

uint32_t tv_graph_new_section(tv_graph *graph)
{
    return add_phase(graph, false);
}

void tv_graph_fresh_gradients(tv_graph *graph)
{
    TV_CHECK(graph->fresh == 0, "another phase than %u starts afresh", graph->phase);
    graph->fresh = graph->phase + 1;
}

uint32_t tv_graph_watch(tv_graph *graph, uint32_t phase, tv_tensor *const *tensors, size_t count)
{
    tv_tensor **list = tv_arena_alloc(&graph->arena, count, sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = tensors[i];
    TV_RESERVE(graph->watches, graph->watch_capacity, graph->watch_count + 1);
    graph->watches[graph->watch_count] = (tv_watch){phase, list, count};
    return (uint32_t)graph->watch_count++;
}

tv_tensor *tv_graph_tensor(tv_graph *graph, tv_kind kind, tv_dtype dtype, uint32_t rows,
                           uint32_t columns, const char *name)
{
    TV_CHECK(rows > 0 && columns > 0, "tensor %s: %u x %u", name, rows, columns);
    tv_tensor *tensor = tv_arena_alloc(&graph->arena, 1, sizeof *tensor);
    *tensor = (tv_tensor){.name = tv_arena_printf(&graph->arena, "%s", name),
                          .id = (uint32_t)graph->tensor_count,
                          .dtype = dtype,
                          .kind = kind,
                          .rows = rows,
                          .columns = columns};
    TV_RESERVE(graph->tensors, graph->tensor_capacity, graph->tensor_count + 1);
    graph->tensors[graph->tensor_count++] = tensor;
    return tensor;
}

tv_tensor *tv_graph_find(const tv_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->tensor_count; i++)
        if (strcmp(graph->tensors[i]->name, name) == 0)
            return graph->tensors[i];
    return NULL;
}

tv_node *tv_graph_add(tv_graph *graph, tv_op op, const tv_attrs *attrs, tv_tensor *const *in,
                      tv_tensor *const *out)
{
    tv_node *node = tv_arena_alloc(&graph->arena, 1, sizeof *node);
    node->op = op;
    node->phase = graph->phase;
    if (attrs)
        node->attrs = *attrs;
    for (uint32_t i = 0; i < op_infos[op].inputs; i++)
        node->in[i] = in[i];
    for (uint32_t i = 0; i < op_infos[op].outputs; i++)
        node->out[i] = out[i];
    TV_RESERVE(graph->nodes, graph->node_capacity, graph->node_count + 1);
    graph->nodes[graph->node_count++] = node;
    return node;
}

tv_node **tv_graph_take(tv_graph *graph, size_t first, size_t *count)
{
    *count = graph->node_count - first;
    tv_node **nodes = tv_alloc(*count, sizeof *nodes);
    for (size_t i = 0; i < *count; i++)
        nodes[i] = graph->nodes[first + i];
    graph->node_count = first;
    return nodes;
}

uint32_t tv_dtype_bytes(tv_dtype dtype)
{
    return dtype == TV_F16 || dtype == TV_BF16 ? 2 : 4;
}

uint64_t tv_tensor_count(const tv_tensor *tensor)
{
    return (uint64_t)tensor->rows * tensor->columns;
}

uint64_t tv_tensor_bytes(const tv_tensor *tensor)
{
    return tv_tensor_count(tensor) * tv_dtype_bytes(tensor->dtype);
}
