// Scores: the error that attention inherits from the roundings of its scores, which exp multiplies.
#ifndef TV_CONFORMANCE_SCORES_H
#define TV_CONFORMANCE_SCORES_H

#include "conformance/case.h"

// How far roundings of scores may usually move each element of each output: absolute errors.
// Outputs that inherit none, of all other ops, are left as they are.
void tv_scores_move(const tv_trial *t, double *const *moved);

#endif
