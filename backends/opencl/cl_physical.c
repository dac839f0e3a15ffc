// OpenCL: what a device is and can do.
#include "cl_internal.h"

#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static const double MEMORY_SHARE = 0.8; // OpenCL does not say what is free

// ------------------------------------------------------------------------------------ questions

void tv_cl_device_text(const tv_cl_api *cl, cl_device_id device, cl_device_info what, char *text,
                       size_t size)
{
    size_t length = 0;
    text[0] = 0;
    if (cl->clGetDeviceInfo(device, what, 0, NULL, &length) != CL_SUCCESS || length == 0)
        return;
    char *whole = tv_alloc(length + 1, 1);
    if (cl->clGetDeviceInfo(device, what, length, whole, NULL) == CL_SUCCESS)
        snprintf(text, size, "%s", whole + strspn(whole, " "));
    tv_free(whole);
}

bool tv_cl_has_extension(const tv_cl_api *cl, cl_device_id device, const char *name)
{
    char all[8192];
    size_t length = strlen(name);
    tv_cl_device_text(cl, device, CL_DEVICE_EXTENSIONS, all, sizeof all);
    for (const char *word = all; *word; word += strspn(word, " ")) {
        size_t end = strcspn(word, " ");
        if (end == length && memcmp(word, name, length) == 0)
            return true;
        word += end;
    }
    return false;
}

// 0 where the device does not know. The width must be the information's own.
static uint32_t ask32(const tv_cl_api *cl, cl_device_id device, cl_device_info what)
{
    cl_uint value = 0;
    if (cl->clGetDeviceInfo(device, what, sizeof value, &value, NULL) != CL_SUCCESS)
        return 0;
    return value;
}

static uint64_t ask64(const tv_cl_api *cl, cl_device_id device, cl_device_info what)
{
    cl_ulong value = 0;
    if (cl->clGetDeviceInfo(device, what, sizeof value, &value, NULL) != CL_SUCCESS)
        return 0;
    return value;
}

static size_t ask_size(const tv_cl_api *cl, cl_device_id device, cl_device_info what)
{
    size_t value = 0;
    if (cl->clGetDeviceInfo(device, what, sizeof value, &value, NULL) != CL_SUCCESS)
        return 0;
    return value;
}

// "OpenCL 1.2 ..." is 12, 0 what is not like it.
static unsigned parse_version(const char *text)
{
    unsigned major = 0, minor = 0;
    return sscanf(text, "OpenCL %u.%u", &major, &minor) == 2 ? 10 * major + minor : 0;
}

// ---------------------------------------------------------------------------------- description

static tv_device_class classify(const tv_cl_api *cl, cl_device_id device)
{
    uint64_t type = ask64(cl, device, CL_DEVICE_TYPE);
    if (type & CL_DEVICE_TYPE_CPU)
        return TV_CLASS_CPU;
    if (!(type & CL_DEVICE_TYPE_GPU))
        return TV_CLASS_VIRTUAL;
    return ask32(cl, device, CL_DEVICE_HOST_UNIFIED_MEMORY) ? TV_CLASS_INTEGRATED
                                                            : TV_CLASS_DISCRETE;
}

static void describe_names(const tv_cl_api *cl, cl_platform_id platform, tv_cl_physical *physical)
{
    tv_device_info *info = &physical->info;
    char name[sizeof info->name], version[128], platform_name[256] = "";
    snprintf(info->backend, sizeof info->backend, "opencl");
    tv_cl_device_text(cl, physical->handle, CL_DEVICE_NAME, info->name, sizeof info->name);
    // AMD's name is the chip's code; what people know is the board's.
    tv_cl_device_text(cl, physical->handle, CL_DEVICE_BOARD_NAME_AMD, name, sizeof name);
    if (name[0] && tv_cl_has_extension(cl, physical->handle, "cl_amd_device_attribute_query"))
        memcpy(info->name, name, sizeof name);
    tv_cl_device_text(cl, physical->handle, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor);
    tv_cl_device_text(cl, physical->handle, CL_DRIVER_VERSION, version, sizeof version);
    cl->clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof platform_name, platform_name, NULL);
    snprintf(info->driver, sizeof info->driver, "%s %s", platform_name, version);
    cl->clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof physical->platform_version,
                          physical->platform_version, NULL);
    info->device_class = classify(cl, physical->handle);
}

static uint64_t whole_windows(uint64_t bytes)
{
    return bytes / TV_BINDING_ALIGNMENT * TV_BINDING_ALIGNMENT;
}

static void describe_caps(const tv_cl_api *cl, tv_cl_physical *physical)
{
    cl_device_id device = physical->handle;
    tv_caps *caps = &physical->info.caps;
    tv_cl_command_buffers unused;
    size_t items[16] = {0}; // per dimension; three or more
    cl->clGetDeviceInfo(device, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof items, items, NULL);
    size_t group = tv_min_size(ask_size(cl, device, CL_DEVICE_MAX_WORK_GROUP_SIZE), items[0]);
    // Every OpenCL C of the floor stores bytes and converts halves. No kernel asks for native
    // bfloat16, and none for subgroups, which are an extension of few drivers.
    caps->storage16 = caps->f16 = true;
    caps->timeline = tv_cl_command_buffers_open(cl, physical->platform, device, &unused);
    caps->host_visible = ask32(cl, device, CL_DEVICE_HOST_UNIFIED_MEMORY) != 0;
    caps->copy_queue = true;
    caps->cpu_kernels = physical->info.device_class == TV_CLASS_CPU;
    caps->max_group = (uint32_t)tv_min_size(group, UINT32_MAX);
    caps->shared_bytes =
        (uint32_t)tv_min_size(ask64(cl, device, CL_DEVICE_LOCAL_MEM_SIZE), UINT32_MAX);
    // The language has no limit. Drivers count work-items along x in 32 bits, and hardware the
    // groups along y and z in 16.
    caps->max_groups[0] = group ? (uint32_t)(UINT32_MAX / group) : 0;
    caps->max_groups[1] = caps->max_groups[2] = 65535;
    uint64_t most = ask64(cl, device, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    caps->max_alloc = most > TV_CL_SPARE_BYTES ? whole_windows(most - TV_CL_SPARE_BYTES) : 0;
    caps->max_range = caps->max_alloc;
    caps->memory = (uint64_t)((double)ask64(cl, device, CL_DEVICE_GLOBAL_MEM_SIZE) * MEMORY_SHARE);
    caps->speed = 1;
    physical->exact_division =
        ask64(cl, device, CL_DEVICE_SINGLE_FP_CONFIG) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT;
}

// NVIDIA's driver asks for 512 bytes but takes less; so a device that asks for more is tried.
static bool takes_windows(const tv_cl_api *cl, cl_device_id device)
{
    const cl_buffer_region region = {TV_BINDING_ALIGNMENT, TV_BINDING_ALIGNMENT};
    if (ask32(cl, device, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8 <= TV_BINDING_ALIGNMENT)
        return true;
    cl_int status;
    cl_context context = cl->clCreateContext(NULL, 1, &device, NULL, NULL, &status);
    if (status != CL_SUCCESS)
        return false;
    cl_mem window = NULL;
    cl_mem whole =
        cl->clCreateBuffer(context, CL_MEM_READ_WRITE, 2 * TV_BINDING_ALIGNMENT, NULL, &status);
    if (status == CL_SUCCESS)
        window = cl->clCreateSubBuffer(whole, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION,
                                       &region, &status);
    if (window)
        cl->clReleaseMemObject(window);
    if (whole)
        cl->clReleaseMemObject(whole);
    cl->clReleaseContext(context);
    return status == CL_SUCCESS;
}

static void describe_problem(const tv_cl_api *cl, tv_cl_physical *physical)
{
    cl_device_id device = physical->handle;
    char *problem = physical->info.problem, version[256];
    size_t size = sizeof physical->info.problem;
    uint64_t floats = ask64(cl, device, CL_DEVICE_SINGLE_FP_CONFIG);
    tv_cl_device_text(cl, device, CL_DEVICE_VERSION, version, sizeof version);
    if (!ask32(cl, device, CL_DEVICE_AVAILABLE))
        snprintf(problem, size, "its driver says that it is not available");
    else if (parse_version(version) < 12)
        snprintf(problem, size, "its driver knows '%.40s', Trivium needs 1.2: upgrade the driver",
                 version);
    else if (!ask32(cl, device, CL_DEVICE_COMPILER_AVAILABLE))
        snprintf(problem, size, "its driver has no compiler");
    else if (!ask32(cl, device, CL_DEVICE_ENDIAN_LITTLE))
        snprintf(problem, size, "it is big-endian");
    else if ((floats & (CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN)) !=
             (CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN))
        snprintf(problem, size, "its floats do not round to nearest, or lack infinity");
    else if (physical->info.caps.max_alloc == 0 || physical->info.caps.max_group == 0)
        snprintf(problem, size, "its driver reports no memory or no work-groups");
    else if (!takes_windows(cl, device))
        snprintf(problem, size, "its windows start at multiples of %u bytes, Trivium's of %d",
                 (unsigned)ask32(cl, device, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8,
                 TV_BINDING_ALIGNMENT);
}

// ------------------------------------------------------------------------------------------ list

static void list_platform(const tv_cl_api *cl, cl_platform_id platform, tv_cl_physical *list,
                          size_t *count)
{
    cl_device_id devices[TV_CL_DEVICES_MAX];
    cl_uint found = 0;
    cl_int status =
        cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, TV_CL_DEVICES_MAX, devices, &found);
    if (status != CL_SUCCESS) {
        char name[256] = "";
        cl->clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name, name, NULL);
        tv_debug("opencl: platform '%s' has no devices: %s", name, tv_cl_status_text(status));
        return;
    }
    for (cl_uint i = 0; i < tv_min_size(found, TV_CL_DEVICES_MAX); i++) {
        if (*count == TV_CL_DEVICES_MAX)
            return;
        tv_cl_physical *physical = &list[*count];
        *physical = (tv_cl_physical){
            .platform = platform, .handle = devices[i], .info.index = (uint32_t)*count};
        describe_names(cl, platform, physical);
        tv_cl_identify(cl, physical, list, *count);
        describe_caps(cl, physical);
        describe_problem(cl, physical);
        (*count)++;
    }
}

tv_err tv_cl_physical_list(const tv_cl_api *cl, tv_cl_physical *list, size_t *count)
{
    cl_platform_id platforms[TV_CL_DEVICES_MAX];
    cl_uint found = 0;
    *count = 0;
    cl_int status = cl->clGetPlatformIDs(TV_CL_DEVICES_MAX, platforms, &found);
    if (status == CL_PLATFORM_NOT_FOUND_KHR || (status == CL_SUCCESS && found == 0))
        return tv_fail(TV_ENODEVICE, "no OpenCL driver: install one (pocl-opencl-icd, "
                                     "intel-opencl-icd, nvidia-opencl-icd)");
    TV_TRY(tv_cl_status(status, "clGetPlatformIDs"));
    for (cl_uint i = 0; i < tv_min_size(found, TV_CL_DEVICES_MAX); i++)
        list_platform(cl, platforms[i], list, count);
    return TV_OK;
}
