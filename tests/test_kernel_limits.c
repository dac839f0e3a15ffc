// Limits of a device: groups and shared memory that a kernel may exceed, and what is said then; its
// speed.
#include "device/front.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LEAST_SHARED = 16384, WIDEST_GROUP = 1024 }; // what Vulkan promises; what devices have

static const tv_kernel_code *code_named(const char *name, bool opencl)
{
    for (size_t i = 0; i < tv_kernel_code_count; i++)
        if (strcmp(tv_kernel_codes[i].name, name) == 0 && !tv_kernel_codes[i].spirv == opencl)
            return &tv_kernel_codes[i];
    return NULL;
}

static void shared_memory_is_counted(void **state)
{
    static const struct {
        const char *name;
        uint32_t group;
        uint64_t bytes;
    } cases[] = {
        {"add", 256, 0},
        {"matmul_nt", 64, 2 * 256 * 16}, // two tiles of 256 float4
        {"rmsnorm", 64, 64 * 4},         // one float per lane
        {"rmsnorm", 128, 128 * 4},
        {"attention_cache", 64, 2 * 64 * 4}, // the tree, and one weight per lane
        {"attention_cache", 8, 2 * 8 * 4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int opencl = 0; opencl < 2; opencl++) {
            const tv_kernel_code *code = code_named(cases[i].name, opencl);
            if (!code && opencl) // built without
                continue;
            assert_non_null(code);
            assert_int_equal(tv_kernel_shared_bytes(code, cases[i].group), cases[i].bytes);
        }
}

// So a device with the least that Vulkan promises runs everything.
static void no_kernel_needs_more_than_vulkan_promises(void **state)
{
    (void)state;
    for (size_t i = 0; i < tv_kernel_code_count; i++) {
        const tv_kernel_code *code = &tv_kernel_codes[i];
        uint64_t bytes = tv_kernel_shared_bytes(code, WIDEST_GROUP);
        if (bytes > LEAST_SHARED)
            fail_msg("%s needs %llu bytes", code->name, (unsigned long long)bytes);
    }
}

static void one_line_says_what_is_missing(void **state)
{
    static const struct {
        const char *mask;
        tv_kernel_choice choice;
        const char *says; // NULL: it is made
    } cases[] = {
        {"group=64", {.name = "matmul_nt"}, NULL},
        {"group=63",
         {.name = "matmul_nt"},
         "'matmul_nt' needs groups of 64 lanes, the device takes 63"},
        {"group=128", {.name = "add"}, "'add' needs groups of 256 lanes, the device takes 128"},
        {"group=128", {.name = "add", .group = 128}, NULL},
        {"shared=8K", {.name = "matmul_nt"}, NULL},
        {"shared=8191",
         {.name = "matmul_nt"},
         "'matmul_nt' needs 8192 bytes of shared memory, the device has 8191"},
        {"shared=256", {.name = "rmsnorm"}, NULL},
        {"shared=255", {.name = "rmsnorm"}, "'rmsnorm' needs 256 bytes of shared memory"},
        {"shared=255", {.name = "rmsnorm", .group = 32}, NULL},
        {"shared=16K", {.name = "no_such_kernel"}, "no kernel 'no_such_kernel'"},
        {"profile=spec-minimum", {.name = "matmul_tn"}, NULL},
        {"profile=v3d", {.name = "matmul_nn"}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_device *device = NULL;
        const tv_kernel *kernel = NULL;
        assert_int_equal(tv_device_open("null", cases[i].mask, &device), TV_OK);
        tv_err err = tv_device_kernel(device, &cases[i].choice, &kernel);
        assert_int_equal(err, cases[i].says ? TV_EDEVICE : TV_OK);
        if (err == TV_OK)
            assert_non_null(kernel);
        else if (!strstr(tv_error_message(), cases[i].says) || strchr(tv_error_message(), '\n'))
            fail_msg("'%s' does not say '%s'", tv_error_message(), cases[i].says);
        tv_device_close(&device);
    }
}

static double device_seconds(const tv_program *program, size_t segment)
{
    (void)program, (void)segment;
    return 0.02;
}

// The device takes longer, and says so.
static void a_masked_speed_is_slower(void **state)
{
    tv_device *device = NULL;
    tv_program *program = NULL;
    (void)state;
    assert_int_equal(tv_device_open("null", "speed=0.25", &device), TV_OK);
    tv_backend backend = *device->backend;
    backend.segment_seconds = device_seconds;
    device->backend = &backend;
    assert_true(device->rate == tv_rate_guess(TV_CLASS_VIRTUAL) / 4);
    assert_int_equal(tv_program_create(device, &program), TV_OK);
    assert_int_equal(tv_program_finish(program), TV_OK);
    assert_int_equal(tv_program_run(program), TV_OK);
    double since = tv_now_seconds();
    assert_int_equal(tv_program_wait(program, TV_MARK_END, 0), TV_OK);
    double waited = tv_now_seconds() - since;
    assert_true(tv_program_seconds(program) == 0.08);
    assert_true(waited > 0.055);
    tv_program_destroy(&program);
    tv_device_close(&device);
}

// What comes after waits for what went before, unless it was started later.
static void a_masked_speed_adds_up(void **state)
{
    (void)state;
    assert_true(tv_slowed_end(0, 10, 1, 1) == 11);
    assert_true(tv_slowed_end(0, 10, 1, 0.25) == 14);
    assert_true(tv_slowed_end(14, 10, 0.5, 0.25) == 16);
    assert_true(tv_slowed_end(14, 20, 0.5, 0.25) == 22);
    assert_true(tv_slowed_end(14, 10, 0, 0.25) == 14); // a time that is not known
}

// A mark is late in proportion, whether the program's end is known already or not.
static void a_masked_speed_delays_marks(void **state)
{
    tv_device *device = NULL;
    tv_program *program = NULL;
    (void)state;
    assert_int_equal(tv_device_open("null", "speed=0.5", &device), TV_OK);
    tv_backend backend = *device->backend;
    backend.segment_seconds = device_seconds;
    device->backend = &backend;
    assert_int_equal(tv_program_create(device, &program), TV_OK);
    tv_mark first = tv_program_mark(program), second = tv_program_mark(program);
    tv_program_barrier(program); // a third segment
    assert_int_equal(tv_program_finish(program), TV_OK);
    assert_int_equal(program->segment_count, 3);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(tv_program_run(program), TV_OK);
        assert_int_equal(tv_program_wait(program, run == 0 ? first : TV_MARK_END, 0), TV_OK);
        assert_int_equal(program->timed, run == 0 ? 1 : 3);
        assert_int_equal(tv_program_wait(program, second, 0), TV_OK);
        assert_int_equal(program->timed, run == 0 ? 2 : 3);
        assert_int_equal(tv_program_wait(program, TV_MARK_END, 0), TV_OK);
        const tv_segment *segments = program->segments;
        assert_true(segments[0].end >= program->started + 0.04);
        for (int i = 1; i < 3; i++)
            assert_true(segments[i].end == segments[i - 1].end + 0.04);
        assert_true(tv_now_seconds() >= segments[2].end - 1e-3);
    }
    tv_program_destroy(&program);
    tv_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_memory_is_counted),
        cmocka_unit_test(no_kernel_needs_more_than_vulkan_promises),
        cmocka_unit_test(one_line_says_what_is_missing),
        cmocka_unit_test(a_masked_speed_is_slower),
        cmocka_unit_test(a_masked_speed_adds_up),
        cmocka_unit_test(a_masked_speed_delays_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
