// Vulkan: opening a device, and the backend's table of contents.
#include "vk_internal.h"

#include "base/log.h"
#include "base/memory.h"

#include <string.h>

// Where the validation layer is asked for but missing, opening says so, not the list.
static tv_err enumerate_instance(VkInstance *instance)
{
    if (tv_vk_validation_asked() && tv_vk_instance_open(true, instance) == TV_OK)
        return TV_OK;
    return tv_vk_instance_open(false, instance);
}

static tv_err enumerate(tv_device_info *infos, size_t capacity, size_t *count)
{
    VkInstance instance;
    *count = 0;
    if (enumerate_instance(&instance) != TV_OK) {
        tv_debug("vulkan: %s", tv_error_message());
        return TV_OK;
    }
    tv_vk_physical *list = tv_alloc(VK_PHYSICAL_MAX, sizeof *list);
    size_t found = 0;
    if (tv_vk_physical_list(instance, list, &found) != TV_OK)
        tv_debug("vulkan: %s", tv_error_message());
    *count = tv_min_size(found, capacity);
    for (size_t i = 0; i < *count; i++)
        infos[i] = list[i].info;
    tv_free(list);
    tv_vk_instance_close(&instance);
    return TV_OK;
}

static tv_err find_physical(tv_vk_device *device, const tv_device_info *info)
{
    tv_vk_physical *list = tv_alloc(VK_PHYSICAL_MAX, sizeof *list);
    size_t count = 0;
    tv_err err = tv_vk_physical_list(device->instance, list, &count);
    if (err == TV_OK && (info->index >= count ||
                         memcmp(list[info->index].info.uuid, info->uuid, sizeof info->uuid) != 0))
        err = tv_fail(TV_ENODEVICE, "%s: the device is gone", info->name);
    if (err == TV_OK)
        device->physical = list[info->index];
    tv_free(list);
    return err;
}

// One queue for programs and, where there is another one, one for copies. Returns of how many
// families they are.
static uint32_t ask_for_queues(const tv_vk_physical *physical, VkDeviceQueueCreateInfo queues[2])
{
    static const float priorities[2] = {1, 1};
    bool apart = physical->copy_family != physical->queue_family;
    queues[0] = (VkDeviceQueueCreateInfo){
        .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = physical->queue_family,
        .queueCount = apart ? 1 : 1 + physical->copy_index,
        .pQueuePriorities = priorities,
    };
    queues[1] = queues[0];
    queues[1].queueFamilyIndex = physical->copy_family;
    return apart ? 2 : 1;
}

// Features as the masked caps allow. An extension is only named where its version has it not.
static tv_err create_device(tv_vk_device *device)
{
    const tv_caps *caps = device->caps;
    uint32_t version = device->physical.properties.apiVersion;
    const char *extensions[4];
    uint32_t extension_count = 0;
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    VkPhysicalDevice16BitStorageFeatures storage16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES,
        .pNext = &features,
        .storageBuffer16BitAccess = caps->storage16,
    };
    VkPhysicalDeviceShaderFloat16Int8Features float16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES,
        .pNext = &storage16,
        .shaderFloat16 = VK_TRUE,
    };
    void *chain = caps->f16 ? (void *)&float16 : (void *)&storage16;
    if (caps->f16 && version < VK_API_VERSION_1_2)
        extensions[extension_count++] = VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
        .pNext = chain,
        .timelineSemaphore = VK_TRUE,
    };
    chain = caps->timeline ? &timeline : chain;
    if (caps->timeline && version < VK_API_VERSION_1_2)
        extensions[extension_count++] = VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroups = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .pNext = chain,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = device->physical.full_subgroups,
    };
    bool control = caps->subgroup != 0 && device->physical.subgroup_control;
    chain = control ? &subgroups : chain;
    if (control && version < VK_API_VERSION_1_3)
        extensions[extension_count++] = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME;
    features.features.shaderStorageImageExtendedFormats = caps->texel;
    // The kernels of software drivers read past the end of texel windows and expect zeros.
    features.features.robustBufferAccess = device->physical.info.device_class == TV_CLASS_CPU;
    VkDeviceQueueCreateInfo queues[2];
    VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = chain,
        .queueCreateInfoCount = ask_for_queues(&device->physical, queues),
        .pQueueCreateInfos = queues,
        .enabledExtensionCount = extension_count,
        .ppEnabledExtensionNames = extensions,
    };
    if (caps->coop)
        return VK(tv_vk_coop_create_device(device->physical.handle, caps, &info, &device->handle));
    return VK(vkCreateDevice(device->physical.handle, &info, NULL, &device->handle));
}

static void close_device(tv_device *head)
{
    tv_vk_device *device = (tv_vk_device *)head;
    if (device->handle) {
        if (device->cache)
            tv_vk_cache_save(device);
        tv_vk_staging_finish(device);
        device->vk.vkDestroyPipelineCache(device->handle, device->cache, NULL);
        device->vk.vkDestroyDevice(device->handle, NULL);
    }
    tv_vk_messenger_close(device->instance, device->messenger);
    tv_vk_instance_close(&device->instance);
    pthread_mutex_destroy(&device->warming);
    tv_free(device);
}

tv_err tv_vk_open_handle(tv_vk_device *device)
{
    TV_TRY(create_device(device));
    volkLoadDeviceTable(&device->vk, device->handle);
    if (device->caps->timeline)
        device->wait_semaphores = device->vk.vkWaitSemaphores ? device->vk.vkWaitSemaphores
                                                              : device->vk.vkWaitSemaphoresKHR;
    const tv_vk_physical *physical = &device->physical;
    device->vk.vkGetDeviceQueue(device->handle, physical->queue_family, 0, &device->queue);
    device->vk.vkGetDeviceQueue(device->handle, physical->copy_family, physical->copy_index,
                                &device->copy_queue);
    return TV_OK;
}

static tv_err open_parts(tv_vk_device *device, const tv_device_info *info)
{
    bool validate = tv_vk_validation_asked();
    TV_TRY(tv_vk_instance_open(validate, &device->instance));
    if (validate)
        TV_TRY(tv_vk_messenger_open(device->instance, &device->messages, &device->messenger));
    TV_TRY(find_physical(device, info));
    device->physical.info.caps = info->caps;
    device->caps = &device->physical.info.caps;
    if (!device->caps->copy_queue) { // masked, maybe
        device->physical.copy_family = device->physical.queue_family;
        device->physical.copy_index = 0;
    }
    TV_TRY(tv_vk_open_handle(device));
    return tv_vk_cache_open(device);
}

static tv_err open_device(const tv_device_info *info, tv_device **opened)
{
    tv_vk_device *device = tv_alloc(1, sizeof *device);
    pthread_mutex_init(&device->warming, NULL);
    tv_err err = open_parts(device, info);
    if (err != TV_OK) {
        close_device(&device->head);
        return tv_fail_in(err, "%s", info->name);
    }
    *opened = &device->head;
    return TV_OK;
}

static uint64_t count_messages(const tv_device *head)
{
    return atomic_load(&((const tv_vk_device *)head)->messages);
}

void tv_vk_barrier(const tv_vk_device *device, VkCommandBuffer commands, VkPipelineStageFlags from,
                   VkAccessFlags written, VkPipelineStageFlags to, VkAccessFlags used)
{
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = written,
        .dstAccessMask = used,
    };
    device->vk.vkCmdPipelineBarrier(commands, from, to, 0, 1, &barrier, 0, NULL, 0, NULL);
}

const tv_backend tv_backend_vulkan = {
    .name = "vulkan",
    .enumerate = enumerate,
    .device_open = open_device,
    .device_close = close_device,
    .buffer_create = tv_vk_buffer_create,
    .buffer_destroy = tv_vk_buffer_destroy,
    .buffer_write = tv_vk_buffer_write,
    .buffer_read = tv_vk_buffer_read,
    .buffer_peek = tv_vk_buffer_read, // its queue is not that of programs where this is called
    .buffer_poke = tv_vk_buffer_write,
    .buffer_host = tv_vk_buffer_host,
    .kernel_find = tv_vk_kernel_find,
    .kernel_create = tv_vk_kernel_create,
    .kernel_warm = tv_vk_kernel_warm,
    .kernel_destroy = tv_vk_kernel_destroy,
    .program_create = tv_vk_program_create,
    .program_destroy = tv_vk_program_destroy,
    .program_record = tv_vk_program_record,
    .program_run = tv_vk_program_run,
    .program_wait = tv_vk_program_wait,
    .segment_seconds = tv_vk_segment_seconds,
    .messages = count_messages,
};
