// One line of a run's metrics, as every logger receives it.
#ifndef TV_REPORT_METRICS_H
#define TV_REPORT_METRICS_H

#include <stdint.h>

// Losses are nats per token. A value that a line does not carry is NaN (tokens: 0).
typedef struct tv_metrics {
    uint64_t step;   // optimizer steps done
    double loss;     // mean over the step's tokens
    double val_loss; // on validation lines only
    double lr;
    double grad_norm; // before clipping
    uint64_t tokens;  // trained on since the start of the run
    double tokens_per_s;
    double flops_per_s; // model FLOP/s: 6 x parameters (+ attention) per token, recomputation not
                        // counted
    double step_ms;
    uint64_t skipped; // non-finite steps so far
} tv_metrics;

#endif
