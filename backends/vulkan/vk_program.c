// Vulkan: programs. A segment is one command buffer, recorded once and submitted at every run.
#include "vk_internal.h"

#include "base/memory.h"

#include <string.h>

enum { DESTROY_TIMEOUT_SECONDS = 120 };

typedef struct vk_program {
    tv_program head;
    tv_vk_descriptors descriptors;
    // All that follows is made anew at each recording.
    VkCommandPool pool;
    VkCommandBuffer *commands; // per segment
    size_t count;              // segments
    size_t submitted;          // of the latest run
    VkQueryPool queries;       // begin and end of each segment; none without timestamps
    VkSemaphore timeline;      // segment i of a run ends at `base` + i + 1
    uint64_t base;
    VkFence *fences; // per segment, without timeline semaphores
} vk_program;

static tv_vk_device *device_of(const vk_program *program)
{
    return (tv_vk_device *)program->head.device;
}

// -------------------------------------------------------------------------------------- recording

static void record_dispatch(const vk_program *program, size_t index, VkCommandBuffer commands)
{
    const tv_vk_device *device = device_of(program);
    const tv_dispatch *dispatch = &program->head.commands[index].dispatch;
    const tv_vk_kernel *kernel = (const tv_vk_kernel *)dispatch->kernel;
    device->vk.vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, kernel->pipeline);
    device->vk.vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, kernel->layout, 0,
                                       1, &program->descriptors.sets[index], 0, NULL);
    device->vk.vkCmdPushConstants(commands, kernel->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                  sizeof dispatch->args, &dispatch->args);
    device->vk.vkCmdDispatch(commands, dispatch->groups[0], dispatch->groups[1],
                             dispatch->groups[2]);
}

// What went before may have been another segment, another program or a copy.
static void record_segment_start(const vk_program *program, VkCommandBuffer commands)
{
    tv_vk_barrier(device_of(program), commands,
                  VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                  VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                  VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                  VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
}

static tv_err record_segment(vk_program *program, size_t index)
{
    const tv_vk_device *device = device_of(program);
    const tv_segment *segment = &program->head.segments[index];
    VkCommandBuffer commands = program->commands[index];
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    uint32_t query = 2 * (uint32_t)index;
    TV_TRY(VK(device->vk.vkBeginCommandBuffer(commands, &begin)));
    record_segment_start(program, commands);
    if (program->queries) {
        device->vk.vkCmdResetQueryPool(commands, program->queries, query, 2);
        device->vk.vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT,
                                       program->queries, query);
    }
    for (size_t i = segment->first; i < segment->first + segment->count; i++) {
        tv_command_kind kind = program->head.commands[i].kind;
        if (kind == TV_COMMAND_DISPATCH)
            record_dispatch(program, i, commands);
        else if (kind == TV_COMMAND_BARRIER)
            tv_vk_barrier(device, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                          VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                          VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    }
    if (program->queries)
        device->vk.vkCmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT,
                                       program->queries, query + 1);
    tv_vk_barrier(device, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                  VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    return VK(device->vk.vkEndCommandBuffer(commands));
}

static tv_err make_commands(vk_program *program)
{
    tv_vk_device *device = device_of(program);
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .queueFamilyIndex = device->physical.queue_family,
    };
    TV_TRY(VK(device->vk.vkCreateCommandPool(device->handle, &pool, NULL, &program->pool)));
    VkCommandBufferAllocateInfo commands = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = program->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = (uint32_t)program->count,
    };
    program->commands = tv_alloc(program->count, sizeof *program->commands);
    TV_TRY(VK(device->vk.vkAllocateCommandBuffers(device->handle, &commands, program->commands)));
    if (device->physical.timestamp_bits == 0)
        return TV_OK;
    VkQueryPoolCreateInfo queries = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = 2 * (uint32_t)program->count,
    };
    return VK(device->vk.vkCreateQueryPool(device->handle, &queries, NULL, &program->queries));
}

static tv_err make_signals(vk_program *program)
{
    tv_vk_device *device = device_of(program);
    if (device->wait_semaphores) {
        VkSemaphoreTypeCreateInfo type = {
            .sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
        };
        VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                      .pNext = &type};
        program->base = 0;
        return VK(device->vk.vkCreateSemaphore(device->handle, &info, NULL, &program->timeline));
    }
    VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    program->fences = tv_alloc(program->count, sizeof *program->fences);
    for (size_t i = 0; i < program->count; i++)
        TV_TRY(VK(device->vk.vkCreateFence(device->handle, &info, NULL, &program->fences[i])));
    return TV_OK;
}

static void finish_recording(vk_program *program)
{
    tv_vk_device *device = device_of(program);
    device->vk.vkDestroyCommandPool(device->handle, program->pool, NULL);
    device->vk.vkDestroyQueryPool(device->handle, program->queries, NULL);
    device->vk.vkDestroySemaphore(device->handle, program->timeline, NULL);
    for (size_t i = 0; program->fences && i < program->count; i++)
        device->vk.vkDestroyFence(device->handle, program->fences[i], NULL);
    tv_free(program->fences);
    tv_free(program->commands);
    program->pool = VK_NULL_HANDLE;
    program->queries = VK_NULL_HANDLE;
    program->timeline = VK_NULL_HANDLE;
    program->fences = NULL;
    program->commands = NULL;
    program->count = program->submitted = 0;
}

tv_err tv_vk_program_create(tv_device *head, tv_program **program)
{
    (void)head;
    vk_program *made = tv_alloc(1, sizeof *made);
    *program = &made->head;
    return TV_OK;
}

tv_err tv_vk_program_record(tv_program *head)
{
    vk_program *program = (vk_program *)head;
    tv_vk_device *device = device_of(program);
    if (!program->descriptors.sets)
        TV_TRY(tv_vk_descriptors_init(device, head->commands, head->command_count,
                                      &program->descriptors));
    finish_recording(program);
    program->count = head->segment_count;
    TV_TRY(make_commands(program));
    TV_TRY(make_signals(program));
    for (size_t i = 0; i < program->count; i++)
        TV_TRY(record_segment(program, i));
    return TV_OK;
}

void tv_vk_program_destroy(tv_program *head)
{
    vk_program *program = (vk_program *)head;
    // Its result does not matter: a device that does not answer cannot be helped here.
    if (program->submitted > 0)
        (void)tv_vk_program_wait(head, program->submitted - 1, DESTROY_TIMEOUT_SECONDS);
    finish_recording(program);
    tv_vk_descriptors_finish(device_of(program), &program->descriptors);
    tv_free(program);
}

// ---------------------------------------------------------------------------------------- running

static tv_err submit_segment(vk_program *program, size_t index)
{
    tv_vk_device *device = device_of(program);
    uint64_t value = program->base + index + 1;
    VkTimelineSemaphoreSubmitInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &value,
    };
    VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
        .pNext = program->timeline ? &timeline : NULL,
        .commandBufferCount = 1,
        .pCommandBuffers = &program->commands[index],
        .signalSemaphoreCount = program->timeline ? 1 : 0,
        .pSignalSemaphores = &program->timeline,
    };
    VkFence fence = program->fences ? program->fences[index] : VK_NULL_HANDLE;
    return VK(device->vk.vkQueueSubmit(device->queue, 1, &submit, fence));
}

tv_err tv_vk_program_run(tv_program *head)
{
    vk_program *program = (vk_program *)head;
    tv_vk_device *device = device_of(program);
    program->base += program->submitted;
    if (program->fences && program->submitted > 0)
        TV_TRY(VK(device->vk.vkResetFences(device->handle, (uint32_t)program->submitted,
                                           program->fences)));
    program->submitted = 0;
    // One submission each, so that a watchdog counts them one by one.
    for (size_t i = 0; i < program->count; i++) {
        TV_TRY(submit_segment(program, i));
        program->submitted++;
    }
    return TV_OK;
}

static const char *label_in(const tv_program *program, const tv_segment *segment, bool last)
{
    const char *label = "nothing";
    for (size_t i = segment->first; i < segment->first + segment->count; i++)
        if (program->commands[i].kind == TV_COMMAND_DISPATCH) {
            label = program->commands[i].dispatch.label;
            if (!last)
                break;
        }
    return label;
}

static tv_err wait_failed(const tv_program *program, size_t segment, VkResult result)
{
    if (result != VK_ERROR_DEVICE_LOST || !program->segments)
        return tv_vk_result(result, "vkWaitSemaphores");
    const tv_segment *ran = &program->segments[segment];
    return tv_fail(TV_ELOST, "%s: the device was lost in or before part %zu of %zu ('%s' to '%s')",
                   program->device->info.name, segment + 1, program->segment_count,
                   label_in(program, ran, false), label_in(program, ran, true));
}

tv_err tv_vk_program_wait(tv_program *head, size_t segment, double timeout_s)
{
    vk_program *program = (vk_program *)head;
    tv_vk_device *device = device_of(program);
    uint64_t timeout = (uint64_t)(timeout_s * 1e9), value = program->base + segment + 1;
    VkResult result;
    if (program->timeline) {
        VkSemaphoreWaitInfo info = {
            .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
            .semaphoreCount = 1,
            .pSemaphores = &program->timeline,
            .pValues = &value,
        };
        result = device->wait_semaphores(device->handle, &info, timeout);
    } else {
        result = device->vk.vkWaitForFences(device->handle, 1, &program->fences[segment], VK_TRUE,
                                            timeout);
    }
    if (result == VK_TIMEOUT)
        return TV_ETIMEOUT;
    return result < 0 ? wait_failed(head, segment, result) : TV_OK;
}

double tv_vk_segment_seconds(const tv_program *head, size_t segment)
{
    const vk_program *program = (const vk_program *)head;
    tv_vk_device *device = device_of(program);
    uint64_t ticks[2];
    if (!program->queries ||
        device->vk.vkGetQueryPoolResults(device->handle, program->queries, 2 * (uint32_t)segment, 2,
                                         sizeof ticks, ticks, sizeof *ticks,
                                         VK_QUERY_RESULT_64_BIT) != VK_SUCCESS)
        return 0;
    uint32_t bits = device->physical.timestamp_bits;
    uint64_t mask = bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    uint64_t passed = (ticks[1] - ticks[0]) & mask; // the counter may wrap around
    return (double)passed * device->physical.properties.limits.timestampPeriod * 1e-9;
}
