// The outer optimizer of DiLoCo (arXiv 2311.08105): ranks train apart for many steps, then take one
// step with Nesterov momentum on the mean of how far they came. All of it in host memory.
//
// An exchange of `count` values over n ranks: each rank packs its differences (quantize.h) and
// sends each other rank a piece; each unpacks the pieces it got, adds them in rank order in double
// precision, by weight, packs the mean of its piece and sends it to all. So every rank unpacks the
// same bits and makes the same step, in every run with as many ranks. What packing loses is kept,
// on the way there in `error` and on the way back in `mean_error`, and goes with the next exchange.
#ifndef TV_DIST_OUTER_H
#define TV_DIST_OUTER_H

#include "dist/comm.h"
#include "dist/quantize.h"

typedef struct tv_outer_rule {
    tv_wire wire;
    double lr, momentum;
} tv_outer_rule;

// Windows of arrays of the whole model; all but `momentum` and `shared` are a rank's own.
typedef struct tv_outer_part {
    uint64_t count;
    float *shared;     // the outer parameters, the same on all ranks; the step changes them
    float *momentum;   // the same on all ranks
    const float *own;  // this rank's parameters
    float *error;      // of its differences
    float *mean_error; // of the means of its piece, at that piece's place
} tv_outer_part;

// What an exchange tells.
typedef struct tv_outer_report {
    double seconds;
    uint64_t sent; // bytes, by this rank
} tv_outer_report;

// Collective, on the lane `comm`. `weight` of this rank's differences: its tokens. TV_EDATA, on
// every rank, where a mean is not finite; nothing has changed then but errors.
tv_err tv_outer_step(tv_comm *comm, const tv_outer_rule *rule, const tv_outer_part *part,
                     uint64_t weight, tv_outer_report *report);

// The piece of `count` values that a rank adds up: [*first, *end).
void tv_outer_piece(uint64_t count, uint32_t rank, uint32_t ranks, uint64_t *first, uint64_t *end);

// What an exchange sends from each rank, but for rounding to whole blocks.
double tv_outer_bytes(tv_wire wire, uint64_t count, uint32_t ranks);

#endif
