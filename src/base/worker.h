// Workers: a thread that does jobs behind its owner's back, one after the other.
#ifndef TV_BASE_WORKER_H
#define TV_BASE_WORKER_H

#include "base/error.h"

#include <stdint.h>

typedef struct tv_worker tv_worker;

// Runs on the worker's thread. What it uses belongs to it until it was waited for.
typedef tv_err tv_worker_job(void *context);

// TV_EIO where the system gives no thread.
tv_err tv_worker_create(tv_worker **worker);
// Waits for what was given.
void tv_worker_destroy(tv_worker **worker);

// Appends a job, and returns at once. Jobs are numbered from 1. Once one has failed, those behind
// it are not run.
uint64_t tv_worker_give(tv_worker *worker, tv_worker_job *job, void *context);

// Waits until that job, and so all before it, are over (0: all that were given). The error, and its
// line, of the first one that failed.
tv_err tv_worker_wait(tv_worker *worker, uint64_t number);

#endif
