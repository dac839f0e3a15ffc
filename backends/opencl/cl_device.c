// OpenCL: opening a device, and the backend's table of contents.
#include "cl_internal.h"

#include "base/log.h"
#include "base/memory.h"

#include <string.h>

static tv_err enumerate(tv_device_info *infos, size_t capacity, size_t *count)
{
    tv_cl_api cl;
    tv_cl_physical *list = tv_alloc(TV_CL_DEVICES_MAX, sizeof *list);
    size_t found = 0;
    if (tv_cl_api_open(&cl) != TV_OK || tv_cl_physical_list(&cl, list, &found) != TV_OK)
        tv_debug("opencl: %s", tv_error_message());
    *count = tv_min_size(found, capacity);
    for (size_t i = 0; i < *count; i++)
        infos[i] = list[i].info;
    tv_free(list);
    return TV_OK;
}

static tv_err find_physical(tv_cl_device *device, const tv_device_info *info)
{
    tv_cl_physical *list = tv_alloc(TV_CL_DEVICES_MAX, sizeof *list);
    size_t count = 0;
    tv_err err = tv_cl_physical_list(&device->cl, list, &count);
    if (err == TV_OK && (info->index >= count ||
                         memcmp(list[info->index].info.uuid, info->uuid, sizeof info->uuid) != 0))
        err = tv_fail(TV_ENODEVICE, "the device is gone");
    if (err == TV_OK)
        device->physical = list[info->index];
    tv_free(list);
    return err;
}

void tv_cl_settle(const tv_cl_device *device)
{
    if (device->queue && !atomic_load(&device->head.lost))
        (void)device->cl.clFinish(device->queue);
}

static void close_device(tv_device *head)
{
    tv_cl_device *device = (tv_cl_device *)head;
    tv_cl_settle(device);
    if (device->copy_queue)
        device->cl.clReleaseCommandQueue(device->copy_queue);
    if (device->queue)
        device->cl.clReleaseCommandQueue(device->queue);
    if (device->context)
        device->cl.clReleaseContext(device->context);
    tv_cl_bell_destroy(device->bell);
    tv_free(device);
}

static tv_err open_parts(tv_cl_device *device, const tv_device_info *info)
{
    TV_TRY(tv_cl_api_open(&device->cl));
    TV_TRY(find_physical(device, info));
    const tv_cl_physical *physical = &device->physical;
    device->physical.info.caps = info->caps;
    device->caps = &physical->info.caps;
    if (device->caps->timeline)
        tv_cl_command_buffers_open(&device->cl, physical->platform, physical->handle,
                                   &device->command_buffers);
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)physical->platform, 0};
    cl_int status;
    device->context =
        device->cl.clCreateContext(properties, 1, &physical->handle, NULL, NULL, &status);
    TV_TRY(tv_cl_status(status, "clCreateContext"));
    device->queue = device->cl.clCreateCommandQueue(device->context, physical->handle,
                                                    CL_QUEUE_PROFILING_ENABLE, &status);
    TV_TRY(tv_cl_status(status, "clCreateCommandQueue"));
    if (physical->info.device_class == TV_CLASS_CPU)
        device->bell = tv_cl_bell_create();
    return TV_OK;
}

static tv_err open_device(const tv_device_info *info, tv_device **opened)
{
    tv_cl_device *device = tv_alloc(1, sizeof *device);
    tv_err err = open_parts(device, info);
    if (err != TV_OK) {
        close_device(&device->head);
        return tv_fail_in(err, "%s", info->name);
    }
    *opened = &device->head;
    return TV_OK;
}

const tv_backend tv_backend_opencl = {
    .name = "opencl",
    .enumerate = enumerate,
    .device_open = open_device,
    .device_close = close_device,
    .buffer_create = tv_cl_buffer_create,
    .buffer_destroy = tv_cl_buffer_destroy,
    .buffer_write = tv_cl_buffer_write,
    .buffer_read = tv_cl_buffer_read,
    .buffer_peek = tv_cl_buffer_peek,
    .buffer_poke = tv_cl_buffer_poke,
    .kernel_find = tv_cl_kernel_find,
    .kernel_create = tv_cl_kernel_create,
    .kernel_destroy = tv_cl_kernel_destroy,
    .program_create = tv_cl_program_create,
    .program_destroy = tv_cl_program_destroy,
    .program_record = tv_cl_program_record,
    .program_run = tv_cl_program_run,
    .program_wait = tv_cl_program_wait,
    .segment_seconds = tv_cl_segment_seconds,
    .messages = NULL, // OpenCL has no validation layer
};
