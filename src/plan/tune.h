// Tuning: which of several kernels computes a product fastest on a device. Each is timed once per
// kind of product, which takes milliseconds, and the result is kept on disk for this device and
// driver. All variants give the same bits only where they add up in the same order; the kept result
// makes later runs the same.
//
// Environment: TRIVIUM_TUNE=0 takes the best guess instead, without a look at the disk; 1 tunes
// software drivers, too, which otherwise take the kernels that are made for them; pick:N takes the
// N-th variant, counted from 0, or the last one, for tests.
#ifndef TV_PLAN_TUNE_H
#define TV_PLAN_TUNE_H

#include "plan/lower.h"

typedef struct tv_tuner tv_tuner;

// NULL where nothing is to be tuned: TRIVIUM_TUNE=0, software drivers, the null device. The device
// must outlive it.
tv_tuner *tv_tuner_open(tv_device *device);

// Keeps what was measured; a cache that cannot be written is a debug line.
void tv_tuner_close(tv_tuner **tuner);

// The index of the fastest of `count` variants for the product; 0 where it cannot be measured, as
// with packed inputs. May
// run them on scratch memory, and blocks while it does.
size_t tv_tuner_pick(tv_tuner *tuner, const tv_product *product, const tv_variant *variants,
                     size_t count);

#endif
