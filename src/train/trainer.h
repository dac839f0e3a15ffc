// The trainer: a run from its configuration to its last checkpoint.
#ifndef TV_TRAIN_TRAINER_H
#define TV_TRAIN_TRAINER_H

#include "base/error.h"
#include "dist/comm.h"
#include "formats/config.h"

typedef struct tv_train_options {
    // NULL starts a new run, "auto" goes on from the newest valid checkpoint of run_dir (or starts
    // where there is none), anything else names a run or a checkpoint to go on from.
    const char *resume;
    tv_comm *comm;     // NULL: one rank
    bool share_device; // several ranks may use one device
} tv_train_options;

// Trains as configured (loaded and checked). TV_ESTOP after a stop request on any rank: a
// checkpoint is saved. Rank 0 alone writes files; all ranks read them. Collective: pass what it
// returned to tv_comm_agree.
tv_err tv_train(const tv_config *config, const tv_train_options *options);

#endif
