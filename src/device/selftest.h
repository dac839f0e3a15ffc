// The self-test: a handful of kernels on small data with known answers, run when a device is
// opened, so that a driver that compiles a kernel and then computes something else is named before
// anything is trained with it.
//
// Environment: TRIVIUM_SELFTEST=0 skips it. TRIVIUM_FAULT=wrong:NAME spoils the result of one
// check: cross_entropy, matmul_nt, dropout, convert, half (what the driver's own half conversions
// give) or matrix_units.
#ifndef TV_DEVICE_SELFTEST_H
#define TV_DEVICE_SELFTEST_H

#include "device/device.h"

// False where TRIVIUM_SELFTEST=0.
bool tv_selftest_wanted(void);

// Runs it; blocks for a few milliseconds, or for as long as the driver takes to compile. TV_EDEVICE
// names device, driver, kernel and the first wrong value. Half conversions of the driver (caps.f16)
// that are wrong are no failure: a warning says so, *wrong_halves is set, and the device must be
// opened again without f16. Nothing is tested on the null device.
tv_err tv_device_selftest(tv_device *device, bool *wrong_halves);

// The same for cooperative matrices (caps.coop): *wrong with a warning where a product is, after
// which the device must be opened again without them. Nothing is tested where there are none.
tv_err tv_device_test_matrix_units(tv_device *device, bool *wrong);

// TV_EUSAGE if TRIVIUM_FAULT=wrong:NAME names no check; `name` is what stands behind the colon.
tv_err tv_selftest_check_fault(const char *name);

#endif
