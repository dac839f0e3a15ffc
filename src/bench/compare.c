// Reports side by side: as a table, and as a chart.
#include "bench/report.h"

#include "base/memory.h"
#include "bench/table.h"
#include "report/bars.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// All names that occur, each once: those of the first report, then what the next ones add.
typedef struct names {
    const tv_bench_result **first; // the result that brought the name
    size_t count;
} names;

static names join_names(const tv_bench_report *reports, size_t count)
{
    size_t most = 0;
    for (size_t r = 0; r < count; r++)
        most += reports[r].count;
    names all = {tv_alloc(most, sizeof *all.first), 0};
    for (size_t r = 0; r < count; r++)
        for (size_t i = 0; i < reports[r].count; i++) {
            bool known = false;
            for (size_t k = 0; k < all.count && !known; k++)
                known = strcmp(all.first[k]->name, reports[r].results[i].name) == 0;
            if (!known)
                all.first[all.count++] = &reports[r].results[i];
        }
    return all;
}

// NULL where the report has no such result, or not a right one.
static const tv_bench_result *find_right(const tv_bench_report *report, const char *name)
{
    const tv_bench_result *found = tv_bench_report_find(report, name);
    return found && found->good && !found->skipped[0] && found->rate.count > 0 ? found : NULL;
}

// ------------------------------------------------------------------------------------------ table

// "123.4", and for all but the first report with it the ratio to that: "185.1 (1.50)".
static void format_cell(const tv_bench_report *reports, size_t index, const char *name,
                        char cell[64])
{
    const tv_bench_result *own = tv_bench_report_find(&reports[index], name), *base = NULL;
    char number[32];
    bool right = own && !own->skipped[0] && own->good;
    bool firm = right && own->rate.stable && !tv_bench_is_disturbed(&reports[index], own);
    const char *mark = right && !firm ? "~" : "";
    for (size_t r = 0; r < index && !base; r++)
        base = find_right(&reports[r], name);
    if (!own)
        snprintf(cell, 64, "-");
    else if (own->skipped[0])
        snprintf(cell, 64, "skipped");
    else if (!own->good)
        snprintf(cell, 64, "WRONG");
    else if (base)
        snprintf(cell, 64, "%s%s (%.2f)", mark, tv_bench_number(own->rate.median, number),
                 own->rate.median / base->rate.median);
    else
        snprintf(cell, 64, "%s%s", mark, tv_bench_number(own->rate.median, number));
}

static void add_reports(const tv_bench_report *reports, size_t count, tv_text *out)
{
    for (size_t r = 0; r < count; r++) {
        const tv_bench_report *x = &reports[r];
        size_t wrong = tv_bench_report_wrong(x);
        tv_text_printf(out,
                       "%zu. %s (%s, %s), on %s with %u cores, %s; trivium %s, suite %s, %.10s",
                       r + 1, x->device.name, x->device.backend, x->device.driver, x->host.cpu,
                       (unsigned)x->host.cores, x->host.os, x->program, x->suite, x->date);
        if (x->mask[0])
            tv_text_printf(out, ", mask %s", x->mask);
        if (wrong > 0)
            tv_text_printf(out, "; %zu results WRONG", wrong);
        tv_text_puts(out, "\n");
    }
    tv_text_puts(out, "\n");
}

void tv_bench_compare_markdown(const tv_bench_report *reports, size_t count, tv_text *out)
{
    tv_table_column *columns = tv_alloc(count + 2, sizeof *columns);
    const char **cells = tv_alloc(count + 2, sizeof *cells);
    char(*texts)[64] = tv_alloc(count, sizeof *texts);
    names all = join_names(reports, count);
    columns[0] = (tv_table_column){"result", 0};
    columns[1] = (tv_table_column){"unit", 0};
    for (size_t r = 0; r < count; r++) {
        snprintf(texts[r], sizeof *texts, "%zu", r + 1);
        columns[2 + r] = (tv_table_column){texts[r], 0};
        cells[2 + r] = texts[r];
    }
    add_reports(reports, count, out);
    tv_table_head(&tv_table_page, columns, count + 2, out);
    for (size_t i = 0; i < all.count; i++) {
        cells[0] = all.first[i]->name;
        cells[1] = all.first[i]->unit;
        for (size_t r = 0; r < count; r++)
            format_cell(reports, r, cells[0], texts[r]);
        tv_table_row(&tv_table_page, columns, count + 2, cells, out);
    }
    if (count > 1)
        tv_text_puts(out, "\nIn brackets: over the first report that has the result.");
    tv_text_puts(out, "\nMedians. ~: the median was not stable, or others had the cores. WRONG: a "
                      "check failed.\n");
    tv_free(columns);
    tv_free(cells);
    tv_free(texts);
    tv_free(all.first);
}

// ------------------------------------------------------------------------------------------ chart

static const struct panel_kind {
    const char *title;
    tv_bench_kind first, last;
} panel_kinds[] = {
    {"copy on the device, GB/s read and written", TV_BENCH_COPY, TV_BENCH_COPY},
    {"multiply-adds and matrix products, GFLOP/s", TV_BENCH_FMA, TV_BENCH_MATMUL},
    {"attention, GFLOP/s", TV_BENCH_ATTENTION, TV_BENCH_ATTENTION},
    {"training, model GFLOP/s (and tokens/s)", TV_BENCH_TRAIN, TV_BENCH_SCALING},
    {"latency, microseconds (less is better)", TV_BENCH_LATENCY, TV_BENCH_LATENCY},
    {"links, and collective calls: MB/s that a rank sends", TV_BENCH_LINK, TV_BENCH_COLLECTIVE},
    {"training steps of all ranks, tokens/s", TV_BENCH_COMPUTE, TV_BENCH_STEP},
};
enum { PANELS = sizeof panel_kinds / sizeof *panel_kinds };

// Training is drawn in FLOP/s, so that small models and large ones have one scale.
static tv_bar make_bar(tv_arena *arena, const tv_bench_report *report, const char *name)
{
    const tv_bench_result *r = find_right(report, name), *any = tv_bench_report_find(report, name);
    tv_bar bar = {NAN, NAN, NAN, NULL};
    char value[32], tokens[32];
    if (!r) {
        bar.label = !any || any->skipped[0] ? NULL : "wrong";
        return bar;
    }
    bool trains = r->kind == TV_BENCH_TRAIN || r->kind == TV_BENCH_SCALING;
    double factor = trains ? r->training.flops_per_token * 1e-9 : 1;
    const char *mark = tv_bench_is_disturbed(report, r) ? ", disturbed"
                       : r->rate.stable                 ? ""
                                                        : ", unsteady";
    bar = (tv_bar){factor * r->rate.median, factor * r->rate.min, factor * r->rate.max, NULL};
    tv_bench_number(bar.value, value);
    tv_bench_number(r->rate.median, tokens);
    bar.label = trains ? tv_arena_printf(arena, "%s, %s tokens/s%s", value, tokens, mark)
                       : tv_arena_printf(arena, "%s%s", value, mark);
    return bar;
}

static tv_bars_panel make_panel(tv_arena *arena, const struct panel_kind *kind, const names *all,
                                const tv_bench_report *reports, size_t count)
{
    tv_bars_row *rows = tv_arena_alloc(arena, all->count, sizeof *rows);
    tv_bars_panel panel = {kind->title, rows, 0};
    for (size_t i = 0; i < all->count; i++) {
        const tv_bench_result *first = all->first[i];
        if (first->kind < kind->first || first->kind > kind->last)
            continue;
        tv_bar *bars = tv_arena_alloc(arena, count, sizeof *bars);
        bool drawn = false;
        for (size_t r = 0; r < count; r++) {
            bars[r] = make_bar(arena, &reports[r], first->name);
            drawn |= isfinite(bars[r].value) || bars[r].label;
        }
        if (drawn)
            rows[panel.count++] = (tv_bars_row){first->name, bars};
    }
    return panel;
}

tv_err tv_bench_chart(const char *path, const tv_bench_report *reports, size_t count)
{
    tv_arena arena = {0};
    tv_bars_panel panels[PANELS];
    const char **series = tv_arena_alloc(&arena, count, sizeof *series);
    names all = join_names(reports, count);
    const tv_bench_report *one = &reports[0];
    tv_bars bars = {.series = series, .series_count = count, .panels = panels};
    for (size_t r = 0; r < count; r++)
        series[r] =
            tv_arena_printf(&arena, "%s (%s), %s, %.10s", reports[r].device.name,
                            reports[r].device.backend, reports[r].host.cpu, reports[r].date);
    for (int i = 0; i < PANELS; i++) {
        panels[bars.panel_count] = make_panel(&arena, &panel_kinds[i], &all, reports, count);
        bars.panel_count += panels[bars.panel_count].count > 0;
    }
    bars.title = count > 1 ? "trivium bench" : one->device.name;
    bars.subtitle = count > 1
                        ? "medians; whiskers from the slowest to the fastest run"
                        : tv_arena_printf(&arena, "%s, %s; %s, %u cores; trivium %s, %.10s",
                                          one->device.backend, one->device.driver, one->host.cpu,
                                          (unsigned)one->host.cores, one->program, one->date);
    tv_err err = tv_bars_write(path, &bars);
    tv_free(all.first);
    tv_arena_finish(&arena);
    return err;
}
