// PowerSGD (Vogels et al., arXiv 1905.13727): the gradient of a matrix travels as two narrow ones,
// and what these leave out stays on the rank and goes with the gradient of the next step.
//
// For M = gradient + error of each rank: P = M Q summed over ranks, made orthonormal; then
// Q = M^T P summed; P Q^T is the sum of the gradients as all ranks have it, and M - P (M^T P)^T the
// new error. Q is where the next step starts. All ranks compute the same bits from the sums.
#ifndef TV_DIST_POWERSGD_H
#define TV_DIST_POWERSGD_H

#include "base/text.h"
#include "dist/buckets.h"
#include "dist/comm.h"

typedef struct tv_powersgd tv_powersgd;

typedef struct tv_powersgd_options {
    size_t rank;         // columns of P and Q
    uint64_t start_step; // steps before it are not compressed
    uint64_t seed;       // of the first Q
} tv_powersgd_options;

// A weight that is compressed: one for which P and Q take at most half of its gradient's bytes.
typedef struct tv_powersgd_matrix {
    const tv_tensor *weight;
    size_t rows, columns;
    float *error; // [rows, columns]
    float *right; // Q [rank, columns]
} tv_powersgd_matrix;

// `comm` is the lane that gradients travel on. Both outlive it.
tv_powersgd *tv_powersgd_create(const tv_buckets *buckets, tv_comm *comm,
                                const tv_powersgd_options *options);
void tv_powersgd_destroy(tv_powersgd **powersgd);

// Where the gradients of a parcel lie when it is summed, one weight behind the other.
void tv_powersgd_place(tv_powersgd *powersgd, size_t parcel, float *gradients);

// Before the gradients of a step travel, which are `scale` times what they are: errors follow.
void tv_powersgd_begin(tv_powersgd *powersgd, uint64_t step, double scale);
// Whether that step is compressed.
bool tv_powersgd_is_active(const tv_powersgd *powersgd);

// For a worker: sums the gradients of a bucket over the ranks. Collective. Weights that are not
// compressed are summed as they are. A matrix whose sum has values that are not finite becomes NaNs
// on all ranks, and its error stays what it was.
void *tv_powersgd_bucket(tv_powersgd *powersgd, size_t bucket);
tv_err tv_powersgd_sum(void *bucket);

// Bytes that a rank sends in a compressed step, on average over the ranks.
double tv_powersgd_bytes(const tv_powersgd *powersgd);
// "40 of 148 weights at rank 4, errors take 471 MiB of host memory", appended.
void tv_powersgd_describe(const tv_powersgd *powersgd, tv_text *out);

// What a checkpoint keeps: the compressed weights, in an order that depends on the model alone; and
// the scale of their errors, 0 where there are none yet.
size_t tv_powersgd_count(const tv_powersgd *powersgd);
const tv_powersgd_matrix *tv_powersgd_get(const tv_powersgd *powersgd, size_t index);
size_t tv_powersgd_rank(const tv_powersgd *powersgd);
double tv_powersgd_scale(const tv_powersgd *powersgd);
void tv_powersgd_set_scale(tv_powersgd *powersgd, double scale);

#endif
