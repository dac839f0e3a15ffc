// The quick suite: a device's peaks.
#include "bench/suite.h"

#include "bench/peaks.h"
#include "conformance/case.h"

#include <stdio.h>
#include <string.h>

static const double SECONDS = 2;
static const char *const layout_names[] = {[TV_NT] = "nt", [TV_NN] = "nn", [TV_TN] = "tn"};

// What is measured on a class of devices: all GPUs the same, so that they can be compared.
typedef struct sizes {
    uint64_t copy;
    uint32_t matrix;
    tv_bench_product batch; // many small ones
    tv_bench_heads heads;
} sizes;

static const sizes sizes_cpu = {64 << 20, 1024, {TV_F32, TV_NT, 96, 64, 64, 64}, {4, 6, 256, 64}};
static const sizes sizes_gpu = {
    256 << 20, 4096, {TV_F32, TV_NT, 1024, 128, 128, 128}, {8, 16, 2048, 64}};

static const sizes *sizes_of(tv_device *device)
{
    bool cpu = tv_device_get_info(device)->device_class == TV_CLASS_CPU;
    return cpu ? &sizes_cpu : &sizes_gpu;
}

static tv_bench_rule rule_of(const tv_bench_options *options)
{
    return tv_bench_rule_of(options->seconds > 0 ? options->seconds : SECONDS);
}

// A result that is being measured, and since when.
typedef struct entry {
    tv_bench_result *result;
    tv_bench_moment begun;
} entry;

// Takes over what was measured, or why it was not.
static tv_err settle(const entry *e, const tv_bench_peak *peak, tv_err err)
{
    tv_bench_result *result = e->result;
    tv_bench_result_others(result, &e->begun);
    result->rate = peak->rate;
    result->good = peak->good && err == TV_OK;
    snprintf(result->check, sizeof result->check, "%s", peak->check);
    return tv_bench_result_fail(result, err);
}

static entry begin(const tv_bench_options *options, tv_bench_report *report, tv_bench_kind kind,
                   const char *unit, const char *name)
{
    if (options->progress)
        options->progress(options->context, name);
    return (entry){tv_bench_report_add(report, kind, unit, "%s", name), tv_bench_moment_times("")};
}

tv_err tv_bench_add_fma(tv_device *device, const tv_bench_options *options, tv_bench_report *report)
{
    tv_bench_rule rule = rule_of(options);
    tv_bench_peak peak = {0};
    if (tv_bench_report_find(report, "fma f32"))
        return TV_OK;
    entry e = begin(options, report, TV_BENCH_FMA, "GFLOP/s", "fma f32");
    return settle(&e, &peak, tv_bench_fma(device, &rule, &peak));
}

tv_err tv_bench_add_matmul(tv_device *device, const tv_bench_options *options, tv_dtype dtype,
                           tv_bench_report *report)
{
    tv_bench_rule rule = rule_of(options);
    uint32_t n = options->size ? options->size : sizes_of(device)->matrix;
    for (tv_layout layout = TV_NT; layout <= TV_TN; layout++) {
        char name[96];
        tv_bench_peak peak = {0};
        snprintf(name, sizeof name, "matmul %s %s %ux%ux%u", tv_dtype_name(dtype),
                 layout_names[layout], n, n, n);
        if (tv_bench_report_find(report, name))
            continue;
        tv_bench_product product = {dtype, layout, 1, n, n, n};
        entry e = begin(options, report, TV_BENCH_MATMUL, "GFLOP/s", name);
        TV_TRY(settle(&e, &peak, tv_bench_matmul(device, &rule, &product, &peak)));
    }
    return TV_OK;
}

static tv_err add_batch(tv_device *device, const tv_bench_options *options, tv_bench_report *report)
{
    tv_bench_rule rule = rule_of(options);
    tv_bench_peak peak = {0};
    tv_bench_product p = sizes_of(device)->batch;
    char name[96];
    if (options->size)
        p.m = p.n = p.k = options->size;
    snprintf(name, sizeof name, "batched matmul %s %s %ux%ux%ux%u", tv_dtype_name(p.dtype),
             layout_names[p.layout], p.batch, p.m, p.n, p.k);
    entry e = begin(options, report, TV_BENCH_MATMUL, "GFLOP/s", name);
    return settle(&e, &peak, tv_bench_matmul(device, &rule, &p, &peak));
}

tv_err tv_bench_add_copy(tv_device *device, const tv_bench_options *options,
                         tv_bench_report *report)
{
    tv_bench_rule rule = rule_of(options);
    tv_bench_peak peak = {0};
    uint64_t bytes = tv_bench_copy_size(device, sizes_of(device)->copy);
    char name[96];
    snprintf(name, sizeof name, "copy f32 %.4g MiB", (double)bytes / (1 << 20));
    entry e = begin(options, report, TV_BENCH_COPY, "GB/s", name);
    return settle(&e, &peak, tv_bench_copy(device, &rule, bytes, &peak));
}

static tv_err add_attention(tv_device *device, const tv_bench_options *options, tv_dtype dtype,
                            bool backward, tv_bench_report *report)
{
    tv_bench_rule rule = rule_of(options);
    tv_bench_peak peak = {0};
    const tv_bench_heads *h = &sizes_of(device)->heads;
    char name[96];
    snprintf(name, sizeof name, "attention %s %s b%u h%u t%u d%u", tv_dtype_name(dtype),
             backward ? "forward+backward" : "forward", h->batch, h->heads, h->time, h->size);
    entry e = begin(options, report, TV_BENCH_ATTENTION, "GFLOP/s", name);
    return settle(&e, &peak, tv_bench_attention(device, &rule, dtype, h, backward, &peak));
}

static const tv_bench_result *best_of(const tv_bench_report *report, const char *prefix)
{
    const tv_bench_result *best = NULL;
    for (size_t i = 0; i < report->count; i++) {
        const tv_bench_result *r = &report->results[i];
        if (tv_starts_with(r->name, prefix) && r->good && !r->skipped[0] &&
            (!best || r->rate.median > best->rate.median))
            best = r;
    }
    return best;
}

const tv_bench_result *tv_bench_best_copy(const tv_bench_report *report)
{
    return best_of(report, "copy f32 ");
}

const tv_bench_result *tv_bench_best_matmul(const tv_bench_report *report, tv_dtype dtype)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "matmul %s ", tv_dtype_name(dtype));
    return best_of(report, prefix);
}

tv_err tv_bench_quick(tv_device *device, const tv_bench_options *options, tv_bench_report *report)
{
    static const tv_dtype attention_types[] = {TV_F32, TV_BF16};
    TV_TRY(tv_bench_add_copy(device, options, report));
    TV_TRY(tv_bench_add_fma(device, options, report));
    for (int i = 0; i < TV_STORAGE_COUNT; i++)
        TV_TRY(tv_bench_add_matmul(device, options, tv_storages[i], report));
    TV_TRY(add_batch(device, options, report));
    for (int i = 0; i < 4; i++)
        TV_TRY(add_attention(device, options, attention_types[i / 2], i % 2 == 1, report));
    return TV_OK;
}
