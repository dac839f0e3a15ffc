// Fitting: which micro-batch a rank computes at a time, by its memory and by what is of use.
#ifndef TV_TRAIN_FIT_H
#define TV_TRAIN_FIT_H

#include "train/session.h"

// Sets session->micro_batch, of a session that has all but its graph: `wanted`, or where that is 0
// the largest that fits, leaves work for all ranks, and is no larger than what keeps the device
// busy. TV_EMEMORY names a setting that would fit, if there is one.
tv_err tv_fit_micro_batch(tv_session *session, uint32_t wanted);

// The graph of the session as it is configured.
tv_step_graph *tv_fit_build(const tv_session *session);

// Whether all ranks are to compute as much, whatever their speed.
bool tv_fit_equal_shares(const tv_session *session);

#endif
