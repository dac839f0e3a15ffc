// A trial: a model that is trained for a while on random tokens, to see how fast it goes. Inside
// this room.
#ifndef TV_BENCH_TRIAL_H
#define TV_BENCH_TRIAL_H

#include "bench/suite.h"
#include "train/session.h"

typedef struct tv_bench_trial {
    tv_config config;
    tv_session session;
    tv_train_state state;
    tv_step_report last;
    tv_bench_meter *meter; // ticks after each step; may be NULL
} tv_bench_trial;

// The model with all that a session has, on a device that stays the caller's. Close it also after
// errors. TV_EMEMORY where it does not fit.
tv_err tv_bench_trial_open(tv_device *device, const tv_bench_shape *shape, const char *precision,
                           tv_bench_trial *trial);
void tv_bench_trial_close(tv_bench_trial *trial);

// Trains the first steps twice from the same weights: the losses and gradient norms of both must be
// the same bits, all finite, and the first loss near the logarithm of the vocabulary, which is what
// a model that knows nothing has. *loss is the first one.
tv_err tv_bench_trial_check(tv_bench_trial *trial, bool *good, char why[160], double *loss);

// One more step (tv_bench_once).
tv_err tv_bench_trial_step(void *trial, double *seconds);

// Adds the result of a trial to the report: its rate by the rule (without warm-up: the check is
// one), memory, energy. What does not fit is skipped.
tv_err tv_bench_add_trial(tv_device *device, const tv_bench_options *options,
                          const tv_bench_rule *rule, tv_bench_kind kind,
                          const tv_bench_shape *shape, tv_precision precision,
                          tv_bench_report *report);

#endif
