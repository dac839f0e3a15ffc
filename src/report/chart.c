// Charts: axes, panels, curves and text on cairo.
#include "report/chart.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TICK_SIZE = 14, TITLE_SIZE = 15, SAMPLE_WIDTH = 36 };

static const tv_color ink = {0.13, 0.15, 0.18}, grid_color = {0.89, 0.90, 0.92};

// Okabe and Ito's palette ("Color Universal Design", 2008), which colour-blind people can tell
// apart; its yellow is left out, too pale for lines on white.
static const tv_color palette[] = {
    {0.000, 0.447, 0.698}, {0.835, 0.369, 0.000}, {0.000, 0.620, 0.451}, {0.800, 0.475, 0.655},
    {0.902, 0.624, 0.000}, {0.337, 0.706, 0.914}, {0.300, 0.300, 0.300},
};

tv_color tv_chart_color(size_t index)
{
    return palette[index % (sizeof palette / sizeof *palette)];
}

// ---------------------------------------------------------------------------------------- axes

tv_axis tv_axis_make(double low, double high, size_t ticks)
{
    if (!(high > low)) {
        double around = fabs(low) > 0 ? fabs(low) * 0.05 : 0.5;
        low -= around;
        high += around;
    }
    double least = (high - low) / (double)(ticks ? ticks : 1);
    double power = pow(10, floor(log10(least)));
    double tick = power;
    static const double factors[] = {2, 5, 10};
    for (size_t i = 0; i < 3 && tick < least * (1 - 1e-9); i++)
        tick = factors[i] * power;
    return (tv_axis){low, high, tick};
}

double tv_axis_first_tick(const tv_axis *axis)
{
    return ceil(axis->low / axis->tick - 1e-9) * axis->tick;
}

// "3.0e-04" is how C writes what people write as 3e-4.
static void short_exponent(char *text)
{
    char *e = strchr(text, 'e'), *to = e;
    if (strchr(text, '.'))
        while (to[-1] == '0' || to[-1] == '.')
            to--;
    *to++ = 'e';
    char *digits = e + 1 + strspn(e + 1, "+-0");
    if (e[1] == '-')
        *to++ = '-';
    memmove(to, digits, strlen(digits) + 1);
}

void tv_axis_label(const tv_axis *axis, double value, char out[32])
{
    double largest = fmax(fabs(axis->low), fabs(axis->high));
    int exponent = (int)floor(log10(axis->tick) + 1e-9);
    if (fabs(value) < axis->tick * 1e-6) {
        snprintf(out, 32, "0");
    } else if (largest < 5e-3 || largest >= 1e9) {
        int digits = (int)floor(log10(fabs(value)) + 1e-9) - exponent;
        snprintf(out, 32, "%.*e", digits > 0 ? digits : 0, value);
        short_exponent(out);
    } else if (axis->tick >= 1e6 * (1 - 1e-9)) {
        snprintf(out, 32, "%.0fM", value / 1e6);
    } else if (axis->tick >= 1e3 * (1 - 1e-9) && largest >= 1e4) {
        snprintf(out, 32, "%.0fk", value / 1e3);
    } else {
        snprintf(out, 32, "%.*f", exponent < 0 ? -exponent : 0, value);
    }
}

// -------------------------------------------------------------------------------------- points

void tv_points_smooth(const tv_point *points, size_t count, size_t radius, tv_point *out)
{
    double sum = 0;
    size_t from = 0, to = 0; // the sum is over [from, to)
    for (size_t i = 0; i < count; i++) {
        size_t left = tv_min_size(radius, i), right = tv_min_size(left, count - 1 - i);
        for (; to <= i + right; to++)
            sum += points[to].y;
        for (; from < i - left; from++)
            sum -= points[from].y;
        out[i] = (tv_point){points[i].x, sum / (double)(to - from)};
    }
}

size_t tv_points_decimate(tv_point *points, size_t count, size_t buckets)
{
    if (count <= 2 * buckets || buckets == 0)
        return count;
    size_t kept = 0;
    for (size_t b = 0; b < buckets; b++) {
        size_t low = b * count / buckets, high = low, end = (b + 1) * count / buckets;
        for (size_t i = low; i < end; i++) {
            low = points[i].y < points[low].y ? i : low;
            high = points[i].y > points[high].y ? i : high;
        }
        tv_point first = points[tv_min_size(low, high)], second = points[tv_max_size(low, high)];
        points[kept++] = first; // at most two per bucket of more than two: never overtakes reading
        if (low != high)
            points[kept++] = second;
    }
    return kept;
}

// ---------------------------------------------------------------------------------------- text

static void set_font(cairo_t *cairo, double size, bool bold)
{
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, size);
}

double tv_chart_text_width(cairo_t *cairo, double size, const char *text)
{
    cairo_text_extents_t extents;
    set_font(cairo, size, false);
    cairo_text_extents(cairo, text, &extents);
    return extents.x_advance;
}

double tv_chart_text(cairo_t *cairo, double x, double y, tv_align align, double size, bool bold,
                     const char *text)
{
    cairo_text_extents_t extents;
    set_font(cairo, size, bold);
    cairo_text_extents(cairo, text, &extents);
    double shift = align == TV_ALIGN_LEFT ? 0 : align == TV_ALIGN_CENTER ? 0.5 : 1;
    cairo_move_to(cairo, x - shift * extents.x_advance, y);
    cairo_show_text(cairo, text);
    return extents.x_advance;
}

void tv_chart_fit_text(cairo_t *cairo, double size, double width, char *text)
{
    size_t length = strlen(text);
    while (length > 3 && tv_chart_text_width(cairo, size, text) > width) {
        length -= 4; // the dots of last time, and one byte more
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--; // not within a character
        memcpy(text + length, "...", 4);
        length += 3;
    }
}

// -------------------------------------------------------------------------------------- panels

static void set_color(cairo_t *cairo, tv_color color, double alpha)
{
    cairo_set_source_rgba(cairo, color.red, color.green, color.blue, alpha);
}

static double panel_x(const tv_panel *panel, double value)
{
    const tv_axis *axis = &panel->across;
    return panel->x + panel->width * (value - axis->low) / (axis->high - axis->low);
}

// Far outside of the panel cairo's fixed-point coordinates would wrap around: close by will do.
static double panel_y(const tv_panel *panel, double value)
{
    const tv_axis *axis = &panel->up;
    double part = (axis->high - value) / (axis->high - axis->low);
    return panel->y + panel->height * fmin(fmax(part, -1), 2);
}

static void draw_grid_line(cairo_t *cairo, double x0, double y0, double x1, double y1)
{
    set_color(cairo, grid_color, 1);
    cairo_set_line_width(cairo, 1);
    cairo_move_to(cairo, floor(x0) + 0.5, floor(y0) + 0.5); // on pixel centres: crisp
    cairo_line_to(cairo, floor(x1) + 0.5, floor(y1) + 0.5);
    cairo_stroke(cairo);
    set_color(cairo, ink, 1);
}

static void draw_ticks_across(cairo_t *cairo, const tv_panel *panel, bool labels)
{
    const tv_axis *axis = &panel->across;
    double bottom = panel->y + panel->height;
    for (size_t i = 0;; i++) {
        double value = tv_axis_first_tick(axis) + (double)i * axis->tick;
        if (value > axis->high + axis->tick * 1e-9)
            break;
        char label[32];
        double x = panel_x(panel, value);
        draw_grid_line(cairo, x, panel->y, x, bottom);
        tv_axis_label(axis, value, label);
        if (labels)
            tv_chart_text(cairo, x, bottom + 22, TV_ALIGN_CENTER, TICK_SIZE, false, label);
    }
}

static void draw_ticks_up(cairo_t *cairo, const tv_panel *panel)
{
    const tv_axis *axis = &panel->up;
    for (size_t i = 0;; i++) {
        double value = tv_axis_first_tick(axis) + (double)i * axis->tick;
        if (value > axis->high + axis->tick * 1e-9)
            break;
        char label[32];
        double y = panel_y(panel, value);
        draw_grid_line(cairo, panel->x, y, panel->x + panel->width, y);
        tv_axis_label(axis, value, label);
        tv_chart_text(cairo, panel->x - 10, y + 5, TV_ALIGN_RIGHT, TICK_SIZE, false, label);
    }
}

void tv_panel_draw(cairo_t *cairo, const tv_panel *panel, const char *title, bool labels_below)
{
    set_color(cairo, ink, 1);
    draw_ticks_across(cairo, panel, labels_below);
    draw_ticks_up(cairo, panel);
    cairo_set_line_width(cairo, 1);
    cairo_move_to(cairo, floor(panel->x) + 0.5, floor(panel->y) + 0.5);
    cairo_rel_line_to(cairo, 0, floor(panel->height));
    cairo_rel_line_to(cairo, floor(panel->width), 0);
    cairo_stroke(cairo);
    cairo_save(cairo);
    cairo_translate(cairo, 28, panel->y + panel->height / 2);
    cairo_rotate(cairo, -acos(-1) / 2);
    tv_chart_text(cairo, 0, 0, TV_ALIGN_CENTER, TITLE_SIZE, false, title);
    cairo_restore(cairo);
}

static void set_stroke(cairo_t *cairo, const tv_stroke *stroke)
{
    static const double dashes[] = {7, 5};
    set_color(cairo, stroke->color, stroke->alpha);
    cairo_set_line_width(cairo, stroke->width);
    cairo_set_line_join(cairo, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(cairo, dashes, stroke->dashed ? 2 : 0, 0);
}

static void draw_dot(cairo_t *cairo, double x, double y, const tv_stroke *stroke)
{
    cairo_new_sub_path(cairo);
    cairo_arc(cairo, x, y, 2 + stroke->width, 0, 2 * acos(-1));
    cairo_fill(cairo);
}

void tv_panel_curve(cairo_t *cairo, const tv_panel *panel, const tv_point *points, size_t count,
                    const tv_stroke *stroke)
{
    cairo_save(cairo);
    cairo_rectangle(cairo, panel->x, panel->y, panel->width + 5, panel->height);
    cairo_clip(cairo);
    set_stroke(cairo, stroke);
    for (size_t i = 0; i < count; i++)
        cairo_line_to(cairo, panel_x(panel, points[i].x), panel_y(panel, points[i].y));
    cairo_stroke(cairo);
    for (size_t i = 0; i < count && (stroke->markers || count == 1); i++)
        draw_dot(cairo, panel_x(panel, points[i].x), panel_y(panel, points[i].y), stroke);
    cairo_restore(cairo);
}

void tv_chart_sample(cairo_t *cairo, double x, double y, const tv_stroke *stroke)
{
    cairo_save(cairo);
    set_stroke(cairo, stroke);
    cairo_move_to(cairo, x, y);
    cairo_rel_line_to(cairo, SAMPLE_WIDTH, 0);
    cairo_stroke(cairo);
    if (stroke->markers)
        draw_dot(cairo, x + SAMPLE_WIDTH / 2.0, y, stroke);
    cairo_restore(cairo);
}

// ------------------------------------------------------------------------------------- the file

static cairo_status_t append_png(void *text, const unsigned char *data, unsigned int length)
{
    tv_text_append(text, data, length);
    return CAIRO_STATUS_SUCCESS;
}

tv_err tv_chart_write(const char *path, int width, int height,
                      void (*draw)(cairo_t *cairo, const void *context), const void *context)
{
    tv_text png = {0};
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    cairo_t *cairo = cairo_create(surface);
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    draw(cairo, context);
    cairo_status_t status = cairo_status(cairo);
    cairo_destroy(cairo);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_write_to_png_stream(surface, append_png, &png);
    cairo_surface_destroy(surface);
    tv_err err = status == CAIRO_STATUS_SUCCESS
                     ? tv_file_write(path, png.data, png.length)
                     : tv_fail(TV_EIO, "cannot draw the plot: %s", cairo_status_to_string(status));
    tv_text_finish(&png);
    return err;
}
