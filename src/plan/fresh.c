// Gradients that start afresh: in the phase that says so, and in sections, what is written to a
// gradient first does not add to what was there. Where no launch can overwrite all of it, the
// gradient is cleared first.
#include "plan/lower.h"

#include <string.h>

typedef struct target {
    uint64_t covered; // elements from the first on that the phase has written
    bool cleared;     // by a fill of its own
} target;

static bool starts_afresh(const tv_graph *graph, const tv_tensor *tensor, uint32_t phase)
{
    if (tensor->kind != TV_GRADIENT || tensor->sharding)
        return false;
    return tensor->span ? tensor->span->first == phase : phase + 1 == graph->fresh;
}

// The flag that makes the launch add to what it writes; NULL where it cannot do without.
static uint32_t *adding_flag(tv_launch *launch, uint32_t *mask)
{
    uint32_t *u = launch->args.u;
    *mask = UINT32_MAX;
    if (launch->node->op == TV_OP_COLSUM)
        return &u[3];
    *mask = TV_MATMUL_ACCUMULATE;
    bool product = strncmp(launch->choice.name, "matmul", 6) == 0;
    return product && u[1] == u[5] ? &u[6] : NULL; // of whole rows
}

static tv_window *gradient_window(tv_launch *launch)
{
    for (uint32_t i = 0; i < launch->window_count; i++)
        if (launch->windows[i].tensor->kind == TV_GRADIENT && launch->windows[i].access & TV_WRITE)
            return &launch->windows[i];
    return NULL;
}

// Looks at one launch that writes to a gradient: which part is written first, and whether that may
// be an overwriting. With `change`, it becomes one.
static void visit(tv_launch *launch, target *targets, bool change)
{
    uint32_t mask;
    tv_window *w = gradient_window(launch);
    target *t = w ? &targets[w->tensor->id] : NULL;
    if (!t || t->cleared || w->first + w->count <= t->covered)
        return;
    uint32_t *flag = adding_flag(launch, &mask);
    if (!flag || w->first != t->covered) {
        t->cleared = true;
        return;
    }
    t->covered += w->count;
    if (change) {
        *flag &= ~mask;
        w->access = TV_WRITE;
        launch->bytes -= (double)w->count * tv_dtype_bytes(w->tensor->dtype);
    }
}

static void visit_all(tv_lowering *lowering, uint32_t phase, target *targets, bool change)
{
    for (size_t i = 0; i < lowering->count; i++)
        if (lowering->launches[i].phase == phase)
            visit(&lowering->launches[i], targets, change);
}

// Fills in front of all other launches.
static tv_err put_fills(tv_lowering *lowering, const tv_node *nodes, size_t count)
{
    tv_lowering all = *lowering;
    tv_err err = TV_OK;
    all.launches = NULL;
    all.count = all.capacity = 0;
    for (size_t i = 0; i < count && err == TV_OK; i++)
        err = tv_lower_node(&all, &nodes[i]);
    TV_RESERVE(all.launches, all.capacity, all.count + lowering->count + 1);
    if (lowering->count)
        memcpy(all.launches + all.count, lowering->launches,
               lowering->count * sizeof *lowering->launches);
    all.count += lowering->count;
    tv_free(lowering->launches);
    *lowering = all;
    return err;
}

static tv_err freshen(tv_lowering *lowering, const tv_graph *graph, uint32_t phase, tv_node *fills,
                      size_t *fill_count)
{
    target *targets = tv_alloc(graph->tensor_count + 1, sizeof *targets);
    size_t count = 0;
    visit_all(lowering, phase, targets, false);
    for (size_t i = 0; i < graph->tensor_count; i++) {
        tv_tensor *tensor = graph->tensors[i];
        bool whole = targets[i].covered == tv_tensor_count(tensor) && !targets[i].cleared;
        bool starts = starts_afresh(graph, tensor, phase);
        targets[i] = (target){.cleared = !whole || !starts};
        if (starts && !whole)
            fills[count++] = (tv_node){.op = TV_OP_FILL, .phase = phase, .out = {tensor}};
    }
    visit_all(lowering, phase, targets, true);
    tv_free(targets);
    *fill_count += count;
    return put_fills(lowering, fills, count);
}

tv_err tv_freshen_gradients(tv_lowering *lowering, const tv_graph *graph, tv_node *fills)
{
    bool *phases = tv_alloc(graph->phase_count, sizeof *phases); // in which something starts
    size_t count = 0;
    tv_err err = TV_OK;
    if (graph->fresh > 0)
        phases[graph->fresh - 1] = true;
    for (size_t i = 0; i < graph->tensor_count; i++)
        if (graph->tensors[i]->kind == TV_GRADIENT && graph->tensors[i]->span)
            phases[graph->tensors[i]->span->first] = true;
    for (uint32_t phase = 0; phase < graph->phase_count && err == TV_OK; phase++)
        if (phases[phase])
            err = freshen(lowering, graph, phase, fills + count, &count);
    tv_free(phases);
    return err;
}
