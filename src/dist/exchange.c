// Gradients on their way between ranks.
#include "dist/exchange.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/worker.h"
#include "dist/halves.h"

// A parcel, and where MPI finds its values: the device's own memory, or a copy.
typedef struct transport {
    tv_exchange *owner;
    const tv_parcel *parcel;
    float *gradients;
    bool there;   // in the device's own memory
    uint64_t job; // of the worker, which sums the gradients
} transport;

struct tv_exchange {
    const tv_buckets *buckets;
    tv_plan *plan;
    tv_comm *behind;
    tv_worker *worker;
    tv_exchange_options options;
    transport *transports; // one per parcel
    float *staging;
    double ready;
};

// Whether a rank is to receive piece r of the gradients.
static bool is_wanted(const tv_exchange *e, uint32_t r)
{
    return !e->options.scatter || r == tv_comm_rank(e->behind);
}

static transport *find_transport(const tv_exchange *e, const tv_parcel *parcel)
{
    return &e->transports[parcel - e->buckets->parcels];
}

// The device's own memory where the host sees it and one weight is all; else staging. Ranks need
// not choose alike.
static void choose_places(tv_exchange *e)
{
    uint64_t staged = 0;
    for (size_t i = 0; i < e->buckets->parcel_count; i++) {
        transport *t = &e->transports[i];
        const tv_parcel *parcel = t->parcel = &e->buckets->parcels[i];
        t->owner = e;
        if (parcel->count == 1)
            t->gradients = tv_plan_host(e->plan, parcel->weights[0]->gradient);
        t->there = t->gradients != NULL;
        staged += t->there ? 0 : parcel->elements;
    }
    e->staging = tv_alloc((size_t)staged, sizeof *e->staging);
    float *at = e->staging;
    for (size_t i = 0; i < e->buckets->parcel_count; i++) {
        transport *t = &e->transports[i];
        if (t->there)
            continue;
        t->gradients = at;
        at += t->parcel->elements;
    }
}

tv_err tv_exchange_create(const tv_buckets *buckets, tv_plan *plan, tv_comm *comm,
                          const tv_exchange_options *options, tv_exchange **exchange)
{
    tv_exchange *e = tv_alloc(1, sizeof *e);
    *e = (tv_exchange){
        .buckets = buckets, .plan = plan, .behind = tv_comm_behind(comm), .options = *options};
    e->transports = tv_alloc(buckets->parcel_count, sizeof *e->transports);
    choose_places(e);
    for (size_t i = 0; e->options.powersgd && i < buckets->parcel_count; i++)
        tv_powersgd_place(e->options.powersgd, i, e->transports[i].gradients);
    tv_err err = tv_worker_create(&e->worker);
    if (err == TV_OK)
        *exchange = e;
    else
        tv_exchange_destroy(&e);
    return err;
}

void tv_exchange_destroy(tv_exchange **exchange)
{
    tv_exchange *e = *exchange;
    if (!e)
        return;
    tv_worker_destroy(&e->worker);
    tv_free(e->transports);
    tv_free(e->staging);
    tv_free(e);
    *exchange = NULL;
}

double tv_exchange_ready(const tv_exchange *e)
{
    return e->ready;
}

static bool is_compressed(const tv_exchange *e)
{
    return e->options.powersgd && tv_powersgd_is_active(e->options.powersgd);
}

double tv_exchange_bytes(const tv_exchange *e)
{
    double others = (e->buckets->ranks - 1.0) / e->buckets->ranks;
    double ways = e->options.scatter ? 1 : 2, width = e->options.bf16 ? 2 : 4;
    if (is_compressed(e))
        return tv_powersgd_bytes(e->options.powersgd);
    return ways * others * width * (double)e->buckets->elements;
}

// On the worker's thread.
static tv_err sum(void *context)
{
    const transport *t = context;
    const tv_exchange *e = t->owner;
    if (e->options.bf16)
        return tv_halves_sum(e->behind, t->gradients, t->parcel->owned, !e->options.scatter);
    if (e->options.scatter)
        return tv_comm_reduce_scatter_f32(e->behind, t->gradients, t->parcel->owned);
    return tv_comm_sum_f32(e->behind, t->gradients, (size_t)t->parcel->elements);
}

static tv_err fetch_gradients(const transport *t)
{
    float *at = t->gradients;
    for (size_t i = 0; i < t->parcel->count && !t->there; i++) {
        const tv_tensor *gradient = t->parcel->weights[i]->gradient;
        TV_TRY(tv_plan_peek(t->owner->plan, gradient, 0, tv_tensor_count(gradient), at));
        at += tv_tensor_count(gradient);
    }
    return TV_OK;
}

static tv_err fetch_bucket(const tv_exchange *e, const tv_bucket *bucket, size_t pass)
{
    TV_TRY(tv_plan_wait_watch(e->plan, bucket->watches[pass]));
    for (size_t i = 0; i < bucket->count; i++)
        TV_TRY(fetch_gradients(find_transport(e, &bucket->parcels[i])));
    return TV_OK;
}

static tv_err put_gradients(const transport *t)
{
    const tv_exchange *e = t->owner;
    tv_piece *pieces = tv_alloc(t->parcel->count, sizeof *pieces);
    const float *at = t->gradients;
    tv_err err = TV_OK;
    for (uint32_t r = 0; r < e->buckets->ranks && !t->there; r++) {
        size_t count = tv_parcel_pieces(t->parcel, r, pieces);
        for (size_t i = 0; i < count && err == TV_OK; i++) {
            if (is_wanted(e, r))
                err = tv_plan_write(e->plan, pieces[i].weight->gradient, pieces[i].first,
                                    pieces[i].count, at);
            at += pieces[i].count;
        }
    }
    tv_free(pieces);
    return err;
}

// Has the worker sum a bucket.
static void send_bucket(tv_exchange *e, size_t number)
{
    const tv_bucket *bucket = &e->buckets->buckets[number];
    uint64_t whole = 0;
    if (is_compressed(e))
        whole = tv_worker_give(e->worker, tv_powersgd_sum,
                               tv_powersgd_bucket(e->options.powersgd, number));
    for (size_t i = 0; i < bucket->count; i++) {
        transport *t = find_transport(e, &bucket->parcels[i]);
        t->job = whole ? whole : tv_worker_give(e->worker, sum, t);
    }
}

// What is summed goes back to the device while the worker sums what comes behind it.
tv_err tv_exchange_gradients(tv_exchange *e, size_t pass, tv_err err)
{
    tv_kept_error error = {.err = TV_OK};
    tv_error_keep(&error, err);
    for (size_t i = 0; i < e->buckets->bucket_count; i++) {
        if (error.err == TV_OK)
            tv_error_keep(&error, fetch_bucket(e, &e->buckets->buckets[i], pass));
        send_bucket(e, i);
    }
    e->ready = tv_now_seconds();
    for (size_t i = 0; i < e->buckets->parcel_count; i++) {
        tv_error_keep(&error, tv_worker_wait(e->worker, e->transports[i].job));
        if (error.err == TV_OK)
            tv_error_keep(&error, put_gradients(&e->transports[i]));
    }
    return tv_error_tell(&error);
}
