// Vulkan: warming kernels. Software drivers compile a kernel at its first dispatch, in the one
// thread of the queue, or finds it in its cache on disk. Where it compiles, a thread that finds the
// queue busy takes that of another device, opened for this kernel; what is compiled there reaches
// the first one through that cache.
#include "vk_internal.h"

#include "base/clock.h"
#include "base/memory.h"

#include <string.h>

// Not a power of two: lavapipe compiles anew for buffers whose size is one.
enum { SCRATCH_BYTES = 3 * TV_BINDING_ALIGNMENT };

// On a busy machine a large kernel that takes ten seconds to compile can take minutes.
enum { TIMEOUT_SECONDS = 600 };

static const double COMPILE_SECONDS = 0.03; // less: it was in the cache

// Runs no group of the kernel, but with all that it would need.
static tv_err run_nothing(tv_device *device, const tv_kernel *kernel, tv_buffer *scratch)
{
    tv_command command = {.kind = TV_COMMAND_DISPATCH,
                          .dispatch = {.kernel = kernel,
                                       .binding_count = TV_MAX_BINDINGS,
                                       .groups = {0, 1, 1},
                                       .label = kernel->code->name}};
    tv_segment segment = {.count = 1, .mark = TV_NO_MARK};
    for (uint32_t i = 0; i < TV_MAX_BINDINGS; i++)
        command.dispatch.bindings[i] = (tv_binding){scratch, 0, SCRATCH_BYTES, TV_READ_WRITE};
    tv_program *program = NULL;
    TV_TRY(tv_vk_program_create(device, &program));
    program->device = device;
    program->commands = &command;
    program->command_count = 1;
    program->segments = &segment;
    program->segment_count = 1;
    tv_err err = tv_vk_program_record(program);
    if (err == TV_OK)
        err = tv_vk_program_run(program);
    if (err == TV_OK)
        err = tv_vk_program_wait(program, 0, TIMEOUT_SECONDS);
    if (err == TV_ETIMEOUT)
        tv_fail(err, "%s: kernel '%s' was not compiled after %d s", device->info.name,
                kernel->code->name, TIMEOUT_SECONDS);
    tv_vk_program_destroy(program);
    return err;
}

static tv_err warm_on(tv_device *device, const tv_kernel *kernel)
{
    tv_buffer *scratch = NULL;
    TV_TRY(tv_vk_buffer_create(device, TV_ON_DEVICE, SCRATCH_BYTES, &scratch));
    scratch->device = device;
    tv_err err = run_nothing(device, kernel, scratch);
    tv_vk_buffer_destroy(scratch);
    return err;
}

// With `warming` held.
static tv_err warm_here(tv_vk_device *device, const tv_kernel *kernel)
{
    double since = tv_now_seconds();
    tv_err err = warm_on(&device->head, kernel);
    atomic_store(&device->compiles, tv_now_seconds() - since > COMPILE_SECONDS);
    pthread_mutex_unlock(&device->warming);
    return err;
}

static tv_err warm_copy(tv_vk_device *other, const tv_kernel *kernel)
{
    tv_kernel *copy = NULL;
    TV_TRY(tv_vk_open_handle(other));
    TV_TRY(tv_vk_kernel_create(&other->head, kernel->code, &kernel->choice, &copy));
    copy->device = &other->head;
    copy->code = kernel->code;
    tv_err err = warm_on(&other->head, copy);
    tv_vk_kernel_destroy(copy);
    return err;
}

static tv_err warm_elsewhere(const tv_vk_device *device, const tv_kernel *kernel)
{
    tv_vk_device *other = tv_alloc(1, sizeof *other);
    other->head.info = device->head.info;
    other->instance = device->instance;
    other->physical = device->physical;
    other->caps = &other->physical.info.caps;
    tv_err err = warm_copy(other, kernel);
    if (other->handle)
        other->vk.vkDestroyDevice(other->handle, NULL);
    tv_free(other);
    return err;
}

tv_err tv_vk_kernel_warm(tv_kernel *kernel)
{
    tv_vk_device *device = (tv_vk_device *)kernel->device;
    if (device->physical.info.device_class != TV_CLASS_CPU)
        return TV_OK;
    if (pthread_mutex_trylock(&device->warming) != 0) {
        if (atomic_load(&device->compiles))
            return warm_elsewhere(device, kernel);
        pthread_mutex_lock(&device->warming);
    }
    return warm_here(device, kernel);
}
