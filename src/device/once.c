// Running dispatches once, from an image of a buffer to what becomes of it: for tests of a device.
#include "device/front.h"

static const double TIMEOUT_SECONDS = 60;

static tv_err record(const tv_kernel_choice *choices, tv_dispatch *dispatches, size_t count,
                     tv_buffer *buffer, tv_program *program)
{
    TV_TRY(tv_device_kernels(program->device, choices, count, NULL));
    for (size_t i = 0; i < count; i++) {
        TV_TRY(tv_device_kernel(program->device, &choices[i], &dispatches[i].kernel));
        for (uint32_t j = 0; j < dispatches[i].binding_count; j++)
            dispatches[i].bindings[j].buffer = buffer;
        tv_program_dispatch(program, &dispatches[i]);
    }
    return tv_program_finish(program);
}

tv_err tv_device_run_once(tv_device *device, const tv_kernel_choice *choices,
                          tv_dispatch *dispatches, size_t count, void *image, uint64_t bytes)
{
    tv_buffer *buffer = NULL;
    tv_program *program = NULL;
    tv_err err;
    TV_GOTO(done, tv_buffer_create(device, bytes, &buffer));
    TV_GOTO(done, tv_program_create(device, &program));
    TV_GOTO(done, record(choices, dispatches, count, buffer, program));
    TV_GOTO(done, tv_buffer_write(buffer, 0, image, bytes));
    TV_GOTO(done, tv_program_run(program));
    TV_GOTO(done, tv_program_wait(program, TV_MARK_END, TIMEOUT_SECONDS));
    TV_GOTO(done, tv_buffer_read(buffer, 0, image, bytes));
done:
    tv_program_destroy(&program);
    tv_buffer_destroy(&buffer);
    return err;
}
