// Lowering: windows, grids and splitting, shared by the rules.
#include "plan/lower.h"

#include <math.h>
#include <string.h>

static tv_lower_rule *const rules[] = {
#define OP(name, kernel, inputs, outputs, lower, gradient) tv_lower_##lower,
#include "graph/ops.def"
#undef OP
};

uint8_t tv_storage_type(tv_dtype dtype)
{
    static const uint8_t types[] = {
        [TV_F32] = TV_TYPE_F32, [TV_U32] = 0, [TV_F16] = TV_TYPE_F16, [TV_BF16] = TV_TYPE_BF16};
    return types[dtype];
}

tv_err tv_lower_node(tv_lowering *lowering, const tv_node *node)
{
    return rules[node->op](lowering, node);
}

tv_window tv_rows(const tv_tensor *tensor, uint64_t first, uint64_t rows, tv_access access)
{
    return (tv_window){tensor, first * tensor->columns, rows * tensor->columns, access};
}

tv_window tv_whole(const tv_tensor *tensor, tv_access access)
{
    return tv_rows(tensor, 0, tensor->rows, access);
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint64_t least_multiple(uint64_t a, uint64_t b)
{
    return a / greatest_divisor(a, b) * b;
}

tv_err tv_row_step(const tv_lowering *lowering, const tv_tensor *const *tensors, size_t count,
                   uint32_t unit, uint32_t rows, uint32_t *step)
{
    uint64_t fits = rows, multiple = unit, row_bytes = 0;
    const tv_tensor *widest = NULL;
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = (uint64_t)tensors[i]->columns * tv_dtype_bytes(tensors[i]->dtype);
        row_bytes += bytes;
        // Window starts are aligned if the step's bytes are a multiple of the alignment.
        uint64_t align = TV_BINDING_ALIGNMENT / greatest_divisor(TV_BINDING_ALIGNMENT, bytes);
        multiple = least_multiple(multiple, align);
        if (lowering->caps->max_range / bytes < fits) {
            fits = lowering->caps->max_range / bytes;
            widest = tensors[i];
        }
    }
    if (fits * row_bytes * 4 > lowering->budget) // 4 FLOP per byte, as tv_emit counts
        fits = tv_max_size((uint64_t)(lowering->budget / (4.0 * row_bytes)),
                           tv_min_size(multiple, fits));
    if (fits < rows)
        fits -= fits % multiple;
    if (fits == 0)
        return tv_fail(TV_EMEMORY,
                       "%s [%u, %u]: %llu rows at a time exceed the %llu bytes that the device "
                       "binds at once; choose a smaller model or sequence",
                       widest->name, widest->rows, widest->columns, (unsigned long long)multiple,
                       (unsigned long long)lowering->caps->max_range);
    *step = (uint32_t)fits;
    return TV_OK;
}

// The number of lanes per group for elementwise kernels.
static uint32_t lane_group(const tv_lowering *lowering)
{
    bool cpu = tv_device_get_info(lowering->device)->device_class == TV_CLASS_CPU;
    uint32_t wanted = cpu ? 512 : 256; // software drivers pay per group
    while (wanted > lowering->caps->max_group)
        wanted /= 2;
    return wanted;
}

uint32_t tv_row_group(const tv_lowering *lowering)
{
    return lowering->caps->subgroup ? lowering->caps->subgroup : 64;
}

// Groups in x, folded over y where they exceed what a device takes in x.
static void set_groups(const tv_lowering *lowering, tv_launch *launch, uint64_t groups)
{
    uint64_t limit = tv_min_size(lowering->caps->max_groups[0], 65535);
    uint64_t y = tv_div_up(groups, limit);
    launch->groups[0] = (uint32_t)tv_div_up(groups, y);
    launch->groups[1] = (uint32_t)y;
    launch->groups[2] = 1;
}

void tv_grid_lanes(const tv_lowering *lowering, tv_launch *launch, uint64_t lanes)
{
    launch->choice.group = lane_group(lowering);
    set_groups(lowering, launch, tv_div_up(lanes, launch->choice.group));
}

void tv_grid_groups(const tv_lowering *lowering, tv_launch *launch, uint64_t groups)
{
    set_groups(lowering, launch, groups);
}

void tv_grid_rows(const tv_lowering *lowering, tv_launch *launch, uint64_t rows)
{
    launch->choice.group = tv_row_group(lowering);
    set_groups(lowering, launch, rows);
}

// Bytes that a launch moves if it reads and writes each of its windows once.
static double window_bytes(const tv_launch *launch)
{
    double bytes = 0;
    for (uint32_t i = 0; i < launch->window_count; i++) {
        const tv_window *w = &launch->windows[i];
        bool again = false; // an absent input is another one's window
        for (uint32_t j = 0; j < i; j++)
            again = again || (launch->windows[j].tensor == w->tensor &&
                              launch->windows[j].first == w->first);
        double times = again ? 0 : w->access == TV_READ_WRITE ? 2 : 1;
        bytes += times * (double)w->count * tv_dtype_bytes(w->tensor->dtype);
    }
    return bytes;
}

void tv_emit(tv_lowering *lowering, const tv_node *node, const tv_launch *launch)
{
    TV_RESERVE(lowering->launches, lowering->capacity, lowering->count + 1);
    tv_launch *l = &lowering->launches[lowering->count++];
    *l = *launch;
    l->node = node;
    l->phase = node->phase;
    l->label = node->out[0]->name;
    if (!l->choice.name)
        l->choice.name = tv_op_get_info(node->op)->kernel;
    l->flop = l->work;
    if (l->bytes == 0)
        l->bytes = window_bytes(l);
    if (l->work == 0)
        l->work = 4 * l->bytes;
}
