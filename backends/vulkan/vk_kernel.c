// Vulkan: choosing a kernel's flavour, and making its pipeline.
#include "vk_internal.h"

#include "base/memory.h"

#include <string.h>

static bool can_run(const tv_caps *caps, const tv_kernel_code *code)
{
    const struct {
        uint32_t flavor;
        bool allowed;
    } needs[] = {{TV_FLAVOR_TEXEL, caps->texel},         {TV_FLAVOR_SUBGROUP, caps->subgroup != 0},
                 {TV_FLAVOR_STORAGE16, caps->storage16}, {TV_FLAVOR_COOP, caps->coop},
                 {TV_FLAVOR_COOP2, caps->coop2},         {TV_FLAVOR_BF16, caps->bf16}};
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (code->flavor & needs[i].flavor && !needs[i].allowed)
            return false;
    return code->spirv && (code->width == 0 || code->width == caps->subgroup);
}

// One point per flavour bit; a kernel written for exactly this width wins over a general one.
static int richness(const tv_kernel_code *code)
{
    return 2 * __builtin_popcount(code->flavor) + (code->width != 0);
}

const tv_kernel_code *tv_vk_kernel_find(const tv_device *device, const char *name)
{
    const tv_kernel_code *best = NULL;
    for (size_t i = 0; i < tv_kernel_code_count; i++) {
        const tv_kernel_code *code = &tv_kernel_codes[i];
        if (strcmp(code->name, name) == 0 && can_run(&device->info.caps, code) &&
            (!best || richness(code) > richness(best)))
            best = code;
    }
    return best;
}

static tv_err make_layouts(tv_vk_device *device, const tv_kernel_code *code, tv_vk_kernel *kernel)
{
    VkDescriptorSetLayoutBinding bindings[TV_VK_DESCRIPTORS_MAX];
    TV_CHECK(code->descriptor_count <= TV_VK_DESCRIPTORS_MAX, "%s: too many descriptors",
             code->name);
    for (uint32_t i = 0; i < code->descriptor_count; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){
            .binding = code->descriptors[i].binding,
            .descriptorType = code->descriptors[i].kind == TV_DESCRIPTOR_STORAGE
                                  ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER
                                  : VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER,
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
        };
    VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = code->descriptor_count,
        .pBindings = bindings,
    };
    TV_TRY(VK(
        device->vk.vkCreateDescriptorSetLayout(device->handle, &set, NULL, &kernel->set_layout)));
    VkPushConstantRange constants = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(tv_args)};
    VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &kernel->set_layout,
        .pushConstantRangeCount = 1,
        .pPushConstantRanges = &constants,
    };
    return VK(device->vk.vkCreatePipelineLayout(device->handle, &layout, NULL, &kernel->layout));
}

// Full subgroups where rows are reduced by them; their size is asked for where there are several.
static void choose_subgroups(const tv_vk_device *device, const tv_kernel_code *code, uint32_t group,
                             VkPipelineShaderStageRequiredSubgroupSizeCreateInfo *size,
                             VkPipelineShaderStageCreateInfo *stage)
{
    uint32_t lanes = device->caps->subgroup;
    if (!(code->flavor & TV_FLAVOR_SUBGROUP) || !device->physical.full_subgroups ||
        group % lanes != 0)
        return;
    stage->flags |= VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    if (device->physical.require_subgroup_size) {
        size->sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO;
        size->requiredSubgroupSize = lanes;
        stage->pNext = size;
    }
}

// Specialization constants by id, as shaders/tv.h lists them.
enum { CONSTANT_NATIVE_F16 = 5, CONSTANT_TYPES = 8 };
enum { CONSTANT_COUNT = CONSTANT_TYPES + TV_MAX_BINDINGS };

static void fill_constants(const tv_caps *caps, const tv_kernel_choice *choice,
                           uint32_t values[CONSTANT_COUNT])
{
    memset(values, 0, CONSTANT_COUNT * sizeof *values);
    values[0] = choice->group;
    memcpy(values + 1, choice->constants, sizeof choice->constants);
    values[CONSTANT_NATIVE_F16] = caps->f16 && caps->storage16;
    for (uint32_t i = 0; i < TV_MAX_BINDINGS; i++)
        values[CONSTANT_TYPES + i] = choice->storage[i];
}

static tv_err make_pipeline(tv_vk_device *device, const tv_kernel_code *code,
                            const tv_kernel_choice *choice, VkShaderModule module,
                            tv_vk_kernel *kernel)
{
    uint32_t values[CONSTANT_COUNT];
    VkSpecializationMapEntry entries[CONSTANT_COUNT];
    fill_constants(device->caps, choice, values);
    for (uint32_t i = 0; i < CONSTANT_COUNT; i++)
        entries[i] = (VkSpecializationMapEntry){i, i * (uint32_t)sizeof *values, sizeof *values};
    VkSpecializationInfo constants = {CONSTANT_COUNT, entries, sizeof values, values};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo size = {0};
    VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &constants},
        .layout = kernel->layout,
    };
    choose_subgroups(device, code, choice->group, &size, &info.stage);
    return VK(device->vk.vkCreateComputePipelines(device->handle, device->cache, 1, &info, NULL,
                                                  &kernel->pipeline));
}

static void destroy_parts(tv_vk_device *device, tv_vk_kernel *kernel)
{
    device->vk.vkDestroyPipeline(device->handle, kernel->pipeline, NULL);
    device->vk.vkDestroyPipelineLayout(device->handle, kernel->layout, NULL);
    device->vk.vkDestroyDescriptorSetLayout(device->handle, kernel->set_layout, NULL);
    tv_free(kernel);
}

tv_err tv_vk_kernel_create(tv_device *head, const tv_kernel_code *code,
                           const tv_kernel_choice *choice, tv_kernel **kernel)
{
    tv_vk_device *device = (tv_vk_device *)head;
    tv_vk_kernel *made = tv_alloc(1, sizeof *made);
    VkShaderModule module = VK_NULL_HANDLE;
    VkShaderModuleCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
        .codeSize = code->spirv_words * sizeof *code->spirv,
        .pCode = code->spirv,
    };
    tv_err err = make_layouts(device, code, made);
    if (err == TV_OK)
        err = VK(device->vk.vkCreateShaderModule(device->handle, &info, NULL, &module));
    if (err == TV_OK)
        err = make_pipeline(device, code, choice, module, made);
    device->vk.vkDestroyShaderModule(device->handle, module, NULL);
    if (err != TV_OK) {
        destroy_parts(device, made);
        return tv_fail_in(err, "%s: kernel '%s'", head->info.name, code->name);
    }
    *kernel = &made->head;
    return TV_OK;
}

void tv_vk_kernel_destroy(tv_kernel *head)
{
    destroy_parts((tv_vk_device *)head->device, (tv_vk_kernel *)head);
}
