// Vulkan: descriptor sets and texel views of a program. They do not change when it is cut anew.
#include "vk_internal.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { TEXEL_BYTES = 16 }; // of the largest format; windows are rounded up to whole texels

typedef struct tv_vk_view {
    VkBuffer buffer;
    VkFormat format;
    uint64_t offset, range;
    VkBufferView handle;
} view;

static uint32_t slot_of(const tv_descriptor *descriptor)
{
    return descriptor->binding % TV_TEXEL_SLOT; // the texel slots are multiples of it
}

static const VkFormat formats[] = {
    [TV_DESCRIPTOR_TEXEL_R32F] = VK_FORMAT_R32_SFLOAT,
    [TV_DESCRIPTOR_TEXEL_RGBA32F] = VK_FORMAT_R32G32B32A32_SFLOAT,
    [TV_DESCRIPTOR_TEXEL_R32UI] = VK_FORMAT_R32_UINT,
    [TV_DESCRIPTOR_TEXEL_RG32UI] = VK_FORMAT_R32G32_UINT,
};

static view view_of(const tv_descriptor *descriptor, const tv_binding *binding)
{
    const tv_vk_memory *memory = &((const tv_vk_buffer *)binding->buffer)->memory;
    return (view){
        .buffer = memory->buffer,
        .format = formats[descriptor->kind],
        .offset = binding->offset,
        .range = tv_align_up(binding->size, TEXEL_BYTES),
    };
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_views(const void *a, const void *b)
{
    const view *x = a, *y = b;
    int order = compare_u64((uintptr_t)x->buffer, (uintptr_t)y->buffer);
    order = order ? order : compare_u64(x->offset, y->offset);
    order = order ? order : compare_u64(x->range, y->range);
    return order ? order : compare_u64(x->format, y->format);
}

// Calls for every texel descriptor of the commands; returns their number.
static size_t collect_views(const tv_command *commands, size_t count, view *views)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const tv_dispatch *dispatch = &commands[i].dispatch;
        const tv_kernel_code *code =
            commands[i].kind == TV_COMMAND_DISPATCH ? dispatch->kernel->code : NULL;
        for (uint32_t j = 0; code && j < code->descriptor_count; j++) {
            const tv_descriptor *descriptor = &code->descriptors[j];
            if (descriptor->kind == TV_DESCRIPTOR_STORAGE)
                continue;
            if (views)
                views[found] = view_of(descriptor, &dispatch->bindings[slot_of(descriptor)]);
            found++;
        }
    }
    return found;
}

static tv_err make_views(tv_vk_device *device, const tv_command *commands, size_t count,
                         tv_vk_descriptors *descriptors)
{
    size_t total = collect_views(commands, count, NULL);
    view *views = descriptors->views = tv_alloc(total, sizeof *views);
    collect_views(commands, count, views);
    if (total > 0)
        qsort(views, total, sizeof *views, compare_views);
    for (size_t i = 0; i < total; i++) {
        if (i > 0 && compare_views(&views[i], &views[descriptors->view_count - 1]) == 0)
            continue;
        view *kept = &views[descriptors->view_count];
        *kept = views[i];
        VkBufferViewCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
            .buffer = kept->buffer,
            .format = kept->format,
            .offset = kept->offset,
            .range = kept->range,
        };
        TV_TRY(VK(device->vk.vkCreateBufferView(device->handle, &info, NULL, &kept->handle)));
        descriptors->view_count++;
    }
    return TV_OK;
}

static tv_err make_pool(tv_vk_device *device, const tv_command *commands, size_t count,
                        VkDescriptorPool *pool)
{
    VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1},
                                    {VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER, 1}};
    VkDescriptorPoolCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
        .maxSets = 1,
        .poolSizeCount = 2,
        .pPoolSizes = sizes,
    };
    for (size_t i = 0; i < count; i++) {
        if (commands[i].kind != TV_COMMAND_DISPATCH)
            continue;
        const tv_kernel_code *code = commands[i].dispatch.kernel->code;
        for (uint32_t j = 0; j < code->descriptor_count; j++)
            sizes[code->descriptors[j].kind != TV_DESCRIPTOR_STORAGE].descriptorCount++;
        info.maxSets++;
    }
    return VK(device->vk.vkCreateDescriptorPool(device->handle, &info, NULL, pool));
}

static void write_set(tv_vk_device *device, const tv_vk_descriptors *descriptors,
                      const tv_dispatch *dispatch, VkDescriptorSet set)
{
    VkDescriptorBufferInfo buffers[TV_VK_DESCRIPTORS_MAX];
    VkWriteDescriptorSet writes[TV_VK_DESCRIPTORS_MAX];
    const tv_kernel_code *code = dispatch->kernel->code;
    for (uint32_t i = 0; i < code->descriptor_count; i++) {
        const tv_descriptor *descriptor = &code->descriptors[i];
        const tv_binding *binding = &dispatch->bindings[slot_of(descriptor)];
        writes[i] = (VkWriteDescriptorSet){
            .sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
            .dstSet = set,
            .dstBinding = descriptor->binding,
            .descriptorCount = 1,
        };
        if (descriptor->kind == TV_DESCRIPTOR_STORAGE) {
            const tv_vk_buffer *buffer = (const tv_vk_buffer *)binding->buffer;
            buffers[i] =
                (VkDescriptorBufferInfo){buffer->memory.buffer, binding->offset, binding->size};
            writes[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
            writes[i].pBufferInfo = &buffers[i];
        } else {
            view key = view_of(descriptor, binding);
            const view *found = bsearch(&key, descriptors->views, descriptors->view_count,
                                        sizeof key, compare_views);
            writes[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER;
            writes[i].pTexelBufferView = &found->handle;
        }
    }
    device->vk.vkUpdateDescriptorSets(device->handle, code->descriptor_count, writes, 0, NULL);
}

static tv_err make_set(tv_vk_device *device, const tv_dispatch *dispatch,
                       const tv_vk_descriptors *descriptors, VkDescriptorSet *set)
{
    VkDescriptorSetAllocateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
        .descriptorPool = descriptors->pool,
        .descriptorSetCount = 1,
        .pSetLayouts = &((const tv_vk_kernel *)dispatch->kernel)->set_layout,
    };
    TV_TRY(VK(device->vk.vkAllocateDescriptorSets(device->handle, &info, set)));
    write_set(device, descriptors, dispatch, *set);
    return TV_OK;
}

tv_err tv_vk_descriptors_init(tv_vk_device *device, const tv_command *commands, size_t count,
                              tv_vk_descriptors *descriptors)
{
    descriptors->sets = tv_alloc(count, sizeof *descriptors->sets);
    TV_TRY(make_views(device, commands, count, descriptors));
    TV_TRY(make_pool(device, commands, count, &descriptors->pool));
    for (size_t i = 0; i < count; i++)
        if (commands[i].kind == TV_COMMAND_DISPATCH)
            TV_TRY(make_set(device, &commands[i].dispatch, descriptors, &descriptors->sets[i]));
    return TV_OK;
}

void tv_vk_descriptors_finish(tv_vk_device *device, tv_vk_descriptors *descriptors)
{
    device->vk.vkDestroyDescriptorPool(device->handle, descriptors->pool, NULL);
    for (size_t i = 0; i < descriptors->view_count; i++)
        device->vk.vkDestroyBufferView(device->handle, descriptors->views[i].handle, NULL);
    tv_free(descriptors->views);
    tv_free(descriptors->sets);
    *descriptors = (tv_vk_descriptors){0};
}
