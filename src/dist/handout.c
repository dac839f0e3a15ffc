// Handing out: parcel after parcel; one is gathered while the next is read and the last is written.
#include "dist/handout.h"

#include "base/memory.h"
#include "base/worker.h"

enum { SLOTS = 2 }; // of staging: one is gathered, another is read or written

// A parcel, and where MPI finds its values: the device's own memory, or a slot.
typedef struct transport {
    const tv_handout *owner;
    const tv_parcel *parcel;
    uint8_t *weights; // as they lie in memory
    bool there;       // in the device's own memory
} transport;

struct tv_handout {
    const tv_buckets *buckets;
    tv_plan *plan;
    tv_comm *behind;
    tv_worker *worker;
    transport *transports; // one per parcel
    uint8_t *staging;
};

static uint32_t element_bytes(const transport *t)
{
    return tv_dtype_bytes(t->parcel->weights[0]->dtype);
}

static uint64_t bytes_of(const transport *t)
{
    return t->parcel->elements * element_bytes(t);
}

// The device's own memory where the host sees it and one weight is all; else staging. Ranks need
// not choose alike.
static void choose_places(tv_handout *h)
{
    uint64_t largest = 0;
    for (size_t i = 0; i < h->buckets->parcel_count; i++) {
        transport *t = &h->transports[i];
        const tv_parcel *parcel = t->parcel = &h->buckets->parcels[i];
        t->owner = h;
        t->weights = parcel->count == 1 ? tv_plan_host(h->plan, parcel->weights[0]) : NULL;
        t->there = t->weights != NULL;
        largest = t->there ? largest : tv_max_size(largest, bytes_of(t));
    }
    largest = tv_align_up(largest, sizeof(float));
    h->staging = tv_alloc((size_t)largest, SLOTS);
    for (size_t i = 0; i < h->buckets->parcel_count; i++)
        if (!h->transports[i].there)
            h->transports[i].weights = h->staging + i % SLOTS * largest;
}

tv_err tv_handout_create(const tv_buckets *buckets, tv_plan *plan, tv_comm *comm,
                         tv_handout **handout)
{
    tv_handout *h = tv_alloc(1, sizeof *h);
    *h = (tv_handout){.buckets = buckets, .plan = plan, .behind = tv_comm_behind(comm)};
    h->transports = tv_alloc(buckets->parcel_count, sizeof *h->transports);
    choose_places(h);
    tv_err err = tv_worker_create(&h->worker);
    if (err == TV_OK)
        *handout = h;
    else
        tv_handout_destroy(&h);
    return err;
}

void tv_handout_destroy(tv_handout **handout)
{
    tv_handout *h = *handout;
    if (!h)
        return;
    tv_worker_destroy(&h->worker);
    tv_free(h->transports);
    tv_free(h->staging);
    tv_free(h);
    *handout = NULL;
}

double tv_handout_bytes(const tv_handout *h)
{
    double others = (h->buckets->ranks - 1.0) / h->buckets->ranks, bytes = 0;
    for (size_t i = 0; i < h->buckets->parcel_count; i++)
        bytes += others * (double)bytes_of(&h->transports[i]);
    return bytes;
}

// On the worker's thread.
static tv_err gather(void *context)
{
    const transport *t = context;
    uint32_t ranks = t->owner->buckets->ranks;
    uint64_t *sizes = tv_alloc(ranks, sizeof *sizes);
    for (uint32_t r = 0; r < ranks; r++)
        sizes[r] = t->parcel->owned[r] * element_bytes(t);
    tv_err err = tv_comm_all_gather(t->owner->behind, t->weights, sizes);
    tv_free(sizes);
    return err;
}

// Reads this rank's pieces of the weights, or writes those of all others.
static tv_err move_weights(const transport *t, bool own)
{
    const tv_handout *h = t->owner;
    tv_piece *pieces = tv_alloc(t->parcel->count, sizeof *pieces);
    uint8_t *at = t->weights;
    tv_err err = TV_OK;
    for (uint32_t r = 0; r < h->buckets->ranks && !t->there; r++) {
        size_t count = tv_parcel_pieces(t->parcel, r, pieces);
        bool mine = r == tv_comm_rank(h->behind);
        for (size_t i = 0; i < count && err == TV_OK; i++) {
            const tv_piece *p = &pieces[i];
            if (mine && own)
                err = tv_plan_read_bytes(h->plan, p->weight, p->first, p->count, at);
            else if (!mine && !own)
                err = tv_plan_write_bytes(h->plan, p->weight, p->first, p->count, at);
            at += p->count * element_bytes(t);
        }
    }
    tv_free(pieces);
    return err;
}

tv_err tv_handout_weights(tv_handout *h, tv_err err)
{
    size_t count = h->buckets->parcel_count;
    uint64_t number = 0, before;
    tv_kept_error error = {.err = TV_OK};
    tv_error_keep(&error, err);
    for (size_t i = 0; i <= count; i++) {
        before = number;
        if (i < count && error.err == TV_OK)
            tv_error_keep(&error, move_weights(&h->transports[i], true));
        if (i < count)
            number = tv_worker_give(h->worker, gather, &h->transports[i]);
        if (i > 0)
            tv_error_keep(&error, tv_worker_wait(h->worker, before));
        if (i > 0 && error.err == TV_OK)
            tv_error_keep(&error, move_weights(&h->transports[i - 1], false));
    }
    return tv_error_tell(&error);
}
