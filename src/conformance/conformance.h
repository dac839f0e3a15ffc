// The conformance suite: every case in every storage type on one device, and what became of it.
// Users send its report with a bug report; drivers are compared by it.
#ifndef TV_CONFORMANCE_CONFORMANCE_H
#define TV_CONFORMANCE_CONFORMANCE_H

#include "conformance/judge.h"

// A row in a storage type.
typedef struct tv_conformance_trial {
    const tv_case *row;
    tv_dtype storage;
    bool good;
    char why[256]; // why it gave no verdicts: the error line of what failed. Empty if it did
    size_t verdict_count;
    tv_verdict verdicts[TV_VERDICTS];
} tv_conformance_trial;

// The trials, row by row in the order of the table, in each storage type.
typedef struct tv_conformance {
    tv_conformance_trial *trials;
    size_t count;
    size_t failed; // of them
} tv_conformance;

// Called before each trial.
typedef void tv_conformance_progress(void *context, const tv_case *row, tv_dtype storage,
                                     size_t done, size_t total);

// Runs all rows, or those of one op where `op` is not NULL. A trial that fails, also because a
// kernel does not compile or memory does not suffice, is recorded and the next one is run; only a
// device that is lost, or does not answer, ends the suite with an error. TV_EUSAGE for an op that
// has no rows. *result needs tv_conformance_finish, also on failure.
tv_err tv_conformance_run(tv_device *device, const char *op, tv_conformance_progress *progress,
                          void *context, tv_conformance *result);
void tv_conformance_finish(tv_conformance *result);

// Trials of one op in one storage type: the forward results, or the gradients.
typedef struct tv_conformance_cell {
    size_t verdicts;                   // 0: nothing was compared
    bool good;                         // also of trials that gave no verdicts
    const tv_conformance_trial *trial; // the one with the worst error, NULL where there is none
    const tv_verdict *worst;           // of it
} tv_conformance_cell;

// Whether `a` is worse than `b`, which may be NULL: errors in ULP of the storage type are what
// counts; in 16-bit types those of floats (statistics, gradients of weights) only where there are
// no others.
bool tv_conformance_is_worse(tv_dtype storage, const tv_verdict *a, const tv_verdict *b);

tv_conformance_cell tv_conformance_cell_of(const tv_conformance *result, tv_op op, tv_dtype storage,
                                           bool gradient);

#endif
