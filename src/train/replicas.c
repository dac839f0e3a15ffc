// Replicas: hashes of weights over ranks, and copies from one that is right.
#include "train/replicas.h"

#include "base/memory.h"
#include "formats/checksum.h"

#include <stdio.h>
#include <string.h>

enum { PART = 1 << 20 }; // elements that are read, or copied, at a time

typedef struct replica {
    char host[64], sum[33];
} replica;

static tv_err hash_tensor(tv_plan *plan, const tv_tensor *tensor, uint32_t *room,
                          tv_checksum_stream *stream)
{
    uint64_t count = tv_tensor_count(tensor);
    for (uint64_t first = 0; first < count; first += PART) {
        size_t part = tv_min_size(count - first, PART);
        TV_TRY(tv_plan_read_bytes(plan, tensor, first, part, room));
        tv_checksum_stream_add(stream, room, part * tv_dtype_bytes(tensor->dtype));
    }
    return TV_OK;
}

static tv_err hash_weights(const tv_session *s, char sum[33])
{
    const tv_model *model = s->graph->model;
    tv_checksum_stream *stream = tv_checksum_stream_create();
    uint32_t *room = tv_alloc(PART, sizeof *room);
    tv_err err = TV_OK;
    for (size_t i = 0; i < model->weight_count && err == TV_OK; i++)
        err = hash_tensor(s->plan, model->weights[i], room, stream);
    memcpy(sum, tv_checksum_stream_sum(stream).xxh3, 33);
    tv_checksum_stream_destroy(&stream);
    tv_free(room);
    return err;
}

// The lowest rank of those that most agree with.
static uint32_t find_right(const replica *all, uint32_t size)
{
    uint32_t right = 0, most = 0;
    for (uint32_t r = 0; r < size; r++) {
        uint32_t votes = 0;
        for (uint32_t o = 0; o < size; o++)
            votes += strcmp(all[r].sum, all[o].sum) == 0;
        if (votes > most) {
            most = votes;
            right = r;
        }
    }
    return right;
}

// ---------------------------------------------------------------------------------- copying

// `from` hands out a tensor; every rank takes part.
static tv_err copy_tensor(tv_session *s, const tv_tensor *tensor, uint32_t from, uint32_t *room)
{
    uint32_t size = tv_comm_size(s->comm), rank = tv_comm_rank(s->comm);
    uint64_t *sizes = tv_alloc(size, sizeof *sizes), count = tv_tensor_count(tensor);
    tv_err err = TV_OK, failed = TV_OK;
    for (uint64_t first = 0; first < count && err == TV_OK; first += PART) {
        size_t part = tv_min_size(count - first, PART);
        sizes[from] = part * tv_dtype_bytes(tensor->dtype);
        if (rank == from && failed == TV_OK)
            failed = tv_plan_read_bytes(s->plan, tensor, first, part, room);
        err = tv_comm_all_gather(s->comm, room, sizes);
        if (rank != from && failed == TV_OK && err == TV_OK)
            failed = tv_plan_write_bytes(s->plan, tensor, first, part, room);
    }
    tv_free(sizes);
    TV_TRY(err);
    return tv_comm_agree(s->comm, failed);
}

// Weights, and what of the optimizer's state every rank has.
static tv_err copy_all(tv_session *s, uint32_t from)
{
    const tv_step_graph *g = s->graph;
    uint32_t *room = tv_alloc(PART, sizeof *room);
    tv_err err = TV_OK;
    for (size_t i = 0; i < g->model->weight_count; i++) {
        const tv_tensor *w = g->model->weights[i];
        const tv_tensor *all[] = {w, w->master, g->first_moments[i], g->second_moments[i]};
        for (size_t k = 0; k < 4 && err == TV_OK; k++)
            if (all[k] && !all[k]->sharding)
                err = copy_tensor(s, all[k], from, room);
    }
    tv_free(room);
    return err;
}

// ----------------------------------------------------------------------------------- checking

static void list_wrong(const replica *all, uint32_t size, uint32_t right, tv_text *out)
{
    for (uint32_t r = 0; r < size; r++)
        if (strcmp(all[r].sum, all[right].sum) != 0)
            tv_text_printf(out, "%srank %u on %s", out->length ? ", " : "", r, all[r].host);
}

static tv_err handle(tv_session *s, const replica *all, uint64_t step, bool resync, tv_text *news)
{
    uint32_t size = tv_comm_size(s->comm), right = find_right(all, size);
    tv_text wrong = {0};
    tv_err err = TV_OK;
    list_wrong(all, size, right, &wrong);
    if (wrong.length && !resync)
        err = tv_fail(TV_EDATA,
                      "step %llu: the weights of %s are not those of rank %u on %s; their devices "
                      "round differently or are faulty: use trainer.strategy=zero1, or go on from "
                      "the checkpoint without them",
                      (unsigned long long)step, wrong.data, right, all[right].host);
    else if (wrong.length)
        err = copy_all(s, right);
    if (wrong.length && resync && err == TV_OK)
        tv_text_printf(news,
                       "step %llu: the weights of %s were not those of rank %u on %s, and are now",
                       (unsigned long long)step, wrong.data, right, all[right].host);
    tv_text_finish(&wrong);
    return err;
}

tv_err tv_replicas_check(tv_session *s, uint64_t step, bool resync, tv_text *news)
{
    uint32_t size = tv_comm_size(s->comm);
    if (size == 1 || s->apart || s->graph->options.sharded == TV_SHARDED_WEIGHTS)
        return TV_OK; // there are no replicas
    replica mine = {{0}, {0}}, *all = tv_alloc(size, sizeof *all);
    snprintf(mine.host, sizeof mine.host, "%s", tv_comm_host(s->comm));
    tv_err err = tv_comm_agree(s->comm, hash_weights(s, mine.sum));
    if (err == TV_OK)
        err = tv_comm_gather(s->comm, &mine, sizeof mine, all);
    if (err == TV_OK)
        err = handle(s, all, step, resync, news);
    tv_free(all);
    return err;
}

tv_err tv_replicas_damage(tv_session *s)
{
    const tv_tensor *weight = s->graph->model->weights[0];
    uint32_t bits = 0; // of one element, or two
    uint64_t count = 4 / tv_dtype_bytes(weight->dtype);
    TV_TRY(tv_plan_read_bytes(s->plan, weight, 0, count, &bits));
    bits ^= 1;
    return tv_plan_write_bytes(s->plan, weight, 0, count, &bits);
}
