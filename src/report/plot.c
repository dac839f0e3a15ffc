// Plots: a run's losses and learning rate as a picture.
#include "report/plot.h"

#include "base/file.h"
#include "base/memory.h"
#include "report/chart.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 1200,
    HEIGHT = 800,
    LEFT = 96,
    RIGHT = 36,
    TOP = 92,
    BOTTOM = 72,
    RATE_HEIGHT = 120, // the learning rate's panel
    GAP = 28,          // between the panels
    BUCKETS = 900,     // long series keep two points for each
    LEGEND_MOST = 16,  // entries
    LEGEND_ROW = 24,
    MARKERS_MOST = 60, // a validation series longer than this has no dots
};

typedef struct series {
    tv_point *points;
    size_t count;
} series;

typedef struct range {
    double low, high; // NaN while empty
} range;

typedef struct drawn_run {
    const char *name;
    series raw, smooth, validation, rate;
    range typical; // of raw
    tv_stroke raw_stroke, smooth_stroke, validation_stroke, rate_stroke;
} drawn_run;

static range range_none(void)
{
    return (range){NAN, NAN};
}

static void range_add(range *all, double value)
{
    all->low = fmin(all->low, value); // fmin and fmax pass over a NaN
    all->high = fmax(all->high, value);
}

static void range_add_values(range *all, const series *from)
{
    for (size_t i = 0; i < from->count; i++)
        range_add(all, from->points[i].y);
}

static double get_field(const tv_metrics *line, size_t offset)
{
    return *(const double *)((const char *)line + offset);
}

// The finite values of one field (its offset in tv_metrics) over the steps.
static series take_series(tv_arena *arena, const tv_plot_run *run, size_t offset)
{
    series taken = {tv_arena_alloc(arena, run->count, sizeof *taken.points), 0};
    for (size_t i = 0; i < run->count; i++) {
        double value = get_field(&run->lines[i], offset);
        if (isfinite(value))
            taken.points[taken.count++] = (tv_point){(double)run->lines[i].step, value};
    }
    return taken;
}

static void style_run(drawn_run *run, size_t index, bool alone)
{
    tv_color color = tv_chart_color(index);
    bool dots = run->validation.count <= MARKERS_MOST;
    run->raw_stroke = (tv_stroke){color, alone ? 0.30 : 0.16, 1, false, false};
    run->smooth_stroke = (tv_stroke){color, 1, 2.5, false, false};
    run->validation_stroke = (tv_stroke){alone ? tv_chart_color(1) : color, 1, 2, !alone, dots};
    run->rate_stroke = (tv_stroke){alone ? tv_chart_color(2) : color, 1, 2, false, false};
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// What the values are apart from a few wild steps, which must not flatten everything else: the 1st
// to the 99th percentile, and the first value, the highest of most runs, whatever its rank.
static range typical_range(tv_arena *arena, const series *raw)
{
    range typical = range_none();
    if (raw->count == 0)
        return typical;
    double *values = tv_arena_alloc(arena, raw->count, sizeof *values);
    for (size_t i = 0; i < raw->count; i++)
        values[i] = raw->points[i].y;
    qsort(values, raw->count, sizeof *values, compare_doubles);
    range_add(&typical, values[raw->count / 100]);
    range_add(&typical, values[raw->count - 1 - raw->count / 100]);
    range_add(&typical, raw->points[0].y);
    return typical;
}

// Wild values count as the highest typical one; the raw curve still shows them, cut by its panel.
static series smooth_series(tv_arena *arena, const series *raw, range typical)
{
    size_t count = raw->count;
    tv_point *capped = tv_arena_alloc(arena, count, sizeof *capped);
    series smooth = {tv_arena_alloc(arena, count, sizeof *smooth.points), count};
    for (size_t i = 0; i < count; i++)
        capped[i] = (tv_point){raw->points[i].x, fmin(raw->points[i].y, typical.high)};
    tv_points_smooth(capped, count, count / 80, smooth.points);
    return smooth;
}

static drawn_run prepare_run(tv_arena *arena, const tv_plot_run *run, size_t index, bool alone)
{
    drawn_run drawn = {.name = run->name};
    drawn.raw = take_series(arena, run, offsetof(tv_metrics, loss));
    drawn.validation = take_series(arena, run, offsetof(tv_metrics, val_loss));
    drawn.rate = take_series(arena, run, offsetof(tv_metrics, lr));
    drawn.typical = typical_range(arena, &drawn.raw);
    drawn.smooth = smooth_series(arena, &drawn.raw, drawn.typical);
    style_run(&drawn, index, alone);
    series *all[] = {&drawn.raw, &drawn.smooth, &drawn.validation, &drawn.rate};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        all[i]->count = tv_points_decimate(all[i]->points, all[i]->count, BUCKETS);
    return drawn;
}

// -------------------------------------------------------------------------------------- ranges

static tv_axis padded_axis(range values, size_t ticks)
{
    double padding = 0.05 * (values.high - values.low);
    return tv_axis_make(values.low - padding, values.high + padding, ticks);
}

static tv_axis step_axis(const drawn_run *runs, size_t count)
{
    range steps = range_none();
    for (size_t r = 0; r < count; r++) {
        const series *all[] = {&runs[r].raw, &runs[r].validation};
        for (size_t s = 0; s < 2; s++)
            for (size_t i = 0; i < all[s]->count; i++)
                range_add(&steps, all[s]->points[i].x);
    }
    if (steps.low < 0.2 * steps.high)
        steps.low = 0;
    tv_axis axis = tv_axis_make(steps.low, steps.high, 10);
    axis.tick = fmax(axis.tick, 1); // there are no half steps
    return axis;
}

// ------------------------------------------------------------------------------------- drawing

typedef struct legend_entry {
    char text[160];
    const tv_stroke *stroke; // NULL: text only
} legend_entry;

static void add_entry(legend_entry *entries, size_t *used, const tv_stroke *stroke,
                      const char *text)
{
    legend_entry *added = &entries[(*used)++];
    snprintf(added->text, sizeof added->text, "%s", text);
    added->stroke = stroke;
}

// One run: its two losses. Several: a row per run, as many as there is room for.
static size_t make_legend(const drawn_run *runs, size_t count, legend_entry *entries)
{
    size_t used = 0;
    if (count == 1 && runs->raw.count)
        add_entry(entries, &used, &runs->smooth_stroke, "training");
    if (count == 1 && runs->validation.count)
        add_entry(entries, &used, &runs->validation_stroke, "validation");
    size_t shown = count == 1 ? 0 : count <= LEGEND_MOST ? count : LEGEND_MOST - 1;
    for (size_t r = 0; r < shown; r++)
        add_entry(entries, &used, &runs[r].smooth_stroke, runs[r].name);
    if (shown && shown < count) {
        char more[32];
        snprintf(more, sizeof more, "and %zu more", count - shown);
        add_entry(entries, &used, NULL, more);
    }
    return used;
}

static void draw_legend(cairo_t *cairo, const tv_panel *panel, const drawn_run *runs, size_t count)
{
    legend_entry entries[LEGEND_MOST];
    size_t used = make_legend(runs, count, entries);
    double widest = 0;
    for (size_t i = 0; i < used; i++) {
        tv_chart_fit_text(cairo, 14, panel->width / 2, entries[i].text);
        widest = fmax(widest, tv_chart_text_width(cairo, 14, entries[i].text));
    }
    double width = widest + 72, height = 14 + LEGEND_ROW * (double)used;
    double x = panel->x + panel->width - width - 8, y = panel->y + 8;
    cairo_rectangle(cairo, floor(x) + 0.5, floor(y) + 0.5, floor(width), floor(height));
    cairo_set_source_rgba(cairo, 1, 1, 1, 0.85);
    cairo_fill_preserve(cairo);
    cairo_set_source_rgb(cairo, 0.80, 0.82, 0.84);
    cairo_set_line_width(cairo, 1);
    cairo_stroke(cairo);
    for (size_t i = 0; i < used; i++) {
        double middle = y + 7 + LEGEND_ROW * ((double)i + 0.5);
        if (entries[i].stroke)
            tv_chart_sample(cairo, x + 12, middle, entries[i].stroke);
        cairo_set_source_rgb(cairo, 0.13, 0.15, 0.18);
        tv_chart_text(cairo, x + 60, middle + 5, TV_ALIGN_LEFT, 14, false, entries[i].text);
    }
}

static void append_tokens(tv_text *text, double tokens)
{
    static const char *const units[] = {"", " thousand", " million", " billion", " trillion"};
    size_t unit = 0;
    for (; tokens >= 999.5 && unit + 1 < sizeof units / sizeof *units; unit++)
        tokens /= 1000;
    tv_text_printf(text, ", %.3g%s tokens", tokens, units[unit]);
}

// The run in one line: where it stands, where it was best, how much it has read.
static void describe_run(const tv_plot_run *run, const drawn_run *drawn, tv_text *text)
{
    const series *raw = &drawn->smooth, *validation = &drawn->validation;
    if (raw->count)
        tv_text_printf(text, "training loss %.4f (smoothed) at step %.0f",
                       raw->points[raw->count - 1].y, raw->points[raw->count - 1].x);
    if (validation->count) {
        tv_point best = validation->points[0];
        for (size_t i = 1; i < validation->count; i++)
            best = validation->points[i].y < best.y ? validation->points[i] : best;
        tv_text_printf(text, "%slowest validation loss %.4f at step %.0f", text->length ? ", " : "",
                       best.y, best.x);
    }
    uint64_t tokens = 0;
    for (size_t i = 0; i < run->count; i++)
        tokens = run->lines[i].tokens > tokens ? run->lines[i].tokens : tokens;
    if (tokens)
        append_tokens(text, (double)tokens);
}

static void draw_titles(cairo_t *cairo, const char *title, const char *subtitle)
{
    tv_text fitted = {0};
    tv_text_puts(&fitted, title);
    tv_chart_fit_text(cairo, 25, WIDTH - LEFT - RIGHT, fitted.data); // bold is a little wider
    cairo_set_source_rgb(cairo, 0.13, 0.15, 0.18);
    tv_chart_text(cairo, LEFT, 42, TV_ALIGN_LEFT, 22, true, fitted.data);
    cairo_set_source_rgb(cairo, 0.38, 0.41, 0.45);
    tv_chart_text(cairo, LEFT, 68, TV_ALIGN_LEFT, 15, false, subtitle);
    cairo_set_source_rgb(cairo, 0.13, 0.15, 0.18);
    tv_chart_text(cairo, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 22, TV_ALIGN_CENTER, 15, false,
                  "optimizer step");
    tv_text_finish(&fitted);
}

static void draw_losses(cairo_t *cairo, const drawn_run *runs, size_t count, tv_axis steps,
                        double height, bool labels_below)
{
    range losses = range_none();
    for (size_t r = 0; r < count; r++) {
        range_add(&losses, runs[r].typical.low);
        range_add(&losses, runs[r].typical.high);
        range_add_values(&losses, &runs[r].smooth);
        range_add_values(&losses, &runs[r].validation);
    }
    tv_panel panel = {LEFT, TOP, WIDTH - LEFT - RIGHT, height, steps, padded_axis(losses, 8)};
    tv_panel_draw(cairo, &panel, "loss (nats per token)", labels_below);
    for (size_t r = 0; r < count; r++)
        tv_panel_curve(cairo, &panel, runs[r].raw.points, runs[r].raw.count, &runs[r].raw_stroke);
    for (size_t r = 0; r < count; r++) {
        const drawn_run *run = &runs[r];
        tv_panel_curve(cairo, &panel, run->smooth.points, run->smooth.count, &run->smooth_stroke);
        tv_panel_curve(cairo, &panel, run->validation.points, run->validation.count,
                       &run->validation_stroke);
    }
    draw_legend(cairo, &panel, runs, count);
}

static void draw_rates(cairo_t *cairo, const drawn_run *runs, size_t count, tv_axis steps,
                       range rates)
{
    double top = HEIGHT - BOTTOM - RATE_HEIGHT;
    range_add(&rates, 0);
    rates.high *= 1.1;
    tv_panel panel = {
        LEFT, top, WIDTH - LEFT - RIGHT, RATE_HEIGHT, steps, tv_axis_make(rates.low, rates.high, 4),
    };
    tv_panel_draw(cairo, &panel, "learning rate", true);
    for (size_t r = 0; r < count; r++)
        tv_panel_curve(cairo, &panel, runs[r].rate.points, runs[r].rate.count,
                       &runs[r].rate_stroke);
}

typedef struct picture {
    const char *title, *subtitle;
    const drawn_run *runs;
    size_t count;
} picture;

static void draw_picture(cairo_t *cairo, const void *context)
{
    const picture *p = context;
    range rates = range_none();
    for (size_t r = 0; r < p->count; r++)
        range_add_values(&rates, &p->runs[r].rate);
    bool with_rates = !isnan(rates.low);
    tv_axis steps = step_axis(p->runs, p->count);
    double height = HEIGHT - TOP - BOTTOM - (with_rates ? RATE_HEIGHT + GAP : 0);
    draw_titles(cairo, p->title, p->subtitle);
    draw_losses(cairo, p->runs, p->count, steps, height, !with_rates);
    if (with_rates)
        draw_rates(cairo, p->runs, p->count, steps, rates);
}

static tv_err write_picture(const char *path, const char *title, const tv_plot_run *runs,
                            const drawn_run *drawn, size_t count)
{
    tv_text subtitle = {0};
    if (count == 1)
        describe_run(&runs[0], &drawn[0], &subtitle);
    else
        tv_text_printf(&subtitle, "%zu runs: training losses smoothed, validation losses dashed",
                       count);
    picture all = {title, subtitle.data, drawn, count};
    tv_err err = tv_chart_write(path, WIDTH, HEIGHT, draw_picture, &all);
    tv_text_finish(&subtitle);
    return err;
}

tv_err tv_plot_write(const char *path, const char *title, const tv_plot_run *runs, size_t count)
{
    tv_arena arena = {0};
    drawn_run *drawn = tv_arena_alloc(&arena, count, sizeof *drawn);
    size_t points = 0;
    for (size_t r = 0; r < count; r++) {
        drawn[r] = prepare_run(&arena, &runs[r], r, count == 1);
        points += drawn[r].raw.count + drawn[r].validation.count;
    }
    tv_err err = TV_OK;
    if (points == 0)
        err = tv_fail(TV_EDATA, "%s: nothing to plot: no line has a loss", path);
    if (err == TV_OK)
        err = write_picture(path, title, runs, drawn, count);
    tv_arena_finish(&arena);
    return err;
}
