// Handing out: each weight has one owner, who has updated it; from there it reaches all ranks
// (ZeRO: Rajbhandari et al., arXiv 1910.02054).
#ifndef TV_DIST_HANDOUT_H
#define TV_DIST_HANDOUT_H

#include "dist/buckets.h"
#include "dist/comm.h"
#include "plan/plan.h"

typedef struct tv_handout tv_handout;

// `comm` is not NULL; its second lane is the handout's while one goes on. All arguments outlive it.
tv_err tv_handout_create(const tv_buckets *buckets, tv_plan *plan, tv_comm *comm,
                         tv_handout **handout);
void tv_handout_destroy(tv_handout **handout);

// Collective: owners hand out their pieces. A rank that failed before (`err`) or in it takes part
// all the same, so that none waits for it, and gets its error back: the ranks agree on it next
// (tv_comm_agree). No program may be running.
tv_err tv_handout_weights(tv_handout *handout, tv_err err);

// Bytes that a rank sends each time, on average over the ranks.
double tv_handout_bytes(const tv_handout *handout);

#endif
