// Run directories: where a run's files lie, and finding a model or the newest valid checkpoint.
#ifndef TV_TRAIN_RUN_DIR_H
#define TV_TRAIN_RUN_DIR_H

#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

// RUN/checkpoints/step-00000200, appended to an empty text.
void tv_checkpoint_path(const char *run_dir, uint64_t step, tv_text *path);

// The newest checkpoint of a run whose manifest verifies; *found is false where there is none. Says
// with a warning which newer ones it skipped and why.
tv_err tv_checkpoint_newest(const char *run_dir, tv_text *path, bool *found);

// The folder with config.json and model.safetensors that `path` means: a run (its newest valid
// checkpoint), a checkpoint (which must verify) or a Hugging Face folder.
tv_err tv_model_folder(const char *path, tv_text *folder);

// Removes what a killed process left half-written, all but the newest `keep` checkpoints up to
// `step`, and those of later steps: they are damaged, or of a course that the run has left by going
// on from an earlier one.
tv_err tv_checkpoints_prune(const char *run_dir, uint64_t step, uint64_t keep);

// Whether the run has any checkpoint, valid or not.
bool tv_run_has_checkpoints(const char *run_dir);

// Whether `folder` is one of the run's checkpoints.
bool tv_run_holds(const char *run_dir, const char *folder);

#endif
