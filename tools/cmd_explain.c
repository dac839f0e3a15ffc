// trivium train --explain: the plan of a step, and what each of its dispatches takes.
#include "explain.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/text.h"
#include "bench/suite.h"
#include "train/run_dir.h"
#include "train/session.h"
#include "train/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double PEAK_SECONDS = 0.4; // for each of four results

// What the device reaches at best; zeros where that is not known.
typedef struct reach {
    double bytes_per_s, flop_per_s;
} reach;

// Dispatches of one kernel, shape and storage type in a phase.
typedef struct row {
    tv_plan_dispatch first;
    size_t count, barriers, place;
    double flop, bytes, predicted, seconds;
} row;

typedef struct table {
    const char *name;
    uint32_t phase, times; // times: runs per step
    row *rows;
    size_t count, capacity;
    size_t dispatches, barriers;
    double flop, bytes, predicted, seconds;
} table;

// What the peaks allow; 0 where they are unknown.
static double predict(const tv_plan_dispatch *d, const reach *peaks)
{
    double compute = peaks->flop_per_s > 0 ? d->flop / peaks->flop_per_s : 0;
    double moving = peaks->bytes_per_s > 0 ? d->bytes / peaks->bytes_per_s : 0;
    return fmax(compute, moving);
}

static row *row_of(table *t, const tv_plan_dispatch *d)
{
    for (size_t i = 0; i < t->count; i++) {
        const tv_plan_dispatch *first = &t->rows[i].first;
        if (first->storage == d->storage && strcmp(first->kernel, d->kernel) == 0 &&
            strcmp(first->shape, d->shape) == 0)
            return &t->rows[i];
    }
    TV_RESERVE(t->rows, t->capacity, t->count + 1);
    t->rows[t->count] = (row){.first = *d, .place = t->count};
    return &t->rows[t->count++];
}

static void collect(table *t, const tv_plan *plan, const reach *peaks)
{
    const tv_plan_dispatch *all = tv_plan_dispatches(plan, t->phase, &t->dispatches);
    for (size_t i = 0; i < t->dispatches; i++) {
        const tv_plan_dispatch *d = &all[i];
        row *r = row_of(t, d);
        double predicted = predict(d, peaks);
        r->count++;
        r->barriers += d->barrier;
        r->flop += d->flop;
        r->bytes += d->bytes;
        r->predicted += predicted;
        r->seconds += d->seconds;
        t->barriers += d->barrier;
        t->flop += d->flop;
        t->bytes += d->bytes;
        t->predicted += predicted;
        t->seconds += d->seconds;
    }
}

static int longest_first(const void *a, const void *b)
{
    const row *x = a, *y = b;
    if (x->seconds != y->seconds)
        return x->seconds < y->seconds ? 1 : -1;
    if (x->predicted != y->predicted)
        return x->predicted < y->predicted ? 1 : -1;
    return x->place < y->place ? -1 : 1;
}

// "12.3 GFLOP/s   45 %" of the peak that binds it.
static void print_rate(const row *r, const reach *peaks)
{
    bool computes = r->flop > 0 && peaks->flop_per_s > 0 &&
                    r->flop / peaks->flop_per_s >= r->bytes / peaks->bytes_per_s;
    double amount = computes ? r->flop : r->bytes;
    double peak = computes ? peaks->flop_per_s : peaks->bytes_per_s;
    const char *unit = computes ? "GFLOP/s" : "GB/s";
    if (r->seconds > 0 && peak > 0)
        printf(" %9.1f %-7s %6.1f %%\n", amount / r->seconds / 1e9, unit,
               100 * amount / r->seconds / peak);
    else
        printf(" %9s %-7s %8s\n", "-", unit, "-");
}

static void print_table(table *t, const reach *peaks, double step_seconds)
{
    static const char *const types[] = {
        [TV_F32] = "f32", [TV_U32] = "u32", [TV_F16] = "f16", [TV_BF16] = "bf16"};
    printf("\n%s, %u per step: %zu dispatches, %zu barriers, %.3f GFLOP, %.1f MB; predicted "
           "%.3f ms, measured %.3f ms\n",
           t->name, t->times, t->dispatches, t->barriers, t->flop / 1e9, t->bytes / 1e6,
           1e3 * t->predicted, 1e3 * t->seconds);
    printf("%-20s %-18s %-4s %5s %5s %10s %9s %10s %10s %7s %17s %8s\n", "kernel", "shape", "type",
           "count", "barr.", "MFLOP", "MB", "predict ms", "ms", "share", "rate", "of peak");
    qsort(t->rows, t->count, sizeof *t->rows, longest_first);
    for (size_t i = 0; i < t->count; i++) {
        const row *r = &t->rows[i];
        double share = step_seconds > 0 ? 100 * t->times * r->seconds / step_seconds : 0;
        printf("%-20s %-18s %-4s %5zu %5zu %10.1f %9.2f %10.3f %10.3f %5.1f %%", r->first.kernel,
               r->first.shape, types[r->first.storage], r->count, r->barriers, r->flop / 1e6,
               r->bytes / 1e6, 1e3 * r->predicted, 1e3 * r->seconds, share);
        print_rate(r, peaks);
    }
}

static void print_head(const tv_session *s, uint32_t times)
{
    static const char *const kinds[TV_KIND_COUNT] = {"weights",   "masters",   "gradients",
                                                     "optimizer", "constants", "caches",
                                                     "feeds",     "results",   "activations"};
    const tv_device_info *info = tv_device_get_info(s->device);
    const tv_plan_memory *memory = tv_plan_get_memory(s->plan);
    char bytes[32];
    printf("device: %s (%s, %s)\n", info->name, info->backend, info->driver);
    printf("model: %s, %llu parameters, vocabulary %u; %u x %u tokens at a time, %u times per "
           "step; %s\n",
           tv_model_type_name(s->model_config.type),
           (unsigned long long)tv_model_parameters(s->graph->model), s->model_config.vocab_size,
           s->micro_batch, s->seq_len, times, tv_precision_get_info(s->precision)->name);
    printf("memory:");
    for (tv_kind kind = 0; kind < TV_KIND_COUNT; kind++) {
        tv_format_bytes(memory->bytes[kind], bytes);
        if (memory->bytes[kind])
            printf(" %s %s,", kinds[kind], bytes);
    }
    tv_format_bytes(memory->total, bytes);
    printf(" %s in all", bytes);
    tv_format_bytes(memory->host, bytes);
    if (memory->host)
        printf("; %s in the host's memory", bytes);
    printf("\n");
}

// ------------------------------------------------------------------------------------ measuring

static double print_peak(const tv_bench_result *best, const char *before)
{
    if (!best)
        return 0;
    printf("%s%s %.1f %s", before, best->name, best->rate.median, best->unit);
    return 1e9 * best->rate.median;
}

// As the suite `quick` of trivium bench has them. A device that computes nothing has none.
static tv_err measure_peaks(tv_device *device, tv_dtype storage, reach *peaks)
{
    tv_bench_options options = {.seconds = PEAK_SECONDS};
    tv_bench_report report;
    tv_bench_report_init(&report, "quick", tv_device_get_info(device), "", PEAK_SECONDS);
    tv_err err = tv_bench_add_copy(device, &options, &report);
    if (err == TV_OK)
        err = tv_bench_add_matmul(device, &options, storage, &report);
    if (err == TV_OK) {
        printf("peaks:");
        peaks->bytes_per_s = print_peak(tv_bench_best_copy(&report), " ");
        peaks->flop_per_s =
            print_peak(tv_bench_best_matmul(&report, storage), peaks->bytes_per_s > 0 ? ", " : " ");
        printf("%s\n", peaks->bytes_per_s + peaks->flop_per_s > 0 ? "" : " not known");
    }
    tv_bench_report_finish(&report);
    return err;
}

// One micro-batch of random ids as the whole batch.
static void make_batch(tv_session *s)
{
    tv_rng rng = tv_rng_init(1, 0);
    s->global_batch = s->micro_batch;
    for (size_t i = 0; i < (size_t)s->micro_batch * s->seq_len; i++) {
        s->ids[i] = tv_rng_below(&rng, s->model_config.vocab_size);
        s->targets[i] = tv_rng_below(&rng, s->model_config.vocab_size);
    }
    for (uint32_t i = 0; i < s->micro_batch; i++)
        s->samples[i] = i;
}

static tv_err warm_up(tv_session *s)
{
    tv_checkpoint_parts parts = tv_session_parts(s);
    tv_train_state state = {0};
    tv_step_report report;
    make_batch(s);
    TV_TRY(tv_moments_clear(parts.plan, parts.model, &parts.moments));
    TV_TRY(tv_weights_init(parts.plan, parts.model, 1));
    tv_session_enter(s, &state);
    for (int i = 0; i < 2; i++) {
        double since = tv_now_seconds(), own = tv_thread_seconds();
        double driver = tv_device_driver_seconds(s->device);
        TV_TRY(tv_session_train(s, &state, &report));
        driver = tv_device_driver_seconds(s->device) - driver;
        own = tv_thread_seconds() - own - driver;
        printf("%s: %.3f ms; this thread computed for %.3f ms, and %.3f ms in the driver\n",
               i ? "one step" : "first step", 1e3 * (tv_now_seconds() - since), 1e3 * own,
               1e3 * driver);
    }
    return TV_OK;
}

static tv_err explain(tv_session *s)
{
    const tv_step_graph *g = s->graph;
    uint32_t times = s->global_batch / s->micro_batch;
    table tables[] = {{.name = "first", .phase = g->first, .times = 1},
                      {.name = "micro", .phase = g->micro, .times = times - 1},
                      {.name = "update", .phase = g->update, .times = 1}};
    enum { TABLES = sizeof tables / sizeof *tables };
    reach peaks = {0};
    double seconds = 0;
    print_head(s, times);
    TV_TRY(measure_peaks(s->device, g->graph->storage, &peaks));
    TV_TRY(warm_up(s));
    for (size_t i = 0; i < TABLES; i++) {
        if (tables[i].times == 0)
            continue;
        TV_TRY(tv_plan_profile(s->plan, tables[i].phase));
        collect(&tables[i], s->plan, &peaks);
        seconds += tables[i].times * tables[i].seconds;
    }
    for (size_t i = 0; i < TABLES; i++) {
        if (tables[i].times > 0)
            print_table(&tables[i], &peaks, seconds);
        tv_free(tables[i].rows);
    }
    return TV_OK;
}

tv_err explain_run(const tv_config *config)
{
    tv_session session;
    tv_text folder = {0};
    tv_err err = TV_OK;
    if (config->model.from[0])
        err = tv_model_folder(config->model.from, &folder);
    tv_session_options options = {.model_folder = folder.data, .synthetic = true};
    if (config->trainer.micro_batch_size != TV_AUTO)
        options.micro_batch = (uint32_t)config->trainer.micro_batch_size;
    if (err == TV_OK)
        err = tv_session_open(config, &options, &session);
    tv_text_finish(&folder);
    if (err != TV_OK)
        return err;
    err = explain(&session);
    tv_session_close(&session);
    return err;
}
