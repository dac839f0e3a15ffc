// Plots: a picture of one or several runs (PNG, 1200 x 800): losses over steps, learning rate
// below.
#ifndef TV_REPORT_PLOT_H
#define TV_REPORT_PLOT_H

#include "report/metrics.h"

typedef struct tv_plot_run {
    const char *name;        // UTF-8, for the legend
    const tv_metrics *lines; // ascending in step; what is not finite is not drawn
    size_t count;
} tv_plot_run;

// Writes the picture in place of `path` at once (see tv_file_write). One run shows its training
// loss as it is and smoothed, and its validation loss; several runs share a colour per run,
// validation dashed. TV_EDATA if no run has a loss.
tv_err tv_plot_write(const char *path, const char *title, const tv_plot_run *runs, size_t count);

#endif
