// The test harness: the device that tests run on, random numbers, and comparing with a reference.
#ifndef TV_TESTS_HARNESS_H
#define TV_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/rng.h"
#include "device/device.h"

// Opens the device that TRIVIUM_TEST_DEVICE names ("auto" where it is not set) as tv_device_open
// does; mask NULL takes TRIVIUM_MASK. NULL, after a line that says why, where there is none: tests
// then fail, they are not skipped.
tv_device *tv_test_device(const char *mask);
// Closes it. False, after a line, where the validation layer had something to say.
bool tv_test_device_done(tv_device **device);

// The same as group setup and teardown of cmocka: *state is the device.
int tv_test_setup(void **state);
int tv_test_teardown(void **state);

// Whether a test takes row `row`, counted from 0, of an op's cases: one of each `every`, or of each
// TRIVIUM_TEST_EVERY where that is more. Most of a test's time goes into compiling kernels.
bool tv_test_takes(size_t row, size_t every);

// Passes if `err` is TV_OK; prints the error line where it is not.
#define assert_ok(err)                                                                             \
    do {                                                                                           \
        if ((err) != TV_OK)                                                                        \
            fail_msg("%s", tv_error_message());                                                    \
    } while (0)
// Passes if `err` is `code` and the error line contains `part`.
#define assert_error(err, code, part)                                                              \
    do {                                                                                           \
        assert_int_equal(err, code);                                                               \
        if (!strstr(tv_error_message(), part))                                                     \
            fail_msg("'%s' does not mention '%s'", tv_error_message(), part);                      \
    } while (0)

// Runs the tests whose names match the pattern in argv[1], or all of them.
#define TV_TEST_FILTER(argc, argv)                                                                 \
    do {                                                                                           \
        if ((argc) > 1)                                                                            \
            cmocka_set_test_filter((argv)[1]);                                                     \
    } while (0)

// How far floats are from a double reference. Not a number counts as infinitely far.
typedef struct tv_distance {
    double relative; // |got - want| / |want| in the Euclidean norm; |got| where want is all zero
    double largest;  // largest |got[i] - want[i]|
    size_t where;    // its i
    double rms;      // root of the mean square of want
} tv_distance;
tv_distance tv_compare(const float *got, const double *want, size_t count);

bool tv_all_finite(const float *values, size_t count);

#endif
