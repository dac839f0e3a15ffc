// Collecting: reading tensors of which each rank holds a part.
#ifndef TV_TRAIN_COLLECT_H
#define TV_TRAIN_COLLECT_H

#include "dist/comm.h"
#include "dist/powersgd.h"
#include "plan/plan.h"

typedef struct tv_collect {
    tv_comm *comm;
    tv_plan *plan;
    const tv_graph *graph;
    tv_powersgd *powersgd; // of which each rank has its errors; may be NULL
    bool failed;           // the ranks have agreed on an error, and no rank serves any more
} tv_collect;

// Rank 0: as tv_plan_read, with the elements that other ranks hold. They are in tv_collect_serve
// until rank 0 calls tv_collect_end, which it must.
tv_err tv_collect_read(tv_collect *collect, const tv_tensor *tensor, uint64_t first, uint64_t count,
                       float *out);
// The same for a rank's error of a matrix.
tv_err tv_collect_read_error(tv_collect *collect, uint32_t rank, size_t matrix, uint64_t first,
                             uint64_t count, float *out);
tv_err tv_collect_end(tv_collect *collect);

// The other ranks, meanwhile.
tv_err tv_collect_serve(tv_collect *collect);

#endif
