// Sections: where a pass is cut, and stand-ins.
#include "graph/sections.h"

enum { NO_UNIT = -1 };

static bool is_of_weights(const tv_tensor *tensor)
{
    return tensor && (tensor->kind == TV_WEIGHT || tensor->kind == TV_GRADIENT);
}

// The part of the model that a node belongs to, by the weights and gradients that it touches.
static int64_t unit_of(const tv_node *node)
{
    for (size_t i = 0; i < TV_NODE_INPUTS; i++)
        if (is_of_weights(node->in[i]))
            return node->in[i]->unit;
    for (size_t i = 0; i < TV_NODE_OUTPUTS; i++)
        if (is_of_weights(node->out[i]))
            return node->out[i]->unit;
    return NO_UNIT;
}

// Nodes without weights stay with those before them. Returns the number of sections.
static size_t set_phases(tv_graph *graph, size_t first)
{
    int64_t unit = NO_UNIT;
    size_t count = 1;
    for (size_t n = first; n < graph->node_count; n++) {
        int64_t next = unit_of(graph->nodes[n]);
        if (next != NO_UNIT && unit != NO_UNIT && next != unit) {
            tv_graph_new_section(graph);
            count++;
        }
        unit = next == NO_UNIT ? unit : next;
        graph->nodes[n]->phase = graph->phase;
    }
    return count;
}

static tv_tensor *make_stand_in(tv_graph *graph, const tv_tensor *whole, uint32_t phase,
                                uint32_t last_phase)
{
    tv_tensor *here =
        tv_graph_tensor(graph, whole->kind, whole->dtype, whole->rows, whole->columns, whole->name);
    tv_span *span = tv_arena_alloc(&graph->arena, 1, sizeof *span);
    bool is_weight = whole->kind == TV_WEIGHT, is_first = graph->passes[phase] == phase;
    span->first = phase - (is_weight && !is_first);
    span->last = phase + (!is_weight && phase < last_phase);
    here->span = span;
    here->weight = whole->weight;
    here->unit = whole->unit;
    return here;
}

// What takes a sharded tensor's place in the section; any other tensor itself.
static tv_tensor *stand_in(tv_graph *graph, tv_section *s, tv_tensor *tensor, uint32_t last_phase)
{
    if (!is_of_weights(tensor) || !tensor->sharding)
        return tensor;
    bool is_weight = tensor->kind == TV_WEIGHT;
    tv_stand_in *list = is_weight ? s->weights : s->gradients;
    size_t *count = is_weight ? &s->weight_count : &s->gradient_count;
    for (size_t i = 0; i < *count; i++)
        if (list[i].whole == tensor)
            return list[i].here;
    tv_tensor *here = make_stand_in(graph, tensor, s->phase, last_phase);
    list[(*count)++] = (tv_stand_in){tensor, here};
    return here;
}

// Nodes [first, end) are the section's.
static void replace(tv_graph *graph, tv_section *s, size_t first, size_t end, uint32_t last_phase)
{
    s->weights = tv_arena_alloc(&graph->arena, (end - first) * TV_NODE_INPUTS, sizeof *s->weights);
    s->gradients =
        tv_arena_alloc(&graph->arena, (end - first) * TV_NODE_OUTPUTS, sizeof *s->gradients);
    for (size_t n = first; n < end; n++) {
        tv_node *node = graph->nodes[n];
        for (size_t i = 0; i < TV_NODE_INPUTS; i++)
            node->in[i] = stand_in(graph, s, node->in[i], last_phase);
        for (size_t i = 0; i < TV_NODE_OUTPUTS; i++)
            node->out[i] = stand_in(graph, s, node->out[i], last_phase);
    }
}

void tv_graph_cut(tv_graph *graph, size_t first, tv_sections *sections)
{
    uint32_t phase = graph->phase;
    sections->count = set_phases(graph, first);
    sections->all = tv_arena_alloc(&graph->arena, sections->count, sizeof *sections->all);
    for (size_t i = 0, n = first; i < sections->count; i++) {
        tv_section *s = &sections->all[i];
        size_t end = n;
        s->phase = phase + (uint32_t)i;
        while (end < graph->node_count && graph->nodes[end]->phase == s->phase)
            end++;
        replace(graph, s, n, end, graph->phase);
        n = end;
    }
}
