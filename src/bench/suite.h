// Suites: what trivium bench measures, result by result, into a report.
#ifndef TV_BENCH_SUITE_H
#define TV_BENCH_SUITE_H

#include "bench/report.h"
#include "graph/graph.h"
#include "train/precision.h"

// What a suite is about to measure, for people who wait.
typedef void tv_bench_progress(void *context, const char *what);

typedef struct tv_bench_options {
    double seconds;        // for each result, 0: the suite's own
    uint32_t size;         // of the quick suite's square matrices, 0: by the class of device
    const char *models;    // "gpt2-1m-b8t128,...", "all", or NULL: those for the class of device
    const char *shape;     // one model that has no name instead, NULL: none (tv_bench_shape_parse)
    const char *precision; // "32-true,bf16-mixed", or NULL: by the class of device
    bool no_peaks;         // train: utilisation is not known then
    tv_bench_progress *progress;
    void *context;
} tv_bench_options;

// A model, its context, and a micro-batch that is also the whole batch.
typedef struct tv_bench_shape {
    char name[80]; // "gpt2-124m-b4t64": what it is, its micro-batch and its context
    bool llama, untied;
    uint32_t layers, width, heads, kv_heads, inner, time, batch, vocabulary;
} tv_bench_shape;

// The named models (models.def): false behind the last. `*cpu`: is meant for CPUs too.
bool tv_bench_model(size_t index, tv_bench_shape *shape, bool *cpu);
// "L6,d384,H6,T256,B8,V8192": a GPT-2 of 6 layers, 384 wide, with 6 heads, a context of 256,
// micro-batches of 8 and a vocabulary of 8192.
// "llama:L22,d2048,H32,K4,F5632,T2048,B2,V32000,untied": a Llama with 4 key/value heads, a
// feed-forward width of 5632 and a head of its own. K, F and `untied` may be left out. TV_EUSAGE.
tv_err tv_bench_shape_parse(const char *text, tv_bench_shape *shape);

// Checks the options without a device. TV_EUSAGE names what cannot be meant.
tv_err tv_bench_options_check(const tv_bench_options *options);

// Each adds its results to the report. A result whose numbers are wrong is marked; what does not
// fit the device's memory is skipped with the reason; a failing device ends the suite.
tv_err tv_bench_quick(tv_device *device, const tv_bench_options *options, tv_bench_report *report);
tv_err tv_bench_train(tv_device *device, const tv_bench_options *options, tv_bench_report *report);
tv_err tv_bench_scaling(tv_device *device, const tv_bench_options *options,
                        tv_bench_report *report);

// Parts of the quick suite, where the report does not have them yet: what utilisation is a part of,
// and what --explain predicts from.
tv_err tv_bench_add_copy(tv_device *device, const tv_bench_options *options,
                         tv_bench_report *report);
tv_err tv_bench_add_fma(tv_device *device, const tv_bench_options *options,
                        tv_bench_report *report);
tv_err tv_bench_add_matmul(tv_device *device, const tv_bench_options *options, tv_dtype dtype,
                           tv_bench_report *report);
// The fastest of these copies, or products of a storage type, that are right; NULL: there is none.
const tv_bench_result *tv_bench_best_copy(const tv_bench_report *report);
const tv_bench_result *tv_bench_best_matmul(const tv_bench_report *report, tv_dtype dtype);

#endif
