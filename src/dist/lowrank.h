// A matrix as the product of two narrow ones (PowerSGD: Vogels et al., arXiv 1905.13727): what a
// power iteration gives, and what that leaves out. All loops work on blocks of rows, for threads to
// share; a block's results do not depend on the others', nor on how wide the machine's vectors are.
#ifndef TV_DIST_LOWRANK_H
#define TV_DIST_LOWRANK_H

#include <stdbool.h>
#include <stddef.h>

// The matrix is M = values + factor * error, row-major, and is to become left right^T.
typedef struct tv_lowrank {
    size_t rows, columns, rank;
    float *values, *error; // [rows, columns]
    float factor;
    float *left;        // [rank, rows]
    const float *right; // [rank, columns]
} tv_lowrank;

// left = M right, for rows [first, end).
void tv_lowrank_project(const tv_lowrank *matrix, size_t first, size_t end);
// sums [rank, columns] = M^T left, of these rows alone.
void tv_lowrank_project_back(const tv_lowrank *matrix, size_t first, size_t end, float *sums);
// What travelled is own [rank, columns] of this matrix and right of all ranks' together: error
// becomes M - left own^T, which is not sent yet, and values left right^T.
void tv_lowrank_replace(const tv_lowrank *matrix, size_t first, size_t end, const float *own);

// Makes the columns of `left` orthonormal, in their order. One that depends on those before it
// becomes zero. False, and `left` as it was, where there is a value above 1e30 or none.
bool tv_lowrank_orthogonalize(float *left, size_t rows, size_t rank);

// Whether there is no value above 1e30, and none that is not a number.
bool tv_lowrank_is_sound(const float *values, size_t count);

// For tests: vectors of at most so many bits, of those that the machine has.
void tv_lowrank_limit_vectors(unsigned bits);

#endif
