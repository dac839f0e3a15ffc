// The null device and the front: missing barriers, windows outside, limits, cutting, our own bugs.
#include "device/backend.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 64, WINDOW = N * sizeof(float), WINDOWS = 4, SIZE = WINDOWS * WINDOW };

typedef struct fixture {
    tv_device *device;
    tv_buffer *buffer, *other;
    tv_program *program;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f = (fixture){0};
    *state = &f;
    return tv_device_open("null", "range=512", &f.device) != TV_OK ||
           tv_buffer_create(f.device, SIZE, &f.buffer) != TV_OK ||
           tv_buffer_create(f.device, SIZE, &f.other) != TV_OK ||
           tv_program_create(f.device, &f.program) != TV_OK;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    tv_program_destroy(&f->program);
    tv_buffer_destroy(&f->buffer);
    tv_buffer_destroy(&f->other);
    tv_device_close(&f->device);
    return 0;
}

static tv_binding whole(tv_buffer *buffer, int place, tv_access access)
{
    return (tv_binding){buffer, (uint64_t)place * WINDOW, WINDOW, access};
}

// A fill of one window and an add of three, all in `buffer`.
static tv_dispatch fill(const fixture *f, int y)
{
    tv_dispatch dispatch = {.bindings = {whole(f->buffer, y, TV_WRITE)},
                            .binding_count = 1,
                            .groups = {1, 1, 1},
                            .label = "the fill"};
    assert_int_equal(
        tv_device_kernel(f->device, &(tv_kernel_choice){.name = "fill"}, &dispatch.kernel), TV_OK);
    return dispatch;
}

static tv_dispatch add(const fixture *f, int a, int b, int y)
{
    tv_dispatch dispatch = {.bindings = {whole(f->buffer, a, TV_READ), whole(f->buffer, b, TV_READ),
                                         whole(f->buffer, y, TV_WRITE)},
                            .binding_count = 3,
                            .groups = {1, 1, 1},
                            .label = "the add"};
    assert_int_equal(
        tv_device_kernel(f->device, &(tv_kernel_choice){.name = "add"}, &dispatch.kernel), TV_OK);
    return dispatch;
}

static void assert_refused(fixture *f, const char *says)
{
    assert_int_equal(tv_program_finish(f->program), TV_EDEVICE);
    if (!strstr(tv_error_message(), says))
        fail_msg("'%s' does not say '%s'", tv_error_message(), says);
}

static void buffers_keep_bytes(void **state)
{
    fixture *f = *state;
    char read[8];
    assert_int_equal(tv_buffer_write(f->buffer, 3, "trivium", 8), TV_OK);
    assert_int_equal(tv_buffer_read(f->buffer, 3, read, 8), TV_OK);
    assert_string_equal(read, "trivium");
}

static void correct_programs_pass(void **state)
{
    fixture *f = *state;
    tv_dispatch list[] = {fill(f, 0), fill(f, 1), add(f, 0, 1, 2), add(f, 1, 0, 3), fill(f, 0)};
    tv_program_dispatch(f->program, &list[0]);
    tv_program_dispatch(f->program, &list[1]);
    tv_program_barrier(f->program);
    tv_program_dispatch(f->program, &list[2]); // both only read 0 and 1
    tv_program_dispatch(f->program, &list[3]);
    tv_program_barrier(f->program);
    tv_mark mark = tv_program_mark(f->program);
    tv_program_dispatch(f->program, &list[4]);
    assert_int_equal(tv_program_finish(f->program), TV_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tv_program_run(f->program), TV_OK);
        assert_int_equal(tv_program_wait(f->program, mark, 0), TV_OK);
        assert_int_equal(tv_program_wait(f->program, TV_MARK_END, 0), TV_OK);
    }
}

static void read_after_write(void **state)
{
    fixture *f = *state;
    tv_dispatch first = fill(f, 1), second = add(f, 0, 1, 2);
    tv_program_dispatch(f->program, &first);
    tv_program_dispatch(f->program, &second);
    assert_refused(f, "read after write between 'the fill' binding 0 (256 bytes at 256) and "
                      "'the add' binding 1");
}

static void write_after_read(void **state)
{
    fixture *f = *state;
    tv_dispatch first = add(f, 0, 1, 2), second = fill(f, 0);
    tv_program_dispatch(f->program, &first);
    tv_program_dispatch(f->program, &second);
    assert_refused(f, "write after read");
}

static void write_after_write(void **state)
{
    fixture *f = *state;
    tv_dispatch first = fill(f, 2), second = add(f, 0, 1, 2);
    tv_program_dispatch(f->program, &first);
    tv_program_dispatch(f->program, &second);
    assert_refused(f, "write after write");
}

// Windows that overlap in part; a mark between them and a barrier too early do not help.
static void partial_overlap(void **state)
{
    fixture *f = *state;
    tv_dispatch first = fill(f, 0), second = fill(f, 1);
    first.bindings[0].size = WINDOW + 4;
    tv_program_barrier(f->program);
    tv_program_dispatch(f->program, &first);
    tv_program_mark(f->program);
    tv_program_dispatch(f->program, &second);
    assert_refused(f, "(260 bytes at 0)");
}

static void other_buffers_do_not_overlap(void **state)
{
    fixture *f = *state;
    tv_dispatch first = fill(f, 0), second = fill(f, 0);
    second.bindings[0].buffer = f->other;
    tv_program_dispatch(f->program, &first);
    tv_program_dispatch(f->program, &second);
    assert_int_equal(tv_program_finish(f->program), TV_OK);
}

static void what_does_not_fit_is_refused(void **state)
{
    static const struct {
        uint64_t offset, size;
        uint32_t groups[3], binding_count;
        const char *says;
    } cases[] = {
        {SIZE - WINDOW, WINDOW + 1, {1, 1, 1}, 1, "the fill: binding 0: 257 bytes at 768"},
        {SIZE, 4, {1, 1, 1}, 1, "4 bytes at 1024"},
        {SIZE + WINDOW, 4, {1, 1, 1}, 1, "4 bytes at 1280"},
        {0, UINT64_MAX, {1, 1, 1}, 1, "in a buffer of 1024"},
        {0, 0, {1, 1, 1}, 1, "0 bytes at 0"},
        {4, 4, {1, 1, 1}, 1, "no multiple of 256"},
        {0, 516, {1, 1, 1}, 1, "the device takes 512"},
        {0, 256, {65536, 1, 1}, 1, "65536 groups in x"},
        {0, 256, {1, 0, 1}, 1, "0 groups in y"},
        {0, 256, {1, 1, 70000}, 1, "70000 groups in z"},
        {0, 256, {1, 1, 1}, 0, "more than 0 bindings"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture *f = *state;
        tv_dispatch dispatch = fill(f, 0);
        dispatch.bindings[0].offset = cases[i].offset;
        dispatch.bindings[0].size = cases[i].size;
        dispatch.binding_count = cases[i].binding_count;
        memcpy(dispatch.groups, cases[i].groups, sizeof dispatch.groups);
        tv_program_dispatch(f->program, &dispatch);
        assert_refused(f, cases[i].says);
        tv_program_destroy(&f->program);
        assert_int_equal(tv_program_create(f->device, &f->program), TV_OK);
    }
}

// ---------------------------------------------------------------------------------------- cutting

static double true_rate; // FLOP per second of the device that follows

static double seconds_at_true_rate(const tv_program *program, size_t segment)
{
    return program->segments[segment].work / true_rate;
}

static void run_times(tv_program *program, int times)
{
    for (int i = 0; i < times; i++) {
        assert_int_equal(tv_program_run(program), TV_OK);
        assert_int_equal(tv_program_wait(program, TV_MARK_END, 0), TV_OK);
    }
}

// Submissions of 0.1 s at the measured rate; cut anew when it is more than twice or less than half
// of what they were cut for. The first run, in which drivers compile, is not measured.
static void submissions_follow_the_measured_rate(void **state)
{
    enum { DISPATCHES = 16 };
    fixture *f = *state;
    tv_backend backend = *f->device->backend;
    const tv_backend *null = f->device->backend;
    backend.segment_seconds = seconds_at_true_rate;
    f->device->backend = &backend;
    tv_dispatch dispatch = fill(f, 0);
    dispatch.work = 1e6;
    for (int i = 0; i < DISPATCHES; i++) {
        tv_program_dispatch(f->program, &dispatch);
        tv_program_barrier(f->program);
    }
    f->device->rate = 1e7; // 1e6 per submission
    assert_int_equal(tv_program_finish(f->program), TV_OK);
    assert_int_equal(f->program->segment_count, DISPATCHES);
    true_rate = 8e7;
    run_times(f->program, 1);
    assert_true(f->device->rate == 1e7);
    assert_true(fabs(tv_program_seconds(f->program) - DISPATCHES * 1e6 / true_rate) < 1e-9);
    run_times(f->program, 20);
    assert_true(f->device->rate > 7.9e7 && f->device->rate < 8.1e7);
    assert_in_range(f->program->segment_count, DISPATCHES / 8, DISPATCHES / 4);
    true_rate = 5e6;
    run_times(f->program, 20);
    assert_true(f->device->rate > 4.9e6 && f->device->rate < 5.1e6);
    assert_int_equal(f->program->segment_count, DISPATCHES);
    assert_true(fabs(tv_device_dispatch_budget(f->device) - 0.05 * f->device->rate) < 1);
    true_rate = 1e15; // too short to be measured
    run_times(f->program, 20);
    assert_true(f->device->rate < 5.1e6);
    f->device->backend = null;
}

static void segments_end_at_marks(void **state)
{
    fixture *f = *state;
    tv_dispatch dispatch = fill(f, 0);
    for (int i = 0; i < 3; i++) {
        tv_program_dispatch(f->program, &dispatch);
        tv_program_barrier(f->program);
        if (i > 0)
            assert_int_equal(tv_program_mark(f->program), i);
    }
    tv_program_dispatch(f->program, &dispatch);
    assert_int_equal(tv_program_finish(f->program), TV_OK);
    const tv_segment *segments = f->program->segments;
    assert_int_equal(f->program->segment_count, 3);
    assert_int_equal(segments[0].mark, 1);
    assert_int_equal(segments[0].count, 5);
    assert_int_equal(segments[1].mark, 2);
    assert_int_equal(segments[1].first, 5);
    assert_int_equal(segments[2].mark, TV_NO_MARK);
    assert_int_equal(segments[2].first, 8);
    assert_int_equal(segments[2].count, 1);
}

// Each dispatch becomes a segment, wherever barriers and marks stand; what single dispatches take
// does not change the rate. Afterwards the program is cut as before.
static void profiling_times_each_dispatch(void **state)
{
    enum { DISPATCHES = 4 };
    fixture *f = *state;
    tv_backend backend = *f->device->backend;
    const tv_backend *null = f->device->backend;
    double seconds[DISPATCHES + 1] = {0};
    backend.segment_seconds = seconds_at_true_rate;
    f->device->backend = &backend;
    for (int i = 0; i < DISPATCHES; i++) {
        tv_dispatch dispatch = fill(f, i);
        dispatch.work = 1e6 * (i + 1);
        tv_program_dispatch(f->program, &dispatch);
        if (i % 2)
            tv_program_barrier(f->program);
        if (i == 1)
            tv_program_mark(f->program);
    }
    tv_program_barrier(f->program);
    assert_int_equal(tv_program_finish(f->program), TV_OK);
    assert_int_equal(f->program->segment_count, 2);
    double rate = f->device->rate;
    true_rate = 1e7;
    assert_int_equal(tv_program_profile(f->program, true), TV_OK);
    run_times(f->program, 2);
    assert_int_equal(f->program->segment_count, DISPATCHES);
    tv_program_dispatch_seconds(f->program, seconds);
    for (int i = 0; i < DISPATCHES; i++)
        assert_true(fabs(seconds[i] - 0.1 * (i + 1)) < 1e-12);
    assert_true(seconds[DISPATCHES] == 0);
    assert_true(f->device->rate == rate);
    assert_int_equal(tv_program_profile(f->program, false), TV_OK);
    run_times(f->program, 1);
    assert_int_equal(f->program->segment_count, 2);
    f->device->backend = null;
}

// ------------------------------------------------------------------------------------------- bugs

static void write_outside(fixture *f)
{
    (void)tv_buffer_write(f->buffer, SIZE - 1, "ab", 2);
}

static void write_wrapping(fixture *f)
{
    (void)tv_buffer_write(f->buffer, 8, "ab", UINT64_MAX);
}

static void close_too_early(fixture *f)
{
    tv_device_close(&f->device);
}

static void run_unfinished(fixture *f)
{
    (void)tv_program_run(f->program);
}

static void extend_finished(fixture *f)
{
    if (tv_program_finish(f->program) == TV_OK)
        tv_program_barrier(f->program);
}

static void run_twice(fixture *f)
{
    if (tv_program_finish(f->program) == TV_OK && tv_program_run(f->program) == TV_OK)
        (void)tv_program_run(f->program);
}

static void unknown_mark(fixture *f)
{
    if (tv_program_finish(f->program) == TV_OK && tv_program_run(f->program) == TV_OK)
        (void)tv_program_wait(f->program, 1, 0);
}

static void buffer_of_another_device(fixture *f)
{
    tv_device *device = NULL;
    tv_buffer *buffer = NULL;
    if (tv_device_open("null", "", &device) != TV_OK ||
        tv_buffer_create(device, SIZE, &buffer) != TV_OK)
        return;
    tv_dispatch dispatch = fill(f, 0);
    dispatch.bindings[0].buffer = buffer;
    tv_program_dispatch(f->program, &dispatch);
}

static void bugs_abort(void **state)
{
    static void (*const bugs[])(fixture *) = {
        write_outside,   write_wrapping, close_too_early, run_unfinished,
        extend_finished, run_twice,      unknown_mark,    buffer_of_another_device,
    };
    for (size_t i = 0; i < sizeof bugs / sizeof *bugs; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            if (freopen("/dev/null", "w", stderr))
                bugs[i](*state);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("bug %zu was not caught", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(buffers_keep_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(correct_programs_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(read_after_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(write_after_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(write_after_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(partial_overlap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_buffers_do_not_overlap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(submissions_follow_the_measured_rate, set_up, tear_down),
        cmocka_unit_test_setup_teardown(segments_end_at_marks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(profiling_times_each_dispatch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bugs_abort, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
