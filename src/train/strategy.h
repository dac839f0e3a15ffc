// Strategies: how the ranks of a run share the work of an optimizer step.
#ifndef TV_TRAIN_STRATEGY_H
#define TV_TRAIN_STRATEGY_H

#include "device/device.h"
#include "dist/comm.h"
#include "train/step_graph.h"

typedef enum tv_strategy {
    TV_STRATEGY_DDP,    // every rank has all of the optimizer's state and makes the same update
    TV_STRATEGY_ZERO1,  // every rank updates what it owns and hands it out
    TV_STRATEGY_ZERO2,  // the same, and has the gradients of that only
    TV_STRATEGY_FSDP,   // the same, and the weights
    TV_STRATEGY_DILOCO, // ranks train apart and average what they have learned (train/diloco.h)
} tv_strategy;

const char *tv_strategy_name(tv_strategy strategy);
// What each of several ranks has only a part of.
tv_sharded tv_strategy_sharded(tv_strategy strategy);

// Collective. What `configured` (trainer.strategy) means for these devices, and why, which is NULL
// where it was configured. shares [ranks]: how much of the optimizer's state each rank is to own,
// by its memory.
tv_err tv_strategy_choose(tv_comm *comm, const char *configured, const tv_device_info *info,
                          tv_strategy *strategy, const char **reason, double *shares);

#endif
