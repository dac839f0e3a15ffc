// What a benchmark found: results with what they were measured on, and their forms: JSON (which is
// read back to compare machines), tables and a chart.
#ifndef TV_BENCH_REPORT_H
#define TV_BENCH_REPORT_H

#include "base/text.h"
#include "bench/host.h"
#include "bench/stats.h"

enum { TV_BENCH_VERSION = 1 }; // of the JSON's schema

typedef enum tv_bench_kind {
    TV_BENCH_COPY,
    TV_BENCH_FMA,
    TV_BENCH_MATMUL,
    TV_BENCH_ATTENTION,
    TV_BENCH_TRAIN,
    TV_BENCH_SCALING,
    TV_BENCH_LATENCY,
    TV_BENCH_LINK,
    TV_BENCH_COLLECTIVE,
    TV_BENCH_COMPUTE,   // of one rank, without communication
    TV_BENCH_PREDICTED, // by src/bench/predict.c, from results of the kinds above
    TV_BENCH_STEP,      // what was predicted, measured
    TV_BENCH_KINDS
} tv_bench_kind;

const char *tv_bench_kind_name(tv_bench_kind kind); // "copy", ...
bool tv_bench_kind_travels(tv_bench_kind kind);     // has tv_bench_travel

// What only results of training have. NaN where it is not known.
typedef struct tv_bench_training {
    double parameters, flops_per_token, step_tokens;
    double flops;         // per second, model FLOP only
    double peak_flops;    // what the utilisation is a part of
    char peak[96];        // the name of that result
    double plan_bytes;    // on the device
    double host_bytes;    // the most that the process held; on a CPU the plan is in it
    double joules_token;  // joules per token
    char energy[64];      // where they come from; "" where nothing tells
    double loss;          // of the first step
    double expected_loss; // log of the vocabulary
} tv_bench_training;

// What only results of links and collective calls have.
typedef struct tv_bench_travel {
    double bytes;   // of the whole array
    double seconds; // the median
    double of_link; // the rate as a part of what the slowest link does; NaN for links
} tv_bench_travel;

typedef struct tv_bench_result {
    tv_bench_kind kind;
    char name[96]; // the same on every machine: "matmul bf16 nt 4096x4096x4096"
    char unit[16]; // "GB/s", "GFLOP/s", "tokens/s"
    tv_bench_summary rate;
    bool good;         // the numbers that were computed are right
    char check[160];   // what was compared, or what is wrong
    char skipped[200]; // why it was not measured, "" if it was
    double others;     // part of the cores' time that others had meanwhile; NaN: not known
    tv_bench_training training;
    tv_bench_travel travel;
} tv_bench_result;

// Step time against FLOP over a sweep: seconds = fixed + per_flop * FLOP.
typedef struct tv_bench_fit {
    double fixed, per_flop;
    double worst;   // largest deviation of a point from the line, as a part of it
    char where[96]; // the point's name
} tv_bench_fit;

struct tv_bench_room; // bench/room.h

typedef struct tv_bench_report {
    char suite[16], program[32], date[32], mask[128];
    double seconds; // of the rule
    tv_bench_host host;
    struct {
        char backend[16], name[256], vendor[64], driver[520], device_class[16];
        uint32_t index;
        uint64_t memory;
    } device;
    tv_bench_moment before, after;
    tv_bench_result *results;
    size_t count, capacity;
    bool has_conformance, has_fit;
    uint64_t trials, wrong; // of conformance
    tv_bench_fit fit;
    struct tv_bench_room *room; // of the suite network; NULL otherwise, and when read from a file
} tv_bench_report;

void tv_bench_report_init(tv_bench_report *report, const char *suite, const tv_device_info *device,
                          const char *mask, double seconds);
void tv_bench_report_finish(tv_bench_report *report);
// A new result at the end, all zero but for its kind, name and unit. Valid until the next one.
tv_bench_result *tv_bench_report_add(tv_bench_report *report, tv_bench_kind kind, const char *unit,
                                     const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 4, 5)))
#endif
    ;
// What a failure to measure means: without memory the result is skipped with the reason, where a
// kernel or a driver call failed it is wrong, and all else is passed on. Uses the error line.
tv_err tv_bench_result_fail(tv_bench_result *result, tv_err err);
// Sets `others`, from what tv_bench_moment_times gave when the result was begun.
void tv_bench_result_others(tv_bench_result *result, const tv_bench_moment *begun);
// Whether others had so much of the cores' time that the result says little: on a CPU a twentieth.
bool tv_bench_is_disturbed(const tv_bench_report *report, const tv_bench_result *result);
// NULL where there is none of that name.
const tv_bench_result *tv_bench_report_find(const tv_bench_report *report, const char *name);
// Fits the line to all scaling results that are right and were not disturbed, where there are three
// that differ; their deviations count as parts of their time. False where there is no line.
bool tv_bench_fit_line(tv_bench_report *report);
// How much longer than the line says a scaling result took, as a part of that.
double tv_bench_fit_deviation(const tv_bench_fit *fit, const tv_bench_result *result);
// How many results, and conformance trials, were wrong.
size_t tv_bench_report_wrong(const tv_bench_report *report);

// The forms, appended. docs/benchmarks.md has the schema.
void tv_bench_report_json(const tv_bench_report *report, tv_text *out);
void tv_bench_report_text(const tv_bench_report *report, tv_text *out);
void tv_bench_report_markdown(const tv_bench_report *report, tv_text *out);

// Reads what tv_bench_report_json wrote. TV_EFORMAT, with the file's name: another schema or
// version, or what it cannot hold.
tv_err tv_bench_report_parse(const uint8_t *data, size_t size, const char *file,
                             tv_bench_report *report);
tv_err tv_bench_report_read(const char *path, tv_bench_report *report);

// Several machines' results side by side, first in the order of the first report. A table in
// Markdown, and a chart (PNG) in place of `path`. One report is allowed.
void tv_bench_compare_markdown(const tv_bench_report *reports, size_t count, tv_text *out);
tv_err tv_bench_chart(const char *path, const tv_bench_report *reports, size_t count);

#endif
