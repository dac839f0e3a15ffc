// Carriers: passes in sections (graph/sections.h) of ranks that share out the weights and gradients
// of a model, as FSDP does (Zhao et al., arXiv 2304.11277) and ZeRO's stages 2 and 3 (Rajbhandari
// et al., arXiv 1910.02054). While a section runs, the weights of the next one are on their way to
// all ranks, and the gradients of the one before it to their owners.
#ifndef TV_DIST_CARRIER_H
#define TV_DIST_CARRIER_H

#include "dist/buckets.h"
#include "dist/comm.h"
#include "graph/sections.h"
#include "plan/plan.h"

typedef struct tv_carrier tv_carrier;

// `buckets`: of units. With `bf16` gradients travel as bfloat16. `comm` is not NULL; its second
// lane belongs to the carrier until that is destroyed. passes [count]: those that may run. All
// arguments but this list outlive it.
tv_err tv_carrier_create(const tv_buckets *buckets, tv_plan *plan, tv_comm *comm,
                         const tv_sections *const *passes, size_t count, bool bf16,
                         tv_carrier **carrier);
void tv_carrier_destroy(tv_carrier **carrier);

// All that follow are called by all ranks in the same order. A rank that failed before (`err`) or
// in them takes part all the same, so that none waits for it, and gets its error back: the ranks
// agree on it next (tv_comm_agree). No program may be running.

// Before passes that find the weights as they are now: sums of gradients start from nothing.
tv_err tv_carrier_begin(tv_carrier *carrier, tv_err err);
// Runs a pass, of those that tv_carrier_create got. The sums over all ranks of the gradients that
// it makes are added to those of the passes before it. A rank that does not compute contributes
// nothing to them.
tv_err tv_carrier_pass(tv_carrier *carrier, const tv_sections *pass, bool computes, tv_err err);
// Behind the last pass: the sums of what this rank owns become its gradients on the device.
tv_err tv_carrier_end(tv_carrier *carrier, tv_err err);

// Bytes that a rank has sent in passes since tv_carrier_begin, on average over the ranks.
double tv_carrier_bytes(const tv_carrier *carrier);
// Seconds that the device computed in passes since tv_carrier_begin; 0 where it does not tell.
double tv_carrier_seconds(const tv_carrier *carrier);

#endif
