// Golden runs: the folders under tests/golden opened as training sessions on the test device.
#ifndef TV_TESTS_GOLDEN_H
#define TV_TESTS_GOLDEN_H

#include "harness/harness.h"

#include "formats/safetensors.h"
#include "train/session.h"

enum { TV_GOLDEN_STEPS = 50 };

typedef struct tv_golden_options {
    bool accumulate; // micro-batches of one sequence
    tv_precision precision;
    tv_dtype moments;
    tv_recompute recompute;
    double lr;         // highest learning rate; 0: the golden run's
    double beta2;      // 0: the golden run's
    double loss_scale; // first one; 0: the configuration's default
} tv_golden_options;

typedef struct tv_golden {
    const char *name;
    char folder[512];
    tv_golden_options options;
    tv_safetensors file;
    tv_config config;
    tv_session session;
    tv_train_state state;      // at step 0
    int32_t *inputs, *targets; // [TV_GOLDEN_STEPS, batch, T]
} tv_golden;

// Opens it as tools/golden.py trains, but for the options; weights are the golden initial ones. All
// failures fail the test.
void tv_golden_open(tv_golden *golden, tv_device *device, const char *name,
                    const tv_golden_options *options);
void tv_golden_close(tv_golden *golden);

// A tensor of the golden file, which must have this type and count. The caller frees it.
void *tv_golden_read(const tv_golden *golden, const char *name, tv_st_dtype dtype, size_t count);

// The batch of a step into the session; the next step on it.
void tv_golden_set_batch(tv_golden *golden, size_t step);
tv_step_report tv_golden_step(tv_golden *golden);

// All elements of a tensor of the session, as floats. The caller frees them.
float *tv_golden_fetch(const tv_golden *golden, const tv_tensor *tensor);

#endif
