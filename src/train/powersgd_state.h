// What PowerSGD keeps between steps, in a checkpoint: where the next step starts from, and what
// each rank has not sent yet.
#ifndef TV_TRAIN_POWERSGD_STATE_H
#define TV_TRAIN_POWERSGD_STATE_H

#include "train/collect.h"

// powersgd.safetensors of a checkpoint, where from->powersgd has errors. For rank 0; the others
// serve the collection.
tv_err tv_powersgd_save(tv_collect *from, const char *folder);

// On every rank. Of another number of ranks, each takes over the errors of every so many-th of
// them, so that they come to the same sum. With another trainer.powersgd_rank, or without the file,
// Q starts anew.
tv_err tv_powersgd_restore(const tv_collect *to, const char *folder);

#endif
