// Progress: one line on stderr, redrawn where it is a terminal, printed now and then where it is
// not.
#ifndef TV_REPORT_PROGRESS_H
#define TV_REPORT_PROGRESS_H

#include "base/text.h"
#include "report/metrics.h"

// What a line shows. Values that are NaN (lr, losses, rates, times) are left out.
typedef struct tv_progress_view {
    const tv_metrics *metrics;
    uint64_t max_steps;
    double elapsed, remaining; // seconds
} tv_progress_view;

// Appends the line for a terminal of that many columns: as much as fits, the most important first,
// never more than `columns` characters, no newline.
void tv_progress_format_bar(const tv_progress_view *view, size_t columns, tv_text *line);

// Appends the line for a log file, no newline.
void tv_progress_format_plain(const tv_progress_view *view, tv_text *line);

typedef struct tv_progress tv_progress;

// A run that goes from `first_step` steps done to `max_steps`. Without `bar` a terminal gets plain
// lines too. Silent below TV_LOG_INFO (--quiet).
tv_progress *tv_progress_create(uint64_t first_step, uint64_t max_steps, bool bar);

// Clears a line that is still being redrawn. Accepts NULL inside.
void tv_progress_destroy(tv_progress **progress);

// What is slow at the start: "compiling kernels 12/40". `total` 0: only the name. Where there is no
// terminal only those are shown that come when nothing was for a while.
void tv_progress_stage(tv_progress *progress, const char *what, size_t done, size_t total);

// Cheap enough for every step: draws ten times a second at most. A loss or rate that this line does
// not carry stays what it was.
void tv_progress_update(tv_progress *progress, const tv_metrics *metrics);

// Writes the state for good: at the end of the run, however it ends.
void tv_progress_finish(tv_progress *progress);

#endif
