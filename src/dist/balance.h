// Balance: how many sequences of a global batch each rank computes, by how long it takes.
//
// Every rank holds the same numbers and does the same arithmetic on them, so that all come to the
// same shares without asking each other. Shares follow one another in rank order: the global batch
// is the same set of sequences whatever they are.
#ifndef TV_DIST_BALANCE_H
#define TV_DIST_BALANCE_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

// Seconds that a rank takes.
typedef struct tv_balance_cost {
    double batch; // for one micro-batch; 0: not known
    double fixed; // for a step besides, whatever the share: the update
} tv_balance_cost;

// A rank computes whole micro-batches: of its last one, a part may be filling.
typedef struct tv_balance_rank {
    uint32_t micro_batch; // sequences that it computes at once
    uint32_t share;       // sequences of each global batch
    tv_balance_cost cost;
    double recent[2];  // the latest samples of cost.batch
    uint32_t measured; // steps behind cost.batch, since it was last not known or had no share
} tv_balance_rank;

typedef struct tv_balance {
    tv_balance_rank *ranks;
    uint32_t count, global_batch;
    bool follows;     // shares follow what is measured; else they stay
    uint32_t ignored; // steps to come that do not count: drivers compile
    uint32_t counted; // steps that did
    uint32_t settled; // steps that must count before shares change
} tv_balance;

// Ranks of these micro-batches, of unknown costs: their shares are equal, and do not follow.
void tv_balance_create(tv_balance *balance, uint32_t count, uint32_t global_batch,
                       const uint32_t *micro_batches);
void tv_balance_destroy(tv_balance *balance);

// Sets all shares: whole micro-batches, but for one, so that the rank that takes longest is done as
// early as can be. Ranks of unknown speed are taken to compute sequences as fast as the mean of the
// others.
void tv_balance_deal(tv_balance *balance);
// Sets all shares in proportion to weights [count], of which at least one is above 0.
void tv_balance_divide(tv_balance *balance, const double *weights);

// Seconds that the slowest rank takes for its share; 0 where nothing is known.
double tv_balance_longest(const tv_balance *balance);

// Takes in what each rank measured in a step, [count], the same on all ranks: .batch is the time
// from the start of its first micro-batch to the end of its last; no waiting for others is counted.
// Now and then, where that promises enough, the shares change: then it returns true.
bool tv_balance_step(tv_balance *balance, const tv_balance_cost *taken);

// The contiguous part of `total` sequences that a rank does, in proportion to the shares: of the
// global batch exactly its share. All of it where there is one rank.
void tv_balance_range(const tv_balance *balance, uint32_t rank, uint64_t total, uint64_t *first,
                      uint64_t *end);

// "rank 0 48 sequences (8.1k tokens/s), rank 1 16 (2.7k)", without speeds that are not known.
// Appended.
void tv_balance_describe(const tv_balance *balance, uint32_t seq_len, tv_text *out);

#endif
