// Calibration: how many FLOP per second a GPU does, before anything is planned for it.
#include "device/front.h"

#include "base/memory.h"

#include <string.h>

// Products of growing size until one run takes long enough to tell. A small one comes first, so
// that no watchdog bites on a slow device.
enum { SMALLEST = 256, LARGEST = 1024, REPEATS = 4, TILE = 64 };
static const double ENOUGH_SECONDS = 5e-3;

static tv_err record(tv_device *device, tv_buffer *buffer, uint32_t n, tv_program *program)
{
    uint64_t bytes = 4ull * n * n;
    tv_kernel_choice choice = {.name = "matmul_nt"};
    tv_dispatch dispatch = {.bindings = {{buffer, 0, bytes, TV_READ},
                                         {buffer, bytes, bytes, TV_READ},
                                         {buffer, 2 * bytes, bytes, TV_WRITE},
                                         {buffer, 0, bytes, TV_READ},
                                         {buffer, 0, bytes, TV_READ}},
                            .binding_count = 5,
                            .groups = {n / TILE, n / TILE, 1},
                            .args.u = {n, n, n, n, n, n},
                            .work = 2.0 * n * n * n,
                            .label = "calibration"};
    TV_TRY(tv_device_kernel(device, &choice, &dispatch.kernel));
    for (int i = 0; i < REPEATS; i++) {
        tv_program_barrier(program);
        tv_program_dispatch(program, &dispatch);
    }
    return tv_program_finish(program);
}

// The device's seconds of a second run: drivers compile during the first.
static tv_err measure(tv_device *device, tv_buffer *buffer, uint32_t n, double *seconds)
{
    tv_program *program = NULL;
    tv_err err = tv_program_create(device, &program);
    if (err == TV_OK)
        err = record(device, buffer, n, program);
    for (int i = 0; i < 2 && err == TV_OK; i++) {
        err = tv_program_run(program);
        if (err == TV_OK)
            err = tv_program_wait(program, TV_MARK_END, 0);
    }
    *seconds = err == TV_OK ? tv_program_seconds(program) : 0;
    tv_program_destroy(&program);
    return err;
}

tv_err tv_device_calibrate(tv_device *device)
{
    uint64_t size = 3 * 4ull * LARGEST * LARGEST;
    tv_buffer *buffer = NULL;
    double seconds = 0;
    if (device->info.device_class == TV_CLASS_CPU || strcmp(device->info.backend, "null") == 0)
        return TV_OK; // no watchdog
    if (size > device->info.caps.memory || size > device->info.caps.max_alloc)
        return TV_OK; // the guess stays
    TV_TRY(tv_buffer_create(device, size, &buffer));
    void *zeros = tv_alloc(size, 1);
    tv_err err = tv_buffer_write(buffer, 0, zeros, size);
    tv_free(zeros);
    for (uint32_t n = SMALLEST; n <= LARGEST && err == TV_OK && seconds < ENOUGH_SECONDS; n *= 2) {
        err = measure(device, buffer, n, &seconds);
        if (seconds > 0) {
            pthread_mutex_lock(&device->lock);
            device->rate = REPEATS * 2.0 * n * n * n / seconds;
            pthread_mutex_unlock(&device->lock);
        }
    }
    tv_buffer_destroy(&buffer);
    return err;
}
