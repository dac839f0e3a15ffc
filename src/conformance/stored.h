// What is stored on the way: the error that outputs and gradients inherit from intermediates of a
// 16-bit storage type.
#ifndef TV_CONFORMANCE_STORED_H
#define TV_CONFORMANCE_STORED_H

#include "conformance/case.h"

// Absolute errors: the root of the mean square over a tensor, and the most of one element. Both are
// 0 where no intermediate of a 16-bit type is in the way.
typedef struct tv_bound {
    double rms, most;
} tv_bound;

tv_bound tv_stored_in_output(const tv_trial *t, uint32_t output, const tv_trial_result *result);
tv_bound tv_stored_in_gradient(const tv_trial *t, uint32_t leaf);

#endif
