// OpenCL: programs. A segment is one command buffer, recorded once, where the device has them, and
// else a run of enqueued kernels. Its events say when it is over and how long it took.
#include "cl_internal.h"

#include "base/clock.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { DESTROY_TIMEOUT_SECONDS = 120 };

// Polling: the sleeps grow with the time waited, so that it costs a wait at most this share. A bell
// ends them.
static const double POLL_SHARE = 1.0 / 16, POLL_MIN_SECONDS = 10e-6, POLL_MAX_SECONDS = 500e-6;
static const double BELL_MAX_SECONDS = 0.1;
static const double LET_GO_SECONDS = 10;

typedef struct segment_run {
    cl_command_buffer_khr commands; // NULL: its kernels are enqueued one by one
    cl_event first, last;           // of the latest run; `first` only where it is not `last`
} segment_run;

typedef struct recorded {
    tv_program head;
    tv_cl_calls calls;
    pthread_mutex_t lock;  // guards the events and `submitted`
    segment_run *segments; // made anew at each recording
    size_t count;
    size_t submitted; // of the latest run
} recorded;

static tv_cl_device *device_of(const recorded *program)
{
    return (tv_cl_device *)program->head.device;
}

// -------------------------------------------------------------------------------------- recording

// Into `commands`, or on to the queue with an event where one is wanted.
static tv_err add_dispatch(const recorded *program, size_t index, cl_command_buffer_khr commands,
                           cl_event *event)
{
    const tv_cl_device *device = device_of(program);
    const tv_dispatch *dispatch = &program->head.commands[index].dispatch;
    cl_kernel kernel = program->calls.kernels[index];
    size_t group[3] = {dispatch->kernel->choice.group, 1, 1};
    size_t items[3] = {dispatch->groups[0] * group[0], dispatch->groups[1], dispatch->groups[2]};
    cl_int status;
    if (commands)
        status = device->command_buffers.kernel(commands, NULL, NULL, kernel, 3, NULL, items, group,
                                                0, NULL, NULL, NULL);
    else
        status = device->cl.clEnqueueNDRangeKernel(device->queue, kernel, 3, NULL, items, group, 0,
                                                   NULL, event);
    if (status == CL_SUCCESS)
        return TV_OK;
    tv_err err =
        tv_cl_status(status, commands ? "clCommandNDRangeKernelKHR" : "clEnqueueNDRangeKernel");
    return tv_fail_in(err, "%s", dispatch->label);
}

static bool is_dispatch(const recorded *program, size_t index)
{
    return program->head.commands[index].kind == TV_COMMAND_DISPATCH;
}

static size_t count_dispatches(const recorded *program, const tv_segment *segment)
{
    size_t dispatches = 0;
    for (size_t i = 0; i < segment->count; i++)
        dispatches += is_dispatch(program, segment->first + i);
    return dispatches;
}

static tv_err record_segment(recorded *program, size_t index)
{
    tv_cl_device *device = device_of(program);
    const tv_segment *segment = &program->head.segments[index];
    segment_run *run = &program->segments[index];
    if (count_dispatches(program, segment) < 2) // a single kernel has an event of its own
        return TV_OK;
    cl_int status;
    run->commands = device->command_buffers.create(1, &device->queue, NULL, &status);
    TV_TRY(tv_cl_status(status, "clCreateCommandBufferKHR"));
    for (size_t i = segment->first; i < segment->first + segment->count; i++)
        if (is_dispatch(program, i))
            TV_TRY(add_dispatch(program, i, run->commands, NULL));
    return tv_cl_status(device->command_buffers.finalize(run->commands),
                        "clFinalizeCommandBufferKHR");
}

static void release_events(recorded *program)
{
    const tv_cl_device *device = device_of(program);
    pthread_mutex_lock(&program->lock);
    for (size_t i = 0; i < program->count; i++) {
        segment_run *run = &program->segments[i];
        if (run->first)
            device->cl.clReleaseEvent(run->first);
        if (run->last)
            device->cl.clReleaseEvent(run->last);
        run->first = run->last = NULL;
    }
    program->submitted = 0;
    pthread_mutex_unlock(&program->lock);
}

static void finish_recording(recorded *program)
{
    const tv_cl_device *device = device_of(program);
    release_events(program);
    for (size_t i = 0; i < program->count; i++)
        if (program->segments[i].commands)
            device->command_buffers.release(program->segments[i].commands);
    tv_free(program->segments);
    program->segments = NULL;
    program->count = 0;
}

tv_err tv_cl_program_create(tv_device *head, tv_program **program)
{
    (void)head;
    recorded *made = tv_alloc(1, sizeof *made);
    pthread_mutex_init(&made->lock, NULL);
    *program = &made->head;
    return TV_OK;
}

tv_err tv_cl_program_record(tv_program *head)
{
    recorded *program = (recorded *)head;
    const tv_cl_device *device = device_of(program);
    if (!program->calls.kernels)
        TV_TRY(tv_cl_calls_init(device, head->commands, head->command_count, &program->calls));
    finish_recording(program);
    program->segments = tv_alloc(head->segment_count, sizeof *program->segments);
    program->count = head->segment_count;
    for (size_t i = 0; i < program->count && device->command_buffers.create; i++)
        TV_TRY(record_segment(program, i));
    return TV_OK;
}

void tv_cl_program_destroy(tv_program *head)
{
    recorded *program = (recorded *)head;
    tv_cl_device *device = device_of(program);
    // A device that does not answer cannot be helped here; nothing waits for it again.
    if (program->submitted > 0 &&
        tv_cl_program_wait(head, program->submitted - 1, DESTROY_TIMEOUT_SECONDS) != TV_OK)
        atomic_store(&device->head.lost, true);
    tv_cl_settle(device);
    finish_recording(program);
    tv_cl_calls_finish(device, &program->calls);
    pthread_mutex_destroy(&program->lock);
    tv_free(program);
}

// ---------------------------------------------------------------------------------------- running

// Events are wanted of the first kernel, whose start is the segment's, and of the last one, which
// is the end of all: the queue is in order.
static tv_err enqueue_kernels(const recorded *program, const tv_segment *segment, cl_event *first,
                              cl_event *last)
{
    const tv_cl_device *device = device_of(program);
    size_t total = count_dispatches(program, segment), done = 0;
    if (total == 0)
        return CL(device->cl.clEnqueueMarkerWithWaitList(device->queue, 0, NULL, last));
    for (size_t i = segment->first; i < segment->first + segment->count; i++) {
        if (!is_dispatch(program, i))
            continue;
        done++;
        TV_TRY(add_dispatch(program, i, NULL, done == total ? last : done == 1 ? first : NULL));
    }
    return TV_OK;
}

static void sleep_for(double seconds)
{
    struct timespec time = {(time_t)seconds, (long)(fmod(seconds, 1) * 1e9)};
    nanosleep(&time, NULL);
}

// The start is a marker's, since PoCL 3.1 gives a command buffer's event the time of its end only.
// It also lets go of a command buffer only some time after that event is complete, in a callback,
// and refuses to run it again until then.
static tv_err enqueue_commands(const recorded *program, cl_command_buffer_khr commands,
                               cl_event *first, cl_event *last)
{
    const tv_cl_device *device = device_of(program);
    TV_TRY(CL(device->cl.clEnqueueMarkerWithWaitList(device->queue, 0, NULL, first)));
    double since = tv_now_seconds();
    cl_int status = device->command_buffers.enqueue(0, NULL, commands, 0, NULL, last);
    while (status == CL_INVALID_OPERATION && tv_now_seconds() - since < LET_GO_SECONDS) {
        sleep_for(POLL_MIN_SECONDS);
        status = device->command_buffers.enqueue(0, NULL, commands, 0, NULL, last);
    }
    return tv_cl_status(status, "clEnqueueCommandBufferKHR");
}

static tv_err submit_segment(recorded *program, size_t index)
{
    tv_cl_device *device = device_of(program);
    segment_run *run = &program->segments[index];
    cl_event first = NULL, last = NULL;
    tv_err err;
    if (run->commands)
        err = enqueue_commands(program, run->commands, &first, &last);
    else
        err = enqueue_kernels(program, &program->head.segments[index], &first, &last);
    pthread_mutex_lock(&program->lock);
    run->first = first;
    run->last = last;
    if (err == TV_OK)
        program->submitted++;
    pthread_mutex_unlock(&program->lock);
    TV_TRY(err);
    tv_cl_bell_attach(device, last);
    return CL(device->cl.clFlush(device->queue));
}

tv_err tv_cl_program_run(tv_program *head)
{
    recorded *program = (recorded *)head;
    release_events(program);
    // One submission each, so that a watchdog counts them one by one.
    for (size_t i = 0; i < program->count; i++)
        TV_TRY(submit_segment(program, i));
    return TV_OK;
}

// CL_QUEUED while it is not even submitted; negative: it failed.
static cl_int look(recorded *program, size_t segment)
{
    const tv_cl_device *device = device_of(program);
    cl_int status = CL_QUEUED;
    pthread_mutex_lock(&program->lock);
    if (segment < program->submitted) {
        cl_int failure = device->cl.clGetEventInfo(program->segments[segment].last,
                                                   CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status,
                                                   &status, NULL);
        status = failure == CL_SUCCESS ? status : failure;
    }
    pthread_mutex_unlock(&program->lock);
    return status;
}

static const char *label_in(const recorded *program, const tv_segment *segment, bool last)
{
    const char *label = "nothing";
    for (size_t i = segment->first; i < segment->first + segment->count; i++)
        if (is_dispatch(program, i)) {
            label = program->head.commands[i].dispatch.label;
            if (!last)
                break;
        }
    return label;
}

// A kernel that was on its way and failed leaves nothing that can be trusted.
static tv_err wait_failed(const recorded *program, size_t segment, cl_int status)
{
    const tv_program *head = &program->head;
    if (!head->segments) // it is being destroyed
        return TV_ELOST;
    const tv_segment *ran = &head->segments[segment];
    return tv_fail(
        TV_ELOST, "%s: the device was lost in or before part %zu of %zu ('%s' to '%s'): %s (%d)",
        head->device->info.name, segment + 1, head->segment_count, label_in(program, ran, false),
        label_in(program, ran, true), tv_cl_status_text(status), (int)status);
}

// By polling: clWaitForEvents has no timeout, and some drivers spin in it.
tv_err tv_cl_program_wait(tv_program *head, size_t segment, double timeout_s)
{
    recorded *program = (recorded *)head;
    tv_cl_bell *bell = device_of(program)->bell;
    double since = tv_now_seconds();
    for (;;) {
        uint64_t rings = tv_cl_bell_rings(bell);
        cl_int status = look(program, segment);
        if (status == CL_COMPLETE)
            return TV_OK;
        if (status < 0)
            return wait_failed(program, segment, status);
        double waited = tv_now_seconds() - since, left = timeout_s - waited;
        if (left <= 0)
            return TV_ETIMEOUT;
        double pause = fmax(POLL_MIN_SECONDS, fmin(waited * POLL_SHARE, POLL_MAX_SECONDS));
        if (bell)
            tv_cl_bell_wait(bell, rings, fmin(BELL_MAX_SECONDS, left));
        else
            sleep_for(fmin(pause, left));
    }
}

double tv_cl_segment_seconds(const tv_program *head, size_t segment)
{
    recorded *program = (recorded *)head;
    const tv_cl_api *cl = &device_of(program)->cl;
    cl_ulong start = 0, end = 0;
    cl_int status = CL_PROFILING_INFO_NOT_AVAILABLE;
    pthread_mutex_lock(&program->lock);
    if (segment < program->submitted) {
        const segment_run *run = &program->segments[segment];
        status =
            cl->clGetEventProfilingInfo(run->first ? run->first : run->last,
                                        CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
        if (status == CL_SUCCESS)
            status = cl->clGetEventProfilingInfo(run->last, CL_PROFILING_COMMAND_END, sizeof end,
                                                 &end, NULL);
    }
    pthread_mutex_unlock(&program->lock);
    return status == CL_SUCCESS && end > start ? (double)(end - start) * 1e-9 : 0;
}
