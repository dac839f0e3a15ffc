// The table of a run's ranks: who computes where, on what, how fast, and how much.
#ifndef TV_TRAIN_RANK_TABLE_H
#define TV_TRAIN_RANK_TABLE_H

#include "device/device.h"
#include "dist/comm.h"
#include "train/run_log.h"

#include <stdint.h>

typedef struct tv_rank_row {
    char host[64], device[128], driver[64], precision[16];
    double flops_per_s; // 0: not measured yet
    uint32_t share;     // sequences of each global batch
} tv_rank_row;

// Collective: prints the rows of all ranks to rank 0's log, which is NULL on the others.
tv_err tv_rank_table_print(tv_comm *comm, const tv_device *device, const char *precision,
                           uint32_t share, tv_run_log *log);

// One line of it, without its end; row NULL: the titles. `rank` widths fit all rows.
typedef struct tv_rank_widths {
    int host, device, driver, precision;
} tv_rank_widths;
tv_rank_widths tv_rank_table_widths(const tv_rank_row *rows, uint32_t count);
void tv_rank_table_line(const tv_rank_row *row, uint32_t rank, uint32_t total,
                        const tv_rank_widths *widths, char line[512]);

#endif
