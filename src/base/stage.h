// Stages of slow work: how a lower room says what it is at, without knowing who shows it.
#ifndef TV_BASE_STAGE_H
#define TV_BASE_STAGE_H

#include <stddef.h>

// Hears that `what` (a constant text) has begun, or that `done` of its `total` pieces are done;
// `total` 0: there are none to count. Called by the thread that began the work.
typedef struct tv_stages {
    void (*report)(void *context, const char *what, size_t done, size_t total);
    void *context;
} tv_stages;

// `stages` may be NULL: nobody listens.
static inline void tv_stage(const tv_stages *stages, const char *what, size_t done, size_t total)
{
    if (stages)
        stages->report(stages->context, what, done, total);
}

#endif
