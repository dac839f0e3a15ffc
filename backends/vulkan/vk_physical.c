// Vulkan: what a physical device is and can do.
#include "vk_internal.h"
#include "vk_newer.h"

#include "base/memory.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

// A software driver reads texel buffers faster than storage buffers; they have to span a window.
static const uint32_t TEXEL_ELEMENTS_MIN = 1u << 27;
static const double HEAP_SHARE = 0.8; // where the driver does not say what is free

typedef struct extensions {
    VkExtensionProperties *list;
    uint32_t count;
} extensions;

static bool has(const extensions *all, const char *name)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (strcmp(all->list[i].extensionName, name) == 0)
            return true;
    return false;
}

static tv_err list_extensions(VkPhysicalDevice handle, extensions *all)
{
    *all = (extensions){0};
    TV_TRY(VK(vkEnumerateDeviceExtensionProperties(handle, NULL, &all->count, NULL)));
    all->list = tv_alloc(all->count, sizeof *all->list);
    return VK(vkEnumerateDeviceExtensionProperties(handle, NULL, &all->count, all->list));
}

// The structs of Vulkan's queries, chained up where the device knows them.
typedef struct query {
    VkPhysicalDeviceProperties2 properties;
    VkPhysicalDeviceIDProperties id;
    VkPhysicalDeviceMaintenance3Properties maintenance3;
    VkPhysicalDeviceMaintenance4Properties maintenance4;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceSubgroupSizeControlProperties subgroup_size;
    VkPhysicalDeviceDriverProperties driver;
    VkPhysicalDevicePCIBusInfoPropertiesEXT pci;
    VkPhysicalDeviceFeatures2 features;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDeviceShaderFloat16Int8Features float16;
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup_control;
} query;

static void chain(void *head, void *next, VkStructureType type)
{
    VkBaseOutStructure *first = head, *added = next;
    added->sType = type;
    added->pNext = first->pNext;
    first->pNext = added;
}

static void ask(VkPhysicalDevice handle, uint32_t version, const extensions *all, query *q)
{
    bool v12 = version >= VK_API_VERSION_1_2, v13 = version >= VK_API_VERSION_1_3;
    void *p = &q->properties, *f = &q->features;
    q->properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    q->features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    chain(p, &q->id, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES);
    chain(p, &q->maintenance3, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES);
    chain(p, &q->subgroup, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES);
    chain(f, &q->storage16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES);
    if (v13 || has(all, VK_KHR_MAINTENANCE_4_EXTENSION_NAME))
        chain(p, &q->maintenance4, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES);
    if (v12 || has(all, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME))
        chain(p, &q->driver, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES);
    if (has(all, VK_EXT_PCI_BUS_INFO_EXTENSION_NAME))
        chain(p, &q->pci, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PCI_BUS_INFO_PROPERTIES_EXT);
    if (v12 || has(all, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME))
        chain(f, &q->float16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES);
    if (v12 || has(all, VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME))
        chain(f, &q->timeline, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES);
    if (v13 || has(all, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) {
        chain(p, &q->subgroup_size,
              VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES);
        chain(f, &q->subgroup_control,
              VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
    }
    vkGetPhysicalDeviceProperties2(handle, &q->properties);
    vkGetPhysicalDeviceFeatures2(handle, &q->features);
}

static const char *vendor_name(uint32_t id, char text[64])
{
    static const struct {
        uint32_t id;
        const char *name;
    } vendors[] = {{0x10DE, "NVIDIA"},         {0x1002, "AMD"},
                   {0x8086, "Intel"},          {0x13B5, "Arm"},
                   {0x5143, "Qualcomm"},       {0x106B, "Apple"},
                   {0x14E4, "Broadcom"},       {0x1010, "Imagination"},
                   {0x1AE0, "Google"},         {VK_VENDOR_ID_MESA, "Mesa"},
                   {VK_VENDOR_ID_POCL, "PoCL"}};
    for (size_t i = 0; i < sizeof vendors / sizeof *vendors; i++)
        if (vendors[i].id == id)
            return vendors[i].name;
    snprintf(text, 64, "0x%04x", (unsigned)id);
    return text;
}

static tv_device_class classify(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return TV_CLASS_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return TV_CLASS_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return TV_CLASS_CPU;
    default:
        return TV_CLASS_VIRTUAL;
    }
}

static void describe_names(const query *q, tv_device_info *info)
{
    const VkPhysicalDeviceProperties *properties = &q->properties.properties;
    char vendor[64];
    snprintf(info->backend, sizeof info->backend, "vulkan");
    snprintf(info->name, sizeof info->name, "%s", properties->deviceName);
    snprintf(info->vendor, sizeof info->vendor, "%s", vendor_name(properties->vendorID, vendor));
    if (q->driver.driverName[0])
        snprintf(info->driver, sizeof info->driver, "%s %s", q->driver.driverName,
                 q->driver.driverInfo);
    else
        snprintf(info->driver, sizeof info->driver, "version 0x%08x",
                 (unsigned)properties->driverVersion);
    memcpy(info->uuid, q->id.deviceUUID, sizeof info->uuid);
    if (q->pci.sType != 0)
        snprintf(info->pci, sizeof info->pci, "%04x:%02x:%02x.%x", (unsigned)q->pci.pciDomain,
                 (unsigned)q->pci.pciBus, (unsigned)q->pci.pciDevice, (unsigned)q->pci.pciFunction);
    info->device_class = classify(properties->deviceType);
}

// The largest device-local heap. Heaps are not added up: integrated GPUs count memory twice.
static uint64_t usable_memory(VkPhysicalDevice handle, const extensions *all,
                              tv_device_class device_class, VkPhysicalDeviceMemoryProperties *out)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    bool budgeted = has(all, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    if (budgeted)
        memory.pNext = &budget;
    vkGetPhysicalDeviceMemoryProperties2(handle, &memory);
    *out = memory.memoryProperties;
    uint64_t largest = 0;
    for (uint32_t i = 0; i < out->memoryHeapCount; i++) {
        uint64_t bytes = (uint64_t)((double)out->memoryHeaps[i].size * HEAP_SHARE);
        if (budgeted)
            bytes = budget.heapBudget[i] - (budget.heapUsage[i] < budget.heapBudget[i]
                                                ? budget.heapUsage[i]
                                                : budget.heapBudget[i]);
        if (out->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT && bytes > largest)
            largest = bytes;
    }
    // Software drivers allocate from the host, and some report a heap of 2 GiB whatever it has.
    if (device_class == TV_CLASS_CPU && !budgeted) {
        double host = (double)tv_host_memory();
        if (host * HEAP_SHARE > (double)largest)
            largest = (uint64_t)(host * HEAP_SHARE);
    }
    return largest;
}

static uint64_t whole_windows(uint64_t bytes)
{
    return bytes / TV_BINDING_ALIGNMENT * TV_BINDING_ALIGNMENT;
}

static bool texel_format(VkPhysicalDevice handle, VkFormat format)
{
    VkFormatProperties properties;
    vkGetPhysicalDeviceFormatProperties(handle, format, &properties);
    return properties.bufferFeatures & VK_FORMAT_FEATURE_STORAGE_TEXEL_BUFFER_BIT;
}

// The size is known if there is only one, or if a pipeline can ask for it.
static void describe_subgroups(const query *q, tv_vk_physical *physical)
{
    VkSubgroupFeatureFlags needed = VK_SUBGROUP_FEATURE_BASIC_BIT |
                                    VK_SUBGROUP_FEATURE_ARITHMETIC_BIT |
                                    VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    uint32_t size = q->subgroup.subgroupSize;
    const VkPhysicalDeviceSubgroupSizeControlProperties *control = &q->subgroup_size;
    physical->subgroup_control = q->subgroup_control.subgroupSizeControl;
    physical->full_subgroups = q->subgroup_control.computeFullSubgroups;
    bool supported = q->subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT &&
                     (q->subgroup.supportedOperations & needed) == needed;
    if (!supported || !physical->subgroup_control || size < control->minSubgroupSize ||
        size > control->maxSubgroupSize)
        return;
    bool fixed = control->minSubgroupSize == control->maxSubgroupSize;
    bool settable = physical->full_subgroups &&
                    control->requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    physical->require_subgroup_size = !fixed;
    if (fixed || settable)
        physical->info.caps.subgroup = size;
}

static bool sees_device_memory(const VkPhysicalDeviceMemoryProperties *memory)
{
    VkMemoryPropertyFlags both =
        VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++)
        if ((memory->memoryTypes[i].propertyFlags & both) == both)
            return true;
    return false;
}

static void describe_caps(const query *q, tv_vk_physical *physical)
{
    const VkPhysicalDeviceLimits *limits = &q->properties.properties.limits;
    bool software = physical->info.device_class == TV_CLASS_CPU;
    tv_caps *caps = &physical->info.caps;
    caps->storage16 = q->storage16.storageBuffer16BitAccess;
    caps->f16 = q->float16.shaderFloat16;
    caps->timeline = q->timeline.timelineSemaphore;
    caps->host_visible = sees_device_memory(&physical->memory);
    caps->texel = software && limits->maxTexelBufferElements >= TEXEL_ELEMENTS_MIN &&
                  texel_format(physical->handle, VK_FORMAT_R32_SFLOAT) &&
                  texel_format(physical->handle, VK_FORMAT_R32G32B32A32_SFLOAT) &&
                  q->features.features.shaderStorageImageExtendedFormats && // for rg32ui
                  texel_format(physical->handle, VK_FORMAT_R32_UINT) &&
                  texel_format(physical->handle, VK_FORMAT_R32G32_UINT);
    caps->max_group = limits->maxComputeWorkGroupInvocations < limits->maxComputeWorkGroupSize[0]
                          ? limits->maxComputeWorkGroupInvocations
                          : limits->maxComputeWorkGroupSize[0];
    caps->shared_bytes = limits->maxComputeSharedMemorySize;
    memcpy(caps->max_groups, limits->maxComputeWorkGroupCount, sizeof caps->max_groups);
    caps->max_range = whole_windows(limits->maxStorageBufferRange);
    uint64_t alloc = q->maintenance3.maxMemoryAllocationSize;
    if (q->maintenance4.maxBufferSize && q->maintenance4.maxBufferSize < alloc)
        alloc = q->maintenance4.maxBufferSize;
    caps->max_alloc = whole_windows(alloc);
    caps->speed = 1;
    describe_subgroups(q, physical);
}

// Best are engines that only copy, then another queue like the one of programs, then any.
static void find_copy_queue(const VkQueueFamilyProperties *families, uint32_t count,
                            tv_vk_physical *physical)
{
    const VkQueueFlags plain =
        VK_QUEUE_TRANSFER_BIT | VK_QUEUE_SPARSE_BINDING_BIT | VK_QUEUE_PROTECTED_BIT;
    const VkQueueFlags other = VK_QUEUE_COMPUTE_BIT | VK_QUEUE_GRAPHICS_BIT; // these copy, too
    uint32_t best = physical->queue_family;
    bool twin = families[best].queueCount > 1, found = twin;
    for (uint32_t i = 0; i < count; i++) {
        VkQueueFlags flags = families[i].queueFlags;
        bool copies_only = flags & VK_QUEUE_TRANSFER_BIT && !(flags & ~plain);
        if (i != physical->queue_family && (copies_only || (!found && flags & other))) {
            best = i;
            found = true;
        }
        if (copies_only)
            break;
    }
    physical->copy_family = best;
    physical->copy_index = found && best == physical->queue_family;
    physical->info.caps.copy_queue = found;
}

// A family without graphics is not held up by the desktop.
static bool find_queue(tv_vk_physical *physical)
{
    VkQueueFamilyProperties families[32];
    uint32_t count = 32;
    bool found = false;
    vkGetPhysicalDeviceQueueFamilyProperties(physical->handle, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        VkQueueFlags flags = families[i].queueFlags;
        if (!(flags & VK_QUEUE_COMPUTE_BIT) || (found && flags & VK_QUEUE_GRAPHICS_BIT))
            continue;
        physical->queue_family = i;
        physical->timestamp_bits = families[i].timestampValidBits;
        found = true;
        if (!(flags & VK_QUEUE_GRAPHICS_BIT))
            break;
    }
    if (found)
        find_copy_queue(families, count, physical);
    return found;
}

static void describe_problem(const query *q, tv_vk_physical *physical)
{
    const VkPhysicalDeviceLimits *limits = &q->properties.properties.limits;
    char *problem = physical->info.problem;
    size_t size = sizeof physical->info.problem;
    if (!find_queue(physical))
        snprintf(problem, size, "it has no compute queue");
    else if (limits->maxPerStageDescriptorStorageBuffers < TV_MAX_BINDINGS)
        snprintf(problem, size, "its kernels take %u buffers, Trivium needs %d",
                 limits->maxPerStageDescriptorStorageBuffers, TV_MAX_BINDINGS);
    else if (physical->info.caps.memory == 0)
        snprintf(problem, size, "it has no memory of its own left");
}

static tv_err describe(VkInstance instance, VkPhysicalDevice handle, uint32_t index,
                       tv_vk_physical *physical)
{
    *physical = (tv_vk_physical){.handle = handle, .info.index = index};
    vkGetPhysicalDeviceProperties(handle, &physical->properties);
    query q = {.properties.properties = physical->properties};
    uint32_t version = physical->properties.apiVersion;
    if (version < VK_API_VERSION_1_1) {
        describe_names(&q, &physical->info);
        snprintf(physical->info.problem, sizeof physical->info.problem,
                 "its driver knows Vulkan %u.%u, Trivium needs 1.1: upgrade the driver",
                 VK_API_VERSION_MAJOR(version), VK_API_VERSION_MINOR(version));
        return TV_OK;
    }
    extensions all;
    tv_err err = list_extensions(handle, &all);
    if (err == TV_OK) {
        ask(handle, version, &all, &q);
        describe_names(&q, &physical->info);
        physical->info.caps.memory =
            usable_memory(handle, &all, physical->info.device_class, &physical->memory);
        describe_caps(&q, physical);
        tv_vk_coop_known known = {has(&all, VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME),
                                  has(&all, VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME),
                                  has(&all, VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME)};
        tv_vk_coop_describe(instance, &known, physical);
        describe_problem(&q, physical);
    }
    tv_free(all.list);
    return err;
}

tv_err tv_vk_physical_list(VkInstance instance, tv_vk_physical *list, size_t *count)
{
    VkPhysicalDevice handles[VK_PHYSICAL_MAX];
    uint32_t found = VK_PHYSICAL_MAX;
    TV_TRY(VK(vkEnumeratePhysicalDevices(instance, &found, handles)));
    for (uint32_t i = 0; i < found; i++)
        TV_TRY(describe(instance, handles[i], i, &list[i]));
    *count = found;
    return TV_OK;
}
