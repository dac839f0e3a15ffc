// The device front: checks every argument, keeps what all backends share, and calls the backend.
#include "device/front.h"
#include "device/selftest.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/memory.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------- opening, closing

// TRIVIUM_FAULT=lost:N or wrong:NAME; those of base/fault.h are not ours.
static tv_err read_fault(uint64_t *run)
{
    const char *fault = getenv("TRIVIUM_FAULT");
    tv_fault of_rank;
    *run = 0;
    if (!fault || !*fault || tv_fault_parse(fault, &of_rank))
        return TV_OK;
    if (tv_starts_with(fault, "wrong:"))
        return tv_selftest_check_fault(fault + strlen("wrong:"));
    if (!tv_starts_with(fault, "lost:") || !tv_parse_u64(fault + strlen("lost:"), run) || *run == 0)
        return tv_fail(TV_EUSAGE,
                       "TRIVIUM_FAULT=%s: only lost:N, N counted from 1, wrong:NAME, and "
                       "kill:RANK:STEP, stop:RANK:STEP and hang:RANK:STEP are known",
                       fault);
    return TV_OK;
}

static tv_err open_selected(const tv_selection *selection, tv_device **device)
{
    tv_device *opened = NULL;
    TV_TRY(selection->backend->device_open(&selection->info, &opened));
    opened->backend = selection->backend;
    opened->info = selection->info;
    opened->rate = tv_rate_guess(selection->info.device_class) * selection->info.caps.speed;
    pthread_mutex_init(&opened->lock, NULL);
    *device = opened;
    return TV_OK;
}

// Closes the device and keeps the line of the failure.
static tv_err give_up(tv_device **device, tv_err err)
{
    char *line = tv_strdup(tv_error_message());
    tv_device_close(device);
    tv_fail(err, "%s", line);
    tv_free(line);
    return err;
}

// Opens it anew without the driver's half conversions, or matrix units, where they are wrong.
static tv_err open_tested(tv_selection *selection, tv_device **device)
{
    bool wrong_halves = false, wrong_units = false;
    tv_caps *caps = &selection->info.caps;
    TV_TRY(open_selected(selection, device));
    if (!tv_selftest_wanted())
        return TV_OK;
    tv_err err = tv_device_selftest(*device, &wrong_halves);
    if (err == TV_OK && !wrong_halves)
        err = tv_device_test_matrix_units(*device, &wrong_units);
    if (err == TV_OK && (wrong_halves || wrong_units)) {
        tv_device_close(device);
        caps->coop = caps->coop2 = caps->bf16 = false;
        caps->f16 = caps->f16 && !wrong_halves;
        TV_TRY(open_selected(selection, device));
        err = tv_device_selftest(*device, &wrong_halves);
    }
    return err == TV_OK ? TV_OK : give_up(device, err);
}

tv_err tv_device_open(const char *which, const char *mask, tv_device **device)
{
    TV_CHECK(device, "no place for the device");
    tv_selection selection;
    uint64_t fault_run;
    TV_TRY(read_fault(&fault_run));
    TV_TRY(tv_device_select(which, &selection));
    tv_device_info *info = &selection.info;
    if (tv_mask_apply(mask ? mask : getenv("TRIVIUM_MASK"), &info->caps) != TV_OK)
        return tv_fail_in(TV_EUSAGE, "%s", info->name);
    tv_device *opened = NULL;
    TV_TRY(open_tested(&selection, &opened));
    tv_err err = tv_device_calibrate(opened);
    if (err != TV_OK)
        return give_up(&opened, err);
    opened->runs = 0; // the self-test's do not count
    opened->fault_run = fault_run;
    *device = opened;
    return TV_OK;
}

void tv_device_close(tv_device **device)
{
    tv_device *old = *device;
    *device = NULL;
    if (!old)
        return;
    TV_CHECK(old->buffers == 0 && old->programs == 0,
             "device closed with %zu buffers and %zu programs left", old->buffers, old->programs);
    while (old->kernels) {
        tv_kernel *kernel = old->kernels;
        old->kernels = kernel->next;
        old->backend->kernel_destroy(kernel);
    }
    pthread_mutex_destroy(&old->lock);
    old->backend->device_close(old);
}

const tv_device_info *tv_device_get_info(const tv_device *device)
{
    return &device->info;
}

double tv_device_measured_rate(const tv_device *device)
{
    double guess = tv_rate_guess(device->info.device_class) * device->info.caps.speed;
    return device->rate == guess ? 0 : device->rate;
}

uint64_t tv_device_validation_messages(const tv_device *device)
{
    return device->backend->messages ? device->backend->messages(device) : 0;
}

tv_err tv_device_alive(const tv_device *device)
{
    if (atomic_load(&device->lost))
        return tv_fail(TV_ELOST, "%s: the device was lost earlier", device->info.name);
    return TV_OK;
}

tv_err tv_device_note(tv_device *device, tv_err err)
{
    if (err == TV_ELOST)
        atomic_store(&device->lost, true);
    return err;
}

// ---------------------------------------------------------------------------------------- buffers

static uint64_t *used_of(tv_device *device, tv_memory where)
{
    return where == TV_ON_HOST ? &device->host_allocated : &device->allocated;
}

static uint64_t left_of(tv_device *device, tv_memory where)
{
    const tv_caps *caps = &device->info.caps;
    uint64_t have = where == TV_ON_HOST ? caps->host_memory : caps->memory;
    uint64_t used = *used_of(device, where);
    return have > used ? have - used : 0;
}

static tv_err no_memory(tv_device *device, tv_memory where, uint64_t size)
{
    char asked[32], used[32], total[32], left[32];
    const tv_caps *caps = &device->info.caps;
    tv_format_bytes(size, asked);
    tv_format_bytes(*used_of(device, where), used);
    tv_format_bytes(where == TV_ON_HOST ? caps->host_memory : caps->memory, total);
    tv_format_bytes(left_of(device, where), left);
    return tv_fail(TV_EMEMORY, "%s: no room for a buffer of %s%s: %s of %s are in use, %s are free",
                   device->info.name, asked, where == TV_ON_HOST ? " in the host's memory" : "",
                   used, total, left);
}

tv_err tv_buffer_create(tv_device *device, uint64_t size, tv_buffer **buffer)
{
    return tv_buffer_create_in(device, TV_ON_DEVICE, size, buffer);
}

tv_err tv_buffer_create_in(tv_device *device, tv_memory where, uint64_t size, tv_buffer **buffer)
{
    TV_CHECK(device && buffer, "no device, or no place for the buffer");
    TV_CHECK(size > 0, "a buffer of 0 bytes");
    TV_TRY(tv_device_alive(device));
    const tv_caps *caps = &device->info.caps;
    if (size > caps->max_alloc) {
        char asked[32], limit[32];
        tv_format_bytes(size, asked);
        tv_format_bytes(caps->max_alloc, limit);
        return tv_fail(TV_EMEMORY, "%s: a buffer of %s is over the device's limit of %s per buffer",
                       device->info.name, asked, limit);
    }
    if (size > left_of(device, where))
        return no_memory(device, where, size);
    tv_buffer *made = NULL;
    tv_err err = tv_device_note(device, device->backend->buffer_create(device, where, size, &made));
    if (err == TV_EMEMORY)
        return no_memory(device, where, size);
    if (err != TV_OK)
        return err;
    made->device = device;
    made->where = where;
    made->size = size;
    *used_of(device, where) += size;
    device->buffers++;
    *buffer = made;
    return TV_OK;
}

void tv_buffer_destroy(tv_buffer **buffer)
{
    tv_buffer *old = *buffer;
    *buffer = NULL;
    if (!old)
        return;
    *used_of(old->device, old->where) -= old->size;
    old->device->buffers--;
    old->device->backend->buffer_destroy(old);
}

uint64_t tv_buffer_size(const tv_buffer *buffer)
{
    return buffer->size;
}

static void check_window(const tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size)
{
    TV_CHECK(buffer && (data || size == 0), "no buffer or no data");
    TV_CHECK(offset <= buffer->size && size <= buffer->size - offset,
             "%llu bytes at %llu in a buffer of %llu", (unsigned long long)size,
             (unsigned long long)offset, (unsigned long long)buffer->size);
}

tv_err tv_buffer_write(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size)
{
    check_window(buffer, offset, data, size);
    tv_device *device = buffer->device;
    TV_TRY(tv_device_drain(device));
    if (size == 0)
        return TV_OK;
    double since = tv_thread_seconds();
    tv_err err = device->backend->buffer_write(buffer, offset, data, size);
    tv_device_count_driver(device, since);
    return tv_device_note(device, err);
}

tv_err tv_buffer_read(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size)
{
    check_window(buffer, offset, data, size);
    tv_device *device = buffer->device;
    TV_TRY(tv_device_drain(device));
    if (size == 0)
        return TV_OK;
    double since = tv_thread_seconds();
    tv_err err = device->backend->buffer_read(buffer, offset, data, size);
    tv_device_count_driver(device, since);
    return tv_device_note(device, err);
}

void *tv_buffer_host(tv_buffer *buffer)
{
    const tv_backend *backend = buffer->device->backend;
    return backend->buffer_host ? backend->buffer_host(buffer) : NULL;
}

tv_err tv_buffer_peek(tv_buffer *buffer, uint64_t offset, void *data, uint64_t size)
{
    check_window(buffer, offset, data, size);
    tv_device *device = buffer->device;
    const uint8_t *host = tv_buffer_host(buffer);
    if (!host && !device->info.caps.copy_queue)
        return tv_buffer_read(buffer, offset, data, size);
    TV_TRY(tv_device_alive(device));
    if (host && size > 0)
        memcpy(data, host + offset, size);
    if (host || size == 0)
        return TV_OK;
    double since = tv_thread_seconds();
    tv_err err = device->backend->buffer_peek(buffer, offset, data, size);
    tv_device_count_driver(device, since);
    return tv_device_note(device, err);
}

tv_err tv_buffer_poke(tv_buffer *buffer, uint64_t offset, const void *data, uint64_t size)
{
    check_window(buffer, offset, data, size);
    tv_device *device = buffer->device;
    uint8_t *host = tv_buffer_host(buffer);
    if (!host && !device->info.caps.copy_queue)
        return tv_buffer_write(buffer, offset, data, size);
    TV_TRY(tv_device_alive(device));
    if (host && size > 0)
        memcpy(host + offset, data, size);
    if (host || size == 0)
        return TV_OK;
    double since = tv_thread_seconds();
    tv_err err = device->backend->buffer_poke(buffer, offset, data, size);
    tv_device_count_driver(device, since);
    return tv_device_note(device, err);
}

void tv_device_count_driver(tv_device *device, double since)
{
    pthread_mutex_lock(&device->lock);
    device->driver_seconds += tv_thread_seconds() - since;
    pthread_mutex_unlock(&device->lock);
}

double tv_device_driver_seconds(const tv_device *device)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&device->lock;
    pthread_mutex_lock(lock);
    double seconds = device->driver_seconds;
    pthread_mutex_unlock(lock);
    return seconds;
}
