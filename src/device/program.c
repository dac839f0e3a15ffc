// Programs: the command list, its checks, and when it runs and is over.
#include "device/front.h"

#include "base/clock.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>
#include <time.h>

static const double SEGMENT_SECONDS = 0.1;   // what one submission may cost
static const double DISPATCH_SECONDS = 0.05; // what one dispatch may cost
static const double CPU_DISPATCH_MIN = 1e11; // FLOP; a software driver has no watchdog
static const double MEASURE_SECONDS = 0.01;  // shorter segments say little about the rate
static const double TIMEOUT_SECONDS = 120;
static const double SLICE_SECONDS = 1; // how often a waiting thread looks for progress elsewhere

// ---------------------------------------------------------------------------------- command list

tv_err tv_program_create(tv_device *device, tv_program **program)
{
    TV_CHECK(device && program, "no device, or no place for the program");
    TV_TRY(tv_device_alive(device));
    tv_program *made = NULL;
    TV_TRY(tv_device_note(device, device->backend->program_create(device, &made)));
    made->device = device;
    device->programs++;
    *program = made;
    return TV_OK;
}

static tv_command *append(tv_program *program, tv_command_kind kind)
{
    TV_CHECK(program && !program->finished, "a finished program takes no further commands");
    TV_RESERVE(program->commands, program->command_capacity, program->command_count + 1);
    tv_command *command = &program->commands[program->command_count++];
    *command = (tv_command){.kind = kind};
    return command;
}

void tv_program_dispatch(tv_program *program, const tv_dispatch *dispatch)
{
    TV_CHECK(dispatch->label && dispatch->kernel, "a dispatch without label or kernel");
    TV_CHECK(dispatch->kernel->device == program->device, "%s: a kernel of another device",
             dispatch->label);
    TV_CHECK(dispatch->binding_count <= TV_MAX_BINDINGS, "%s: %u bindings", dispatch->label,
             dispatch->binding_count);
    TV_CHECK(dispatch->work >= 0 && isfinite(dispatch->work), "%s: bad work", dispatch->label);
    for (uint32_t i = 0; i < dispatch->binding_count; i++) {
        const tv_binding *binding = &dispatch->bindings[i];
        TV_CHECK(binding->buffer && binding->buffer->device == program->device,
                 "%s: binding %u has no buffer of this device", dispatch->label, i);
        TV_CHECK(binding->access >= TV_READ && binding->access <= TV_READ_WRITE,
                 "%s: binding %u has no access", dispatch->label, i);
    }
    append(program, TV_COMMAND_DISPATCH)->dispatch = *dispatch;
}

void tv_program_barrier(tv_program *program)
{
    append(program, TV_COMMAND_BARRIER);
}

tv_mark tv_program_mark(tv_program *program)
{
    append(program, TV_COMMAND_MARK);
    return ++program->mark_count;
}

// ----------------------------------------------------------------------------------------- checks

static tv_err check_binding(const tv_dispatch *dispatch, uint32_t slot, const tv_caps *caps)
{
    const tv_binding *binding = &dispatch->bindings[slot];
    uint64_t total = binding->buffer->size;
    if (binding->size == 0 || binding->offset > total || binding->size > total - binding->offset)
        return tv_fail(TV_EDEVICE, "%s: binding %u: %llu bytes at %llu in a buffer of %llu",
                       dispatch->label, slot, (unsigned long long)binding->size,
                       (unsigned long long)binding->offset, (unsigned long long)total);
    if (binding->offset % TV_BINDING_ALIGNMENT != 0)
        return tv_fail(TV_EDEVICE, "%s: binding %u: offset %llu is no multiple of %d",
                       dispatch->label, slot, (unsigned long long)binding->offset,
                       TV_BINDING_ALIGNMENT);
    if (binding->size > caps->max_range)
        return tv_fail(TV_EDEVICE, "%s: binding %u: %llu bytes, the device takes %llu",
                       dispatch->label, slot, (unsigned long long)binding->size,
                       (unsigned long long)caps->max_range);
    return TV_OK;
}

static tv_err check_dispatch(const tv_dispatch *dispatch, const tv_caps *caps)
{
    const tv_kernel_code *code = dispatch->kernel->code;
    for (uint32_t i = 0; i < dispatch->binding_count; i++)
        TV_TRY(check_binding(dispatch, i, caps));
    for (uint32_t i = 0; i < code->descriptor_count; i++)
        if (code->descriptors[i].binding % TV_TEXEL_SLOT >= dispatch->binding_count)
            return tv_fail(TV_EDEVICE, "%s: kernel '%s' wants more than %u bindings",
                           dispatch->label, code->name, dispatch->binding_count);
    for (int i = 0; i < 3; i++)
        if (dispatch->groups[i] == 0 || dispatch->groups[i] > caps->max_groups[i])
            return tv_fail(TV_EDEVICE, "%s: %u groups in %c, the device takes 1 to %u",
                           dispatch->label, dispatch->groups[i], "xyz"[i], caps -> max_groups[i]);
    return TV_OK;
}

// ---------------------------------------------------------------------------------------- cutting

double tv_rate_guess(tv_device_class device_class)
{
    switch (device_class) {
    case TV_CLASS_CPU:
        return 20e9;
    case TV_CLASS_INTEGRATED:
        return 50e9;
    default:
        return 500e9;
    }
}

static double current_rate(const tv_device *device)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&device->lock;
    pthread_mutex_lock(lock);
    double rate = device->rate;
    pthread_mutex_unlock(lock);
    return rate;
}

double tv_device_dispatch_budget(const tv_device *device)
{
    double budget = DISPATCH_SECONDS * current_rate(device);
    bool software = device->info.device_class == TV_CLASS_CPU;
    return software && budget < CPU_DISPATCH_MIN ? CPU_DISPATCH_MIN : budget;
}

static tv_segment end_segment(tv_program *program, tv_segment segment)
{
    TV_RESERVE(program->segments, program->segment_capacity, program->segment_count + 1);
    program->segments[program->segment_count++] = segment;
    return (tv_segment){.first = segment.first + segment.count, .mark = TV_NO_MARK};
}

static bool has_dispatch(const tv_program *program, tv_segment segment)
{
    for (size_t i = segment.first; i < segment.first + segment.count; i++)
        if (program->commands[i].kind == TV_COMMAND_DISPATCH)
            return true;
    return false;
}

// A profiled program has a segment for each dispatch.
static void cut(tv_program *program, double rate)
{
    double budget = SEGMENT_SECONDS * rate;
    tv_segment segment = {.mark = TV_NO_MARK};
    tv_mark mark = 0;
    program->segment_count = 0;
    for (size_t i = 0; i < program->command_count; i++) {
        const tv_command *command = &program->commands[i];
        bool dispatch = command->kind == TV_COMMAND_DISPATCH;
        double work = dispatch ? command->dispatch.work : 0;
        bool full = work > 0 && segment.work > 0 && segment.work + work > budget;
        if (program->profiled ? dispatch && has_dispatch(program, segment) : full)
            segment = end_segment(program, segment);
        segment.work += work;
        segment.count++;
        if (command->kind == TV_COMMAND_MARK) {
            segment.mark = ++mark;
            segment = end_segment(program, segment);
        }
    }
    if (segment.count > 0 || program->segment_count == 0)
        end_segment(program, segment);
    program->cut_rate = rate;
}

static tv_err record(tv_program *program, double rate)
{
    cut(program, rate);
    return tv_device_note(program->device, program->device->backend->program_record(program));
}

tv_err tv_program_finish(tv_program *program)
{
    TV_CHECK(program && !program->finished, "finished twice");
    TV_TRY(tv_device_alive(program->device));
    for (size_t i = 0; i < program->command_count; i++)
        if (program->commands[i].kind == TV_COMMAND_DISPATCH)
            TV_TRY(check_dispatch(&program->commands[i].dispatch, &program->device->info.caps));
    TV_TRY(record(program, current_rate(program->device)));
    program->finished = true;
    return TV_OK;
}

// ---------------------------------------------------------------------------------------- running

static bool cut_is_stale(const tv_program *program, double rate)
{
    return !program->profiled && (rate > 2 * program->cut_rate || rate < program->cut_rate / 2);
}

// With the lock held. The slowest segment counts, since it is what a watchdog would bite; the mean
// with the rate so far damps a single disturbance.
static void measure(tv_program *program)
{
    tv_device *device = program->device;
    double slowest = 0, since = tv_thread_seconds();
    program->seconds = 0;
    for (size_t i = 0; i < program->segment_count; i++) {
        double seconds = device->backend->segment_seconds(program, i) / device->info.caps.speed;
        double rate = program->segments[i].work / (seconds > 0 ? seconds : 1);
        program->seconds += seconds;
        if (seconds >= MEASURE_SECONDS && rate > 0 && (slowest == 0 || rate < slowest))
            slowest = rate;
    }
    device->driver_seconds += tv_thread_seconds() - since;
    // Drivers compile at the first run. Single dispatches may be far from what a device can do.
    if (slowest > 0 && program->runs > 1 && !program->profiled)
        device->rate = sqrt(device->rate * slowest);
}

double tv_slowed_end(double before, double started, double seconds, double speed)
{
    return fmax(before, started) + seconds / speed;
}

// With the lock held, where a mask lowers the speed: sets the ends of the program's segments up to
// `last`, which are over, and of all programs before it.
static void time_segments(tv_program *program, size_t last)
{
    tv_device *device = program->device;
    double speed = device->info.caps.speed;
    if (speed >= 1)
        return;
    for (tv_program *p = device->in_flight; p; p = p->next) {
        for (size_t end = p == program ? last + 1 : p->segment_count; p->timed < end; p->timed++) {
            double seconds = device->backend->segment_seconds(p, p->timed);
            device->slow_end = tv_slowed_end(device->slow_end, p->started, seconds, speed);
            p->segments[p->timed].end = device->slow_end;
        }
        if (p == program)
            break;
    }
}

// A masked device is not busy for longer, but whoever waits for it is kept waiting.
static void wait_for_masked(tv_program *program, size_t segment)
{
    pthread_mutex_lock(&program->device->lock);
    double left = program->segments[segment].end - tv_now_seconds();
    pthread_mutex_unlock(&program->device->lock);
    if (left <= 0)
        return;
    struct timespec pause = {.tv_sec = (time_t)left};
    pause.tv_nsec = (long)(1e9 * (left - (double)pause.tv_sec));
    nanosleep(&pause, NULL);
}

// The segment is over, and so is all before it.
static void note_end(tv_program *program, size_t segment)
{
    tv_device *device = program->device;
    pthread_mutex_lock(&device->lock);
    if (program->running)
        time_segments(program, segment);
    while (program->running && segment + 1 == program->segment_count) {
        tv_program *oldest = device->in_flight;
        oldest->running = false;
        oldest->reached = oldest->segment_count;
        device->in_flight = oldest->next;
        measure(oldest);
    }
    pthread_mutex_unlock(&device->lock);
}

static void put_in_flight(tv_program *program)
{
    tv_device *device = program->device;
    pthread_mutex_lock(&device->lock);
    tv_program **end = &device->in_flight;
    while (*end)
        end = &(*end)->next;
    *end = program;
    program->next = NULL;
    program->running = true;
    program->reached = program->timed = 0;
    program->started = tv_now_seconds();
    program->runs++;
    pthread_mutex_unlock(&device->lock);
}

static bool is_running(tv_program *program)
{
    pthread_mutex_lock(&program->device->lock);
    bool running = program->running;
    pthread_mutex_unlock(&program->device->lock);
    return running;
}

tv_err tv_program_run(tv_program *program)
{
    TV_CHECK(program && program->finished, "an unfinished program cannot run");
    TV_CHECK(!is_running(program), "a program was run again before it was waited for");
    tv_device *device = program->device;
    TV_TRY(tv_device_alive(device));
    double rate = current_rate(device);
    if (cut_is_stale(program, rate))
        TV_TRY(record(program, rate));
    if (++device->runs == device->fault_run)
        return tv_device_note(
            device, tv_fail(TV_ELOST, "%s: lost, as TRIVIUM_FAULT asks", device->info.name));
    double since = tv_thread_seconds();
    tv_err err = device->backend->program_run(program);
    tv_device_count_driver(device, since);
    if (err != TV_OK) { // a part of it may be on its way
        atomic_store(&device->lost, true);
        return err;
    }
    put_in_flight(program);
    return TV_OK;
}

// True if any program reached a segment's end since the last look.
static bool made_progress(tv_device *device)
{
    bool progress = false;
    pthread_mutex_lock(&device->lock);
    for (tv_program *program = device->in_flight; program; program = program->next) {
        while (program->reached < program->segment_count &&
               device->backend->program_wait(program, program->reached, 0) == TV_OK) {
            program->reached++;
            progress = true;
        }
        if (program->reached < program->segment_count)
            break;
    }
    pthread_mutex_unlock(&device->lock);
    return progress;
}

static size_t find_segment(const tv_program *program, tv_mark mark)
{
    size_t last = program->segment_count - 1;
    for (size_t i = 0; mark != TV_MARK_END && i < last; i++)
        if (program->segments[i].mark == mark)
            return i;
    return last;
}

static tv_err wait_for_segment(tv_program *program, size_t segment, double timeout_s)
{
    tv_device *device = program->device;
    double since = tv_now_seconds();
    for (;;) {
        TV_TRY(tv_device_alive(device));
        double left = since + timeout_s - tv_now_seconds(), entered = tv_thread_seconds();
        double slice = fmax(0, fmin(left, SLICE_SECONDS));
        tv_err err = device->backend->program_wait(program, segment, slice);
        tv_device_count_driver(device, entered);
        if (err != TV_ETIMEOUT)
            return tv_device_note(device, err);
        if (made_progress(device))
            since = tv_now_seconds();
        else if (left <= 0)
            return tv_fail(TV_ETIMEOUT,
                           "%s: nothing was finished for %.3g s (waiting for part %zu of %zu)",
                           device->info.name, timeout_s, segment + 1, program->segment_count);
    }
}

tv_err tv_program_wait(tv_program *program, tv_mark mark, double timeout_s)
{
    TV_CHECK(program && program->finished, "an unfinished program cannot be waited for");
    TV_CHECK(mark <= program->mark_count, "mark %u of %u", mark, program->mark_count);
    TV_TRY(tv_device_alive(program->device));
    bool masked = program->device->info.caps.speed < 1, running = is_running(program);
    if (!running && !masked)
        return TV_OK;
    size_t segment = find_segment(program, mark);
    if (running) {
        TV_TRY(wait_for_segment(program, segment, timeout_s > 0 ? timeout_s : TIMEOUT_SECONDS));
        note_end(program, segment);
    }
    if (masked)
        wait_for_masked(program, segment);
    return TV_OK;
}

tv_err tv_device_drain(tv_device *device)
{
    pthread_mutex_lock(&device->lock);
    tv_program *youngest = device->in_flight;
    while (youngest && youngest->next)
        youngest = youngest->next;
    pthread_mutex_unlock(&device->lock);
    if (!youngest)
        return tv_device_alive(device);
    return tv_program_wait(youngest, TV_MARK_END, 0);
}

double tv_program_seconds(const tv_program *program)
{
    return program->seconds;
}

// -------------------------------------------------------------------------------------- profiling

tv_err tv_program_profile(tv_program *program, bool on)
{
    TV_CHECK(program && program->finished, "an unfinished program cannot be profiled");
    TV_CHECK(!is_running(program), "a program that runs cannot be cut anew");
    TV_TRY(tv_device_alive(program->device));
    if (program->profiled == on)
        return TV_OK;
    program->profiled = on;
    program->runs = 0;
    return record(program, current_rate(program->device));
}

void tv_program_dispatch_seconds(tv_program *program, double *seconds)
{
    const tv_device *device = program->device;
    TV_CHECK(program->profiled && program->runs > 0 && !is_running(program),
             "no profiled run that is over");
    for (size_t i = 0; i < program->segment_count; i++)
        if (has_dispatch(program, program->segments[i]))
            *seconds++ = device->backend->segment_seconds(program, i) / device->info.caps.speed;
}

void tv_program_destroy(tv_program **program)
{
    tv_program *old = *program;
    *program = NULL;
    if (!old)
        return;
    tv_device *device = old->device;
    pthread_mutex_lock(&device->lock);
    for (tv_program **link = &device->in_flight; *link; link = &(*link)->next)
        if (*link == old) {
            *link = old->next;
            break;
        }
    pthread_mutex_unlock(&device->lock);
    device->programs--;
    tv_free(old->commands);
    tv_free(old->segments);
    old->commands = NULL;
    old->segments = NULL;
    device->backend->program_destroy(old);
}
