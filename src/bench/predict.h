// Predictions: what a step of a run on these ranks would take under each strategy, from what was
// measured of their network and of their devices. Arithmetic only. docs/benchmarks.md has the
// formulas.
#ifndef TV_BENCH_PREDICT_H
#define TV_BENCH_PREDICT_H

#include "base/text.h"
#include "bench/line.h"

#include <stdint.h>

// Gradients that travel together (dist/buckets.h).
typedef struct tv_predict_bucket {
    uint64_t elements;
    uint32_t parcels; // collective calls
} tv_predict_bucket;

// What a rank computes, without any communication.
typedef struct tv_predict_rank {
    double micro;     // seconds of a micro-batch
    double update;    // seconds of the whole model's update
    double copy;      // seconds of writing a whole model to the device; 0: the host sees its memory
    uint32_t batches; // micro-batches in a step, with shares as the run would have them
    uint32_t share;   // sequences in a step
    uint32_t apart[2];  // micro-batches and sequences where all shares are equal: diloco
    const double *done; // [bucket_count] the part of a micro-batch behind which a bucket is there
} tv_predict_rank;

typedef struct tv_predict_job {
    const tv_predict_rank *ranks;
    uint32_t rank_count, seq_len;
    const tv_predict_bucket *buckets;
    size_t bucket_count;
    uint64_t elements;     // of the model
    uint32_t weight_bytes; // of each, as stored
    bool mixed;            // the devices round differently
    // Seconds of collective calls by bytes of the whole array, and of an outer exchange by values.
    tv_line sum, scatter, gather, outer;
    double meeting; // seconds of the smallest call on all ranks
    struct {
        uint64_t interval, fragments, overlap; // steps; see diloco in settings.def
        double bits;                           // of a value that travels
        bool equal;                            // all ranks take as many steps
    } diloco;
} tv_predict_job;

// Of a step; what differs between ranks is of the slowest.
typedef struct tv_prediction {
    double sent;      // bytes by a rank, on average
    double computing; // seconds without any communication
    double network;   // seconds of communication
    double hidden;    // part of these seconds that passes behind computing
    double seconds;   // of the step
    double tokens;    // that all ranks learn from
} tv_prediction;

typedef struct tv_predict_strategy {
    const char *name, *settings; // settings: that choose it
    bool exact;                  // the run of one rank but for rounding; else another algorithm
    bool drifts;                 // replicas part where devices round differently
    bool rounds;                 // gradients are rounded on their way
    void (*predict)(const tv_predict_job *job, tv_prediction *prediction);
} tv_predict_strategy;

// One row for each: NULL behind the last.
const tv_predict_strategy *tv_predict_strategy_at(size_t index);

// The row that this room should take, and why, in one sentence. predictions: one per row.
size_t tv_predict_choose(const tv_predict_job *job, const tv_prediction *predictions, tv_text *why);

// Tokens per second, and the part of the time that is computing.
double tv_predict_rate(const tv_prediction *prediction);
double tv_predict_use(const tv_prediction *prediction);

#endif
