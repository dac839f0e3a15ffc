// OpenCL: choosing a kernel's row, compiling it, and checking that it fits the device.
#include "cl_internal.h"

#include "base/memory.h"

#include <string.h>

const tv_kernel_code *tv_cl_kernel_find(const tv_device *device, const char *name)
{
    uint32_t subgroup = device->info.caps.subgroup;
    for (size_t i = 0; i < tv_kernel_code_count; i++) {
        const tv_kernel_code *code = &tv_kernel_codes[i];
        if (code->opencl && strcmp(code->name, name) == 0 &&
            (code->width == 0 || code->width == subgroup))
            return code;
    }
    return NULL;
}

// Nothing here may loosen floating-point arithmetic.
static void write_options(const tv_cl_device *device, const tv_kernel_code *code,
                          const tv_kernel_choice *choice, tv_text *options)
{
    tv_text_printf(options, "-cl-std=CL1.2 %s -DTV_GROUP=%u", code->defines, choice->group);
    for (int i = 0; i < TV_MAX_CONSTANTS; i++)
        tv_text_printf(options, " -DTV_CONSTANT_%d=%u", i + 1, choice->constants[i]);
    for (int i = 0; i < TV_MAX_BINDINGS; i++)
        tv_text_printf(options, " -DTV_TYPE_%d=%u", i, choice->storage[i]);
    tv_text_printf(options, " -DTV_NATIVE_F16=%d", device->caps->f16 && device->caps->storage16);
    if (device->caps->storage16)
        tv_text_puts(options, " -DTV_STORAGE16");
    if (device->physical.exact_division)
        tv_text_puts(options, " -cl-fp32-correctly-rounded-divide-sqrt");
}

static tv_err check_group(const tv_cl_device *device, const tv_kernel_choice *choice,
                          cl_kernel kernel)
{
    size_t group = 0;
    TV_TRY(CL(device->cl.clGetKernelWorkGroupInfo(
        kernel, device->physical.handle, CL_KERNEL_WORK_GROUP_SIZE, sizeof group, &group, NULL)));
    // Mesa's rusticl 22.3 says 32 of kernels that it runs in the groups that they require.
    bool known = !tv_starts_with(device->physical.info.driver, "rusticl");
    if (known && choice->group > group)
        return tv_fail(TV_EDEVICE,
                       "it runs in work-groups of at most %zu, not of %u; TRIVIUM_MASK=group=%zu "
                       "keeps to that",
                       group, choice->group, group);
    return TV_OK;
}

static tv_err count_slots(const tv_cl_device *device, cl_kernel kernel, cl_uint *slots)
{
    cl_uint arguments = 0;
    TV_TRY(CL(device->cl.clGetKernelInfo(kernel, CL_KERNEL_NUM_ARGS, sizeof arguments, &arguments,
                                         NULL)));
    if (arguments == 0 || arguments - 1 > TV_MAX_BINDINGS)
        return tv_fail(TV_EDEVICE, "it has %u arguments; they are up to %d slots and the block",
                       (unsigned)arguments, TV_MAX_BINDINGS);
    *slots = arguments - 1;
    return TV_OK;
}

static tv_err make_program(const tv_cl_device *device, const tv_kernel_code *code,
                           const tv_kernel_choice *choice, tv_cl_kernel *kernel)
{
    tv_text options = {0};
    write_options(device, code, choice, &options);
    tv_err err = tv_cl_build(device, code->opencl, options.data, &kernel->program);
    tv_text_finish(&options);
    TV_TRY(err);
    cl_int status;
    cl_kernel sample = device->cl.clCreateKernel(kernel->program, code->name, &status);
    TV_TRY(tv_cl_status(status, "clCreateKernel"));
    err = count_slots(device, sample, &kernel->slots);
    if (err == TV_OK)
        err = check_group(device, choice, sample);
    device->cl.clReleaseKernel(sample);
    return err;
}

static void destroy_parts(const tv_cl_device *device, tv_cl_kernel *kernel)
{
    if (kernel->program)
        device->cl.clReleaseProgram(kernel->program);
    tv_free(kernel);
}

tv_err tv_cl_kernel_create(tv_device *head, const tv_kernel_code *code,
                           const tv_kernel_choice *choice, tv_kernel **kernel)
{
    tv_cl_device *device = (tv_cl_device *)head;
    tv_cl_kernel *made = tv_alloc(1, sizeof *made);
    tv_err err = make_program(device, code, choice, made);
    if (err != TV_OK) {
        destroy_parts(device, made);
        return tv_fail_in(err, "%s: kernel '%s'", head->info.name, code->name);
    }
    *kernel = &made->head;
    return TV_OK;
}

void tv_cl_kernel_destroy(tv_kernel *head)
{
    destroy_parts((tv_cl_device *)head->device, (tv_cl_kernel *)head);
}
