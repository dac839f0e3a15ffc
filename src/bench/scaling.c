// The scaling suite: step time against FLOP, over tokens, widths and depths.
#include "bench/suite.h"

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
    // Least squares of (a + b x - y) / y: deviations count as parts of the time.
    double s1 = 0, sx = 0, sxx = 0, sy = 0, sxy = 0, count = 0;
    tv_bench_fit *fit = &report->fit;
    for (size_t i = 0; i < report->count; i++) {
        const tv_bench_result *r = &report->results[i];
        if (!counts(report, r))
            continue;
        double u = 1 / seconds_of(r), v = flop_of(r) / seconds_of(r); // a u + b v = 1
        s1 += u * u;
        sx += u * v;
        sxx += v * v;
        sy += u;
        sxy += v;
        count++;
    }
    double determinant = s1 * sxx - sx * sx;
    if (count < 3 || !(determinant > 1e-9 * s1 * sxx))
        return false;
    *fit = (tv_bench_fit){.fixed = (sy * sxx - sxy * sx) / determinant,
                          .per_flop = (s1 * sxy - sx * sy) / determinant};
    for (size_t i = 0; i < report->count; i++) {
        const tv_bench_result *r = &report->results[i];
        double off = counts(report, r) ? fabs(tv_bench_fit_deviation(fit, r)) : 0;
        if (off <= fit->worst)
            continue;
        fit->worst = off;
        snprintf(fit->where, sizeof fit->where, "%s", r->name);
    }
    report->has_fit = true;
    return true;
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
