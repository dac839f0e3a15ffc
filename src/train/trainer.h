// The trainer: a run from its configuration to its last checkpoint.
#ifndef TV_TRAIN_TRAINER_H
#define TV_TRAIN_TRAINER_H

#include "base/error.h"
#include "formats/config.h"

// Trains as configured (loaded and checked). `resume`: NULL starts a new run, "auto" goes on from
// the newest valid checkpoint of run_dir (or starts where there is none), anything else names a run
// or a checkpoint to go on from. TV_ESTOP after a stop request: a checkpoint is saved.
tv_err tv_train(const tv_config *config, const char *resume);

#endif
