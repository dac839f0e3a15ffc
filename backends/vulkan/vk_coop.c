// Vulkan: matrix units, through KHR_cooperative_matrix and NV_cooperative_matrix2.
#include "vk_internal.h"
#include "vk_newer.h"

#include "base/memory.h"

#include <string.h>

enum { SHAPES_MAX = 256, NAMES_MAX = 16 };

typedef struct coop_features {
    VkPhysicalDeviceFeatures2 head;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR khr;
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bf16;
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV nv;
} coop_features;

static void ask(const tv_vk_physical *physical, const tv_vk_coop_known *known, coop_features *f)
{
    *f = (coop_features){
        .head.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
        .memory_model.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
        .khr.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
        .bf16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR,
        .nv.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV,
    };
    f->head.pNext = &f->memory_model;
    f->memory_model.pNext = &f->khr;
    void **end = &f->khr.pNext;
    if (known->bf16) {
        *end = &f->bf16;
        end = &f->bf16.pNext;
    }
    if (known->nv)
        *end = &f->nv;
    vkGetPhysicalDeviceFeatures2(physical->handle, &f->head);
}

static bool multiplies(const VkCooperativeMatrixPropertiesKHR *shape, VkComponentTypeKHR type)
{
    return shape->AType == type && shape->BType == type &&
           shape->CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
           shape->ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
           shape->scope == VK_SCOPE_SUBGROUP_KHR;
}

// The shape of a subgroup's matrices of that type with sums in float, 16 x 16 x 16 if there is a
// choice; 0 if there is none that the kernels can take.
static uint32_t find_shape(const VkCooperativeMatrixPropertiesKHR *shapes, uint32_t count,
                           VkComponentTypeKHR type)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        const VkCooperativeMatrixPropertiesKHR *s = &shapes[i];
        bool fits = s->MSize <= 32 && s->NSize <= 32 && 32 % s->KSize == 0 && 32 % s->MSize == 0 &&
                    32 % s->NSize == 0 && s->MSize % 8 == 0 && s->NSize % 8 == 0;
        uint32_t packed = s->MSize | s->NSize << 8 | s->KSize << 16;
        if (multiplies(s, type) && fits && (found == 0 || packed == 0x101010))
            found = packed;
    }
    return found;
}

void tv_vk_coop_describe(VkInstance instance, const tv_vk_coop_known *known,
                         tv_vk_physical *physical)
{
    tv_caps *caps = &physical->info.caps;
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR list =
        (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)vkGetInstanceProcAddr(
            instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    if (!known->khr || !list || physical->properties.apiVersion < VK_API_VERSION_1_3)
        return;
    if (physical->info.device_class == TV_CLASS_CPU) // Mesa 26.2's software driver crashes on them
        return;
    coop_features f;
    ask(physical, known, &f);
    VkCooperativeMatrixPropertiesKHR shapes[SHAPES_MAX];
    uint32_t count = SHAPES_MAX;
    for (uint32_t i = 0; i < SHAPES_MAX; i++)
        shapes[i] = (VkCooperativeMatrixPropertiesKHR){
            .sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR};
    if (list(physical->handle, &count, shapes) < 0)
        return;
    caps->coop_shape = find_shape(shapes, count, VK_COMPONENT_TYPE_FLOAT16_KHR);
    caps->coop = f.khr.cooperativeMatrix && f.memory_model.vulkanMemoryModel &&
                 caps->coop_shape != 0 && caps->storage16 && caps->f16 && caps->subgroup;
    caps->bf16 = caps->coop && f.bf16.shaderBFloat16Type &&
                 f.bf16.shaderBFloat16CooperativeMatrix &&
                 find_shape(shapes, count, VK_COMPONENT_TYPE_BFLOAT16_KHR) == caps->coop_shape;
    caps->coop2 = caps->coop && f.nv.cooperativeMatrixWorkgroupScope &&
                  f.nv.cooperativeMatrixFlexibleDimensions && f.nv.cooperativeMatrixReductions &&
                  f.nv.cooperativeMatrixConversions && f.nv.cooperativeMatrixPerElementOperations &&
                  f.nv.cooperativeMatrixTensorAddressing;
}

VkResult tv_vk_coop_create_device(VkPhysicalDevice physical, const tv_caps *caps,
                                  const VkDeviceCreateInfo *plain, VkDevice *device)
{
    const char *names[NAMES_MAX];
    VkDeviceCreateInfo info = *plain;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES,
        .pNext = (void *)info.pNext,
        .vulkanMemoryModel = VK_TRUE,
    };
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR khr = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR,
        .pNext = &memory_model,
        .cooperativeMatrix = VK_TRUE,
    };
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bf16 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR,
        .pNext = &khr,
        .shaderBFloat16Type = VK_TRUE,
        .shaderBFloat16CooperativeMatrix = VK_TRUE,
    };
    info.pNext = caps->bf16 ? (void *)&bf16 : (void *)&khr;
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV nv = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV,
        .pNext = (void *)info.pNext,
        .cooperativeMatrixWorkgroupScope = VK_TRUE,
        .cooperativeMatrixFlexibleDimensions = VK_TRUE,
        .cooperativeMatrixReductions = VK_TRUE,
        .cooperativeMatrixConversions = VK_TRUE,
        .cooperativeMatrixPerElementOperations = VK_TRUE,
        .cooperativeMatrixTensorAddressing = VK_TRUE,
    };
    info.pNext = caps->coop2 ? &nv : info.pNext;
    if (info.enabledExtensionCount > 0)
        memcpy(names, info.ppEnabledExtensionNames, info.enabledExtensionCount * sizeof *names);
    info.ppEnabledExtensionNames = names;
    names[info.enabledExtensionCount++] = VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME;
    if (caps->bf16)
        names[info.enabledExtensionCount++] = VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME;
    if (caps->coop2)
        names[info.enabledExtensionCount++] = VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME;
    return vkCreateDevice(physical, &info, NULL, device);
}
