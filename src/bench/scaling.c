// The scaling suite: step time against FLOP, over tokens, widths and depths.
#include "bench/suite.h"

#include "base/memory.h"
#include "bench/line.h"
#include "bench/trial.h"

#include <math.h>
#include <stdio.h>

static const double SECONDS = 4;

// A GPT-2; the context is the device's.
static const struct point {
    const char *along;
    uint32_t layers, width, batch, vocabulary;
} points[] = {
    {"tokens", 6, 384, 1, 4096}, {"tokens", 6, 384, 2, 4096},   {"tokens", 6, 384, 4, 4096},
    {"tokens", 6, 384, 8, 4096}, {"tokens", 6, 384, 16, 4096},  {"width", 6, 128, 4, 4096},
    {"width", 6, 256, 4, 4096},  {"width", 6, 512, 4, 4096},    {"width", 6, 768, 4, 4096},
    {"depth", 2, 384, 4, 4096},  {"depth", 4, 384, 4, 4096},    {"depth", 8, 384, 4, 4096},
    {"depth", 12, 384, 4, 4096}, {"smallest", 4, 128, 4, 1024}, {"largest", 12, 768, 4, 50257},
};
enum { POINTS = sizeof points / sizeof *points, HEAD_SIZE = 64, TIME_CPU = 128, TIME_GPU = 1024 };

static double flop_of(const tv_bench_result *r)
{
    return r->training.flops_per_token * r->training.step_tokens;
}

static double seconds_of(const tv_bench_result *r)
{
    return r->training.step_tokens / r->rate.median;
}

static bool counts(const tv_bench_report *report, const tv_bench_result *r)
{
    return r->kind == TV_BENCH_SCALING && r->good && !r->skipped[0] && r->rate.count > 0 &&
           !tv_bench_is_disturbed(report, r);
}

bool tv_bench_fit_line(tv_bench_report *report)
{
    double *x = tv_alloc(report->count, sizeof *x), *y = tv_alloc(report->count, sizeof *y);
    size_t *of = tv_alloc(report->count, sizeof *of), count = 0;
    tv_line line;
    for (size_t i = 0; i < report->count; i++) {
        if (!counts(report, &report->results[i]))
            continue;
        x[count] = flop_of(&report->results[i]);
        y[count] = seconds_of(&report->results[i]);
        of[count++] = i;
    }
    bool found = count >= 3 && tv_line_fit(x, y, count, &line);
    if (found) {
        report->fit = (tv_bench_fit){line.fixed, line.slope, line.worst, ""};
        snprintf(report->fit.where, sizeof report->fit.where, "%s",
                 report->results[of[line.at]].name);
        report->has_fit = true;
    }
    tv_free(x);
    tv_free(y);
    tv_free(of);
    return found;
}

double tv_bench_fit_deviation(const tv_bench_fit *fit, const tv_bench_result *result)
{
    return seconds_of(result) / (fit->fixed + fit->per_flop * flop_of(result)) - 1;
}

tv_err tv_bench_scaling(tv_device *device, const tv_bench_options *options, tv_bench_report *report)
{
    bool cpu = tv_device_get_info(device)->device_class == TV_CLASS_CPU;
    uint32_t time = options->size ? options->size : cpu ? TIME_CPU : TIME_GPU;
    tv_bench_rule rule = tv_bench_rule_of(options->seconds > 0 ? options->seconds : SECONDS);
    for (int i = 0; i < POINTS; i++) {
        const struct point *p = &points[i];
        tv_bench_shape shape = {.layers = p->layers,
                                .width = p->width,
                                .heads = p->width / HEAD_SIZE,
                                .time = time,
                                .batch = p->batch,
                                .vocabulary = p->vocabulary};
        snprintf(shape.name, sizeof shape.name, "%s L%u,d%u,H%u,T%u,B%u,V%u", p->along, p->layers,
                 p->width, shape.heads, time, p->batch, p->vocabulary);
        TV_TRY(tv_bench_add_trial(device, options, &rule, TV_BENCH_SCALING, &shape,
                                  TV_PRECISION_32_TRUE, report));
    }
    tv_bench_fit_line(report);
    return TV_OK;
}
