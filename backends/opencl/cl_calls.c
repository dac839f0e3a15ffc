// OpenCL: a program's dispatches as kernel objects with their arguments set, and their windows as
// sub-buffers. They do not change when the program is cut anew.
#include "cl_internal.h"

#include "base/memory.h"

#include <stdlib.h>

typedef struct tv_cl_view {
    cl_mem buffer;
    uint64_t offset, size;
    cl_mem handle;
} view;

// ---------------------------------------------------------------------------------------- windows

static view view_of(const tv_binding *binding)
{
    return (view){((const tv_cl_buffer *)binding->buffer)->memory, binding->offset, binding->size,
                  NULL};
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_views(const void *a, const void *b)
{
    const view *x = a, *y = b;
    int order = compare_u64((uintptr_t)x->buffer, (uintptr_t)y->buffer);
    order = order ? order : compare_u64(x->offset, y->offset);
    return order ? order : compare_u64(x->size, y->size);
}

// All windows of the commands; returns their number.
static size_t collect_views(const tv_command *commands, size_t count, view *views)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const tv_dispatch *dispatch = &commands[i].dispatch;
        if (commands[i].kind != TV_COMMAND_DISPATCH)
            continue;
        for (uint32_t j = 0; j < dispatch->binding_count; j++, found++)
            if (views)
                views[found] = view_of(&dispatch->bindings[j]);
    }
    return found;
}

static tv_err make_views(const tv_cl_device *device, const tv_command *commands, size_t count,
                         tv_cl_calls *calls)
{
    size_t total = collect_views(commands, count, NULL);
    view *views = calls->views = tv_alloc(total, sizeof *views);
    collect_views(commands, count, views);
    if (total > 0)
        qsort(views, total, sizeof *views, compare_views);
    for (size_t i = 0; i < total; i++) {
        if (i > 0 && compare_views(&views[i], &views[calls->view_count - 1]) == 0)
            continue;
        view *kept = &views[calls->view_count];
        *kept = views[i];
        cl_buffer_region region = {kept->offset, kept->size};
        cl_int status;
        kept->handle = device->cl.clCreateSubBuffer(kept->buffer, CL_MEM_READ_WRITE,
                                                    CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
        TV_TRY(tv_cl_status(status, "clCreateSubBuffer"));
        calls->view_count++;
    }
    return TV_OK;
}

// ---------------------------------------------------------------------------------------- kernels

static tv_err set_arguments(const tv_cl_device *device, const tv_cl_calls *calls,
                            const tv_dispatch *dispatch, cl_kernel call)
{
    cl_uint slots = ((const tv_cl_kernel *)dispatch->kernel)->slots;
    for (cl_uint i = 0; i < slots; i++) {
        view key = view_of(&dispatch->bindings[i]);
        const view *found =
            bsearch(&key, calls->views, calls->view_count, sizeof key, compare_views);
        TV_TRY(CL(device->cl.clSetKernelArg(call, i, sizeof found->handle, &found->handle)));
    }
    return CL(device->cl.clSetKernelArg(call, slots, sizeof dispatch->args, &dispatch->args));
}

static tv_err make_call(const tv_cl_device *device, const tv_cl_calls *calls,
                        const tv_dispatch *dispatch, cl_kernel *call)
{
    const tv_cl_kernel *kernel = (const tv_cl_kernel *)dispatch->kernel;
    const char *name = kernel->head.code->name;
    if (dispatch->binding_count < kernel->slots)
        return tv_fail(TV_EDEVICE, "%s: kernel '%s' wants more than %u bindings", dispatch->label,
                       name, dispatch->binding_count);
    cl_int status;
    *call = device->cl.clCreateKernel(kernel->program, name, &status);
    TV_TRY(tv_cl_status(status, "clCreateKernel"));
    return set_arguments(device, calls, dispatch, *call);
}

tv_err tv_cl_calls_init(const tv_cl_device *device, const tv_command *commands, size_t count,
                        tv_cl_calls *calls)
{
    *calls = (tv_cl_calls){.kernels = tv_alloc(count, sizeof *calls->kernels), .count = count};
    TV_TRY(make_views(device, commands, count, calls));
    for (size_t i = 0; i < count; i++)
        if (commands[i].kind == TV_COMMAND_DISPATCH)
            TV_TRY(make_call(device, calls, &commands[i].dispatch, &calls->kernels[i]));
    return TV_OK;
}

void tv_cl_calls_finish(const tv_cl_device *device, tv_cl_calls *calls)
{
    for (size_t i = 0; i < calls->count; i++)
        if (calls->kernels[i])
            device->cl.clReleaseKernel(calls->kernels[i]);
    for (size_t i = 0; i < calls->view_count; i++)
        device->cl.clReleaseMemObject(calls->views[i].handle);
    tv_free(calls->kernels);
    tv_free(calls->views);
    *calls = (tv_cl_calls){0};
}
