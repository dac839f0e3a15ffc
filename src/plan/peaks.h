// What a device reaches at best, measured in a moment: what predictions and fractions are of.
#ifndef TV_PLAN_PEAKS_H
#define TV_PLAN_PEAKS_H

#include "base/error.h"
#include "device/device.h"
#include "graph/graph.h"

typedef struct tv_peaks {
    double bytes_per_s; // of a + b over floats, reading and writing
    double flop_per_s;  // of a square product of the storage type asked for
} tv_peaks;

// About half a second. Zeros on a device that does not tell the time of a dispatch.
tv_err tv_peaks_measure(tv_device *device, tv_dtype storage, tv_peaks *peaks);

#endif
