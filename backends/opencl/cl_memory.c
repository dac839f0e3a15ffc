// OpenCL: buffers, and copies between host and device.
#include "cl_internal.h"

#include "base/memory.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// A sub-buffer; there is one for each place and size.
struct tv_cl_window {
    uint64_t offset, size;
    uint64_t end; // the sub-buffer's, not below offset + size
    cl_mem handle;
};

static tv_cl_device *device_of(const tv_cl_buffer *buffer)
{
    return (tv_cl_device *)buffer->head.device;
}

// Where buffers are concerned, all of these say that memory does not suffice.
static tv_err memory_status(cl_int status, const char *call)
{
    tv_err err = tv_cl_status(status, call);
    bool full = status == CL_OUT_OF_RESOURCES || status == CL_INVALID_BUFFER_SIZE;
    return full ? TV_EMEMORY : err;
}

static bool is_end(const tv_cl_buffer *buffer, uint64_t end)
{
    for (size_t i = 0; i < buffer->window_count; i++)
        if (buffer->windows[i].end == end)
            return true;
    return false;
}

tv_err tv_cl_buffer_window(tv_buffer *head, uint64_t offset, uint64_t size, cl_mem *window)
{
    tv_cl_buffer *buffer = (tv_cl_buffer *)head;
    for (size_t i = 0; i < buffer->window_count; i++)
        if (buffer->windows[i].offset == offset && buffer->windows[i].size == size) {
            *window = buffer->windows[i].handle;
            return TV_OK;
        }
    uint64_t end = offset + size;
    while (is_end(buffer, end) && end < head->size + TV_CL_SPARE_BYTES)
        end++;
    cl_buffer_region region = {offset, end - offset};
    cl_int status;
    *window = device_of(buffer)->cl.clCreateSubBuffer(
        buffer->memory, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
    TV_TRY(tv_cl_status(status, "clCreateSubBuffer"));
    TV_RESERVE(buffer->windows, buffer->window_capacity, buffer->window_count + 1);
    buffer->windows[buffer->window_count++] = (struct tv_cl_window){offset, size, end, *window};
    return TV_OK;
}

// The windows first: they are parts of it.
void tv_cl_buffer_destroy(tv_buffer *head)
{
    tv_cl_buffer *buffer = (tv_cl_buffer *)head;
    const tv_cl_api *cl = &device_of(buffer)->cl;
    tv_cl_settle(device_of(buffer));
    for (size_t i = 0; i < buffer->window_count; i++)
        cl->clReleaseMemObject(buffer->windows[i].handle);
    cl->clReleaseMemObject(buffer->memory);
    tv_free(buffer->windows);
    tv_free(buffer);
}

static tv_err map(const tv_cl_buffer *buffer, cl_map_flags flags, uint64_t offset, uint64_t size,
                  void **mapped)
{
    tv_cl_device *device = device_of(buffer);
    cl_int status;
    *mapped = device->cl.clEnqueueMapBuffer(device->queue, buffer->memory, CL_TRUE, flags, offset,
                                            size, 0, NULL, NULL, &status);
    return tv_cl_status(status, "clEnqueueMapBuffer");
}

// What comes after it in the queue sees the data.
static tv_err unmap(const tv_cl_buffer *buffer, void *mapped)
{
    tv_cl_device *device = device_of(buffer);
    return CL(
        device->cl.clEnqueueUnmapMemObject(device->queue, buffer->memory, mapped, 0, NULL, NULL));
}

// What a CPU maps is the memory itself. Refusals change nothing but the speed.
static void ask_for_large_pages(const tv_cl_buffer *buffer, uint64_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    void *mapped;
    if (map(buffer, CL_MAP_WRITE_INVALIDATE_REGION, 0, size, &mapped) != TV_OK)
        return;
    uintptr_t first = tv_align_up((uintptr_t)mapped, page), end = (uintptr_t)mapped + size;
    if (first < end)
        (void)madvise((void *)first, (end - first) / page * page, MADV_HUGEPAGE);
    (void)unmap(buffer, mapped);
}

tv_err tv_cl_buffer_create(tv_device *head, tv_memory where, uint64_t size, tv_buffer **buffer)
{
    tv_cl_device *device = (tv_cl_device *)head;
    bool host = where == TV_ON_HOST || device->caps->host_visible;
    cl_int status;
    // Padded, so that reads of whole vectors stay inside, too.
    cl_mem memory = device->cl.clCreateBuffer(
        device->context, CL_MEM_READ_WRITE | (host ? CL_MEM_ALLOC_HOST_PTR : 0),
        tv_align_up(size, TV_BINDING_ALIGNMENT) + TV_CL_SPARE_BYTES, NULL, &status);
    TV_TRY(memory_status(status, "clCreateBuffer"));
    tv_cl_buffer *made = tv_alloc(1, sizeof *made);
    *made = (tv_cl_buffer){.head.device = head, .memory = memory, .mapped = host};
    if (host && device->physical.info.device_class == TV_CLASS_CPU)
        ask_for_large_pages(made, size);
    // Drivers allocate at the first use; a full device shall be noticed here, not in a program.
    static const uint8_t zero;
    status = device->cl.clEnqueueWriteBuffer(device->queue, memory, CL_TRUE, 0, sizeof zero, &zero,
                                             0, NULL, NULL);
    if (status != CL_SUCCESS) {
        tv_cl_buffer_destroy(&made->head);
        return memory_status(status, "clEnqueueWriteBuffer");
    }
    *buffer = &made->head;
    return TV_OK;
}

tv_err tv_cl_buffer_write(tv_buffer *head, uint64_t offset, const void *data, uint64_t size)
{
    const tv_cl_buffer *buffer = (tv_cl_buffer *)head;
    tv_cl_device *device = device_of(buffer);
    if (!buffer->mapped)
        return CL(device->cl.clEnqueueWriteBuffer(device->queue, buffer->memory, CL_TRUE, offset,
                                                  size, data, 0, NULL, NULL));
    void *mapped;
    TV_TRY(map(buffer, CL_MAP_WRITE_INVALIDATE_REGION, offset, size, &mapped));
    memcpy(mapped, data, size);
    return unmap(buffer, mapped);
}

tv_err tv_cl_buffer_read(tv_buffer *head, uint64_t offset, void *data, uint64_t size)
{
    const tv_cl_buffer *buffer = (tv_cl_buffer *)head;
    tv_cl_device *device = device_of(buffer);
    if (!buffer->mapped)
        return CL(device->cl.clEnqueueReadBuffer(device->queue, buffer->memory, CL_TRUE, offset,
                                                 size, data, 0, NULL, NULL));
    void *mapped;
    TV_TRY(map(buffer, CL_MAP_READ, offset, size, &mapped));
    memcpy(data, mapped, size);
    return unmap(buffer, mapped);
}

static tv_err prepare_copy_queue(tv_cl_device *device)
{
    cl_int status = CL_SUCCESS;
    if (!device->copy_queue)
        device->copy_queue =
            device->cl.clCreateCommandQueue(device->context, device->physical.handle, 0, &status);
    return tv_cl_status(status, "clCreateCommandQueue");
}

tv_err tv_cl_buffer_peek(tv_buffer *head, uint64_t offset, void *data, uint64_t size)
{
    const tv_cl_buffer *buffer = (tv_cl_buffer *)head;
    tv_cl_device *device = device_of(buffer);
    TV_TRY(prepare_copy_queue(device));
    return CL(device->cl.clEnqueueReadBuffer(device->copy_queue, buffer->memory, CL_TRUE, offset,
                                             size, data, 0, NULL, NULL));
}

// A blocking write may return when `data` is free again; what runs later in the other queue must
// find it on the device.
tv_err tv_cl_buffer_poke(tv_buffer *head, uint64_t offset, const void *data, uint64_t size)
{
    const tv_cl_buffer *buffer = (tv_cl_buffer *)head;
    tv_cl_device *device = device_of(buffer);
    TV_TRY(prepare_copy_queue(device));
    TV_TRY(CL(device->cl.clEnqueueWriteBuffer(device->copy_queue, buffer->memory, CL_TRUE, offset,
                                              size, data, 0, NULL, NULL)));
    return CL(device->cl.clFinish(device->copy_queue));
}
