// Collecting: rank 0 asks for windows of tensors, and all send what they hold.
#include "train/collect.h"

#include "base/memory.h"

#include <string.h>

// Rank 0's wish; count 0: it has none any more.
typedef struct wish {
    uint64_t tensor, first, count;
    uint64_t owner; // not 0: the error of that rank, and `tensor` is the matrix
} wish;

// All ranks send what they hold of a window to rank 0; `out` is NULL elsewhere. A rank that cannot
// read its part sends something all the same, and then says so.
static tv_err send_parts(tv_collect *c, const tv_tensor *tensor, uint64_t first, uint64_t count,
                         float *out)
{
    const tv_sharding *s = tensor->sharding;
    uint32_t rank = tv_comm_rank(c->comm);
    uint64_t *sizes = tv_alloc(s->ranks, sizeof *sizes);
    for (uint32_t r = 0; r < s->ranks; r++) {
        uint64_t from = tv_max_size(s->cuts[r], first);
        uint64_t end = tv_min_size(s->cuts[r + 1], first + count);
        sizes[r] = from < end ? (end - from) * sizeof *out : 0;
    }
    uint64_t own = sizes[rank] / sizeof *out, from = tv_max_size(s->cuts[rank], first);
    float *part = tv_alloc((size_t)own, sizeof *part);
    tv_err err = own ? tv_plan_read(c->plan, tensor, from, own, part) : TV_OK;
    tv_err sent = tv_comm_collect(c->comm, part, sizes, out);
    tv_free(part);
    tv_free(sizes);
    err = tv_comm_agree(c->comm, sent == TV_OK ? err : sent);
    c->failed = err != TV_OK;
    return err;
}

tv_err tv_collect_read(tv_collect *c, const tv_tensor *tensor, uint64_t first, uint64_t count,
                       float *out)
{
    if (!tensor->sharding)
        return tv_plan_read(c->plan, tensor, first, count, out);
    wish w = {.tensor = tensor->id, .first = first, .count = count};
    TV_TRY(tv_comm_broadcast(c->comm, &w, sizeof w));
    return send_parts(c, tensor, first, count, out);
}

// Of a rank's error to rank 0; `out` is NULL elsewhere.
static tv_err send_error(tv_collect *c, const wish *w, float *out)
{
    uint64_t *sizes = tv_alloc(tv_comm_size(c->comm), sizeof *sizes);
    sizes[w->owner] = w->count * sizeof *out;
    const float *error = tv_powersgd_get(c->powersgd, (size_t)w->tensor)->error + w->first;
    tv_err err = tv_comm_collect(c->comm, error, sizes, out);
    tv_free(sizes);
    return err;
}

tv_err tv_collect_read_error(tv_collect *c, uint32_t rank, size_t matrix, uint64_t first,
                             uint64_t count, float *out)
{
    wish w = {.tensor = matrix, .first = first, .count = count, .owner = rank};
    if (rank == 0) {
        memcpy(out, tv_powersgd_get(c->powersgd, matrix)->error + first, count * sizeof *out);
        return TV_OK;
    }
    TV_TRY(tv_comm_broadcast(c->comm, &w, sizeof w));
    return send_error(c, &w, out);
}

tv_err tv_collect_end(tv_collect *c)
{
    wish none = {.count = 0};
    return c->failed ? TV_OK : tv_comm_broadcast(c->comm, &none, sizeof none);
}

tv_err tv_collect_serve(tv_collect *c)
{
    for (;;) {
        wish w;
        TV_TRY(tv_comm_broadcast(c->comm, &w, sizeof w));
        if (w.count == 0)
            return TV_OK;
        TV_TRY(w.owner ? send_error(c, &w, NULL)
                       : send_parts(c, c->graph->tensors[w.tensor], w.first, w.count, NULL));
    }
}
