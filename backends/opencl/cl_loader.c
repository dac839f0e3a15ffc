// OpenCL: the ICD loader, the functions of extensions, and error codes.
#include "cl_internal.h"

#include <dlfcn.h>
#include <string.h>

static const char *const LOADER = "libOpenCL.so.1";

tv_err tv_cl_api_open(tv_cl_api *cl)
{
    static const struct {
        const char *name;
        size_t offset;
    } functions[] = {
#define X(name) {#name, offsetof(tv_cl_api, name)},
        TV_CL_FUNCTIONS(X)
#undef X
    };
    void *library = dlopen(LOADER, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        return tv_fail(TV_ENODEVICE, "no OpenCL loader (%s): install ocl-icd-libopencl1", LOADER);
    tv_err err = TV_OK;
    for (size_t i = 0; i < sizeof functions / sizeof *functions && err == TV_OK; i++) {
        void *address = dlsym(library, functions[i].name);
        memcpy((char *)cl + functions[i].offset, &address, sizeof address);
        if (!address)
            err = tv_fail(TV_ENODEVICE, "%s has no %s: it is older than OpenCL 1.2; upgrade it",
                          LOADER, functions[i].name);
    }
    dlclose(library); // never unloads it, see RTLD_NODELETE
    return err;
}

bool tv_cl_command_buffers_open(const tv_cl_api *cl, cl_platform_id platform, cl_device_id device,
                                tv_cl_command_buffers *functions)
{
    static const struct {
        const char *name;
        size_t offset;
    } names[] = {
        {"clCreateCommandBufferKHR", offsetof(tv_cl_command_buffers, create)},
        {"clCommandNDRangeKernelKHR", offsetof(tv_cl_command_buffers, kernel)},
        {"clFinalizeCommandBufferKHR", offsetof(tv_cl_command_buffers, finalize)},
        {"clEnqueueCommandBufferKHR", offsetof(tv_cl_command_buffers, enqueue)},
        {"clReleaseCommandBufferKHR", offsetof(tv_cl_command_buffers, release)},
    };
    cl_command_queue_properties required = 0;
    *functions = (tv_cl_command_buffers){0};
    if (!tv_cl_has_extension(cl, device, CL_KHR_COMMAND_BUFFER_EXTENSION_NAME) ||
        cl->clGetDeviceInfo(device, CL_DEVICE_COMMAND_BUFFER_REQUIRED_QUEUE_PROPERTIES_KHR,
                            sizeof required, &required, NULL) != CL_SUCCESS ||
        (required & ~(cl_command_queue_properties)CL_QUEUE_PROFILING_ENABLE) != 0)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *address = cl->clGetExtensionFunctionAddressForPlatform(platform, names[i].name);
        memcpy((char *)functions + names[i].offset, &address, sizeof address);
        if (!address)
            return false;
    }
    return true;
}

const char *tv_cl_status_text(cl_int status)
{
    static const struct {
        cl_int status;
        const char *text;
    } texts[] = {
#define ROW(name) {name, #name}
        ROW(CL_DEVICE_NOT_FOUND),
        ROW(CL_DEVICE_NOT_AVAILABLE),
        ROW(CL_COMPILER_NOT_AVAILABLE),
        ROW(CL_MEM_OBJECT_ALLOCATION_FAILURE),
        ROW(CL_OUT_OF_RESOURCES),
        ROW(CL_OUT_OF_HOST_MEMORY),
        ROW(CL_PROFILING_INFO_NOT_AVAILABLE),
        ROW(CL_BUILD_PROGRAM_FAILURE),
        ROW(CL_MAP_FAILURE),
        ROW(CL_MISALIGNED_SUB_BUFFER_OFFSET),
        ROW(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
        ROW(CL_INVALID_VALUE),
        ROW(CL_INVALID_PLATFORM),
        ROW(CL_INVALID_DEVICE),
        ROW(CL_INVALID_CONTEXT),
        ROW(CL_INVALID_QUEUE_PROPERTIES),
        ROW(CL_INVALID_COMMAND_QUEUE),
        ROW(CL_INVALID_MEM_OBJECT),
        ROW(CL_INVALID_BINARY),
        ROW(CL_INVALID_BUILD_OPTIONS),
        ROW(CL_INVALID_PROGRAM),
        ROW(CL_INVALID_PROGRAM_EXECUTABLE),
        ROW(CL_INVALID_KERNEL_NAME),
        ROW(CL_INVALID_KERNEL),
        ROW(CL_INVALID_ARG_INDEX),
        ROW(CL_INVALID_ARG_VALUE),
        ROW(CL_INVALID_ARG_SIZE),
        ROW(CL_INVALID_KERNEL_ARGS),
        ROW(CL_INVALID_WORK_GROUP_SIZE),
        ROW(CL_INVALID_WORK_ITEM_SIZE),
        ROW(CL_INVALID_EVENT),
        ROW(CL_INVALID_OPERATION),
        ROW(CL_INVALID_BUFFER_SIZE),
        ROW(CL_INVALID_GLOBAL_WORK_SIZE),
        ROW(CL_INVALID_COMMAND_BUFFER_KHR),
        ROW(CL_INCOMPATIBLE_COMMAND_QUEUE_KHR),
#undef ROW
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "a code of this driver's own";
}

tv_err tv_cl_status(cl_int status, const char *call)
{
    if (status == CL_SUCCESS)
        return TV_OK;
    tv_err err = TV_EDEVICE;
    if (status == CL_OUT_OF_RESOURCES || status == CL_DEVICE_NOT_AVAILABLE)
        err = TV_ELOST;
    else if (status == CL_MEM_OBJECT_ALLOCATION_FAILURE || status == CL_OUT_OF_HOST_MEMORY)
        err = TV_EMEMORY;
    // "device->cl.clName(a, b)" is shown as clName.
    size_t end = strcspn(call, "("), start = end;
    while (start > 0 && call[start - 1] != '.' && call[start - 1] != '>')
        start--;
    return tv_fail(err, "%.*s: %s (%d)", (int)(end - start), call + start,
                   tv_cl_status_text(status), (int)status);
}
