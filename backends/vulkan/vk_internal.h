// The Vulkan backend's own parts. Vulkan 1.1 is the floor; what is newer is used where it is there
// and the device's caps allow it.
#ifndef TV_VULKAN_VK_INTERNAL_H
#define TV_VULKAN_VK_INTERNAL_H

#include "device/backend.h"

#include <volk.h>

enum { VK_PHYSICAL_MAX = 64, VK_STAGING_BYTES = 8 << 20, VK_STAGING_COUNT = 2 };
// Each slot as a storage buffer and as two texel buffers.
enum { TV_VK_DESCRIPTORS_MAX = 3 * TV_MAX_BINDINGS };

// ------------------------------------------------------------------------------------- instance

// Opens the loader and an instance; TV_ENODEVICE says what is missing. All share one instance that
// lives as long as the process, since drivers and layers leak when they are unloaded; only where it
// came up without the validation layer, `validate` gives a new one.
bool tv_vk_validation_asked(void); // TRIVIUM_VALIDATE=1
tv_err tv_vk_instance_open(bool validate, VkInstance *instance);
void tv_vk_instance_close(VkInstance *instance);

// Counts into `*messages` and prints what the validation layer says.
tv_err tv_vk_messenger_open(VkInstance instance, atomic_ullong *messages,
                            VkDebugUtilsMessengerEXT *messenger);
void tv_vk_messenger_close(VkInstance instance, VkDebugUtilsMessengerEXT messenger);

// The text of an error code, and its tv_err with the line "vkNAME: TEXT". VK_SUCCESS, VK_NOT_READY,
// VK_TIMEOUT and their like are TV_OK.
const char *tv_vk_result_text(VkResult result);
tv_err tv_vk_result(VkResult result, const char *call);
#define VK(call) tv_vk_result((call), #call)

// ------------------------------------------------------------------------------ physical device

// A physical device and what opening it takes.
typedef struct tv_vk_physical {
    VkPhysicalDevice handle;
    tv_device_info info; // caps unmasked
    VkPhysicalDeviceProperties properties;
    VkPhysicalDeviceMemoryProperties memory;
    uint32_t queue_family;
    uint32_t copy_family, copy_index; // the queue for copies; queue 0 of queue_family runs programs
    uint32_t timestamp_bits;
    bool subgroup_control;      // VK_EXT_subgroup_size_control, or Vulkan 1.3
    bool require_subgroup_size; // the size has to be asked for per pipeline
    bool full_subgroups;
} tv_vk_physical;

// Describes up to VK_PHYSICAL_MAX devices in the driver's order.
tv_err tv_vk_physical_list(VkInstance instance, tv_vk_physical *list, size_t *count);

// Which extensions for matrix units the device lists.
typedef struct tv_vk_coop_known {
    bool khr, bf16, nv;
} tv_vk_coop_known;

// vk_coop.c: fills in the caps of the matrix units; all others are filled in already.
void tv_vk_coop_describe(VkInstance instance, const tv_vk_coop_known *known,
                         tv_vk_physical *physical);
// vkCreateDevice with the features and extensions of the matrix units added, as caps allow.
VkResult tv_vk_coop_create_device(VkPhysicalDevice physical, const tv_caps *caps,
                                  const VkDeviceCreateInfo *plain, VkDevice *device);

// ---------------------------------------------------------------------------------------- device

typedef struct tv_vk_memory {
    VkBuffer buffer;
    VkDeviceMemory memory;
    uint64_t size;               // of the buffer, padded
    VkMemoryPropertyFlags flags; // of the memory type
    uint8_t *mapped;             // NULL where the host does not see it
} tv_vk_memory;

// Host memory that copies go through, and what submitting one takes.
typedef struct tv_vk_staging {
    tv_vk_memory memory;
    VkCommandBuffer commands;
    VkFence fence;
    bool busy; // with a copy that was submitted and not waited for
} tv_vk_staging;

typedef struct tv_vk_device {
    tv_device head;
    VkInstance instance;
    VkDebugUtilsMessengerEXT messenger;
    atomic_ullong messages;
    tv_vk_physical physical;
    const tv_caps *caps; // masked
    VkDevice handle;
    struct VolkDeviceTable vk;
    PFN_vkWaitSemaphores wait_semaphores; // NULL without timeline semaphores
    VkQueue queue, copy_queue;            // one and the same where the device has no other
    VkPipelineCache cache;
    size_t cache_loaded;     // bytes read from the disk
    pthread_mutex_t warming; // held by the thread whose kernel is being warmed on this device
    atomic_bool compiles;    // the latest one took as long as if it was new to the driver
    // Copies between host and device memory; made on first use.
    tv_vk_staging staging[VK_STAGING_COUNT];
    VkCommandPool copy_pool;
} tv_vk_device;

typedef struct tv_vk_buffer {
    tv_buffer head;
    tv_vk_memory memory;
} tv_vk_buffer;

typedef struct tv_vk_kernel {
    tv_kernel head;
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipeline;
} tv_vk_kernel;

// The handle, its functions and its queues, from `physical` and `caps`.
tv_err tv_vk_open_handle(tv_vk_device *device);

// A global memory barrier between two stages of one queue.
void tv_vk_barrier(const tv_vk_device *device, VkCommandBuffer commands, VkPipelineStageFlags from,
                   VkAccessFlags written, VkPipelineStageFlags to, VkAccessFlags used);

// vk_cache.c: the pipeline cache, kept on disk. Failures are debug lines: a cache is a convenience.
tv_err tv_vk_cache_open(tv_vk_device *device);
void tv_vk_cache_save(tv_vk_device *device);

// vk_memory.c
tv_err tv_vk_buffer_create(tv_device *device, tv_memory where, uint64_t size, tv_buffer **buffer);
void tv_vk_buffer_destroy(tv_buffer *buffer);
tv_err tv_vk_buffer_write(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size);
tv_err tv_vk_buffer_read(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size);
void *tv_vk_buffer_host(tv_buffer *buffer);
void tv_vk_staging_finish(tv_vk_device *device);

// vk_kernel.c
const tv_kernel_code *tv_vk_kernel_find(const tv_device *device, const char *name);
tv_err tv_vk_kernel_create(tv_device *device, const tv_kernel_code *code,
                           const tv_kernel_choice *choice, tv_kernel **kernel);
void tv_vk_kernel_destroy(tv_kernel *kernel);

// vk_warm.c
tv_err tv_vk_kernel_warm(tv_kernel *kernel);

// vk_descriptors.c: the descriptor sets of a program's dispatches.
typedef struct tv_vk_descriptors {
    VkDescriptorPool pool;
    VkDescriptorSet *sets; // one per command; VK_NULL_HANDLE where it is no dispatch
    struct tv_vk_view *views;
    size_t view_count;
} tv_vk_descriptors;
tv_err tv_vk_descriptors_init(tv_vk_device *device, const tv_command *commands, size_t count,
                              tv_vk_descriptors *descriptors);
void tv_vk_descriptors_finish(tv_vk_device *device, tv_vk_descriptors *descriptors);

// vk_program.c
tv_err tv_vk_program_create(tv_device *device, tv_program **program);
void tv_vk_program_destroy(tv_program *program);
tv_err tv_vk_program_record(tv_program *program);
tv_err tv_vk_program_run(tv_program *program);
tv_err tv_vk_program_wait(tv_program *program, size_t segment, double timeout_s);
double tv_vk_segment_seconds(const tv_program *program, size_t segment);

#endif
