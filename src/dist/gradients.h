// Gradients on their way between ranks: each bucket is summed as soon as the running backward pass
// has finished it, behind the rest of that pass.
#ifndef TV_DIST_GRADIENTS_H
#define TV_DIST_GRADIENTS_H

#include "dist/buckets.h"
#include "dist/comm.h"
#include "plan/plan.h"

typedef struct tv_gradients tv_gradients;

// `comm` is not NULL; its second lane belongs to the gradients until they are destroyed. `scatter`:
// each rank receives the sums of what it owns only. All arguments outlive it.
tv_err tv_gradients_create(const tv_buckets *buckets, tv_plan *plan, tv_comm *comm, bool scatter,
                           tv_gradients **gradients);
void tv_gradients_destroy(tv_gradients **gradients);

// Collective. The program of the phase with number `pass` (of those that tv_buckets_create got) was
// started, or `err` says why not; returns when the sums lie in the gradients on the device. A rank
// that failed takes part all the same, so that none waits for it, and returns its error: the ranks
// agree on it next (tv_comm_agree).
tv_err tv_gradients_sum(tv_gradients *gradients, size_t pass, tv_err err);

// When the latest call had all gradients from the device, in tv_now_seconds: the rest of it waited
// for other ranks.
double tv_gradients_ready(const tv_gradients *gradients);

#endif
