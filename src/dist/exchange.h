// Exchanges of gradients: each bucket is summed as soon as the running backward pass has finished
// it, behind the rest of that pass.
#ifndef TV_DIST_EXCHANGE_H
#define TV_DIST_EXCHANGE_H

#include "dist/buckets.h"
#include "dist/comm.h"
#include "dist/powersgd.h"
#include "plan/plan.h"

typedef struct tv_exchange tv_exchange;

typedef struct tv_exchange_options {
    bool scatter; // each rank receives the sums of what it owns only
    bool bf16; // gradients travel as bfloat16, there and back; they are summed in double precision
    tv_powersgd *powersgd; // compresses the steps that it is active in; NULL: none
} tv_exchange_options;

// `comm` is not NULL; its second lane is the exchange's while one goes on. All arguments but the
// options outlive it.
tv_err tv_exchange_create(const tv_buckets *buckets, tv_plan *plan, tv_comm *comm,
                          const tv_exchange_options *options, tv_exchange **exchange);
void tv_exchange_destroy(tv_exchange **exchange);

// Collective. The program of the phase with number `pass` (of those that tv_buckets_create got) was
// started, or `err` says why not. Returns when the sums lie in the gradients on the device. A rank
// that failed before or in it takes part all the same, so that none waits for it, and gets its
// error back: the ranks agree on it next (tv_comm_agree).
tv_err tv_exchange_gradients(tv_exchange *exchange, size_t pass, tv_err err);

// When tv_exchange_gradients had all from the device, in tv_now_seconds: the rest of it waited for
// other ranks.
double tv_exchange_ready(const tv_exchange *exchange);

// Bytes that a rank sends in a step like the latest one, on average over the ranks.
double tv_exchange_bytes(const tv_exchange *exchange);

#endif
