// Charts: what plots are made of, on cairo: axes with round tick values, panels, curves, text.
// Internal to report/; plot.h is what others use.
#ifndef TV_REPORT_CHART_H
#define TV_REPORT_CHART_H

#include "base/error.h"

#include <cairo.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct tv_point {
    double x, y;
} tv_point;

// The range of an axis and the distance of its ticks: 1, 2 or 5 times a power of ten.
typedef struct tv_axis {
    double low, high, tick;
} tv_axis;

// An axis from low to high with at most `ticks` ticks (and at least 2 where `ticks` >= 5). An empty
// range is widened.
tv_axis tv_axis_make(double low, double high, size_t ticks);

// The first tick that is not below the axis' low end.
double tv_axis_first_tick(const tv_axis *axis);

// A tick's label with as many digits as the tick distance needs: "0.25", "1500", "20k", "3e-4".
void tv_axis_label(const tv_axis *axis, double value, char out[32]);

// Mean over `radius` points to each side. At the start the window stays symmetric, so that a first
// steep fall is not flattened; at the end it is only cut, so that the last value is still a mean.
// O(count). `out` may not be `points`.
void tv_points_smooth(const tv_point *points, size_t count, size_t radius, tv_point *out);

// Keeps the lowest and the highest point of each of `buckets` equal parts, in order, in place;
// returns how many remain. Points must be ascending in x.
size_t tv_points_decimate(tv_point *points, size_t count, size_t buckets);

typedef struct tv_color {
    double red, green, blue;
} tv_color;

// Colours for lines and areas, told apart by colour-blind people too; from 7 on they repeat.
tv_color tv_chart_color(size_t index);

typedef struct tv_stroke {
    tv_color color;
    double alpha, width;  // width in pixels
    bool dashed, markers; // markers: a dot on every point
} tv_stroke;

typedef enum tv_align { TV_ALIGN_LEFT, TV_ALIGN_CENTER, TV_ALIGN_RIGHT } tv_align;

// Draws text with its baseline at y; returns its width.
double tv_chart_text(cairo_t *cairo, double x, double y, tv_align align, double size, bool bold,
                     const char *text);
double tv_chart_text_width(cairo_t *cairo, double size, const char *text);

// Shortens UTF-8 text with "..." until it is at most `width` pixels wide.
void tv_chart_fit_text(cairo_t *cairo, double size, double width, char *text);

// A rectangle of the picture with a horizontal and a vertical axis.
typedef struct tv_panel {
    double x, y, width, height; // pixels
    tv_axis across, up;
} tv_panel;

// Frame, grid, tick labels and the vertical title. Labels below only where `labels_below`.
void tv_panel_draw(cairo_t *cairo, const tv_panel *panel, const char *title, bool labels_below);

// A curve through the points, clipped to the panel.
void tv_panel_curve(cairo_t *cairo, const tv_panel *panel, const tv_point *points, size_t count,
                    const tv_stroke *stroke);

// The sample of a stroke that a legend shows, 36 pixels wide.
void tv_chart_sample(cairo_t *cairo, double x, double y, const tv_stroke *stroke);

// Draws on white, and writes the picture (PNG) in place of `path` at once. TV_EIO where cairo
// fails.
tv_err tv_chart_write(const char *path, int width, int height,
                      void (*draw)(cairo_t *cairo, const void *context), const void *context);

#endif
