// Loggers: a run's metrics as files in its directory, one line per call: metrics.jsonl,
// metrics.csv.
#ifndef TV_REPORT_LOGGER_H
#define TV_REPORT_LOGGER_H

#include "report/metrics.h"

typedef enum tv_logger_kind { TV_LOGGER_JSONL, TV_LOGGER_CSV, TV_LOGGER_COUNT } tv_logger_kind;

// The names that the configuration uses, indexed by kind: "jsonl", "csv".
extern const char *const tv_logger_names[TV_LOGGER_COUNT];

// How long each file is: a checkpoint records it, and a resumed run starts from there.
typedef struct tv_logger_sizes {
    uint64_t bytes[TV_LOGGER_COUNT];
} tv_logger_sizes;

typedef struct tv_loggers tv_loggers;

// Opens the loggers of these names in run_dir, which exists. Files are cut to the sizes in
// `resume`; NULL starts them anew. TV_EUSAGE for a name that is not in the table.
tv_err tv_loggers_create(const char *run_dir, const char *const *names, size_t count,
                         const tv_logger_sizes *resume, tv_loggers **loggers);
void tv_loggers_destroy(tv_loggers **loggers);

// Writes one line to each; it has reached the kernel when this returns. Values that are not finite
// are left out (JSON has no word for them); a loss read back is the same float. TV_ENOSPC when the
// disk is full: the last line may then be cut off.
tv_err tv_loggers_write(tv_loggers *loggers, const tv_metrics *metrics);

// The lengths now; 0 for a logger that is not open.
tv_logger_sizes tv_loggers_sizes(const tv_loggers *loggers);

#endif
