// The self-test on a real driver: it passes, with and without what masks can deny; each check bites
// and names its kernel; wrong halves are replaced by bit operations.
#include "harness/harness.h"

#include "device/backend.h"
#include "device/selftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What `call` prints on stderr.
static char said[4096];

static tv_err open_listening(const char *mask, tv_device **device)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    tv_err err = tv_device_open(getenv("TRIVIUM_TEST_DEVICE"), mask, device);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    rewind(file);
    said[fread(said, 1, sizeof said - 1, file)] = 0;
    fclose(file);
    return err;
}

static tv_err open_with_fault(const char *fault, const char *mask, tv_device **device)
{
    setenv("TRIVIUM_FAULT", fault, 1);
    tv_err err = open_listening(mask, device);
    unsetenv("TRIVIUM_FAULT");
    return err;
}

static void passes_under_masks(void **state)
{
    static const char *const masks[] = {"",
                                        "no-texel",
                                        "no-subgroup",
                                        "no-f16",
                                        "no-storage16",
                                        "no-timeline,no-hostvisible",
                                        "group=64,shared=8K",
                                        "profile=spec-minimum",
                                        "profile=gtx960",
                                        "profile=rx580",
                                        "profile=uhd620",
                                        "profile=v3d"};
    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        tv_device *device = NULL;
        if (open_listening(masks[i], &device) != TV_OK)
            fail_msg("%s: %s", masks[i], tv_error_message());
        assert_string_equal(said, "");
        assert_true(tv_test_device_done(&device));
    }
}

static void each_check_bites(void **state)
{
    static const struct {
        const char *fault, *mask, *kernel;
    } cases[] = {
        {"wrong:cross_entropy", "", "kernel 'cross_entropy' computes wrongly: element 0 is"},
        {"wrong:matmul_nt", "", "kernel 'matmul_"},
        {"wrong:matmul_nt", "no-texel", "computes wrongly: element 0 is"},
        {"wrong:dropout", "", "kernel 'dropout' computes wrongly: element 0 is"},
        {"wrong:convert", "no-f16",
         "kernel 'convert' computes wrongly: element 0 has the bits 0x7c00, expected 0x3c00"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_device *device = NULL;
        tv_err err = open_with_fault(cases[i].fault, cases[i].mask, &device);
        assert_null(device);
        assert_error(err, TV_EDEVICE, cases[i].kernel);
        assert_error(err, TV_EDEVICE, "--no-selftest skips this check");
        assert_null(strchr(tv_error_message(), '\n'));
    }
}

static void the_line_names_the_device(void **state)
{
    tv_device *device = tv_test_device("");
    (void)state;
    assert_non_null(device);
    tv_device_info info = *tv_device_get_info(device);
    tv_device_close(&device);
    tv_err err = open_with_fault("wrong:dropout", "", &device);
    assert_error(err, TV_EDEVICE, info.name);
    assert_error(err, TV_EDEVICE, info.driver);
}

static void wrong_halves_are_converted_by_bit_operations(void **state)
{
    tv_device *device = tv_test_device("");
    bool offered = device && tv_device_get_info(device)->caps.f16, wrong_halves = true;
    (void)state;
    assert_non_null(device);
    tv_device_close(&device);
    assert_ok(open_with_fault("wrong:half", "", &device));
    assert_false(tv_device_get_info(device)->caps.f16);
    if (offered && (!strstr(said, "half conversions are wrong") ||
                    !strstr(said, tv_device_get_info(device)->name) || !strstr(said, "0x3c00")))
        fail_msg("the warning is '%s'", said);
    assert_ok(tv_device_selftest(device, &wrong_halves));
    assert_false(wrong_halves);
    tv_device_close(&device);
    // Where they are not the driver's, there is nothing to warn of.
    assert_ok(open_with_fault("wrong:half", "no-f16", &device));
    assert_string_equal(said, "");
    tv_device_close(&device);
}

static void it_can_be_skipped(void **state)
{
    tv_device *device = NULL;
    (void)state;
    setenv("TRIVIUM_SELFTEST", "0", 1);
    tv_err err = open_with_fault("wrong:dropout", "", &device);
    unsetenv("TRIVIUM_SELFTEST");
    assert_ok(err);
    tv_device_close(&device);
    assert_error(open_with_fault("wrong:anything", "", &device), TV_EUSAGE, "no such check");
    assert_error(open_with_fault("wrong:", "", &device), TV_EUSAGE, "no such check");
}

// What is counted per device starts after the self-test, and nothing of it is left behind.
static void it_leaves_no_trace(void **state)
{
    tv_device *device = tv_test_device("");
    tv_program *program = NULL;
    (void)state;
    assert_non_null(device);
    assert_int_equal(device->buffers, 0);
    assert_int_equal(device->programs, 0);
    assert_int_equal(device->allocated, 0);
    assert_int_equal(device->runs, 0);
    tv_device_close(&device);
    setenv("TRIVIUM_FAULT", "lost:1", 1);
    device = tv_test_device("");
    unsetenv("TRIVIUM_FAULT");
    assert_non_null(device);
    assert_ok(tv_program_create(device, &program));
    assert_ok(tv_program_finish(program));
    assert_int_equal(tv_program_run(program), TV_ELOST);
    tv_program_destroy(&program);
    tv_device_close(&device);
}

// What the device lacks for a kernel is one line, from the front, and nothing happens in the
// driver.
static void what_does_not_fit_is_one_line(void **state)
{
    static const struct {
        const char *mask, *says;
    } cases[] = {
        {"no-subgroup,group=32", "kernel 'cross_entropy' needs groups of 64 lanes, the device "
                                 "takes 32"},
        {"no-subgroup,shared=128", "kernel 'cross_entropy' needs 256 bytes of shared memory, the "
                                   "device has 128"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_device *device = NULL;
        assert_error(open_listening(cases[i].mask, &device), TV_EDEVICE, cases[i].says);
        assert_null(strchr(tv_error_message(), '\n'));
        assert_null(device);
        assert_string_equal(said, "");
    }
}

static void nothing_is_tested_on_the_null_device(void **state)
{
    tv_device *device = NULL;
    (void)state;
    setenv("TRIVIUM_FAULT", "wrong:matmul_nt", 1);
    tv_err err = tv_device_open("null", "", &device);
    unsetenv("TRIVIUM_FAULT");
    assert_ok(err);
    tv_device_close(&device);
}

static void wrong_matrix_units_are_not_used(void **state)
{
    (void)state;
    tv_device *device = tv_test_device("");
    bool offered = device && tv_device_get_info(device)->caps.coop, wrong = true;
    assert_true(tv_test_device_done(&device));
    assert_ok(open_with_fault("wrong:matrix_units", "", &device));
    assert_false(tv_device_get_info(device)->caps.coop);
    assert_int_equal(offered, strstr(said, "matrix units compute wrongly") != NULL);
    assert_ok(tv_device_test_matrix_units(device, &wrong));
    assert_false(wrong);
    assert_true(tv_test_device_done(&device));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_under_masks),
        cmocka_unit_test(each_check_bites),
        cmocka_unit_test(the_line_names_the_device),
        cmocka_unit_test(wrong_halves_are_converted_by_bit_operations),
        cmocka_unit_test(wrong_matrix_units_are_not_used),
        cmocka_unit_test(it_can_be_skipped),
        cmocka_unit_test(it_leaves_no_trace),
        cmocka_unit_test(what_does_not_fit_is_one_line),
        cmocka_unit_test(nothing_is_tested_on_the_null_device),
    };
    unsetenv("TRIVIUM_SELFTEST");
    unsetenv("TRIVIUM_MASK");
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
