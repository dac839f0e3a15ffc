// The table of a run's ranks: who computes where, on what, how fast, and how much.
#ifndef TV_TRAIN_RANK_TABLE_H
#define TV_TRAIN_RANK_TABLE_H

#include "device/device.h"
#include "dist/comm.h"
#include "train/run_log.h"

#include <stdint.h>

// Collective: prints the rows of all ranks to rank 0's log, which is NULL on the others.
tv_err tv_rank_table_print(tv_comm *comm, const tv_device *device, const char *precision,
                           uint32_t share, tv_run_log *log);

#endif
