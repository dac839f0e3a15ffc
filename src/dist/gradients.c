// Gradients on their way between ranks.
#include "dist/gradients.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/worker.h"

#include <stdio.h>

// A parcel, where its values are for MPI.
typedef struct transport {
    tv_gradients *owner;
    const tv_parcel *parcel;
    float *values;
    bool in_place; // values are the device's own memory
} transport;

struct tv_gradients {
    const tv_buckets *buckets;
    tv_plan *plan;
    tv_comm *behind;
    tv_worker *worker;
    bool scatter;
    transport *transports; // one per parcel
    float *staging;
    double ready;
};

static uint32_t rank_of(const tv_gradients *g)
{
    return tv_comm_rank(g->behind);
}

// In place where that can be; staging follows otherwise. Ranks need not choose alike.
static void choose_places(tv_gradients *g)
{
    uint64_t staged = 0;
    for (size_t i = 0; i < g->buckets->parcel_count; i++) {
        transport *t = &g->transports[i];
        const tv_parcel *parcel = t->parcel = &g->buckets->parcels[i];
        t->owner = g;
        t->values = parcel->count == 1 ? tv_plan_host(g->plan, parcel->weights[0]->gradient) : NULL;
        t->in_place = t->values != NULL;
        staged += t->in_place ? 0 : parcel->elements;
    }
    g->staging = tv_alloc((size_t)staged, sizeof *g->staging);
    float *at = g->staging;
    for (size_t i = 0; i < g->buckets->parcel_count; i++) {
        transport *t = &g->transports[i];
        if (t->in_place)
            continue;
        t->values = at;
        at += t->parcel->elements;
    }
}

tv_err tv_gradients_create(const tv_buckets *buckets, tv_plan *plan, tv_comm *comm, bool scatter,
                           tv_gradients **gradients)
{
    tv_gradients *g = tv_alloc(1, sizeof *g);
    *g = (tv_gradients){
        .buckets = buckets, .plan = plan, .behind = tv_comm_behind(comm), .scatter = scatter};
    g->transports = tv_alloc(buckets->parcel_count, sizeof *g->transports);
    choose_places(g);
    tv_err err = tv_worker_create(&g->worker);
    if (err == TV_OK)
        *gradients = g;
    else
        tv_gradients_destroy(&g);
    return err;
}

void tv_gradients_destroy(tv_gradients **gradients)
{
    tv_gradients *g = *gradients;
    if (!g)
        return;
    tv_worker_destroy(&g->worker);
    tv_free(g->transports);
    tv_free(g->staging);
    tv_free(g);
    *gradients = NULL;
}

// On the worker's thread.
static tv_err sum(void *context)
{
    const transport *t = context;
    const tv_gradients *g = t->owner;
    if (g->scatter)
        return tv_comm_reduce_scatter_f32(g->behind, t->values, t->parcel->owned);
    return tv_comm_sum_f32(g->behind, t->values, (size_t)t->parcel->elements);
}

static tv_err fetch(const transport *t)
{
    float *at = t->values;
    for (size_t i = 0; i < t->parcel->count && !t->in_place; i++) {
        const tv_tensor *gradient = t->parcel->weights[i]->gradient;
        TV_TRY(tv_plan_peek(t->owner->plan, gradient, 0, tv_tensor_count(gradient), at));
        at += tv_tensor_count(gradient);
    }
    return TV_OK;
}

static tv_err fetch_bucket(tv_gradients *g, const tv_bucket *bucket, size_t pass)
{
    const tv_parcel *first = g->buckets->parcels;
    TV_TRY(tv_plan_wait_watch(g->plan, bucket->watches[pass]));
    for (size_t i = 0; i < bucket->count; i++)
        TV_TRY(fetch(&g->transports[&bucket->parcels[i] - first]));
    return TV_OK;
}

// The device has finished, so that its gradients can be written.
static tv_err put_back(const transport *t)
{
    const tv_gradients *g = t->owner;
    uint32_t size = tv_comm_size(g->behind);
    const float *at = t->values;
    tv_piece *pieces = tv_alloc(t->parcel->count, sizeof *pieces);
    tv_err err = TV_OK;
    for (uint32_t r = 0; r < size && !t->in_place; r++) {
        size_t count = tv_parcel_pieces(t->parcel, r, pieces);
        bool wanted = !g->scatter || r == rank_of(g);
        for (size_t i = 0; i < count && wanted && err == TV_OK; i++) {
            err = tv_plan_write(g->plan, pieces[i].weight->gradient, pieces[i].first,
                                pieces[i].count, at);
            at += pieces[i].count;
        }
        at += wanted ? 0 : t->parcel->owned[r];
    }
    tv_free(pieces);
    return err;
}

// What happened to this rank, kept over the calls that all ranks need it for.
typedef struct outcome {
    tv_err err;
    char line[1024];
} outcome;

static void keep(outcome *o, tv_err err)
{
    if (o->err != TV_OK || err == TV_OK)
        return;
    o->err = err;
    snprintf(o->line, sizeof o->line, "%s", tv_error_message());
}

tv_err tv_gradients_sum(tv_gradients *g, size_t pass, tv_err err)
{
    outcome o = {.err = TV_OK};
    keep(&o, err);
    for (size_t i = 0; i < g->buckets->bucket_count; i++) {
        const tv_bucket *bucket = &g->buckets->buckets[i];
        if (o.err == TV_OK)
            keep(&o, fetch_bucket(g, bucket, pass));
        for (size_t p = 0; p < bucket->count; p++)
            tv_worker_give(g->worker, sum,
                           &g->transports[&bucket->parcels[p] - g->buckets->parcels]);
    }
    g->ready = tv_now_seconds();
    keep(&o, tv_worker_wait(g->worker, 0));
    for (size_t i = 0; i < g->buckets->parcel_count && o.err == TV_OK; i++)
        keep(&o, put_back(&g->transports[i]));
    return o.err == TV_OK ? TV_OK : tv_fail(o.err, "%s", o.line);
}

double tv_gradients_ready(const tv_gradients *g)
{
    return g->ready;
}
