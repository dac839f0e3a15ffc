// Vulkan: the loader, instances, the validation layer's messages, and error codes.
#define VOLK_IMPLEMENTATION
#include "vk_internal.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static const char *const VALIDATION_LAYER = "VK_LAYER_KHRONOS_validation";

// Mesa's software driver uses vectors of 256 bits unless told otherwise; where the CPU has wider
// ones its matrix kernels are a third faster. A value that the user has set stays.
static void prefer_wide_vectors(void)
{
#if defined(__x86_64__) || defined(__i386__)
    if (__builtin_cpu_supports("avx512f"))
        setenv("LP_NATIVE_VECTOR_WIDTH", "512", 0);
#endif
}

static bool has_validation_layer(void)
{
    uint32_t count = 0;
    vkEnumerateInstanceLayerProperties(&count, NULL);
    VkLayerProperties *layers = tv_alloc(count, sizeof *layers);
    bool found = false;
    if (vkEnumerateInstanceLayerProperties(&count, layers) >= 0)
        for (uint32_t i = 0; i < count; i++)
            found = found || strcmp(layers[i].layerName, VALIDATION_LAYER) == 0;
    tv_free(layers);
    return found;
}

static tv_err create_instance(bool validate, VkInstance *instance)
{
    static const char *const extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME,
                                             VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
    VkValidationFeatureEnableEXT synchronization =
        VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
    VkValidationFeaturesEXT features = {
        .sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
        .enabledValidationFeatureCount = 1,
        .pEnabledValidationFeatures = &synchronization,
    };
    VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
        .pApplicationName = "trivium",
        .apiVersion = VK_API_VERSION_1_3, // the newest that is used where present
    };
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
        .pNext = validate ? &features : NULL,
        .pApplicationInfo = &application,
        .enabledLayerCount = validate,
        .ppEnabledLayerNames = &VALIDATION_LAYER,
        .enabledExtensionCount = validate ? 2 : 0,
        .ppEnabledExtensionNames = extensions,
    };
    VkResult result = vkCreateInstance(&info, NULL, instance);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER)
        return tv_fail(TV_ENODEVICE,
                       "no Vulkan driver: install one (mesa-vulkan-drivers, nvidia-driver)");
    return tv_vk_result(result, "vkCreateInstance");
}

static tv_err open_loader(void)
{
    prefer_wide_vectors();
    if (volkInitialize() != VK_SUCCESS)
        return tv_fail(TV_ENODEVICE, "no Vulkan loader (libvulkan.so.1): install libvulkan1");
    if (volkGetInstanceVersion() < VK_API_VERSION_1_1)
        return tv_fail(TV_ENODEVICE, "the Vulkan loader is older than 1.1: upgrade libvulkan1");
    return TV_OK;
}

// Volk keeps the instance that it loaded last, which is the shared one.
static tv_err open_shared(bool validate)
{
    VkInstance instance;
    if (volkGetLoadedInstance())
        return TV_OK;
    TV_TRY(open_loader());
    TV_TRY(create_instance(validate && has_validation_layer(), &instance));
    volkLoadInstanceOnly(instance);
    return TV_OK;
}

static bool validates(VkInstance instance)
{
    return vkGetInstanceProcAddr(instance, "vkCreateDebugUtilsMessengerEXT") != NULL;
}

tv_err tv_vk_instance_open(bool validate, VkInstance *instance)
{
    *instance = VK_NULL_HANDLE;
    TV_TRY(open_shared(validate));
    if (!validate || validates(volkGetLoadedInstance())) {
        *instance = volkGetLoadedInstance();
        return TV_OK;
    }
    if (!has_validation_layer())
        return tv_fail(TV_ENODEVICE,
                       "TRIVIUM_VALIDATE=1, but %s is not installed: install "
                       "vulkan-validationlayers",
                       VALIDATION_LAYER);
    return create_instance(true, instance);
}

void tv_vk_instance_close(VkInstance *instance)
{
    if (*instance && *instance != volkGetLoadedInstance())
        vkDestroyInstance(*instance, NULL);
    *instance = VK_NULL_HANDLE;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT type,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data,
                                                 void *messages)
{
    (void)type;
    bool error = severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
    atomic_fetch_add((atomic_ullong *)messages, 1);
    tv_log(error ? TV_LOG_ERROR : TV_LOG_WARN, "validation: %s", data->pMessage);
    return VK_FALSE;
}

bool tv_vk_validation_asked(void)
{
    const char *asked = getenv("TRIVIUM_VALIDATE");
    return asked && strcmp(asked, "1") == 0;
}

tv_err tv_vk_messenger_open(VkInstance instance, atomic_ullong *messages,
                            VkDebugUtilsMessengerEXT *messenger)
{
    VkDebugUtilsMessengerCreateInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                           VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = messages,
    };
    // Not volk's: it may have loaded another instance, one without the extension.
    PFN_vkCreateDebugUtilsMessengerEXT create =
        (PFN_vkCreateDebugUtilsMessengerEXT)vkGetInstanceProcAddr(instance,
                                                                  "vkCreateDebugUtilsMessengerEXT");
    return tv_vk_result(create(instance, &info, NULL, messenger), "vkCreateDebugUtilsMessengerEXT");
}

void tv_vk_messenger_close(VkInstance instance, VkDebugUtilsMessengerEXT messenger)
{
    if (messenger)
        ((PFN_vkDestroyDebugUtilsMessengerEXT)vkGetInstanceProcAddr(
            instance, "vkDestroyDebugUtilsMessengerEXT"))(instance, messenger, NULL);
}

const char *tv_vk_result_text(VkResult result)
{
    static const struct {
        VkResult result;
        const char *text;
    } texts[] = {
        {VK_ERROR_OUT_OF_HOST_MEMORY, "out of host memory"},
        {VK_ERROR_OUT_OF_DEVICE_MEMORY, "out of device memory"},
        {VK_ERROR_INITIALIZATION_FAILED, "initialization failed"},
        {VK_ERROR_DEVICE_LOST, "the device was lost"},
        {VK_ERROR_MEMORY_MAP_FAILED, "memory cannot be mapped"},
        {VK_ERROR_LAYER_NOT_PRESENT, "a layer is not present"},
        {VK_ERROR_EXTENSION_NOT_PRESENT, "an extension is not present"},
        {VK_ERROR_FEATURE_NOT_PRESENT, "a feature is not present"},
        {VK_ERROR_INCOMPATIBLE_DRIVER, "incompatible driver"},
        {VK_ERROR_TOO_MANY_OBJECTS, "too many objects"},
        {VK_ERROR_FRAGMENTED_POOL, "fragmented pool"},
        {VK_ERROR_OUT_OF_POOL_MEMORY, "out of pool memory"},
        {VK_ERROR_INVALID_SHADER_NV, "the driver refuses the shader"},
        {VK_ERROR_UNKNOWN, "unknown error"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].result == result)
            return texts[i].text;
    return "undocumented error";
}

tv_err tv_vk_result(VkResult result, const char *call)
{
    if (result >= 0)
        return TV_OK;
    tv_err err = TV_EDEVICE;
    if (result == VK_ERROR_DEVICE_LOST)
        err = TV_ELOST;
    else if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY)
        err = TV_EMEMORY;
    // "device->vk.vkName(a, b)" is shown as vkName.
    size_t end = strcspn(call, "("), start = end;
    while (start > 0 && call[start - 1] != '.' && call[start - 1] != '>')
        start--;
    return tv_fail(err, "%.*s: %s (VkResult %d)", (int)(end - start), call + start,
                   tv_vk_result_text(result), (int)result);
}
