// Reports as text: for a terminal, and for a page in Markdown; and several of them side by side.
#include "bench/report.h"

#include "base/memory.h"
#include "bench/room.h"
#include "bench/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// ---------------------------------------------------------------------------------------- numbers

static const char *bytes(double value, char text[32])
{
    if (isfinite(value))
        tv_format_bytes((uint64_t)value, text);
    else
        snprintf(text, 32, "-");
    return text;
}

// "" where all is well.
static const char *mark_of(const tv_bench_report *report, const tv_bench_result *r)
{
    if (r->skipped[0])
        return "skipped";
    if (!r->good)
        return "WRONG";
    if (tv_bench_is_disturbed(report, r))
        return "disturbed";
    return r->rate.stable ? "" : "unsteady";
}

static double spread_of(const tv_bench_summary *s)
{
    return 50 * (s->high - s->low) / s->median;
}

// ----------------------------------------------------------------------------------------- origin

static void add_range(tv_text *out, const tv_bench_moment *m)
{
    if (isnan(m->cpu_mhz_mean))
        tv_text_puts(out, "not told");
    else
        tv_text_printf(out, "%.0f (%.0f to %.0f)", m->cpu_mhz_mean, m->cpu_mhz_min, m->cpu_mhz_max);
}

static void add_pair(tv_text *out, const char *what, double before, double after, const char *unit)
{
    if (isfinite(before) && isfinite(after))
        tv_text_printf(out, "; %s %.4g before, %.4g after%s", what, before, after, unit);
}

static void add_conditions(const tv_bench_report *r, tv_text *out)
{
    const tv_bench_moment *a = &r->before, *b = &r->after;
    double others = tv_bench_others(a, b), stolen = tv_bench_stolen(a, b);
    tv_text_printf(out, "load %.2f before, %.2f after; ", a->load, b->load);
    if (isfinite(others) && isfinite(stolen))
        tv_text_printf(out,
                       "%.0f %% of the cores' time went to other processes, %.0f %% to other "
                       "machines; ",
                       100 * others, 100 * stolen);
    tv_text_puts(out, "CPU MHz ");
    add_range(out, a);
    tv_text_puts(out, " before, ");
    add_range(out, b);
    tv_text_puts(out, " after; ");
    if (a->throttled < 0 || b->throttled < 0)
        tv_text_puts(out, "throttling not told");
    else
        tv_text_printf(out, "throttled %lld times", (long long)(b->throttled - a->throttled));
    add_pair(out, "CPU", a->cpu_celsius, b->cpu_celsius, " degrees Celsius");
    add_pair(out, "device", a->device_mhz, b->device_mhz, " MHz");
    add_pair(out, "device", a->device_celsius, b->device_celsius, " degrees Celsius");
}

static void add_origin(const tv_bench_report *r, tv_text *out)
{
    char memory[32];
    tv_format_bytes(r->host.memory, memory);
    tv_text_printf(out,
                   "device      %s, %s:%u, mask %s\ndriver      %s\n"
                   "host        %s, %u cores, %s; %s, %s\nprogram     trivium %s, suite %s, %s\n"
                   "conditions  ",
                   r->device.name, r->device.backend, (unsigned)r->device.index,
                   r->mask[0] ? r->mask : "none", r->device.driver, r->host.cpu,
                   (unsigned)r->host.cores, memory, r->host.os, r->host.kernel, r->program,
                   r->suite, r->date);
    add_conditions(r, out);
    tv_text_puts(out, "\n");
}

static void add_origin_page(const tv_bench_report *r, tv_text *out)
{
    char memory[32];
    tv_format_bytes(r->host.memory, memory);
    tv_text_printf(
        out,
        "## %s (%s)\n\nDriver: %s. Mask: %s. Host: %s, %u cores, %s; %s, %s. trivium %s, "
        "suite %s, %.10s. Conditions: ",
        r->device.name, r->device.backend, r->device.driver, r->mask[0] ? r->mask : "none",
        r->host.cpu, (unsigned)r->host.cores, memory, r->host.os, r->host.kernel, r->program,
        r->suite, r->date);
    add_conditions(r, out);
    tv_text_puts(out, ".\n");
}

// ----------------------------------------------------------------------------------------- tables

static int name_width(const tv_bench_report *r)
{
    size_t width = 24;
    for (size_t i = 0; i < r->count; i++)
        width = tv_max_size(width, strlen(r->results[i].name));
    return (int)width;
}

static void add_results(const tv_bench_report *r, const tv_table_style *style, tv_text *out)
{
    const tv_table_column columns[] = {
        {"result", name_width(r)}, {"median", 9}, {"unit", 9}, {"min", 9}, {"max", 9}, {"runs", 5},
        {"+-% (95%)", 11},         {"", 9}};
    tv_table_head(style, columns, 8, out);
    for (size_t i = 0; i < r->count; i++) {
        const tv_bench_result *x = &r->results[i];
        char median[32] = "-", low[32] = "-", high[32] = "-", runs[32] = "-", spread[32] = "-";
        if (!x->skipped[0] && x->rate.count > 0) {
            tv_bench_number(x->rate.median, median);
            tv_bench_number(x->rate.min, low);
            tv_bench_number(x->rate.max, high);
            snprintf(runs, sizeof runs, "%zu", x->rate.count);
            snprintf(spread, sizeof spread, "%.1f", spread_of(&x->rate));
        }
        tv_table_row(
            style, columns, 8,
            (const char *[]){x->name, median, x->unit, low, high, runs, spread, mark_of(r, x)},
            out);
    }
}

static bool trains(const tv_bench_result *x)
{
    return (x->kind == TV_BENCH_TRAIN || x->kind == TV_BENCH_SCALING) && !x->skipped[0] &&
           x->rate.count > 0;
}

static bool has_training(const tv_bench_report *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (trains(&r->results[i]))
            return true;
    return false;
}

static void add_training(const tv_bench_report *r, const tv_table_style *style, tv_text *out)
{
    const tv_table_column columns[] = {
        {"training", name_width(r)}, {"parameters", 11}, {"ms/step", 9},   {"GFLOP/s", 9},
        {"% of matmul", 11},         {"plan", 9},        {"host peak", 9}, {"J/token", 8}};
    tv_table_head(style, columns, 8, out);
    for (size_t i = 0; i < r->count; i++) {
        const tv_bench_result *x = &r->results[i];
        const tv_bench_training *t = &x->training;
        char parameters[32], step[32], flops[32], used[32], plan[32], host[32], joules[32];
        if (!trains(x))
            continue;
        snprintf(parameters, sizeof parameters, "%.0f", t->parameters);
        tv_table_row(style, columns, 8,
                     (const char *[]){x->name, parameters,
                                      tv_bench_number(1e3 * t->step_tokens / x->rate.median, step),
                                      tv_bench_number(t->flops * 1e-9, flops),
                                      tv_bench_number(100 * t->flops / t->peak_flops, used),
                                      bytes(t->plan_bytes, plan), bytes(t->host_bytes, host),
                                      tv_bench_number(t->joules_token, joules)},
                     out);
    }
}

// Which peaks the utilisation is of, where energy comes from.
static void add_training_notes(const tv_bench_report *r, const tv_table_style *style, tv_text *out)
{
    const char *energy = "", *peak = "";
    for (size_t i = 0; i < r->count; i++) {
        const tv_bench_training *t = &r->results[i].training;
        if (!trains(&r->results[i]))
            continue;
        energy = t->energy[0] ? t->energy : energy;
        if (t->peak[0] && strcmp(t->peak, peak) != 0)
            tv_text_printf(out, "%smodel FLOP/s are a part of: %s, %.1f GFLOP/s in this run\n",
                           style->item, t->peak, t->peak_flops * 1e-9);
        peak = t->peak[0] ? t->peak : peak;
    }
    tv_text_printf(out, "%senergy: %s\n", style->item,
                   energy[0] ? energy : "Linux does not tell for this device");
}

static void add_findings(const tv_bench_report *r, const tv_table_style *style, tv_text *out)
{
    for (size_t i = 0; i < r->count && r->has_fit; i++) {
        const tv_bench_result *x = &r->results[i];
        if (x->kind == TV_BENCH_SCALING && trains(x) && x->good)
            tv_text_printf(out, "%s%s: %.4g GFLOP, %+.1f %% beside the line%s\n", style->item,
                           x->name, 1e-9 * x->training.flops_per_token * x->training.step_tokens,
                           100 * tv_bench_fit_deviation(&r->fit, x),
                           tv_bench_is_disturbed(r, x) ? " (disturbed: not in the fit)" : "");
    }
    if (r->has_fit)
        tv_text_printf(out,
                       "%sfit: seconds per step = %.4g + FLOP / (%.4g GFLOP/s); the largest "
                       "deviation is %.1f %%, at %s\n",
                       style->item, r->fit.fixed, 1e-9 / r->fit.per_flop, 100 * r->fit.worst,
                       r->fit.where);
    if (r->has_conformance)
        tv_text_printf(out, "%sconformance: %llu trials, %llu of them wrong\n", style->item,
                       (unsigned long long)r->trials, (unsigned long long)r->wrong);
    for (size_t i = 0; i < r->count; i++) {
        const tv_bench_result *x = &r->results[i];
        if (x->skipped[0])
            tv_text_printf(out, "%s%s, skipped: %s\n", style->item, x->name, x->skipped);
        else if (!x->good)
            tv_text_printf(out, "%s%s, WRONG: %s\n", style->item, x->name, x->check);
    }
}

static void add_body(const tv_bench_report *r, const tv_table_style *style, tv_text *out)
{
    tv_text_puts(out, "\n");
    add_results(r, style, out);
    if (has_training(r)) {
        tv_text_puts(out, "\n");
        add_training(r, style, out);
        tv_text_puts(out, "\n");
        add_training_notes(r, style, out);
    } else {
        tv_text_puts(out, "\n");
    }
    if (r->room)
        tv_bench_room_text(r, style, out);
    add_findings(r, style, out);
}

void tv_bench_report_text(const tv_bench_report *report, tv_text *out)
{
    add_origin(report, out);
    add_body(report, &tv_table_plain, out);
}

void tv_bench_report_markdown(const tv_bench_report *report, tv_text *out)
{
    add_origin_page(report, out);
    add_body(report, &tv_table_page, out);
}
