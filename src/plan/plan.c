// Plans: memory, barriers and recorded programs for a graph on a device.
#include "plan/plan.h"

#include "base/half.h"
#include "base/text.h"
#include "plan/fuse.h"
#include "plan/lower.h"
#include "plan/place.h"
#include "plan/tune.h"

#include <string.h>

typedef struct phase_program {
    tv_program *program;
    tv_plan_dispatch *dispatches;
    size_t count, barriers; // count: dispatches
    double work;
} phase_program;

struct tv_plan {
    tv_fused fused;
    const tv_graph *graph; // the fused one
    tv_device *device;
    tv_placement placement;
    tv_buffer **buffers; // one per block
    uint8_t **shadows;   // host copies of blocks of feeds and results, NULL for others
    phase_program *phases;
    tv_mark *marks; // one per watch
};

// ------------------------------------------------------------------------------------- memory

static tv_err check_total(const tv_plan *plan)
{
    const tv_plan_memory *m = &plan->placement.memory;
    const tv_caps *caps = &tv_device_get_info(plan->device)->caps;
    char need[32], free[32], fixed[32], activations[32];
    if (m->host > caps->host_memory) {
        tv_format_bytes(m->host, need);
        tv_format_bytes(caps->host_memory, free);
        return tv_fail(TV_EMEMORY, "the plan needs %s of the host's memory, the host has %s", need,
                       free);
    }
    if (m->total <= caps->memory)
        return TV_OK;
    tv_format_bytes(m->total, need);
    tv_format_bytes(caps->memory, free);
    tv_format_bytes(m->total - m->bytes[TV_ACTIVATION], fixed);
    tv_format_bytes(m->bytes[TV_ACTIVATION], activations);
    return tv_fail(TV_EMEMORY,
                   "the plan needs %s (%s for weights and their state, %s for activations), the "
                   "device has %s",
                   need, fixed, activations, free);
}

static tv_err allocate_blocks(tv_plan *plan)
{
    const tv_placement *p = &plan->placement;
    plan->buffers = tv_alloc(p->block_count, sizeof *plan->buffers);
    plan->shadows = tv_alloc(p->block_count, sizeof *plan->shadows);
    for (size_t i = 0; i < p->block_count; i++) {
        const tv_block *block = &p->blocks[i];
        TV_TRY(tv_buffer_create_in(plan->device, block->on_host ? TV_ON_HOST : TV_ON_DEVICE,
                                   block->size, &plan->buffers[i]));
        if (block->kind != TV_FEED && block->kind != TV_RESULT)
            continue;
        plan->shadows[i] = tv_alloc(block->size, 1);
        TV_TRY(tv_buffer_write(plan->buffers[i], 0, plan->shadows[i], block->size));
    }
    return TV_OK;
}

static const tv_spot *spot_of(const tv_plan *plan, const tv_tensor *tensor)
{
    const tv_spot *spot = &plan->placement.spots[tensor->id];
    TV_CHECK(spot->block != TV_NOT_PLACED, "%s has no place: no node uses it", tensor->name);
    return spot;
}

// ----------------------------------------------------------------------------------- recording

// The kernel of a launch, with the types of its windows.
static tv_kernel_choice choice_of(const tv_launch *launch)
{
    tv_kernel_choice choice = launch->choice;
    for (uint32_t i = 0; i < launch->window_count; i++)
        choice.storage[i] = tv_storage_type(launch->windows[i].tensor->dtype);
    return choice;
}

// All kernels before the first program, since they can be compiled side by side.
static tv_err make_kernels(const tv_plan *plan, const tv_lowering *lowering,
                           const tv_stages *stages)
{
    tv_kernel_choice *choices = tv_alloc(lowering->count + 1, sizeof *choices);
    for (size_t i = 0; i < lowering->count; i++)
        choices[i] = choice_of(&lowering->launches[i]);
    tv_err err = tv_device_kernels(plan->device, choices, lowering->count, stages);
    tv_free(choices);
    return err;
}

static tv_err make_dispatch(const tv_plan *plan, const tv_launch *launch, tv_dispatch *dispatch)
{
    *dispatch = (tv_dispatch){.binding_count = launch->window_count,
                              .groups = {launch->groups[0], launch->groups[1], launch->groups[2]},
                              .args = launch->args,
                              .work = launch->work,
                              .label = launch->label};
    tv_kernel_choice choice = choice_of(launch);
    for (uint32_t i = 0; i < launch->window_count; i++) {
        const tv_window *w = &launch->windows[i];
        const tv_spot *spot = spot_of(plan, w->tensor);
        uint64_t element = tv_dtype_bytes(w->tensor->dtype);
        dispatch->bindings[i] = (tv_binding){.buffer = plan->buffers[spot->block],
                                             .offset = spot->offset + w->first * element,
                                             .size = tv_align_up(w->count * element, 16),
                                             .access = w->access};
    }
    return tv_device_kernel(plan->device, &choice, &dispatch->kernel);
}

// The dispatches of a phase, and which launches they come from; there is room for all launches.
static tv_err make_dispatches(const tv_plan *plan, const tv_lowering *lowering, uint32_t phase,
                              tv_dispatch *dispatches, const tv_launch **launches, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < lowering->count; i++) {
        if (lowering->launches[i].phase != phase)
            continue;
        TV_TRY(make_dispatch(plan, &lowering->launches[i], &dispatches[*count]));
        launches[(*count)++] = &lowering->launches[i];
    }
    return TV_OK;
}

static bool writes(const tv_plan *plan, const tv_dispatch *dispatch, const tv_tensor *tensor)
{
    const tv_spot *spot = spot_of(plan, tensor);
    const tv_buffer *buffer = plan->buffers[spot->block];
    for (uint32_t i = 0; i < dispatch->binding_count; i++) {
        const tv_binding *b = &dispatch->bindings[i];
        if (b->access & TV_WRITE && b->buffer == buffer &&
            b->offset < spot->offset + tv_tensor_bytes(tensor) &&
            spot->offset < b->offset + b->size)
            return true;
    }
    return false;
}

// The level behind which nothing writes what is watched.
static uint32_t watch_level(const tv_plan *plan, const tv_watch *watch,
                            const tv_dispatch *dispatches, const uint32_t *levels, size_t count)
{
    uint32_t last = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < watch->count && levels[i] > last; j++)
            if (writes(plan, &dispatches[i], watch->tensors[j]))
                last = levels[i];
    return last;
}

// One mark at the end of a level for all that is complete there.
static void mark_level(tv_plan *plan, tv_program *program, const uint32_t *ends, uint32_t level)
{
    tv_mark mark = TV_MARK_END;
    for (size_t i = 0; i < plan->graph->watch_count; i++)
        if (ends[i] == level)
            plan->marks[i] = mark = mark == TV_MARK_END ? tv_program_mark(program) : mark;
}

// Level after level, with a barrier in between. `ends`: of each watch, its level.
static void record_levels(tv_plan *plan, phase_program *p, const tv_dispatch *dispatches,
                          const tv_launch *const *launches, const uint32_t *levels, size_t count,
                          const uint32_t *ends)
{
    for (uint32_t level = 0; p->count < count; level++) {
        bool barrier = level > 0;
        p->barriers += barrier;
        for (size_t i = 0; i < count; i++) {
            if (levels[i] != level)
                continue;
            if (barrier)
                tv_program_barrier(p->program);
            tv_program_dispatch(p->program, &dispatches[i]);
            tv_launch_describe(launches[i], &p->dispatches[p->count]);
            p->dispatches[p->count++].barrier = barrier;
            p->work += dispatches[i].work;
            barrier = false;
        }
        mark_level(plan, p->program, ends, level);
    }
}

static tv_err record_phase(tv_plan *plan, const tv_lowering *lowering, uint32_t phase)
{
    phase_program *p = &plan->phases[phase];
    tv_dispatch *dispatches = tv_alloc(lowering->count + 1, sizeof *dispatches);
    const tv_launch **launches = tv_alloc(lowering->count + 1, sizeof *launches);
    uint32_t *levels = NULL, *ends = tv_alloc(plan->graph->watch_count, sizeof *ends);
    size_t count;
    tv_err err;
    TV_GOTO(done, tv_program_create(plan->device, &p->program));
    TV_GOTO(done, make_dispatches(plan, lowering, phase, dispatches, launches, &count));
    levels = tv_alloc(count + 1, sizeof *levels);
    p->dispatches = tv_alloc(count + 1, sizeof *p->dispatches);
    tv_find_levels(dispatches, count, levels);
    for (size_t i = 0; i < plan->graph->watch_count; i++) {
        const tv_watch *w = &plan->graph->watches[i];
        ends[i] = w->phase == phase ? watch_level(plan, w, dispatches, levels, count) : UINT32_MAX;
    }
    record_levels(plan, p, dispatches, launches, levels, count, ends);
    err = tv_program_finish(p->program);
done:
    tv_free(dispatches);
    tv_free(launches);
    tv_free(levels);
    tv_free(ends);
    return err;
}

// The launches of all phases; the caller frees lowering->launches.
static tv_err lower(const tv_plan *plan, tv_lowering *lowering, tv_node *fills)
{
    const tv_graph *graph = plan->graph;
    tv_err err = TV_OK;
    lowering->tuner = tv_tuner_open(plan->device);
    for (size_t i = 0; i < graph->node_count && err == TV_OK; i++)
        err = tv_lower_node(lowering, graph->nodes[i]);
    tv_tuner_close(&lowering->tuner);
    if (err == TV_OK)
        err = tv_freshen_gradients(lowering, graph, fills);
    if (err == TV_OK)
        tv_merge_launches(lowering, &plan->placement);
    for (size_t i = 0; i < lowering->count && err == TV_OK; i++)
        tv_prefer_cpu_kernel(lowering, &lowering->launches[i]);
    return err;
}

static tv_err lower_and_record(tv_plan *plan, const tv_stages *stages)
{
    tv_lowering lowering = {.device = plan->device,
                            .caps = &tv_device_get_info(plan->device)->caps,
                            .budget = tv_device_dispatch_budget(plan->device),
                            .scratch = {.name = "panels",
                                        .id = (uint32_t)plan->graph->tensor_count,
                                        .kind = TV_ACTIVATION}};
    tv_node *fills = tv_alloc(plan->graph->tensor_count + 1, sizeof *fills);
    tv_err err;
    TV_GOTO(done, lower(plan, &lowering, fills));
    tv_place_scratch(&plan->placement, &lowering.scratch);
    TV_GOTO(done, check_total(plan));
    tv_stage(stages, "allocating memory", 0, 0);
    TV_GOTO(done, allocate_blocks(plan));
    TV_GOTO(done, make_kernels(plan, &lowering, stages));
    plan->phases = tv_alloc(plan->graph->phase_count, sizeof *plan->phases);
    plan->marks = tv_alloc(plan->graph->watch_count, sizeof *plan->marks);
    for (uint32_t phase = 0; phase < plan->graph->phase_count && err == TV_OK; phase++)
        err = record_phase(plan, &lowering, phase);
done:
    tv_free(lowering.launches);
    tv_free(fills);
    return err;
}

tv_err tv_plan_create_in_stages(const tv_graph *graph, tv_device *device, const tv_stages *stages,
                                tv_plan **plan)
{
    tv_err err;
    tv_plan *p = tv_alloc(1, sizeof *p);
    tv_fuse(graph, &tv_device_get_info(device)->caps, &p->fused);
    p->graph = &p->fused.graph;
    p->device = device;
    TV_GOTO(failed, tv_place(p->graph, tv_device_get_info(device)->caps.max_alloc, &p->placement));
    TV_GOTO(failed, check_total(p));
    TV_GOTO(failed, lower_and_record(p, stages));
    *plan = p;
    return TV_OK;
failed:
    tv_plan_destroy(&p);
    return err;
}

tv_err tv_plan_create(const tv_graph *graph, tv_device *device, tv_plan **plan)
{
    return tv_plan_create_in_stages(graph, device, NULL, plan);
}

void tv_plan_destroy(tv_plan **plan)
{
    tv_plan *p = *plan;
    if (!p)
        return;
    for (uint32_t i = 0; p->phases && i < p->graph->phase_count; i++) {
        tv_program_destroy(&p->phases[i].program);
        tv_free(p->phases[i].dispatches);
    }
    for (size_t i = 0; p->buffers && i < p->placement.block_count; i++) {
        tv_buffer_destroy(&p->buffers[i]);
        tv_free(p->shadows[i]);
    }
    tv_free(p->phases);
    tv_free(p->marks);
    tv_free(p->buffers);
    tv_free(p->shadows);
    tv_placement_finish(&p->placement);
    tv_fused_finish(&p->fused);
    tv_free(p);
    *plan = NULL;
}

const tv_plan_memory *tv_plan_get_memory(const tv_plan *plan)
{
    return &plan->placement.memory;
}

void tv_plan_count(const tv_plan *plan, uint32_t phase, size_t *dispatches, size_t *barriers,
                   double *work)
{
    *dispatches = plan->phases[phase].count;
    *barriers = plan->phases[phase].barriers;
    *work = plan->phases[phase].work;
}

// ----------------------------------------------------------------------------------- transfers

static tv_err transfer_kind(tv_plan *plan, tv_kind kind)
{
    for (size_t i = 0; i < plan->placement.block_count; i++) {
        const tv_block *block = &plan->placement.blocks[i];
        if (block->kind != kind)
            continue;
        if (kind == TV_FEED)
            TV_TRY(tv_buffer_write(plan->buffers[i], 0, plan->shadows[i], block->size));
        else
            TV_TRY(tv_buffer_read(plan->buffers[i], 0, plan->shadows[i], block->size));
    }
    return TV_OK;
}

void *tv_plan_feed(tv_plan *plan, const tv_tensor *tensor)
{
    TV_CHECK(tensor->kind == TV_FEED, "%s is no feed", tensor->name);
    const tv_spot *spot = spot_of(plan, tensor);
    return plan->shadows[spot->block] + spot->offset;
}

tv_err tv_plan_upload(tv_plan *plan)
{
    return transfer_kind(plan, TV_FEED);
}

const void *tv_plan_result(const tv_plan *plan, const tv_tensor *tensor)
{
    TV_CHECK(tensor->kind == TV_RESULT, "%s is no result", tensor->name);
    const tv_spot *spot = spot_of(plan, tensor);
    return plan->shadows[spot->block] + spot->offset;
}

tv_err tv_plan_download(tv_plan *plan)
{
    return transfer_kind(plan, TV_RESULT);
}

// A tensor's window as bytes of its buffer.
static tv_buffer *window_of(const tv_plan *plan, const tv_tensor *tensor, uint64_t first,
                            uint64_t count, uint64_t *offset)
{
    const tv_spot *spot = spot_of(plan, tensor);
    TV_CHECK(first + count <= tv_tensor_count(tensor), "window outside %s", tensor->name);
    *offset = spot->offset + first * tv_dtype_bytes(tensor->dtype);
    return plan->buffers[spot->block];
}

tv_err tv_plan_write_bytes(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                           const void *data)
{
    uint64_t offset;
    tv_buffer *buffer = window_of(plan, tensor, first, count, &offset);
    return tv_buffer_write(buffer, offset, data, count * tv_dtype_bytes(tensor->dtype));
}

tv_err tv_plan_read_bytes(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                          void *data)
{
    uint64_t offset;
    tv_buffer *buffer = window_of(plan, tensor, first, count, &offset);
    return tv_buffer_read(buffer, offset, data, count * tv_dtype_bytes(tensor->dtype));
}

// Turns a window of a sharded tensor into one of what is held of it. Returns how many elements in
// front are not.
static uint64_t find_held(const tv_tensor **tensor, uint64_t *first, uint64_t *count)
{
    const tv_sharding *sharding = (*tensor)->sharding;
    if (!sharding)
        return 0;
    uint64_t held = sharding->held ? tv_tensor_count(sharding->held) : 0;
    uint64_t from = tv_max_size(*first, sharding->first);
    uint64_t end = tv_min_size(*first + *count, sharding->first + held), skipped = from - *first;
    *tensor = sharding->held;
    *count = from < end ? end - from : 0;
    *first = from - sharding->first;
    return *count > 0 ? skipped : 0;
}

tv_err tv_plan_write(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                     const void *data)
{
    const float *values = data;
    values += find_held(&tensor, &first, &count);
    if (count == 0)
        return TV_OK;
    if (tv_dtype_bytes(tensor->dtype) == 4)
        return tv_plan_write_bytes(plan, tensor, first, count, values);
    uint16_t *halves = tv_alloc((size_t)count, sizeof *halves);
    tv_halves_from_floats(tensor->dtype == TV_BF16, values, halves, (size_t)count);
    tv_err err = tv_plan_write_bytes(plan, tensor, first, count, halves);
    tv_free(halves);
    return err;
}

tv_err tv_plan_read(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                    void *data)
{
    float *values = data;
    values += find_held(&tensor, &first, &count);
    if (count == 0)
        return TV_OK;
    if (tv_dtype_bytes(tensor->dtype) == 4)
        return tv_plan_read_bytes(plan, tensor, first, count, values);
    uint16_t *halves = tv_alloc((size_t)count, sizeof *halves);
    tv_err err = tv_plan_read_bytes(plan, tensor, first, count, halves);
    if (err == TV_OK)
        tv_floats_from_halves(tensor->dtype == TV_BF16, halves, values, (size_t)count);
    tv_free(halves);
    return err;
}

tv_err tv_plan_peek(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                    float *data)
{
    uint64_t offset;
    tv_buffer *buffer = window_of(plan, tensor, first, count, &offset);
    TV_CHECK(tensor->dtype == TV_F32, "%s holds no floats", tensor->name);
    return tv_buffer_peek(buffer, offset, data, count * sizeof *data);
}

tv_err tv_plan_poke_bytes(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                          const void *data)
{
    uint64_t offset;
    tv_buffer *buffer = window_of(plan, tensor, first, count, &offset);
    return tv_buffer_poke(buffer, offset, data, count * tv_dtype_bytes(tensor->dtype));
}

void *tv_plan_host(tv_plan *plan, const tv_tensor *tensor)
{
    uint64_t offset;
    uint8_t *host = tv_buffer_host(window_of(plan, tensor, 0, 0, &offset));
    return host ? host + offset : NULL;
}

tv_err tv_plan_wait_watch(tv_plan *plan, uint32_t watch)
{
    uint32_t phase = plan->graph->watches[watch].phase;
    return tv_program_wait(plan->phases[phase].program, plan->marks[watch], 0);
}

tv_err tv_plan_run(tv_plan *plan, uint32_t phase)
{
    return tv_program_run(plan->phases[phase].program);
}

tv_err tv_plan_wait(tv_plan *plan, uint32_t phase)
{
    return tv_program_wait(plan->phases[phase].program, TV_MARK_END, 0);
}

double tv_plan_seconds(const tv_plan *plan, uint32_t phase)
{
    return tv_program_seconds(plan->phases[phase].program);
}

tv_err tv_plan_execute(tv_plan *plan, uint32_t phase)
{
    TV_TRY(tv_plan_run(plan, phase));
    return tv_plan_wait(plan, phase);
}

// ------------------------------------------------------------------------------------ profiling

const tv_plan_dispatch *tv_plan_dispatches(const tv_plan *plan, uint32_t phase, size_t *count)
{
    *count = plan->phases[phase].count;
    return plan->phases[phase].dispatches;
}

static tv_err run_profiled(tv_plan *plan, uint32_t phase)
{
    phase_program *p = &plan->phases[phase];
    TV_TRY(tv_program_profile(p->program, true));
    TV_TRY(tv_plan_execute(plan, phase));
    double *seconds = tv_alloc(p->count + 1, sizeof *seconds);
    tv_program_dispatch_seconds(p->program, seconds);
    for (size_t i = 0; i < p->count; i++)
        p->dispatches[i].seconds = seconds[i];
    tv_free(seconds);
    return TV_OK;
}

tv_err tv_plan_profile(tv_plan *plan, uint32_t phase)
{
    TV_TRY(run_profiled(plan, phase));
    return tv_program_profile(plan->phases[phase].program, false);
}
