// The device contract on a real driver: every function, with and without what masks can deny. Runs
// under the validation layer where it is installed, and fails on its messages.
#include "device/backend.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GROUP = 256, PER_GROUP = 4 * GROUP }; // of the kernels fill and add

#define CHECKED(call)                                                                              \
    do {                                                                                           \
        if ((call) != TV_OK)                                                                       \
            fail_msg("%s: %s", #call, tv_error_message());                                         \
    } while (0)

static const char *const masks[] = {
    "",
    "no-hostvisible",
    "no-timeline",
    "no-texel",
    "no-subgroup,no-f16,no-storage16",
    "no-hostvisible,no-timeline,no-texel,no-subgroup,no-f16,no-bf16,no-storage16",
};
enum { MASK_COUNT = sizeof masks / sizeof *masks };

static tv_device *open_device(const char *mask)
{
    tv_device *device = NULL;
    CHECKED(tv_device_open(getenv("TRIVIUM_TEST_DEVICE"), mask, &device));
    return device;
}

static void close_device(tv_device *device)
{
    assert_int_equal(tv_device_validation_messages(device), 0);
    tv_device_close(&device);
    assert_null(device);
}

static tv_buffer *make_buffer(tv_device *device, uint64_t size)
{
    tv_buffer *buffer = NULL;
    CHECKED(tv_buffer_create(device, size, &buffer));
    assert_int_equal(tv_buffer_size(buffer), size);
    return buffer;
}

static tv_program *make_program(tv_device *device)
{
    tv_program *program = NULL;
    CHECKED(tv_program_create(device, &program));
    return program;
}

static const tv_kernel *kernel_named(tv_device *device, const char *name)
{
    const tv_kernel *kernel = NULL;
    CHECKED(tv_device_kernel(device, &(tv_kernel_choice){.name = name}, &kernel));
    return kernel;
}

static tv_binding window(tv_buffer *buffer, uint64_t offset, uint32_t n, tv_access access)
{
    return (tv_binding){buffer, offset, n * sizeof(float), access};
}

// y[0..n) = value at `offset` of the buffer.
static tv_dispatch fill(tv_device *device, tv_buffer *y, uint64_t offset, uint32_t n, float value)
{
    return (tv_dispatch){
        .kernel = kernel_named(device, "fill"),
        .bindings = {window(y, offset, n, TV_WRITE)},
        .binding_count = 1,
        .groups = {(uint32_t)tv_div_up(n, PER_GROUP), 1, 1},
        .args = {.u = {n}, .f = {value}},
        .work = 4.0 * n,
        .label = "fill",
    };
}

// y = a + b, all whole buffers of n floats.
static tv_dispatch add(tv_device *device, tv_buffer *a, tv_buffer *b, tv_buffer *y, uint32_t n)
{
    return (tv_dispatch){
        .kernel = kernel_named(device, "add"),
        .bindings = {window(a, 0, n, TV_READ), window(b, 0, n, TV_READ), window(y, 0, n, TV_WRITE)},
        .binding_count = 3,
        .groups = {(uint32_t)tv_div_up(n, PER_GROUP), 1, 1},
        .args = {.u = {n}},
        .work = 12.0 * n,
        .label = "add",
    };
}

static void record(tv_program *program, tv_dispatch dispatch)
{
    tv_program_dispatch(program, &dispatch);
}

static void run_to_end(tv_program *program)
{
    CHECKED(tv_program_run(program));
    CHECKED(tv_program_wait(program, TV_MARK_END, 0));
}

static void assert_filled(tv_buffer *buffer, uint32_t n, float value)
{
    float *read = tv_alloc(n, sizeof *read);
    CHECKED(tv_buffer_read(buffer, 0, read, n * sizeof *read));
    for (uint32_t i = 0; i < n; i++)
        if (read[i] != value)
            fail_msg("element %u of %u is %g, not %g", i, n, (double)read[i], (double)value);
    tv_free(read);
}

static void several_devices_at_once(void **state)
{
    enum { COUNT = 3, N = 5000 };
    tv_device *devices[COUNT];
    tv_buffer *buffers[COUNT];
    tv_program *programs[COUNT];
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        devices[i] = open_device("");
        buffers[i] = make_buffer(devices[i], N * sizeof(float));
        programs[i] = make_program(devices[i]);
        record(programs[i], fill(devices[i], buffers[i], 0, N, (float)i));
        CHECKED(tv_program_finish(programs[i]));
    }
    for (int i = 0; i < COUNT; i++)
        CHECKED(tv_program_run(programs[i]));
    for (int i = 0; i < COUNT; i++) {
        assert_filled(buffers[i], N, (float)i);
        tv_program_destroy(&programs[i]);
        tv_buffer_destroy(&buffers[i]);
        close_device(devices[i]);
    }
}

// ---------------------------------------------------------------------------------------- buffers

static void buffers_keep_bytes(void **state)
{
    static const uint64_t sizes[] = {1, 3, 4, 255, 256, 257, 4099, (UINT64_C(33) << 20) + 5};
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        tv_device *device = open_device(masks[m]);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            uint64_t size = sizes[i], inner = size / 3;
            uint8_t *written = tv_alloc(size, 1), *read = tv_alloc(size, 1);
            tv_buffer *buffer = make_buffer(device, size);
            for (uint64_t j = 0; j < size; j++)
                written[j] = (uint8_t)(j * 7 + j / 251);
            CHECKED(tv_buffer_write(buffer, 0, written, size));
            // A piece at an odd place leaves its neighbours alone.
            memset(written + inner, 0xA5, inner);
            CHECKED(tv_buffer_write(buffer, inner, written + inner, inner));
            CHECKED(tv_buffer_read(buffer, 0, read, size));
            assert_memory_equal(read, written, size);
            CHECKED(tv_buffer_read(buffer, size - 1, read, 1));
            assert_int_equal(read[0], written[size - 1]);
            CHECKED(tv_buffer_write(buffer, size, NULL, 0));
            tv_buffer_destroy(&buffer);
            assert_null(buffer);
            tv_free(written);
            tv_free(read);
        }
        close_device(device);
    }
}

static void too_large_buffers(void **state)
{
    tv_device *device = open_device("alloc=1M");
    tv_buffer *buffer = NULL, *small = make_buffer(device, 1 << 20);
    (void)state;
    assert_int_equal(device->allocated, 1 << 20);
    assert_int_equal(tv_buffer_create(device, (1 << 20) + 1, &buffer), TV_EMEMORY);
    assert_non_null(strstr(tv_error_message(), "limit of 1"));
    device->info.caps.memory = (1 << 20) + 500; // as if that were all
    assert_int_equal(tv_buffer_create(device, 501, &buffer), TV_EMEMORY);
    assert_non_null(strstr(tv_error_message(), "500 B are free"));
    assert_null(buffer);
    buffer = make_buffer(device, 500);
    tv_buffer_destroy(&buffer);
    tv_buffer_destroy(&small);
    assert_int_equal(device->allocated, 0);
    close_device(device);
}

// ---------------------------------------------------------------------------------------- kernels

static void kernels_are_made_once(void **state)
{
    tv_device *device = open_device("group=512");
    const tv_kernel *plain = kernel_named(device, "add"), *other;
    char name[] = "add";
    (void)state;
    CHECKED(tv_device_kernel(device, &(tv_kernel_choice){.name = name, .group = GROUP}, &other));
    memset(name, '?', strlen(name)); // the name was the caller's
    assert_ptr_equal(plain, other);
    CHECKED(tv_device_kernel(device, &(tv_kernel_choice){.name = "add", .group = 64}, &other));
    assert_ptr_not_equal(plain, other);
    CHECKED(tv_device_kernel(device, &(tv_kernel_choice){.name = "add", .constants = {0, 0, 0, 1}},
                             &other));
    assert_ptr_not_equal(plain, other);
    assert_ptr_equal(plain, kernel_named(device, "add"));
    assert_true(tv_device_has_kernel(device, "fill"));
    assert_false(tv_device_has_kernel(device, "no_such_kernel"));
    assert_int_equal(
        tv_device_kernel(device, &(tv_kernel_choice){.name = "no_such_kernel"}, &other),
        TV_EDEVICE);
    assert_int_equal(
        tv_device_kernel(device, &(tv_kernel_choice){.name = "add", .group = 513}, &other),
        TV_EDEVICE);
    close_device(device);
}

// A flavour that the mask denies is never taken.
static void flavors_obey_the_mask(void **state)
{
    (void)state;
    for (size_t m = 0; m < MASK_COUNT; m++) {
        tv_device *device = open_device(masks[m]);
        const tv_caps *caps = &tv_device_get_info(device)->caps;
        for (size_t i = 0; i < tv_kernel_code_count; i++) {
            const char *name = tv_kernel_codes[i].name;
            const tv_kernel_code *code = device->backend->kernel_find(device, name);
            if (!code)
                continue;
            assert_string_equal(code->name, name);
            assert_true(caps->texel || !(code->flavor & TV_FLAVOR_TEXEL));
            assert_true(caps->subgroup || !(code->flavor & TV_FLAVOR_SUBGROUP));
            assert_true(code->width == 0 || code->width == caps->subgroup);
        }
        close_device(device);
    }
}

// --------------------------------------------------------------------------------------- programs

// x = 1; then twenty times x += x, alternating between two buffers: any order but the recorded one
// gives another number. Windows have odd lengths.
static void barriers_order_dispatches(void **state)
{
    enum { N = 100003, TIMES = 20 };
    (void)state;
    for (size_t m = 0; m < MASK_COUNT; m++) {
        tv_device *device = open_device(masks[m]);
        tv_buffer *x = make_buffer(device, N * sizeof(float));
        tv_buffer *y = make_buffer(device, N * sizeof(float));
        tv_program *program = make_program(device);
        record(program, fill(device, x, 0, N, 1));
        for (int i = 0; i < TIMES; i++) {
            tv_program_barrier(program);
            record(program, add(device, i % 2 ? y : x, i % 2 ? y : x, i % 2 ? x : y, N));
        }
        CHECKED(tv_program_finish(program));
        for (int i = 0; i < 3; i++)
            run_to_end(program);
        assert_filled(x, N, 1 << TIMES);
        tv_program_destroy(&program);
        tv_buffer_destroy(&x);
        tv_buffer_destroy(&y);
        close_device(device);
    }
}

static void windows_are_kept_apart(void **state)
{
    enum { N = 67, WINDOWS = 40, STEP = 2 * TV_BINDING_ALIGNMENT };
    tv_device *device = open_device("");
    tv_buffer *buffer = make_buffer(device, WINDOWS * STEP);
    tv_program *program = make_program(device);
    float read[WINDOWS][STEP / sizeof(float)];
    (void)state;
    memset(read, 0, sizeof read);
    CHECKED(tv_buffer_write(buffer, 0, read, sizeof read));
    for (int i = 0; i < WINDOWS; i++)
        record(program, fill(device, buffer, (uint64_t)i * STEP, N, (float)(i + 1)));
    CHECKED(tv_program_finish(program));
    run_to_end(program);
    CHECKED(tv_buffer_read(buffer, 0, read, sizeof read));
    for (size_t i = 0; i < WINDOWS; i++)
        for (size_t j = 0; j < STEP / sizeof(float); j++)
            assert_true(read[i][j] == (j < N ? (float)(i + 1) : 0));
    tv_program_destroy(&program);
    tv_buffer_destroy(&buffer);
    close_device(device);
}

// Programs run one after the other without being waited for in between, and see host writes.
static void programs_queue_up(void **state)
{
    enum { N = 30000 };
    (void)state;
    for (size_t m = 0; m < MASK_COUNT; m++) {
        tv_device *device = open_device(masks[m]);
        tv_buffer *x = make_buffer(device, N * sizeof(float));
        tv_buffer *y = make_buffer(device, N * sizeof(float));
        float *ones = tv_alloc(N, sizeof *ones);
        tv_program *first = make_program(device), *second = make_program(device);
        record(first, add(device, x, x, y, N));
        record(second, add(device, y, y, x, N));
        CHECKED(tv_program_finish(first));
        CHECKED(tv_program_finish(second));
        for (int i = 0; i < N; i++)
            ones[i] = 1;
        CHECKED(tv_buffer_write(x, 0, ones, N * sizeof *ones));
        CHECKED(tv_program_run(first));
        CHECKED(tv_program_run(second));
        CHECKED(tv_program_wait(second, TV_MARK_END, 0));
        CHECKED(tv_program_run(first)); // over, since the second was
        assert_filled(x, N, 4);
        assert_filled(y, N, 8);
        CHECKED(tv_program_wait(first, TV_MARK_END, 0));
        tv_free(ones);
        tv_program_destroy(&first);
        tv_program_destroy(&second);
        tv_buffer_destroy(&x);
        tv_buffer_destroy(&y);
        close_device(device);
    }
}

static void programs_without_work(void **state)
{
    tv_device *device = open_device("");
    tv_program *empty = make_program(device), *marked = make_program(device);
    (void)state;
    assert_int_equal(tv_program_mark(marked), 1);
    tv_program_barrier(marked);
    assert_int_equal(tv_program_mark(marked), 2);
    CHECKED(tv_program_finish(empty));
    CHECKED(tv_program_finish(marked));
    for (int i = 0; i < 3; i++) {
        run_to_end(empty);
        CHECKED(tv_program_run(marked));
        for (tv_mark mark = 2; mark > 0; mark--)
            CHECKED(tv_program_wait(marked, mark, 0));
        CHECKED(tv_program_wait(marked, TV_MARK_END, 0));
    }
    tv_program_destroy(&empty);
    tv_program_destroy(&marked);
    close_device(device);
}

// A program that keeps the device busy for a while: `times` additions over `x` and `y`, a hundred
// of which are long for a software driver.
enum { BUSY_N = 1 << 22 };

static int long_for(const tv_device *device)
{
    return device->info.device_class == TV_CLASS_CPU ? 100 : 5000;
}

static void keep_busy(tv_program *program, tv_buffer *x, tv_buffer *y, int times)
{
    for (int i = 0; i < times; i++) {
        record(program, add(program->device, i % 2 ? y : x, i % 2 ? y : x, i % 2 ? x : y, BUSY_N));
        tv_program_barrier(program);
    }
}

static void *wait_for_marks(void *argument)
{
    tv_program *program = argument;
    for (tv_mark mark = 1; mark <= program->mark_count; mark++)
        if (tv_program_wait(program, mark, 0) != TV_OK)
            return NULL;
    return tv_program_wait(program, TV_MARK_END, 0) == TV_OK ? program : NULL;
}

static void marks_come_before_the_end(void **state)
{
    static const char *const ways[] = {"", "no-timeline"};
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        tv_device *device = open_device(ways[m]);
        tv_buffer *x = make_buffer(device, BUSY_N * sizeof(float));
        tv_buffer *y = make_buffer(device, BUSY_N * sizeof(float));
        tv_program *program = make_program(device);
        record(program, fill(device, x, 0, BUSY_N, 0));
        tv_program_barrier(program);
        assert_int_equal(tv_program_mark(program), 1);
        keep_busy(program, x, y, long_for(device));
        assert_int_equal(tv_program_mark(program), 2);
        keep_busy(program, x, y, 2);
        CHECKED(tv_program_finish(program));
        for (int i = 0; i < 2; i++) {
            pthread_t thread;
            void *result;
            CHECKED(tv_program_run(program));
            assert_int_equal(pthread_create(&thread, NULL, wait_for_marks, program), 0);
            CHECKED(tv_program_wait(program, 1, 0));
            size_t last = program->segment_count - 1;
            assert_int_equal(device->backend->program_wait(program, last, 0), TV_ETIMEOUT);
            CHECKED(tv_program_wait(program, 2, 0));
            CHECKED(tv_program_wait(program, TV_MARK_END, 0));
            assert_int_equal(pthread_join(thread, &result), 0);
            assert_ptr_equal(result, program);
            assert_true(tv_program_seconds(program) > 0);
        }
        tv_program_destroy(&program);
        tv_buffer_destroy(&x);
        tv_buffer_destroy(&y);
        close_device(device);
    }
}

// A dispatch of much work among two of little; results stay what they were.
static void each_dispatch_is_timed(void **state)
{
    (void)state;
    for (size_t m = 0; m < MASK_COUNT; m++) {
        tv_device *device = open_device(masks[m]);
        tv_buffer *x = make_buffer(device, BUSY_N * sizeof(float));
        tv_program *program = make_program(device);
        double seconds[3];
        float first;
        record(program, fill(device, x, 0, 16, 1));
        tv_program_barrier(program);
        record(program, fill(device, x, 0, BUSY_N, 2));
        tv_program_barrier(program);
        record(program, fill(device, x, 0, 16, 3));
        CHECKED(tv_program_finish(program));
        for (int i = 0; i < 3; i++) {
            CHECKED(tv_program_profile(program, i == 1));
            CHECKED(tv_program_run(program));
            CHECKED(tv_program_wait(program, TV_MARK_END, 0));
            CHECKED(tv_buffer_read(x, 0, &first, sizeof first));
            assert_true(first == 3);
            if (i != 1)
                continue;
            tv_program_dispatch_seconds(program, seconds);
            for (int j = 0; j < 3; j++)
                assert_true(seconds[j] > 0);
        }
        tv_program_destroy(&program);
        tv_buffer_destroy(&x);
        close_device(device);
    }
}

static void waiting_ends_in_time(void **state)
{
    tv_device *device = open_device("");
    tv_buffer *x = make_buffer(device, BUSY_N * sizeof(float));
    tv_buffer *y = make_buffer(device, BUSY_N * sizeof(float));
    tv_program *program = make_program(device);
    (void)state;
    device->rate = 1e18; // all in one submission
    keep_busy(program, x, y, long_for(device));
    CHECKED(tv_program_finish(program));
    assert_int_equal(program->segment_count, 1);
    CHECKED(tv_program_run(program));
    assert_int_equal(tv_program_wait(program, TV_MARK_END, 0.01), TV_ETIMEOUT);
    CHECKED(tv_program_wait(program, TV_MARK_END, 0));
    CHECKED(tv_program_run(program));
    tv_program_destroy(&program); // waits
    tv_buffer_destroy(&x);
    tv_buffer_destroy(&y);
    close_device(device);
}

// ------------------------------------------------------------------------------------ submissions

static void slow_devices_get_many_submissions(void **state)
{
    enum { N = 3000, TIMES = 50 };
    static const char *const ways[] = {"", "no-timeline"};
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        tv_device *device = open_device(ways[m]);
        tv_buffer *x = make_buffer(device, N * sizeof(float));
        tv_buffer *y = make_buffer(device, N * sizeof(float));
        tv_program *program = make_program(device);
        device->rate = 1000;
        record(program, fill(device, x, 0, N, 1));
        tv_program_barrier(program);
        for (int i = 0; i < TIMES; i++) {
            record(program, add(device, x, x, y, N));
            tv_program_barrier(program);
            record(program, add(device, y, y, x, N));
            tv_program_barrier(program);
            record(program, fill(device, x, 0, N, (float)(i + 2)));
            tv_program_barrier(program);
        }
        CHECKED(tv_program_finish(program));
        assert_int_equal(program->segment_count, 1 + 3 * TIMES);
        for (int i = 0; i < 3; i++)
            run_to_end(program);
        assert_filled(x, N, TIMES + 1);
        assert_filled(y, N, 2 * TIMES);
        tv_program_destroy(&program);
        tv_buffer_destroy(&x);
        tv_buffer_destroy(&y);
        close_device(device);
    }
}

// ----------------------------------------------------------------------------------------- faults

static void a_lost_device_stays_lost(void **state)
{
    enum { N = 1000 };
    (void)state;
    setenv("TRIVIUM_FAULT", "lost:3", 1);
    tv_device *device = open_device("");
    unsetenv("TRIVIUM_FAULT");
    tv_buffer *x = make_buffer(device, N * sizeof(float)), *more = NULL;
    tv_program *program = make_program(device), *late = make_program(device), *other = NULL;
    const tv_kernel *kernel;
    float value;
    record(program, fill(device, x, 0, N, 1));
    CHECKED(tv_program_finish(program));
    run_to_end(program);
    run_to_end(program);
    assert_int_equal(tv_program_run(program), TV_ELOST);
    assert_non_null(strstr(tv_error_message(), "TRIVIUM_FAULT"));
    assert_int_equal(tv_program_run(program), TV_ELOST);
    assert_int_equal(tv_program_wait(program, TV_MARK_END, 0), TV_ELOST);
    assert_int_equal(tv_program_finish(late), TV_ELOST);
    assert_int_equal(tv_program_create(device, &other), TV_ELOST);
    assert_int_equal(tv_buffer_create(device, 4, &more), TV_ELOST);
    assert_int_equal(tv_buffer_write(x, 0, &value, 4), TV_ELOST);
    assert_int_equal(tv_buffer_read(x, 0, &value, 4), TV_ELOST);
    assert_int_equal(tv_device_kernel(device, &(tv_kernel_choice){.name = "add"}, &kernel),
                     TV_ELOST);
    assert_int_equal(tv_exit_code(TV_ELOST), 75);
    assert_null(other);
    assert_null(more);
    tv_program_destroy(&program);
    tv_program_destroy(&late);
    tv_buffer_destroy(&x);
    close_device(device);
}

// The validation layer leaks its own state; the leak sanitizer asks for this by name.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libVkLayer_khronos_validation\n";
}

static int choose_validation(void **state)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_devices_at_once),
        cmocka_unit_test(buffers_keep_bytes),
        cmocka_unit_test(too_large_buffers),
        cmocka_unit_test(kernels_are_made_once),
        cmocka_unit_test(flavors_obey_the_mask),
        cmocka_unit_test(barriers_order_dispatches),
        cmocka_unit_test(windows_are_kept_apart),
        cmocka_unit_test(programs_queue_up),
        cmocka_unit_test(programs_without_work),
        cmocka_unit_test(marks_come_before_the_end),
        cmocka_unit_test(each_dispatch_is_timed),
        cmocka_unit_test(waiting_ends_in_time),
        cmocka_unit_test(slow_devices_get_many_submissions),
        cmocka_unit_test(a_lost_device_stays_lost),
    };
    setenv("TRIVIUM_SELFTEST", "0", 1); // many devices are opened; test_device_selftest has it
    return cmocka_run_group_tests(tests, choose_validation, NULL);
}
