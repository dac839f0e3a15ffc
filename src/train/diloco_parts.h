// What a rank of DiLoCo keeps between steps. Used by diloco*.c only.
#ifndef TV_TRAIN_DILOCO_PARTS_H
#define TV_TRAIN_DILOCO_PARTS_H

#include "base/worker.h"
#include "dist/outer.h"
#include "train/diloco.h"

// A run of weights that is exchanged as one.
typedef struct tv_fragment {
    size_t first_weight, end_weight;
    uint64_t first, count; // values
    uint64_t mark;         // `trained` when it was exchanged last
} tv_fragment;

// One exchange, from the worker's side.
typedef struct tv_outer_exchange {
    tv_comm *comm;
    tv_outer_rule rule;
    tv_outer_part part;
    uint64_t weight;
    tv_outer_report report;
} tv_outer_exchange;

struct tv_diloco {
    tv_session *session;
    tv_worker *worker;
    uint64_t interval, overlap, last_step;
    tv_outer_rule rule;
    tv_fragment *fragments;
    size_t fragment_count;
    uint64_t count; // values of the model
    // [count] each, see tv_outer_part. `own` is what this rank had when an exchange began.
    float *shared, *momentum, *own, *error, *mean_error;
    float *kept; // the rank's parameters while the device holds the shared ones

    tv_outer_exchange exchange;
    tv_fragment *pending; // the worker has it, or has had it; NULL: none
    uint64_t sent_step, merge_step;
    uint64_t shared_step; // where all parameters on the device became the shared ones

    // What this rank has done.
    uint64_t trained;            // tokens, by this rank
    double loss, grad_norm;      // of its latest step
    uint64_t tokens, skipped;    // since the last meeting
    uint64_t timed_tokens, warm; // since local steps were chosen; steps not to be timed
    double timed_seconds;
    uint64_t *local_steps; // [ranks] of each interval
    double *speeds;        // [ranks] tokens per second; 0: not yet known
    tv_text news;
};

// Puts the shared parameters on the device, and the rank's own back.
tv_err tv_diloco_show_shared(tv_diloco *diloco, uint64_t step);
tv_err tv_diloco_show_own(tv_diloco *diloco, uint64_t step);
// From a checkpoint folder (diloco_state.c).
tv_err tv_diloco_restore(tv_diloco *diloco, const char *folder, tv_train_state *state);

#endif
