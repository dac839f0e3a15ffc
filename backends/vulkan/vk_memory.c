// Vulkan: buffers, their memory, and copies between host and device.
#include "vk_internal.h"

#include "base/memory.h"
#include "base/parallel.h"

#include <string.h>

enum {
    // A window of host-visible memory that is much smaller than the device's memory (256 MiB
    // without resizable BAR) is kept for buffers of up to this size.
    SMALL_BUFFER = 1 << 20,
    COPY_TIMEOUT_SECONDS = 60,
};

#define LOCAL VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT
#define VISIBLE VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT
#define COHERENT VK_MEMORY_PROPERTY_HOST_COHERENT_BIT
#define CACHED VK_MEMORY_PROPERTY_HOST_CACHED_BIT

// ----------------------------------------------------------------------------------------- memory

static bool is_small_window(const VkPhysicalDeviceMemoryProperties *memory, uint32_t type)
{
    VkDeviceSize largest = 0, size = memory->memoryHeaps[memory->memoryTypes[type].heapIndex].size;
    for (uint32_t i = 0; i < memory->memoryHeapCount; i++)
        if (memory->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT &&
            memory->memoryHeaps[i].size > largest)
            largest = memory->memoryHeaps[i].size;
    return size < largest / 2;
}

// What memory shall be, and not be.
typedef struct memory_kind {
    VkMemoryPropertyFlags wanted, unwanted;
} memory_kind;

// Tries the memory types of a kind; VK_ERROR_OUT_OF_DEVICE_MEMORY if none has room.
static VkResult allocate_from(tv_vk_device *device, const VkMemoryRequirements *needs,
                              memory_kind kind, tv_vk_memory *memory)
{
    VkMemoryPropertyFlags wanted = kind.wanted;
    const VkPhysicalDeviceMemoryProperties *types = &device->physical.memory;
    VkResult result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    for (uint32_t i = 0; i < types->memoryTypeCount && result != VK_SUCCESS; i++) {
        VkMemoryPropertyFlags flags = types->memoryTypes[i].propertyFlags;
        bool window = wanted & LOCAL && wanted & VISIBLE && is_small_window(types, i);
        bool other = (flags & wanted) != wanted || flags & kind.unwanted;
        if (!(needs->memoryTypeBits >> i & 1) || other || (window && needs->size > SMALL_BUFFER))
            continue;
        VkMemoryAllocateInfo info = {
            .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
            .allocationSize = needs->size,
            .memoryTypeIndex = i,
        };
        result = device->vk.vkAllocateMemory(device->handle, &info, NULL, &memory->memory);
        memory->flags = flags;
    }
    return result;
}

static void free_memory(tv_vk_device *device, tv_vk_memory *memory)
{
    device->vk.vkDestroyBuffer(device->handle, memory->buffer, NULL);
    device->vk.vkFreeMemory(device->handle, memory->memory, NULL); // unmaps
    *memory = (tv_vk_memory){0};
}

// A buffer with memory of the first of `count` kinds that has room. It is mapped where that kind
// says host-visible.
static tv_err make_memory(tv_vk_device *device, uint64_t size, VkBufferUsageFlags usage,
                          const memory_kind *kinds, size_t count, tv_vk_memory *memory)
{
    const uint32_t families[2] = {device->physical.queue_family, device->physical.copy_family};
    bool apart = families[0] != families[1];
    VkBufferCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
        .size = size,
        .usage = usage,
        .sharingMode = apart ? VK_SHARING_MODE_CONCURRENT : VK_SHARING_MODE_EXCLUSIVE,
        .queueFamilyIndexCount = apart ? 2 : 0,
        .pQueueFamilyIndices = families,
    };
    *memory = (tv_vk_memory){.size = size};
    TV_TRY(VK(device->vk.vkCreateBuffer(device->handle, &info, NULL, &memory->buffer)));
    VkMemoryRequirements needs;
    device->vk.vkGetBufferMemoryRequirements(device->handle, memory->buffer, &needs);
    VkResult result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    bool map = false;
    for (size_t i = 0; i < count && result != VK_SUCCESS; i++) {
        result = allocate_from(device, &needs, kinds[i], memory);
        map = kinds[i].wanted & VISIBLE;
    }
    tv_err err = tv_vk_result(result, "vkAllocateMemory");
    if (err == TV_OK)
        err = VK(device->vk.vkBindBufferMemory(device->handle, memory->buffer, memory->memory, 0));
    void *mapped = NULL;
    if (err == TV_OK && map)
        err = VK(
            device->vk.vkMapMemory(device->handle, memory->memory, 0, VK_WHOLE_SIZE, 0, &mapped));
    memory->mapped = mapped;
    if (mapped && device->physical.info.device_class == TV_CLASS_CPU)
        tv_fetch_pages(mapped, size);
    if (err != TV_OK)
        free_memory(device, memory);
    return err;
}

// Makes `size` bytes at `offset` of mapped memory that is not coherent visible to the other side.
static tv_err synchronize(tv_vk_device *device, const tv_vk_memory *memory, uint64_t offset,
                          uint64_t size, bool to_device)
{
    if (memory->flags & COHERENT)
        return TV_OK;
    uint64_t atom = device->physical.properties.limits.nonCoherentAtomSize;
    uint64_t first = offset / atom * atom, end = (offset + size + atom - 1) / atom * atom;
    VkMappedMemoryRange range = {
        .sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
        .memory = memory->memory,
        .offset = first,
        .size = end >= memory->size ? VK_WHOLE_SIZE : end - first,
    };
    if (to_device)
        return VK(device->vk.vkFlushMappedMemoryRanges(device->handle, 1, &range));
    return VK(device->vk.vkInvalidateMappedMemoryRanges(device->handle, 1, &range));
}

// ---------------------------------------------------------------------------------------- buffers

// So that texel windows can be rounded up to whole texels. lavapipe compiles a kernel for buffers
// whose size is a power of two, and once more for others: there are only others.
static uint64_t padded(const tv_vk_device *device, uint64_t size)
{
    uint64_t whole = tv_align_up(size, TV_BINDING_ALIGNMENT);
    bool software = device->physical.info.device_class == TV_CLASS_CPU;
    return software && (whole & (whole - 1)) == 0 ? whole + TV_BINDING_ALIGNMENT : whole;
}

// The kinds of memory for a buffer, best first.
static const memory_kind *kinds_for(const tv_vk_device *device, tv_memory where, size_t *count)
{
    static const memory_kind visible[] = {
        {LOCAL | VISIBLE | COHERENT, 0}, {LOCAL | VISIBLE, 0}, {LOCAL, 0}, {VISIBLE | COHERENT, 0}};
    static const memory_kind invisible[] = {{LOCAL, 0}};
    static const memory_kind host[] = {{VISIBLE | COHERENT | CACHED, LOCAL},
                                       {VISIBLE | COHERENT, LOCAL},
                                       {VISIBLE, LOCAL},
                                       {VISIBLE | COHERENT | CACHED, 0}, // there is one memory
                                       {VISIBLE | COHERENT, 0}};
    bool discrete = device->physical.info.device_class == TV_CLASS_DISCRETE;
    if (where == TV_ON_HOST) {
        *count = discrete ? 3 : 5;
        return host;
    }
    // A discrete GPU that works from host memory is slower than no training: it fails instead.
    *count = !device->caps->host_visible ? 1 : discrete ? 3 : 4;
    return device->caps->host_visible ? visible : invisible;
}

tv_err tv_vk_buffer_create(tv_device *head, tv_memory where, uint64_t size, tv_buffer **buffer)
{
    tv_vk_device *device = (tv_vk_device *)head;
    size_t count;
    const memory_kind *kinds = kinds_for(device, where, &count);
    tv_vk_buffer *made = tv_alloc(1, sizeof *made);
    tv_err err =
        make_memory(device, padded(device, size),
                    VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT |
                        VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                    kinds, count, &made->memory);
    if (err != TV_OK) {
        tv_free(made);
        return err;
    }
    *buffer = &made->head;
    return TV_OK;
}

void tv_vk_buffer_destroy(tv_buffer *head)
{
    tv_vk_buffer *buffer = (tv_vk_buffer *)head;
    free_memory((tv_vk_device *)head->device, &buffer->memory);
    tv_free(buffer);
}

// ----------------------------------------------------------------------------------------- copies

static tv_err make_staging(tv_vk_device *device, tv_vk_staging *staging)
{
    VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = device->copy_pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    static const memory_kind kinds[] = {
        {VISIBLE | COHERENT | CACHED, 0}, {VISIBLE | COHERENT, 0}, {VISIBLE, 0}};
    TV_TRY(VK(device->vk.vkAllocateCommandBuffers(device->handle, &commands, &staging->commands)));
    TV_TRY(VK(device->vk.vkCreateFence(device->handle, &fence, NULL, &staging->fence)));
    return make_memory(device, VK_STAGING_BYTES,
                       VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT, kinds,
                       3, &staging->memory);
}

static tv_err make_copy_objects(tv_vk_device *device)
{
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags =
            VK_COMMAND_POOL_CREATE_TRANSIENT_BIT | VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
        .queueFamilyIndex = device->physical.copy_family,
    };
    TV_TRY(VK(device->vk.vkCreateCommandPool(device->handle, &pool, NULL, &device->copy_pool)));
    for (size_t i = 0; i < VK_STAGING_COUNT; i++)
        TV_TRY(make_staging(device, &device->staging[i]));
    return TV_OK;
}

void tv_vk_staging_finish(tv_vk_device *device)
{
    for (size_t i = 0; i < VK_STAGING_COUNT; i++) {
        free_memory(device, &device->staging[i].memory);
        device->vk.vkDestroyFence(device->handle, device->staging[i].fence, NULL);
        device->staging[i] = (tv_vk_staging){0};
    }
    device->vk.vkDestroyCommandPool(device->handle, device->copy_pool, NULL);
    device->copy_pool = VK_NULL_HANDLE;
}

static tv_err prepare_staging(tv_vk_device *device)
{
    if (device->copy_pool)
        return TV_OK;
    tv_err err = make_copy_objects(device);
    if (err != TV_OK)
        tv_vk_staging_finish(device);
    return err;
}

// What programs wrote is visible: the host has waited for it, on a fence or a semaphore, before it
// submits this. So the barrier in front need not name their stages, which a queue that only copies
// would not know.
static tv_err start_copy(tv_vk_device *device, tv_vk_staging *staging, VkBuffer from, VkBuffer to,
                         VkBufferCopy region)
{
    VkCommandBufferBeginInfo begin = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .commandBufferCount = 1,
        .pCommandBuffers = &staging->commands,
    };
    TV_TRY(VK(device->vk.vkBeginCommandBuffer(staging->commands, &begin)));
    tv_vk_barrier(device, staging->commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                  VK_ACCESS_MEMORY_WRITE_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT,
                  VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
    device->vk.vkCmdCopyBuffer(staging->commands, from, to, 1, &region);
    tv_vk_barrier(device, staging->commands, VK_PIPELINE_STAGE_TRANSFER_BIT,
                  VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
                  VK_ACCESS_HOST_READ_BIT);
    TV_TRY(VK(device->vk.vkEndCommandBuffer(staging->commands)));
    TV_TRY(VK(device->vk.vkQueueSubmit(device->copy_queue, 1, &submit, staging->fence)));
    staging->busy = true;
    return TV_OK;
}

// Waits for the copy that is on its way, if there is one.
static tv_err end_copy(tv_vk_device *device, tv_vk_staging *staging)
{
    if (!staging->busy)
        return TV_OK;
    VkResult result = device->vk.vkWaitForFences(device->handle, 1, &staging->fence, VK_TRUE,
                                                 COPY_TIMEOUT_SECONDS * 1000000000ull);
    if (result == VK_TIMEOUT) // the copy may still write: nothing can be trusted any more
        return tv_fail(TV_ELOST, "%s: a copy was not done after %d s", device->physical.info.name,
                       COPY_TIMEOUT_SECONDS);
    TV_TRY(tv_vk_result(result, "vkWaitForFences"));
    staging->busy = false;
    return VK(device->vk.vkResetFences(device->handle, 1, &staging->fence));
}

// Of a call that ended with `err`: no copy stays on its way, unless the device was lost.
static tv_err end_copies(tv_vk_device *device, tv_err err)
{
    for (size_t i = 0; i < VK_STAGING_COUNT && err != TV_ELOST; i++) {
        tv_err ended = end_copy(device, &device->staging[i]);
        err = err == TV_OK || ended == TV_ELOST ? ended : err;
    }
    return err;
}

// Large copies go in pieces that take turns: the device copies one while the host moves another.
typedef struct piece {
    tv_vk_staging *staging;
    uint64_t at, size;
} piece;

static piece piece_of(tv_vk_device *device, uint64_t size, uint64_t number)
{
    uint64_t at = number * VK_STAGING_BYTES;
    return (piece){&device->staging[number % VK_STAGING_COUNT], at,
                   tv_min_size(size - at, VK_STAGING_BYTES)};
}

static tv_err write_staged(tv_vk_device *device, const tv_vk_memory *memory, uint64_t offset,
                           const uint8_t *data, uint64_t size)
{
    for (uint64_t i = 0; i < tv_div_up(size, VK_STAGING_BYTES); i++) {
        piece p = piece_of(device, size, i);
        const tv_vk_memory *staging = &p.staging->memory;
        TV_TRY(end_copy(device, p.staging));
        memcpy(staging->mapped, data + p.at, p.size);
        TV_TRY(synchronize(device, staging, 0, p.size, true));
        TV_TRY(start_copy(device, p.staging, staging->buffer, memory->buffer,
                          (VkBufferCopy){0, offset + p.at, p.size}));
    }
    return TV_OK;
}

static tv_err read_staged(tv_vk_device *device, const tv_vk_memory *memory, uint64_t offset,
                          uint8_t *data, uint64_t size)
{
    uint64_t count = tv_div_up(size, VK_STAGING_BYTES);
    for (uint64_t i = 0; i <= count; i++) {
        if (i < count) {
            piece p = piece_of(device, size, i);
            TV_TRY(start_copy(device, p.staging, memory->buffer, p.staging->memory.buffer,
                              (VkBufferCopy){offset + p.at, 0, p.size}));
        }
        if (i > 0) {
            piece p = piece_of(device, size, i - 1);
            TV_TRY(end_copy(device, p.staging));
            TV_TRY(synchronize(device, &p.staging->memory, 0, p.size, false));
            memcpy(data + p.at, p.staging->memory.mapped, p.size);
        }
    }
    return TV_OK;
}

tv_err tv_vk_buffer_write(tv_buffer *head, uint64_t offset, const void *data, uint64_t size)
{
    tv_vk_device *device = (tv_vk_device *)head->device;
    const tv_vk_memory *memory = &((tv_vk_buffer *)head)->memory;
    if (memory->mapped) {
        memcpy(memory->mapped + offset, data, size);
        return synchronize(device, memory, offset, size, true);
    }
    TV_TRY(prepare_staging(device));
    return end_copies(device, write_staged(device, memory, offset, data, size));
}

void *tv_vk_buffer_host(tv_buffer *head)
{
    const tv_vk_memory *memory = &((tv_vk_buffer *)head)->memory;
    bool plain = memory->flags & CACHED && memory->flags & COHERENT;
    return plain ? memory->mapped : NULL;
}

tv_err tv_vk_buffer_read(tv_buffer *head, uint64_t offset, void *data, uint64_t size)
{
    tv_vk_device *device = (tv_vk_device *)head->device;
    const tv_vk_memory *memory = &((tv_vk_buffer *)head)->memory;
    // Reading uncached memory over the bus is many times slower than a copy by the device.
    if (memory->mapped && memory->flags & CACHED) {
        TV_TRY(synchronize(device, memory, offset, size, false));
        memcpy(data, memory->mapped + offset, size);
        return TV_OK;
    }
    TV_TRY(prepare_staging(device));
    return end_copies(device, read_staged(device, memory, offset, data, size));
}
