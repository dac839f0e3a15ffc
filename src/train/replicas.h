// Replicas: whether the ranks of a run still have the same weights, and what to do where not.
#ifndef TV_TRAIN_REPLICAS_H
#define TV_TRAIN_REPLICAS_H

#include "base/text.h"
#include "train/session.h"

// Collective, where ranks meet in every step; nothing to do for one rank, or ranks that train
// apart. Compares hashes of all weights. Where they differ, most ranks are right, and the lowest of
// equally many: TV_EDATA names the others and their hosts; with `resync` they get the weights and
// the state of the optimizer of one that is right instead, and `news`, empty before, says so.
tv_err tv_replicas_check(tv_session *session, uint64_t step, bool resync, tv_text *news);

// For tests: changes one bit of this rank's weights.
tv_err tv_replicas_damage(tv_session *session);

#endif
