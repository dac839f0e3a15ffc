// The device contract on a real driver: every function, with and without what raw_masks can deny.
// Runs under the validation layer where it is installed, and fails on its messages.
#include "harness/raw.h"

#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void several_devices_at_once(void **state)
{
    enum { COUNT = 3, N = 5000 };
    tv_device *devices[COUNT];
    tv_buffer *buffers[COUNT];
    tv_program *programs[COUNT];
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        devices[i] = raw_open_device("");
        buffers[i] = raw_make_buffer(devices[i], N * sizeof(float));
        programs[i] = raw_make_program(devices[i]);
        raw_record(programs[i], raw_fill(devices[i], buffers[i], 0, N, (float)i));
        CHECKED(tv_program_finish(programs[i]));
    }
    for (int i = 0; i < COUNT; i++)
        CHECKED(tv_program_run(programs[i]));
    for (int i = 0; i < COUNT; i++) {
        raw_assert_filled(buffers[i], N, (float)i);
        tv_program_destroy(&programs[i]);
        tv_buffer_destroy(&buffers[i]);
        raw_close_device(devices[i]);
    }
}

// ---------------------------------------------------------------------------------------- buffers

static void keep_bytes(tv_device *device, tv_memory where, uint64_t size)
{
    uint64_t inner = size / 3;
    uint8_t *written = tv_alloc(size, 1), *read = tv_alloc(size, 1);
    tv_buffer *buffer = raw_make_buffer_in(device, where, size);
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
    memset(read, 0, size);
    CHECKED(tv_buffer_peek(buffer, inner, read, inner));
    assert_memory_equal(read, written + inner, inner);
    memset(written + inner, 0x5A, inner);
    CHECKED(tv_buffer_poke(buffer, inner, written + inner, inner));
    CHECKED(tv_buffer_read(buffer, 0, read, size));
    assert_memory_equal(read, written, size);
    CHECKED(tv_buffer_write(buffer, size, NULL, 0));
    CHECKED(tv_buffer_poke(buffer, size, NULL, 0));
    tv_buffer_destroy(&buffer);
    assert_null(buffer);
    tv_free(written);
    tv_free(read);
}

static void buffers_keep_bytes(void **state)
{
    static const uint64_t sizes[] = {1, 3, 4, 255, 256, 257, 4099, (UINT64_C(33) << 20) + 5};
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        tv_device *device = raw_open_device(raw_masks[m]);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            keep_bytes(device, TV_ON_DEVICE, sizes[i]);
            keep_bytes(device, TV_ON_HOST, sizes[i]);
        }
        raw_close_device(device);
    }
}

static void too_large_buffers(void **state)
{
    tv_device *device = raw_open_device("alloc=1M");
    tv_buffer *buffer = NULL, *small = raw_make_buffer(device, 1 << 20);
    (void)state;
    assert_int_equal(device->allocated, 1 << 20);
    assert_int_equal(tv_buffer_create(device, (1 << 20) + 1, &buffer), TV_EMEMORY);
    assert_non_null(strstr(tv_error_message(), "limit of 1"));
    device->info.caps.memory = (1 << 20) + 500; // as if that were all
    assert_int_equal(tv_buffer_create(device, 501, &buffer), TV_EMEMORY);
    assert_non_null(strstr(tv_error_message(), "500 B are free"));
    assert_null(buffer);
    buffer = raw_make_buffer(device, 500);
    tv_buffer_destroy(&buffer);
    tv_buffer_destroy(&small);
    assert_int_equal(device->allocated, 0);
    raw_close_device(device);
}

// ---------------------------------------------------------------------------------------- kernels

static void kernels_are_made_once(void **state)
{
    tv_device *device = raw_open_device("group=512");
    const tv_kernel *plain = raw_kernel_named(device, "add"), *other;
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
    assert_ptr_equal(plain, raw_kernel_named(device, "add"));
    assert_true(tv_device_has_kernel(device, "fill"));
    assert_false(tv_device_has_kernel(device, "no_such_kernel"));
    assert_int_equal(
        tv_device_kernel(device, &(tv_kernel_choice){.name = "no_such_kernel"}, &other),
        TV_EDEVICE);
    assert_int_equal(
        tv_device_kernel(device, &(tv_kernel_choice){.name = "add", .group = 513}, &other),
        TV_EDEVICE);
    raw_close_device(device);
}

// A flavour that the mask denies is never taken.
static void flavors_obey_the_mask(void **state)
{
    (void)state;
    for (size_t m = 0; m < RAW_MASK_COUNT; m++) {
        tv_device *device = raw_open_device(raw_masks[m]);
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
        raw_close_device(device);
    }
}

// --------------------------------------------------------------------------------------- programs

// x = 1; then twenty times x += x, alternating between two buffers: any order but the recorded one
// gives another number. Windows have odd lengths.
static void barriers_order_dispatches(void **state)
{
    enum { N = 100003, TIMES = 20 };
    (void)state;
    for (size_t m = 0; m < RAW_MASK_COUNT; m++) {
        tv_device *device = raw_open_device(raw_masks[m]);
        tv_buffer *x = raw_make_buffer(device, N * sizeof(float));
        tv_buffer *y = raw_make_buffer(device, N * sizeof(float));
        tv_program *program = raw_make_program(device);
        raw_record(program, raw_fill(device, x, 0, N, 1));
        for (int i = 0; i < TIMES; i++) {
            tv_program_barrier(program);
            raw_record(program, raw_add(device, i % 2 ? y : x, i % 2 ? y : x, i % 2 ? x : y, N));
        }
        CHECKED(tv_program_finish(program));
        for (int i = 0; i < 3; i++)
            raw_run_to_end(program);
        raw_assert_filled(x, N, 1 << TIMES);
        tv_program_destroy(&program);
        tv_buffer_destroy(&x);
        tv_buffer_destroy(&y);
        raw_close_device(device);
    }
}

static void windows_are_kept_apart(void **state)
{
    enum { N = 67, WINDOWS = 40, STEP = 2 * TV_BINDING_ALIGNMENT };
    tv_device *device = raw_open_device("");
    tv_buffer *buffer = raw_make_buffer(device, WINDOWS * STEP);
    tv_program *program = raw_make_program(device);
    float read[WINDOWS][STEP / sizeof(float)];
    (void)state;
    memset(read, 0, sizeof read);
    CHECKED(tv_buffer_write(buffer, 0, read, sizeof read));
    for (int i = 0; i < WINDOWS; i++)
        raw_record(program, raw_fill(device, buffer, (uint64_t)i * STEP, N, (float)(i + 1)));
    CHECKED(tv_program_finish(program));
    raw_run_to_end(program);
    CHECKED(tv_buffer_read(buffer, 0, read, sizeof read));
    for (size_t i = 0; i < WINDOWS; i++)
        for (size_t j = 0; j < STEP / sizeof(float); j++)
            assert_true(read[i][j] == (j < N ? (float)(i + 1) : 0));
    tv_program_destroy(&program);
    tv_buffer_destroy(&buffer);
    raw_close_device(device);
}

// Programs run one after the other without being waited for in between, and see host writes.
static void programs_queue_up(void **state)
{
    enum { N = 30000 };
    (void)state;
    for (size_t m = 0; m < RAW_MASK_COUNT; m++) {
        tv_device *device = raw_open_device(raw_masks[m]);
        tv_buffer *x = raw_make_buffer(device, N * sizeof(float));
        tv_buffer *y = raw_make_buffer(device, N * sizeof(float));
        float *ones = tv_alloc(N, sizeof *ones);
        tv_program *first = raw_make_program(device), *second = raw_make_program(device);
        raw_record(first, raw_add(device, x, x, y, N));
        raw_record(second, raw_add(device, y, y, x, N));
        CHECKED(tv_program_finish(first));
        CHECKED(tv_program_finish(second));
        for (int i = 0; i < N; i++)
            ones[i] = 1;
        CHECKED(tv_buffer_write(x, 0, ones, N * sizeof *ones));
        CHECKED(tv_program_run(first));
        CHECKED(tv_program_run(second));
        CHECKED(tv_program_wait(second, TV_MARK_END, 0));
        CHECKED(tv_program_run(first)); // over, since the second was
        raw_assert_filled(x, N, 4);
        raw_assert_filled(y, N, 8);
        CHECKED(tv_program_wait(first, TV_MARK_END, 0));
        tv_free(ones);
        tv_program_destroy(&first);
        tv_program_destroy(&second);
        tv_buffer_destroy(&x);
        tv_buffer_destroy(&y);
        raw_close_device(device);
    }
}

static void programs_without_work(void **state)
{
    tv_device *device = raw_open_device("");
    tv_program *empty = raw_make_program(device), *marked = raw_make_program(device);
    (void)state;
    assert_int_equal(tv_program_mark(marked), 1);
    tv_program_barrier(marked);
    assert_int_equal(tv_program_mark(marked), 2);
    CHECKED(tv_program_finish(empty));
    CHECKED(tv_program_finish(marked));
    for (int i = 0; i < 3; i++) {
        raw_run_to_end(empty);
        CHECKED(tv_program_run(marked));
        for (tv_mark mark = 2; mark > 0; mark--)
            CHECKED(tv_program_wait(marked, mark, 0));
        CHECKED(tv_program_wait(marked, TV_MARK_END, 0));
    }
    tv_program_destroy(&empty);
    tv_program_destroy(&marked);
    raw_close_device(device);
}

// ------------------------------------------------------------------------------------ submissions

static void slow_devices_get_many_submissions(void **state)
{
    enum { N = 3000, TIMES = 50 };
    static const char *const ways[] = {"", "no-timeline"};
    (void)state;
    for (size_t m = 0; m < 2; m++) {
        tv_device *device = raw_open_device(ways[m]);
        tv_buffer *x = raw_make_buffer(device, N * sizeof(float));
        tv_buffer *y = raw_make_buffer(device, N * sizeof(float));
        tv_program *program = raw_make_program(device);
        device->rate = 1000;
        raw_record(program, raw_fill(device, x, 0, N, 1));
        tv_program_barrier(program);
        for (int i = 0; i < TIMES; i++) {
            raw_record(program, raw_add(device, x, x, y, N));
            tv_program_barrier(program);
            raw_record(program, raw_add(device, y, y, x, N));
            tv_program_barrier(program);
            raw_record(program, raw_fill(device, x, 0, N, (float)(i + 2)));
            tv_program_barrier(program);
        }
        CHECKED(tv_program_finish(program));
        assert_int_equal(program->segment_count, 1 + 3 * TIMES);
        for (int i = 0; i < 3; i++)
            raw_run_to_end(program);
        raw_assert_filled(x, N, TIMES + 1);
        raw_assert_filled(y, N, 2 * TIMES);
        tv_program_destroy(&program);
        tv_buffer_destroy(&x);
        tv_buffer_destroy(&y);
        raw_close_device(device);
    }
}

// ----------------------------------------------------------------------------------------- faults

static void a_lost_device_stays_lost(void **state)
{
    enum { N = 1000 };
    (void)state;
    setenv("TRIVIUM_FAULT", "lost:3", 1);
    tv_device *device = raw_open_device("");
    unsetenv("TRIVIUM_FAULT");
    tv_buffer *x = raw_make_buffer(device, N * sizeof(float)), *more = NULL;
    tv_program *program = raw_make_program(device), *late = raw_make_program(device), *other = NULL;
    const tv_kernel *kernel;
    float value;
    raw_record(program, raw_fill(device, x, 0, N, 1));
    CHECKED(tv_program_finish(program));
    raw_run_to_end(program);
    raw_run_to_end(program);
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
    raw_close_device(device);
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
        cmocka_unit_test(slow_devices_get_many_submissions),
        cmocka_unit_test(a_lost_device_stays_lost),
    };
    setenv("TRIVIUM_SELFTEST", "0", 1); // many devices are opened; test_device_selftest has it
    return cmocka_run_group_tests(tests, raw_choose_validation, NULL);
}
