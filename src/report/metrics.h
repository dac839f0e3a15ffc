// One line of a run's metrics, as every logger receives it, and the table of its fields.
#ifndef TV_REPORT_METRICS_H
#define TV_REPORT_METRICS_H

#include "base/error.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
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
    uint64_t skipped;  // non-finite steps so far
    double loss_scale; // that the step used; only where the loss is scaled
} tv_metrics;

// A line that carries nothing but its step.
static inline tv_metrics tv_metrics_none(uint64_t step)
{
    return (tv_metrics){.step = step,
                        .loss = NAN,
                        .val_loss = NAN,
                        .lr = NAN,
                        .grad_norm = NAN,
                        .tokens_per_s = NAN,
                        .flops_per_s = NAN,
                        .step_ms = NAN,
                        .loss_scale = NAN};
}

// The fields by name, in the order in which the loggers write them.
typedef struct tv_metric_field {
    const char *name;
    size_t offset; // in tv_metrics
    bool integer;  // a uint64_t; otherwise a double
} tv_metric_field;

enum { TV_METRIC_FIELDS = 11 };
extern const tv_metric_field tv_metric_fields[TV_METRIC_FIELDS];

// Reads metrics.jsonl text. Unknown keys are skipped; a last line that was cut off (no newline, not
// whole) is left out. TV_EFORMAT names `path` and the line. The caller frees *lines with tv_free.
tv_err tv_metrics_parse(const uint8_t *data, size_t size, const char *path, tv_metrics **lines,
                        size_t *count);

// tv_metrics_parse of a file; `path` is the file or the run's directory that holds metrics.jsonl.
tv_err tv_metrics_read(const char *path, tv_metrics **lines, size_t *count);

#endif
