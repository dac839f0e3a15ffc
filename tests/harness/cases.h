// Running rows of the table of cases (src/conformance) on a device.
#ifndef TV_TESTS_CASES_H
#define TV_TESTS_CASES_H

#include "conformance/case.h"

// Runs the row in a storage type, judges what comes out, and prints what is wrong, and where:
// "MATMUL 3 17 5 as f16", with `what` behind it unless that is NULL.
bool tv_test_case(tv_device *device, const tv_case *row, tv_dtype storage, const char *what);

// The same for one of each `every` rows of an op (see tv_test_takes), in all storage types. Returns
// how many failed.
size_t tv_test_cases(tv_device *device, tv_op op, size_t every, const char *what);

// The row of ATTENTION whose inputs are spread, with other random values for each seed.
tv_case tv_test_large_scores(uint32_t seed);

#endif
