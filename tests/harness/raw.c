// Devices, buffers and programs without a plan.
#include "harness/raw.h"

#include "base/memory.h"

#include <stdlib.h>

const char *const raw_masks[RAW_MASK_COUNT] = {
    "",
    "no-hostvisible",
    "no-timeline",
    "no-texel",
    "no-subgroup,no-f16,no-storage16",
    "no-hostvisible,no-copy-queue,no-timeline,no-texel,no-subgroup,no-f16,no-bf16,no-storage16",
};

tv_device *raw_open_device(const char *mask)
{
    tv_device *device = NULL;
    CHECKED(tv_device_open(getenv("TRIVIUM_TEST_DEVICE"), mask, &device));
    return device;
}

void raw_close_device(tv_device *device)
{
    assert_int_equal(tv_device_validation_messages(device), 0);
    tv_device_close(&device);
    assert_null(device);
}

tv_buffer *raw_make_buffer_in(tv_device *device, tv_memory where, uint64_t size)
{
    tv_buffer *buffer = NULL;
    CHECKED(tv_buffer_create_in(device, where, size, &buffer));
    assert_int_equal(tv_buffer_size(buffer), size);
    return buffer;
}

tv_buffer *raw_make_buffer(tv_device *device, uint64_t size)
{
    return raw_make_buffer_in(device, TV_ON_DEVICE, size);
}

tv_program *raw_make_program(tv_device *device)
{
    tv_program *program = NULL;
    CHECKED(tv_program_create(device, &program));
    return program;
}

const tv_kernel *raw_kernel_named(tv_device *device, const char *name)
{
    const tv_kernel *kernel = NULL;
    CHECKED(tv_device_kernel(device, &(tv_kernel_choice){.name = name}, &kernel));
    return kernel;
}

tv_binding raw_window(tv_buffer *buffer, uint64_t offset, uint32_t n, tv_access access)
{
    return (tv_binding){buffer, offset, n * sizeof(float), access};
}

// y[0..n) = value at `offset` of the buffer.
tv_dispatch raw_fill(tv_device *device, tv_buffer *y, uint64_t offset, uint32_t n, float value)
{
    return (tv_dispatch){
        .kernel = raw_kernel_named(device, "fill"),
        .bindings = {raw_window(y, offset, n, TV_WRITE)},
        .binding_count = 1,
        .groups = {(uint32_t)tv_div_up(n, PER_GROUP), 1, 1},
        .args = {.u = {n}, .f = {value}},
        .work = 4.0 * n,
        .label = "fill",
    };
}

// y = a + b, all whole buffers of n floats.
tv_dispatch raw_add(tv_device *device, tv_buffer *a, tv_buffer *b, tv_buffer *y, uint32_t n)
{
    return (tv_dispatch){
        .kernel = raw_kernel_named(device, "add"),
        .bindings = {raw_window(a, 0, n, TV_READ), raw_window(b, 0, n, TV_READ),
                     raw_window(y, 0, n, TV_WRITE)},
        .binding_count = 3,
        .groups = {(uint32_t)tv_div_up(n, PER_GROUP), 1, 1},
        .args = {.u = {n}},
        .work = 12.0 * n,
        .label = "add",
    };
}

void raw_record(tv_program *program, tv_dispatch dispatch)
{
    tv_program_dispatch(program, &dispatch);
}

void raw_run_to_end(tv_program *program)
{
    CHECKED(tv_program_run(program));
    CHECKED(tv_program_wait(program, TV_MARK_END, 0));
}

void raw_assert_filled(tv_buffer *buffer, uint32_t n, float value)
{
    float *read = tv_alloc(n, sizeof *read);
    CHECKED(tv_buffer_read(buffer, 0, read, n * sizeof *read));
    for (uint32_t i = 0; i < n; i++)
        if (read[i] != value)
            fail_msg("element %u of %u is %g, not %g", i, n, (double)read[i], (double)value);
    tv_free(read);
}

// The validation layer leaks its own state; the leak sanitizer asks for this by name.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libVkLayer_khronos_validation\n";
}

int raw_choose_validation(void **state)
{
    (void)state;
    if (getenv("TRIVIUM_VALIDATE"))
        return 0;
    tv_device *device = NULL;
    setenv("TRIVIUM_VALIDATE", "1", 1);
    if (tv_device_open(getenv("TRIVIUM_TEST_DEVICE"), "", &device) != TV_OK) {
        print_message("without validation: %s\n", tv_error_message());
        setenv("TRIVIUM_VALIDATE", "0", 1);
    }
    tv_device_close(&device);
    return 0;
}
