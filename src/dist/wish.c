// Wishes: rank 0 tells them, and all ranks answer.
#include "dist/wish.h"

#include "base/memory.h"

tv_err tv_wish_for(tv_comm *comm, const tv_wish *wish, tv_wish_answer *answer, void *context,
                   float *out)
{
    tv_wish told = *wish;
    TV_TRY(tv_comm_broadcast(comm, &told, sizeof told));
    return answer(context, wish, out);
}

tv_err tv_wish_end(tv_comm *comm)
{
    tv_wish none = {.count = 0};
    return tv_comm_broadcast(comm, &none, sizeof none);
}

tv_err tv_wish_serve(tv_comm *comm, tv_wish_answer *answer, void *context)
{
    for (;;) {
        tv_wish wish;
        TV_TRY(tv_comm_broadcast(comm, &wish, sizeof wish));
        if (wish.count == 0)
            return TV_OK;
        TV_TRY(answer(context, &wish, NULL));
    }
}

tv_err tv_wish_send(tv_comm *comm, const tv_wish *wish, const float *values, float *out)
{
    uint64_t *sizes = tv_alloc(tv_comm_size(comm), sizeof *sizes);
    sizes[wish->rank] = wish->count * sizeof *values;
    tv_err err = tv_comm_collect(comm, values, sizes, out);
    tv_free(sizes);
    return err;
}
