// Bar charts: horizontal bars in panels below one another.
#include "report/bars.h"

#include "base/text.h"
#include "report/chart.h"

#include <math.h>
#include <stdio.h>

enum {
    WIDTH = 1200,
    LEFT = 420,  // where bars start
    RIGHT = 220, // kept free for labels
    MARGIN = 36,
    HEAD = 88, // titles
    LEGEND_ROW = 24,
    PANEL_HEAD = 40,
    PANEL_FOOT = 36,
    BAR = 15,
    ROW_GAP = 9,
    TEXT = 14,
};

static void set_ink(cairo_t *cairo)
{
    cairo_set_source_rgb(cairo, 0.13, 0.15, 0.18);
}

static double row_height(const tv_bars *b)
{
    return (double)b->series_count * BAR + ROW_GAP;
}

static double legend_height(const tv_bars *b)
{
    return b->series_count > 1 ? (double)b->series_count * LEGEND_ROW + 8 : 0;
}

static double panel_height(const tv_bars *b, const tv_bars_panel *panel)
{
    return PANEL_HEAD + (double)panel->count * row_height(b) + PANEL_FOOT;
}

// Text that is cut where it would be wider.
static void fitted_text(cairo_t *cairo, double x, double y, tv_align align, double size, bool bold,
                        double width, const char *string)
{
    tv_text text = {0};
    tv_text_puts(&text, string);
    tv_chart_fit_text(cairo, bold ? size * 1.1 : size, width, text.data); // bold is wider
    tv_chart_text(cairo, x, y, align, size, bold, text.data);
    tv_text_finish(&text);
}

static double draw_head(cairo_t *cairo, const tv_bars *b)
{
    set_ink(cairo);
    fitted_text(cairo, MARGIN, 42, TV_ALIGN_LEFT, 22, true, WIDTH - 2 * MARGIN, b->title);
    cairo_set_source_rgb(cairo, 0.38, 0.41, 0.45);
    fitted_text(cairo, MARGIN, 68, TV_ALIGN_LEFT, 15, false, WIDTH - 2 * MARGIN, b->subtitle);
    for (size_t s = 0; s < b->series_count && b->series_count > 1; s++) {
        tv_color color = tv_chart_color(s);
        double y = HEAD + (double)s * LEGEND_ROW;
        cairo_set_source_rgb(cairo, color.red, color.green, color.blue);
        cairo_rectangle(cairo, MARGIN, y, 22, BAR);
        cairo_fill(cairo);
        set_ink(cairo);
        fitted_text(cairo, MARGIN + 32, y + 13, TV_ALIGN_LEFT, TEXT, false, WIDTH - 2 * MARGIN - 32,
                    b->series[s]);
    }
    return HEAD + legend_height(b);
}

static double highest(const tv_bars *b, const tv_bars_panel *panel)
{
    double most = 0;
    for (size_t r = 0; r < panel->count; r++)
        for (size_t s = 0; s < b->series_count; s++)
            most = fmax(most, fmax(panel->rows[r].bars[s].value, panel->rows[r].bars[s].high));
    return most > 0 ? most : 1;
}

static void draw_axis(cairo_t *cairo, const tv_axis *axis, double top, double bottom)
{
    for (size_t i = 0;; i++) {
        double value = (double)i * axis->tick;
        if (value > axis->high * (1 + 1e-9))
            break;
        char label[32];
        double x = floor(LEFT + (WIDTH - LEFT - RIGHT) * value / axis->high) + 0.5;
        cairo_set_source_rgb(cairo, 0.89, 0.90, 0.92);
        cairo_set_line_width(cairo, 1);
        cairo_move_to(cairo, x, top);
        cairo_line_to(cairo, x, bottom);
        cairo_stroke(cairo);
        set_ink(cairo);
        tv_axis_label(axis, value, label);
        tv_chart_text(cairo, x, bottom + 18, TV_ALIGN_CENTER, TEXT - 1, false, label);
    }
}

static void draw_whisker(cairo_t *cairo, double low, double high, double y)
{
    const double ends[] = {low, high};
    set_ink(cairo);
    cairo_set_line_width(cairo, 1.2);
    cairo_move_to(cairo, low, y);
    cairo_line_to(cairo, high, y);
    for (int i = 0; i < 2; i++) {
        cairo_move_to(cairo, ends[i], y - 3);
        cairo_line_to(cairo, ends[i], y + 3);
    }
    cairo_stroke(cairo);
}

static void draw_bar(cairo_t *cairo, const tv_bar *bar, size_t series, double scale, double y)
{
    double end = LEFT;
    tv_color color = tv_chart_color(series);
    if (isfinite(bar->value)) {
        end += scale * bar->value;
        cairo_set_source_rgb(cairo, color.red, color.green, color.blue);
        cairo_rectangle(cairo, LEFT, y + 1, scale * bar->value, BAR - 2);
        cairo_fill(cairo);
        if (isfinite(bar->low) && isfinite(bar->high)) {
            draw_whisker(cairo, LEFT + scale * bar->low, LEFT + scale * bar->high, y + BAR / 2.0);
            end = fmax(end, LEFT + scale * bar->high);
        }
    }
    if (!bar->label)
        return;
    double width = tv_chart_text_width(cairo, TEXT - 1, bar->label);
    cairo_set_source_rgba(cairo, 1, 1, 1, 0.8); // no grid line through the label
    cairo_rectangle(cairo, end + 5, y, width + 6, BAR);
    cairo_fill(cairo);
    set_ink(cairo);
    fitted_text(cairo, end + 8, y + BAR - 3, TV_ALIGN_LEFT, TEXT - 1, false, WIDTH - end - 12,
                bar->label);
}

static void draw_panel(cairo_t *cairo, const tv_bars *b, const tv_bars_panel *panel, double top)
{
    double first = top + PANEL_HEAD, bottom = first + (double)panel->count * row_height(b);
    double most = highest(b, panel), scale = (WIDTH - LEFT - RIGHT) / most;
    tv_axis axis = tv_axis_make(0, most, 6);
    set_ink(cairo);
    tv_chart_text(cairo, MARGIN, top + 24, TV_ALIGN_LEFT, 16, true, panel->title);
    draw_axis(cairo, &axis, first - 4, bottom);
    for (size_t r = 0; r < panel->count; r++) {
        const tv_bars_row *row = &panel->rows[r];
        double y = first + (double)r * row_height(b);
        double middle = y + (double)b->series_count * BAR / 2 + 5;
        fitted_text(cairo, LEFT - 12, middle, TV_ALIGN_RIGHT, TEXT, false, LEFT - 12 - MARGIN / 2.0,
                    row->name);
        for (size_t s = 0; s < b->series_count; s++)
            draw_bar(cairo, &row->bars[s], s, scale, y + (double)s * BAR);
    }
}

static void draw(cairo_t *cairo, const void *context)
{
    const tv_bars *b = context;
    double top = draw_head(cairo, b);
    for (size_t i = 0; i < b->panel_count; i++) {
        draw_panel(cairo, b, &b->panels[i], top);
        top += panel_height(b, &b->panels[i]);
    }
}

tv_err tv_bars_write(const char *path, const tv_bars *bars)
{
    double height = HEAD + legend_height(bars) + MARGIN / 2.0;
    size_t rows = 0;
    for (size_t i = 0; i < bars->panel_count; i++) {
        height += panel_height(bars, &bars->panels[i]);
        rows += bars->panels[i].count;
    }
    if (rows == 0)
        return tv_fail(TV_EDATA, "%s: nothing to plot: no result was right", path);
    return tv_chart_write(path, WIDTH, (int)height, draw, bars);
}
