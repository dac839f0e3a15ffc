// Buckets: the weights of a model in the order in which the backward pass finishes their gradients,
// in parts that travel between ranks one after the other while it goes on (Li et al.,
// arXiv 2006.15704, section 3.2.3), and who owns which elements.
#ifndef TV_DIST_BUCKETS_H
#define TV_DIST_BUCKETS_H

#include "graph/graph.h"

// What one collective call moves: one large weight, or small ones that lie behind one another.
typedef struct tv_parcel {
    tv_tensor *const *weights;
    size_t count;
    uint64_t elements;
    const uint64_t *owned; // [ranks] elements of each rank's piece, in rank order
} tv_parcel;

// Parcels that are complete at one time.
typedef struct tv_bucket {
    const tv_parcel *parcels;
    size_t count;
    const uint32_t *watches; // [passes] see tv_graph_watch; NULL where buckets are units
} tv_bucket;

typedef struct tv_buckets {
    uint32_t ranks;
    uint64_t elements; // of all weights
    tv_tensor **weights;
    tv_parcel *parcels;
    tv_bucket *buckets;
    size_t weight_count, parcel_count, bucket_count;
    tv_arena arena;
} tv_buckets;

// Consecutive elements of a weight.
typedef struct tv_piece {
    tv_tensor *weight;
    uint64_t first, count;
} tv_piece;

enum { TV_PIECE_UNIT = 128 }; // pieces start at multiples, so that windows on them are aligned

// Weights with gradients, and the phases (each a backward pass, or clearing) behind any of which
// they may travel; the first decides the order. A bucket takes at least `bytes` of float gradients,
// but for the first and the last ones, which are smaller. shares [ranks]: how much of everything
// each rank is to own, in any unit. Adds the watches to the graph. The same on every rank that
// passes the same.
tv_buckets *tv_buckets_create(tv_graph *graph, tv_tensor *const *weights, size_t count,
                              const uint32_t *phases, size_t phase_count, uint64_t bytes,
                              const double *shares, uint32_t ranks);
// The same with a bucket for each unit, whose weights follow one another, and for each weight of
// none: for passes in sections (graph/sections.h). No watches.
tv_buckets *tv_buckets_of_units(tv_tensor *const *weights, size_t count, const double *shares,
                                uint32_t ranks);
void tv_buckets_destroy(tv_buckets **buckets);

// Where the ranks' pieces of a weight end: rank r owns elements [cuts[r], cuts[r + 1]) of it. cuts
// has room for one more than there are ranks.
void tv_buckets_cut(const tv_buckets *buckets, const tv_tensor *weight, uint64_t *cuts);

// The pieces of a rank in a parcel, in order. Returns how many were written to `pieces`, which has
// room for one per weight.
size_t tv_parcel_pieces(const tv_parcel *parcel, uint32_t rank, tv_piece *pieces);

#endif
