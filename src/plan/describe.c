// What a launch is, in words and numbers, for people.
#include "plan/lower.h"
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

// The narrowest floats that it touches.
static tv_dtype storage_of(const tv_launch *launch)
{
    for (uint32_t i = 0; i < launch->window_count; i++) {
        tv_dtype dtype = launch->windows[i].tensor->dtype;
        if (dtype == TV_F16 || dtype == TV_BF16)
            return dtype;
    }
    return TV_F32;
}

static const tv_window *largest(const tv_launch *launch)
{
    const tv_window *w = launch->windows;
    for (uint32_t i = 1; i < launch->window_count; i++)
        if (launch->windows[i].count > w->count)
            w = &launch->windows[i];
    return w;
}

// What a product does to its result.
static const char *epilogue_of(const tv_launch *launch)
{
    static const char *const names[] = {"", "+gelu", "+gelu", "+gelu'"};
    return names[launch->epilogue];
}

// M x N x K of a product, whose kernels have them as their first arguments, behind the members of a
// batch; B x H x T x D of attention; else rows x columns of its largest window.
static void write_shape(const tv_launch *launch, char *shape, size_t size)
{
    const tv_attrs *a = &launch->node->attrs;
    const uint32_t *u = launch->args.u;
    const tv_window *w = largest(launch);
    uint32_t columns = w->tensor->columns;
    if (strncmp(launch->choice.name, "matmul", 6) == 0 && launch->groups[2] > 1)
        snprintf(shape, size, "%ux%ux%ux%u", launch->groups[2], u[0], u[1], u[2]);
    else if (strncmp(launch->choice.name, "matmul", 6) == 0)
        snprintf(shape, size, "%ux%ux%u%s", u[0], u[1], u[2], epilogue_of(launch));
    else if (launch->flop > 0 && a->head_size > 0)
        snprintf(shape, size, "%ux%ux%ux%u", a->batch, a->heads, a->time, a->head_size);
    else
        snprintf(shape, size, "%llux%u", (unsigned long long)(w->count / columns), columns);
}

void tv_launch_describe(const tv_launch *launch, tv_plan_dispatch *dispatch)
{
    *dispatch = (tv_plan_dispatch){.op = launch->node->op,
                                   .kernel = launch->choice.name,
                                   .label = launch->label,
                                   .storage = storage_of(launch),
                                   .flop = launch->flop,
                                   .bytes = launch->bytes};
    write_shape(launch, dispatch->shape, sizeof dispatch->shape);
}
