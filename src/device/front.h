// The device front's own parts: what device.c, select.c and program.c share. Not for backends.
#ifndef TV_DEVICE_FRONT_H
#define TV_DEVICE_FRONT_H

#include "device/backend.h"

// A device found by name, with its backend and its unmasked info.
typedef struct tv_selection {
    const tv_backend *backend;
    tv_device_info info;
} tv_selection;

// Finds the device that `which` names (see tv_device_open).
tv_err tv_device_select(const char *which, tv_selection *selection);

// Sorts infos, given in the order of backends.def, best first, and puts behind them those of which
// another one is the same device and preferred: usable before unusable, then the earlier backend or
// driver. Returns how many are before those.
size_t tv_device_arrange(tv_device_info *infos, size_t count);

// tv_device_select among infos that tv_device_arrange has sorted; *found points into them.
tv_err tv_device_find(const char *which, const tv_device_info *infos, size_t count,
                      size_t listed_count, const tv_device_info **found);

// Bytes of shared memory that each group of so many lanes needs.
uint64_t tv_kernel_shared_bytes(const tv_kernel_code *code, uint32_t group);

// TV_ELOST with a line of its own if the device was lost earlier.
tv_err tv_device_alive(const tv_device *device);

// Passes `err` on, and poisons the device if it is TV_ELOST.
tv_err tv_device_note(tv_device *device, tv_err err);

// Waits for all programs in flight.
tv_err tv_device_drain(tv_device *device);

// Runs dispatches side by side on a buffer that holds what `image` does, and reads it back. Their
// bindings are windows of it: kernels, which `choices` name, and buffers are filled in.
tv_err tv_device_run_once(tv_device *device, const tv_kernel_choice *choices,
                          tv_dispatch *dispatches, size_t count, void *image, uint64_t bytes);

// Sets the rate of a GPU to what products come to on it; leaves that of a software driver, which no
// watchdog guards.
tv_err tv_device_calibrate(tv_device *device);

// Counts what the calling thread spends in the driver, from `since` (tv_thread_seconds) to now.
void tv_device_count_driver(tv_device *device, double since);

// When a device of a masked speed would be done with work that took its own speed `seconds`: it
// began when it was started, or when what went before it would have been over.
double tv_slowed_end(double before, double started, double seconds, double speed);

// FLOP per second to start with, before anything was measured.
double tv_rate_guess(tv_device_class device_class);

#endif
