// Bar charts: named values of one or several series side by side, as a picture (PNG).
#ifndef TV_REPORT_BARS_H
#define TV_REPORT_BARS_H

#include "base/error.h"

#include <stddef.h>

typedef struct tv_bar {
    double value, low, high; // low to high: a whisker. NaN value: no bar
    const char *label;       // behind the bar; NULL: none
} tv_bar;

// One bar for each series.
typedef struct tv_bars_row {
    const char *name;
    const tv_bar *bars;
} tv_bars_row;

// Rows with one axis.
typedef struct tv_bars_panel {
    const char *title; // with the unit
    const tv_bars_row *rows;
    size_t count;
} tv_bars_panel;

typedef struct tv_bars {
    const char *title, *subtitle;
    const char *const *series; // names for the legend, which is left out where there is one
    size_t series_count;
    const tv_bars_panel *panels;
    size_t panel_count;
} tv_bars;

// Writes the picture in place of `path` at once; it is as high as it needs to be. TV_EDATA if there
// is no row.
tv_err tv_bars_write(const char *path, const tv_bars *bars);

#endif
