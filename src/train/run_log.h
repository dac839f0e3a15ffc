// The run's own account: log.txt in the run directory, each line also shown on stderr.
#ifndef TV_TRAIN_RUN_LOG_H
#define TV_TRAIN_RUN_LOG_H

#include "base/error.h"

typedef struct tv_run_log tv_run_log;

tv_err tv_run_log_open(const char *run_dir, tv_run_log **log); // appends to what is there
void tv_run_log_close(tv_run_log **log);

// A line. That log.txt cannot be written is a warning, not an error: training goes on.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void tv_run_log_line(tv_run_log *log, const char *format, ...);

#endif
