// Collecting: rank 0 asks for windows of tensors, and all send what they hold.
#include "train/collect.h"

#include "base/memory.h"
#include "dist/wish.h"

#include <string.h>

// All ranks send what they hold of a tensor's window. A rank that cannot read its part sends
// something all the same, and then says so.
static tv_err send_parts(tv_collect *c, const tv_wish *wish, float *out)
{
    const tv_tensor *tensor = c->graph->tensors[wish->what];
    const tv_sharding *s = tensor->sharding;
    uint32_t rank = tv_comm_rank(c->comm);
    uint64_t *sizes = tv_alloc(s->ranks, sizeof *sizes);
    for (uint32_t r = 0; r < s->ranks; r++) {
        uint64_t from = tv_max_size(s->cuts[r], wish->first);
        uint64_t end = tv_min_size(s->cuts[r + 1], wish->first + wish->count);
        sizes[r] = from < end ? (end - from) * sizeof *out : 0;
    }
    uint64_t own = sizes[rank] / sizeof *out, from = tv_max_size(s->cuts[rank], wish->first);
    float *part = tv_alloc((size_t)own, sizeof *part);
    tv_err err = own ? tv_plan_read(c->plan, tensor, from, own, part) : TV_OK;
    tv_err sent = tv_comm_collect(c->comm, part, sizes, out);
    tv_free(part);
    tv_free(sizes);
    err = tv_comm_agree(c->comm, sent == TV_OK ? err : sent);
    c->failed = err != TV_OK;
    return err;
}

// Rank 0 needs nobody for its own errors: a wish for those of a rank names another one.
static tv_err answer(void *context, const tv_wish *wish, float *out)
{
    tv_collect *c = context;
    if (wish->rank == 0)
        return send_parts(c, wish, out);
    const float *error = tv_powersgd_get(c->powersgd, (size_t)wish->what)->error;
    return tv_wish_send(c->comm, wish, error + wish->first, out);
}

tv_err tv_collect_read(tv_collect *c, const tv_tensor *tensor, uint64_t first, uint64_t count,
                       float *out)
{
    tv_wish wish = {.what = tensor->id, .first = first, .count = count};
    if (!tensor->sharding)
        return tv_plan_read(c->plan, tensor, first, count, out);
    return tv_wish_for(c->comm, &wish, answer, c, out);
}

tv_err tv_collect_read_error(tv_collect *c, uint32_t rank, size_t matrix, uint64_t first,
                             uint64_t count, float *out)
{
    tv_wish wish = {.what = matrix, .rank = rank, .first = first, .count = count};
    if (rank > 0)
        return tv_wish_for(c->comm, &wish, answer, c, out);
    memcpy(out, tv_powersgd_get(c->powersgd, matrix)->error + first, count * sizeof *out);
    return TV_OK;
}

tv_err tv_collect_end(tv_collect *c)
{
    return c->failed ? TV_OK : tv_wish_end(c->comm);
}

tv_err tv_collect_serve(tv_collect *c)
{
    return tv_wish_serve(c->comm, answer, c);
}
