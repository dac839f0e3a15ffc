// Learning rate schedules.
#ifndef TV_TRAIN_SCHEDULE_H
#define TV_TRAIN_SCHEDULE_H

#include "base/error.h"

#include <stdint.h>

typedef enum tv_schedule_kind {
    TV_SCHEDULE_CONSTANT, // lr
    TV_SCHEDULE_LINEAR,   // falls from lr to min_lr
    TV_SCHEDULE_COSINE,   // the same along half a cosine (Loshchilov and Hutter, arXiv 1608.03983)
    TV_SCHEDULE_WSD, // lr, then over the last decay_steps linearly to min_lr (arXiv 2404.06395)
} tv_schedule_kind;

typedef struct tv_schedule {
    tv_schedule_kind kind;
    double lr, min_lr;
    uint64_t warmup_steps; // first (step + 1) / warmup_steps of lr
    uint64_t decay_steps;  // of TV_SCHEDULE_WSD
    uint64_t max_steps;
} tv_schedule;

// "cosine", ...; TV_EUSAGE names the valid ones.
tv_err tv_schedule_parse(const char *name, tv_schedule_kind *kind);

// The learning rate of optimizer step `step`, counted from 0. After max_steps it stays where it is.
double tv_schedule_lr(const tv_schedule *schedule, uint64_t step);

#endif
