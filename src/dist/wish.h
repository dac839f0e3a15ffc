// Wishes: rank 0 asks for windows of what ranks hold, one after the other, and all ranks answer
// together until it has none any more.
#ifndef TV_DIST_WISH_H
#define TV_DIST_WISH_H

#include "dist/comm.h"

// Floats [first, first + count) of an array. Which one, and whose, the two sides agree on.
typedef struct tv_wish {
    uint64_t what, rank, first, count; // count is not 0
} tv_wish;

// Collective: sends rank 0 what it wants; `out` is NULL elsewhere.
typedef tv_err tv_wish_answer(void *context, const tv_wish *wish, float *out);

// Rank 0: the answer to a wish, in out [count].
tv_err tv_wish_for(tv_comm *comm, const tv_wish *wish, tv_wish_answer *answer, void *context,
                   float *out);
// Rank 0 has no more; the others are in tv_wish_serve until then, or until an answer failed.
tv_err tv_wish_end(tv_comm *comm);
tv_err tv_wish_serve(tv_comm *comm, tv_wish_answer *answer, void *context);

// The answer where all of it is wish->rank's: `values`, which count there only.
tv_err tv_wish_send(tv_comm *comm, const tv_wish *wish, const float *values, float *out);

#endif
