// Marks, times and waiting on a real driver: what the host knows of a program that still runs.
#include "harness/raw.h"

#include "base/clock.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// A program that keeps the device busy for a while: `times` additions over `x` and `y`, a hundred
// of which are long for a software driver.
enum { BUSY_N = 1 << 22 };

static int long_for(const tv_device *device)
{
    tv_device_class device_class = device->info.device_class;
    return device_class == TV_CLASS_CPU ? 100 : device_class == TV_CLASS_DISCRETE ? 20000 : 5000;
}

static void keep_busy(tv_program *program, tv_buffer *x, tv_buffer *y, int times)
{
    for (int i = 0; i < times; i++) {
        raw_record(program,
                   raw_add(program->device, i % 2 ? y : x, i % 2 ? y : x, i % 2 ? x : y, BUSY_N));
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
        tv_device *device = raw_open_device(ways[m]);
        tv_buffer *x = raw_make_buffer(device, BUSY_N * sizeof(float));
        tv_buffer *y = raw_make_buffer(device, BUSY_N * sizeof(float));
        tv_program *program = raw_make_program(device);
        raw_record(program, raw_fill(device, x, 0, BUSY_N, 0));
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
        raw_close_device(device);
    }
}

// What a mark says is complete can be read while the program runs on.
static void reading_beside_a_program(void **state)
{
    (void)state;
    for (size_t m = 0; m < RAW_MASK_COUNT; m++) {
        enum { N = 1000 };
        tv_device *device = raw_open_device(raw_masks[m]);
        tv_buffer *ready = raw_make_buffer(device, N * sizeof(float));
        tv_buffer *x = raw_make_buffer(device, BUSY_N * sizeof(float));
        tv_buffer *y = raw_make_buffer(device, BUSY_N * sizeof(float));
        tv_program *program = raw_make_program(device);
        float seen[N - 1];
        raw_record(program, raw_fill(device, ready, 0, N, 3));
        raw_record(program, raw_fill(device, x, 0, BUSY_N, 0));
        tv_program_barrier(program);
        tv_mark mark = tv_program_mark(program);
        keep_busy(program, x, y, long_for(device));
        CHECKED(tv_program_finish(program));
        CHECKED(tv_program_run(program));
        CHECKED(tv_program_wait(program, mark, 0));
        CHECKED(tv_buffer_peek(ready, sizeof(float), seen, sizeof seen));
        CHECKED(tv_buffer_peek(ready, 0, seen, 0));
        for (int i = 0; i < N - 1; i++)
            assert_true(seen[i] == 3);
        const float *host = tv_buffer_host(ready);
        assert_true(!host || host[N - 1] == 3);
        if (host || device->info.caps.copy_queue) {
            size_t last = program->segment_count - 1;
            assert_int_equal(device->backend->program_wait(program, last, 0), TV_ETIMEOUT);
        }
        CHECKED(tv_program_wait(program, TV_MARK_END, 0));
        tv_program_destroy(&program);
        tv_buffer_destroy(&ready);
        tv_buffer_destroy(&x);
        tv_buffer_destroy(&y);
        raw_close_device(device);
    }
}

// Of copies of COPIED floats, which is no whole number of pieces.
enum { COPIED = (16 << 20) + 5 };

// With TRIVIUM_TEST_TIMES=1: how long copies take on an idle device, and beside a program.
static void tell_times(const char *mask, const double *idle, const double *beside, double program)
{
    if (getenv("TRIVIUM_TEST_TIMES"))
        print_message("mask '%s': copies of %.1f MiB: read %.1f ms, written %.1f ms; beside a "
                      "program of %.1f ms: read %.1f ms, written %.1f ms\n",
                      mask, COPIED * sizeof(float) / 1048576.0, 1e3 * idle[0], 1e3 * idle[1],
                      1e3 * program, 1e3 * beside[0], 1e3 * beside[1]);
}

// Reads `from`, which is to hold `expected`, and writes `next` to `to`.
static void copy_both_ways(tv_buffer *from, float expected, tv_buffer *to, float next,
                           double seconds[2])
{
    float *values = tv_alloc(COPIED, sizeof *values);
    memset(values, 0, COPIED * sizeof *values); // or its pages are fetched in the copy
    double start = tv_now_seconds();
    CHECKED(tv_buffer_peek(from, 0, values, COPIED * sizeof *values));
    seconds[0] = tv_now_seconds() - start;
    for (size_t i = 0; i < COPIED; i++)
        if (values[i] != expected)
            fail_msg("element %zu is %g, not %g", i, (double)values[i], (double)expected);
    for (size_t i = 0; i < COPIED; i++)
        values[i] = next;
    start = tv_now_seconds();
    CHECKED(tv_buffer_poke(to, 0, values, COPIED * sizeof *values));
    seconds[1] = tv_now_seconds() - start;
    tv_free(values);
}

// `first` makes gradients and goes on; meanwhile they are read, and weights written for `second`,
// which is run before `first` is over.
static void copies_beside_a_program(void **state)
{
    static const char *const ways[] = {"", "no-copy-queue", "no-hostvisible",
                                       "no-hostvisible,no-copy-queue,no-timeline"};
    (void)state;
    for (size_t m = 0; m < sizeof ways / sizeof *ways; m++) {
        tv_device *device = raw_open_device(ways[m]);
        tv_buffer *gradients = raw_make_buffer(device, COPIED * sizeof(float));
        tv_buffer *weights = raw_make_buffer(device, COPIED * sizeof(float));
        tv_buffer *sums = raw_make_buffer(device, COPIED * sizeof(float));
        tv_buffer *x = raw_make_buffer(device, BUSY_N * sizeof(float));
        tv_buffer *y = raw_make_buffer(device, BUSY_N * sizeof(float));
        tv_program *first = raw_make_program(device), *second = raw_make_program(device);
        double idle[2], beside[2];
        raw_record(first, raw_fill(device, gradients, 0, COPIED, 3));
        raw_record(first, raw_fill(device, x, 0, BUSY_N, 0));
        tv_program_barrier(first);
        tv_mark mark = tv_program_mark(first);
        keep_busy(first, x, y, long_for(device));
        raw_record(second, raw_add(device, gradients, weights, sums, COPIED));
        CHECKED(tv_program_finish(first));
        CHECKED(tv_program_finish(second));
        raw_run_to_end(first);
        copy_both_ways(gradients, 3, weights, 0, idle);
        for (int i = 1; i <= 2; i++) {
            CHECKED(tv_program_run(first));
            CHECKED(tv_program_wait(first, mark, 0));
            copy_both_ways(gradients, 3, weights, (float)i, beside);
            CHECKED(tv_program_run(second));
            CHECKED(tv_program_wait(second, TV_MARK_END, 0));
            raw_assert_filled(sums, COPIED, (float)(3 + i));
        }
        tell_times(ways[m], idle, beside, tv_program_seconds(first));
        tv_program_destroy(&first);
        tv_program_destroy(&second);
        tv_buffer *all[] = {gradients, weights, sums, x, y};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            tv_buffer_destroy(&all[i]);
        raw_close_device(device);
    }
}

// A dispatch of much work among two of little; results stay what they were.
static void each_dispatch_is_timed(void **state)
{
    (void)state;
    for (size_t m = 0; m < RAW_MASK_COUNT; m++) {
        tv_device *device = raw_open_device(raw_masks[m]);
        tv_buffer *x = raw_make_buffer(device, BUSY_N * sizeof(float));
        tv_program *program = raw_make_program(device);
        double seconds[3];
        float first;
        raw_record(program, raw_fill(device, x, 0, 16, 1));
        tv_program_barrier(program);
        raw_record(program, raw_fill(device, x, 0, BUSY_N, 2));
        tv_program_barrier(program);
        raw_record(program, raw_fill(device, x, 0, 16, 3));
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
        raw_close_device(device);
    }
}

static void waiting_ends_in_time(void **state)
{
    tv_device *device = raw_open_device("");
    tv_buffer *x = raw_make_buffer(device, BUSY_N * sizeof(float));
    tv_buffer *y = raw_make_buffer(device, BUSY_N * sizeof(float));
    tv_program *program = raw_make_program(device);
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
    raw_close_device(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_come_before_the_end), cmocka_unit_test(reading_beside_a_program),
        cmocka_unit_test(copies_beside_a_program),   cmocka_unit_test(each_dispatch_is_timed),
        cmocka_unit_test(waiting_ends_in_time),
    };
    setenv("TRIVIUM_SELFTEST", "0", 1); // many devices are opened; test_device_selftest has it
    return cmocka_run_group_tests(tests, raw_choose_validation, NULL);
}
