// OpenCL: a program's dispatches as kernel objects with their arguments set. They do not change
// when the program is cut anew.
#include "cl_internal.h"

#include "base/memory.h"

static tv_err set_arguments(const tv_cl_device *device, const tv_dispatch *dispatch, cl_kernel call)
{
    cl_uint slots = ((const tv_cl_kernel *)dispatch->kernel)->slots;
    for (cl_uint i = 0; i < slots; i++) {
        const tv_binding *binding = &dispatch->bindings[i];
        cl_mem window;
        TV_TRY(tv_cl_buffer_window(binding->buffer, binding->offset, binding->size, &window));
        TV_TRY(CL(device->cl.clSetKernelArg(call, i, sizeof window, &window)));
    }
    return CL(device->cl.clSetKernelArg(call, slots, sizeof dispatch->args, &dispatch->args));
}

static tv_err make_call(const tv_cl_device *device, const tv_dispatch *dispatch, cl_kernel *call)
{
    const tv_cl_kernel *kernel = (const tv_cl_kernel *)dispatch->kernel;
    const char *name = kernel->head.code->name;
    if (dispatch->binding_count < kernel->slots)
        return tv_fail(TV_EDEVICE, "%s: kernel '%s' wants more than %u bindings", dispatch->label,
                       name, dispatch->binding_count);
    cl_int status;
    *call = device->cl.clCreateKernel(kernel->program, name, &status);
    TV_TRY(tv_cl_status(status, "clCreateKernel"));
    return set_arguments(device, dispatch, *call);
}

tv_err tv_cl_calls_init(const tv_cl_device *device, const tv_command *commands, size_t count,
                        tv_cl_calls *calls)
{
    *calls = (tv_cl_calls){.kernels = tv_alloc(count, sizeof *calls->kernels), .count = count};
    for (size_t i = 0; i < count; i++)
        if (commands[i].kind == TV_COMMAND_DISPATCH)
            TV_TRY(make_call(device, &commands[i].dispatch, &calls->kernels[i]));
    return TV_OK;
}

void tv_cl_calls_finish(const tv_cl_device *device, tv_cl_calls *calls)
{
    for (size_t i = 0; i < calls->count; i++)
        if (calls->kernels[i])
            device->cl.clReleaseKernel(calls->kernels[i]);
    tv_free(calls->kernels);
    *calls = (tv_cl_calls){0};
}
