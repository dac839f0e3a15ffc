// Vulkan: the pipeline cache, kept on disk per device and driver version.
#include "vk_internal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <string.h>

enum { CACHE_LIMIT = 256 << 20 };

static tv_err cache_path(const tv_vk_device *device, tv_text *path)
{
    TV_TRY(tv_cache_dir(path));
    tv_text_puts(path, "/vulkan-");
    for (size_t i = 0; i < sizeof device->physical.info.uuid; i++)
        tv_text_printf(path, "%02x", device->physical.info.uuid[i]);
    tv_text_printf(path, "-%08x.bin", (unsigned)device->physical.properties.driverVersion);
    return TV_OK;
}

// Drivers should refuse a foreign cache themselves; not all did.
static bool fits(const tv_vk_device *device, const uint8_t *data, size_t size)
{
    const VkPhysicalDeviceProperties *properties = &device->physical.properties;
    VkPipelineCacheHeaderVersionOne header;
    if (size < sizeof header)
        return false;
    memcpy(&header, data, sizeof header);
    return header.headerSize >= sizeof header && header.headerSize <= size &&
           header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE &&
           header.vendorID == properties->vendorID && header.deviceID == properties->deviceID &&
           memcmp(header.pipelineCacheUUID, properties->pipelineCacheUUID, VK_UUID_SIZE) == 0;
}

static uint8_t *load(const tv_vk_device *device, size_t *size)
{
    tv_text path = {0};
    uint8_t *data = NULL;
    *size = 0;
    if (cache_path(device, &path) != TV_OK) {
        tv_debug("no pipeline cache: %s", tv_error_message());
    } else if (tv_path_exists(path.data)) {
        if (tv_file_read(path.data, CACHE_LIMIT, &data, size) != TV_OK) {
            tv_debug("pipeline cache: %s", tv_error_message());
        } else if (!fits(device, data, *size)) {
            tv_debug("%s: made by another driver; starting afresh", path.data);
            tv_free(data);
            data = NULL;
            *size = 0;
        }
    }
    tv_text_finish(&path);
    return data;
}

tv_err tv_vk_cache_open(tv_vk_device *device)
{
    uint8_t *data = load(device, &device->cache_loaded);
    VkPipelineCacheCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
        .initialDataSize = device->cache_loaded,
        .pInitialData = data,
    };
    tv_err err = VK(device->vk.vkCreatePipelineCache(device->handle, &info, NULL, &device->cache));
    tv_free(data);
    return err;
}

void tv_vk_cache_save(tv_vk_device *device)
{
    size_t size = 0;
    VkResult result = device->vk.vkGetPipelineCacheData(device->handle, device->cache, &size, NULL);
    if (result != VK_SUCCESS || size <= device->cache_loaded || size > CACHE_LIMIT)
        return;
    uint8_t *data = tv_alloc(size, 1);
    tv_text path = {0};
    result = device->vk.vkGetPipelineCacheData(device->handle, device->cache, &size, data);
    if (result == VK_SUCCESS &&
        (cache_path(device, &path) != TV_OK || tv_file_write(path.data, data, size) != TV_OK))
        tv_debug("the pipeline cache is not kept: %s", tv_error_message());
    tv_text_finish(&path);
    tv_free(data);
}
