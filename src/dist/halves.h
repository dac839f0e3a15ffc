// Halves: sums over ranks of floats that travel as bfloat16.
#ifndef TV_DIST_HALVES_H
#define TV_DIST_HALVES_H

#include "dist/comm.h"

#include <stdbool.h>

// Adds up `values`, in as many pieces as there are ranks, one behind the other; counts [ranks]:
// floats of each. Every rank's are rounded, and added in rank order, in double precision. A rank's
// own piece becomes the sum; with `all` so do the others', rounded, and its own is rounded, too, so
// that all ranks have the same bits. Collective.
tv_err tv_halves_sum(tv_comm *comm, float *values, const uint64_t *counts, bool all);

#endif
