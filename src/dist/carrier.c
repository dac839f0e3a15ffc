// Weights and gradients of sections on their way between ranks.
#include "dist/carrier.h"

#include "base/memory.h"
#include "base/worker.h"
#include "dist/halves.h"

#include <string.h>

// So many sections' weights, and gradients, are on their way or in use at a time.
enum { SLOTS = 2 };

// A parcel that travels for a section, in its slot.
typedef struct freight {
    const tv_parcel *parcel;
    uint64_t at;    // bytes from the start of the slot
    uint64_t own;   // this rank's piece among all its own: element
    uint64_t first; // and in the parcel
} freight;

// Of the weights of a section, or of its gradients.
typedef struct load {
    tv_carrier *owner;
    const tv_stand_in *stand_ins;
    size_t stand_in_count;
    freight *freights;
    size_t count;
    uint64_t bytes;
    uint8_t *slot;
    uint64_t job; // of the worker, in the pass that runs
} load;

typedef struct route {
    const tv_sections *pass;
    load *weights, *gradients; // by section
} route;

struct tv_carrier {
    const tv_buckets *buckets;
    tv_plan *plan;
    tv_comm *behind;
    tv_worker *worker;
    route *routes;
    size_t route_count;
    uint8_t *slots[2][SLOTS]; // of weights, of gradients
    uint64_t *own;            // by parcel: where this rank's piece starts, in elements
    uint8_t *weights;         // this rank's pieces, as they lie in memory; NULL: weights are whole
    float *sums;              // the same of gradients
    bool bf16;
    double seconds, bytes;
    tv_kept_error error; // of this rank, since tv_carrier_begin
};

// -------------------------------------------------------------------------------------- routes

static size_t parcel_of(const tv_buckets *b, const tv_tensor *whole)
{
    for (size_t p = 0; p < b->parcel_count; p++)
        for (size_t i = 0; i < b->parcels[p].count; i++)
            if (b->parcels[p].weights[i] == whole || b->parcels[p].weights[i]->gradient == whole)
                return p;
    TV_CHECK(false, "%s is in no parcel", whole->name);
    return 0;
}

static const tv_tensor *stand_in_for(const load *l, const tv_tensor *whole)
{
    for (size_t i = 0; i < l->stand_in_count; i++)
        if (l->stand_ins[i].whole == whole)
            return l->stand_ins[i].here;
    return NULL;
}

// Where this rank's piece starts in a parcel.
static uint64_t piece_start(const tv_carrier *c, const tv_parcel *parcel)
{
    uint64_t start = 0;
    for (uint32_t r = 0; r < tv_comm_rank(c->behind); r++)
        start += parcel->owned[r];
    return start;
}

// All parcels of which the section has any weight, in their order: the same on every rank.
static void make_load(tv_carrier *c, const tv_stand_in *stand_ins, size_t count, load *l)
{
    const tv_buckets *b = c->buckets;
    bool *wanted = tv_alloc(b->parcel_count, sizeof *wanted);
    *l = (load){.owner = c, .stand_ins = stand_ins, .stand_in_count = count};
    l->freights = tv_alloc(count, sizeof *l->freights);
    for (size_t i = 0; i < count; i++)
        wanted[parcel_of(b, stand_ins[i].whole)] = true;
    for (size_t p = 0; p < b->parcel_count; p++) {
        if (!wanted[p])
            continue;
        const tv_parcel *parcel = &b->parcels[p];
        l->freights[l->count++] = (freight){parcel, l->bytes, c->own[p], piece_start(c, parcel)};
        l->bytes += b->parcels[p].elements * sizeof(float); // enough for any type
    }
    tv_free(wanted);
}

static void make_route(tv_carrier *c, const tv_sections *pass, route *r)
{
    *r = (route){.pass = pass,
                 .weights = tv_alloc(pass->count, sizeof *r->weights),
                 .gradients = tv_alloc(pass->count, sizeof *r->gradients)};
    for (size_t i = 0; i < pass->count; i++) {
        const tv_section *s = &pass->all[i];
        make_load(c, s->weights, s->weight_count, &r->weights[i]);
        make_load(c, s->gradients, s->gradient_count, &r->gradients[i]);
    }
}

// Sections take turns in the slots.
static void make_slots(tv_carrier *c)
{
    uint64_t most[2] = {0, 0};
    for (size_t r = 0; r < c->route_count; r++)
        for (size_t i = 0; i < c->routes[r].pass->count; i++) {
            most[0] = tv_max_size(most[0], c->routes[r].weights[i].bytes);
            most[1] = tv_max_size(most[1], c->routes[r].gradients[i].bytes);
        }
    for (size_t kind = 0; kind < 2; kind++)
        for (size_t i = 0; i < SLOTS; i++)
            c->slots[kind][i] = tv_alloc((size_t)most[kind], 1);
    for (size_t r = 0; r < c->route_count; r++)
        for (size_t i = 0; i < c->routes[r].pass->count; i++) {
            c->routes[r].weights[i].slot = c->slots[0][i % SLOTS];
            c->routes[r].gradients[i].slot = c->slots[1][i % SLOTS];
        }
}

tv_err tv_carrier_create(const tv_buckets *buckets, tv_plan *plan, tv_comm *comm,
                         const tv_sections *const *passes, size_t count, bool bf16,
                         tv_carrier **carrier)
{
    tv_carrier *c = tv_alloc(1, sizeof *c);
    *c = (tv_carrier){.buckets = buckets,
                      .plan = plan,
                      .behind = tv_comm_behind(comm),
                      .routes = tv_alloc(count, sizeof *c->routes),
                      .route_count = count,
                      .bf16 = bf16,
                      .own = tv_alloc(buckets->parcel_count, sizeof *c->own)};
    uint64_t elements = 0;
    for (size_t p = 0; p < buckets->parcel_count; p++) {
        c->own[p] = elements;
        elements += buckets->parcels[p].owned[tv_comm_rank(comm)];
    }
    c->sums = tv_alloc((size_t)elements, sizeof *c->sums);
    if (buckets->weights[0]->sharding)
        c->weights = tv_alloc((size_t)elements, tv_dtype_bytes(buckets->weights[0]->dtype));
    for (size_t r = 0; r < count; r++)
        make_route(c, passes[r], &c->routes[r]);
    make_slots(c);
    tv_err err = tv_worker_create(&c->worker);
    if (err == TV_OK)
        *carrier = c;
    else
        tv_carrier_destroy(&c);
    return err;
}

void tv_carrier_destroy(tv_carrier **carrier)
{
    tv_carrier *c = *carrier;
    if (!c)
        return;
    tv_worker_destroy(&c->worker);
    for (size_t r = 0; r < c->route_count; r++) {
        for (size_t i = 0; i < c->routes[r].pass->count; i++) {
            tv_free(c->routes[r].weights[i].freights);
            tv_free(c->routes[r].gradients[i].freights);
        }
        tv_free(c->routes[r].weights);
        tv_free(c->routes[r].gradients);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        tv_free(c->slots[0][i]);
        tv_free(c->slots[1][i]);
    }
    tv_free(c->routes);
    tv_free(c->own);
    tv_free(c->weights);
    tv_free(c->sums);
    tv_free(c);
    *carrier = NULL;
}

double tv_carrier_bytes(const tv_carrier *c)
{
    return c->bytes;
}

double tv_carrier_seconds(const tv_carrier *c)
{
    return c->seconds;
}

// -------------------------------------------------------------------------------- on the worker

static tv_err gather(void *context)
{
    const load *l = context;
    uint32_t ranks = l->owner->buckets->ranks;
    uint64_t *sizes = tv_alloc(ranks, sizeof *sizes);
    tv_err err = TV_OK;
    for (size_t i = 0; i < l->count && err == TV_OK; i++) {
        const tv_parcel *parcel = l->freights[i].parcel;
        for (uint32_t r = 0; r < ranks; r++)
            sizes[r] = parcel->owned[r] * tv_dtype_bytes(parcel->weights[0]->dtype);
        err = tv_comm_all_gather(l->owner->behind, l->slot + l->freights[i].at, sizes);
    }
    tv_free(sizes);
    return err;
}

static tv_err reduce(void *context)
{
    const load *l = context;
    tv_comm *behind = l->owner->behind;
    for (size_t i = 0; i < l->count; i++) {
        const uint64_t *owned = l->freights[i].parcel->owned;
        float *values = (float *)(l->slot + l->freights[i].at);
        TV_TRY(l->owner->bf16 ? tv_halves_sum(behind, values, owned, false)
                              : tv_comm_reduce_scatter_f32(behind, values, owned));
    }
    return TV_OK;
}

// ------------------------------------------------------------------------------------- weights

static void send_weights(tv_carrier *c, load *l)
{
    uint32_t rank = tv_comm_rank(c->behind);
    for (size_t i = 0; i < l->count; i++) {
        const freight *f = &l->freights[i];
        uint64_t element = tv_dtype_bytes(f->parcel->weights[0]->dtype);
        memcpy(l->slot + f->at + f->first * element, c->weights + f->own * element,
               (size_t)(f->parcel->owned[rank] * element));
    }
    if (l->count > 0)
        l->job = tv_worker_give(c->worker, gather, l);
}

// While the section before it may still run.
static tv_err put_weights(const tv_carrier *c, const load *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const tv_parcel *parcel = l->freights[i].parcel;
        const uint8_t *at = l->slot + l->freights[i].at;
        for (size_t k = 0; k < parcel->count; k++) {
            const tv_tensor *here = stand_in_for(l, parcel->weights[k]);
            if (here)
                TV_TRY(tv_plan_poke_bytes(c->plan, here, 0, tv_tensor_count(here), at));
            at += tv_tensor_bytes(parcel->weights[k]);
        }
    }
    return TV_OK;
}

// ----------------------------------------------------------------------------------- gradients

// Waits for a load that was sent, if it was, and takes its sums from its slot.
static void take_sums(tv_carrier *c, load *l)
{
    uint32_t rank = tv_comm_rank(c->behind);
    if (l->job == 0)
        return;
    tv_error_keep(&c->error, tv_worker_wait(c->worker, l->job));
    l->job = 0;
    for (size_t i = 0; i < l->count; i++) {
        const freight *f = &l->freights[i];
        const float *values = (const float *)(l->slot + f->at) + f->first;
        float *sums = c->sums + f->own;
        for (uint64_t k = 0; k < f->parcel->owned[rank]; k++)
            sums[k] += values[k];
    }
}

static tv_err fetch(const tv_carrier *c, const load *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const tv_parcel *parcel = l->freights[i].parcel;
        float *at = (float *)(l->slot + l->freights[i].at);
        for (size_t k = 0; k < parcel->count; k++) {
            uint64_t count = tv_tensor_count(parcel->weights[k]);
            const tv_tensor *here = stand_in_for(l, parcel->weights[k]->gradient);
            if (here)
                TV_TRY(tv_plan_peek(c->plan, here, 0, count, at));
            else
                memset(at, 0, (size_t)count * sizeof *at);
            at += count;
        }
    }
    return TV_OK;
}

// Gradients of section i, whose program is over, if there is any.
static void send_gradients(tv_carrier *c, const route *r, size_t i, bool computes)
{
    load *l = &r->gradients[i];
    if (i >= SLOTS)
        take_sums(c, &r->gradients[i - SLOTS]);
    if (computes && c->error.err == TV_OK)
        tv_error_keep(&c->error, fetch(c, l));
    else
        memset(l->slot, 0, (size_t)l->bytes);
    if (l->count > 0)
        l->job = tv_worker_give(c->worker, reduce, l);
}

// -------------------------------------------------------------------------------------- passes

// Waits for a section that was started.
static void finish(tv_carrier *c, const tv_section *section)
{
    tv_error_keep(&c->error, tv_plan_wait(c->plan, section->phase));
    c->seconds += tv_plan_seconds(c->plan, section->phase);
}

static void run_section(tv_carrier *c, const route *r, size_t i, bool *started)
{
    if (r->weights[i].count > 0)
        tv_error_keep(&c->error, tv_worker_wait(c->worker, r->weights[i].job));
    *started = *started && c->error.err == TV_OK;
    if (*started)
        tv_error_keep(&c->error, put_weights(c, &r->weights[i]));
    if (*started && c->error.err == TV_OK)
        tv_error_keep(&c->error, tv_plan_run(c->plan, r->pass->all[i].phase));
    *started = *started && c->error.err == TV_OK;
}

static double bytes_of(const tv_carrier *c, const route *r)
{
    double bytes = 0;
    for (size_t i = 0; i < r->pass->count; i++) {
        const load *weights = &r->weights[i], *gradients = &r->gradients[i];
        for (size_t k = 0; k < weights->count; k++)
            bytes += (double)weights->freights[k].parcel->elements *
                     tv_dtype_bytes(weights->freights[k].parcel->weights[0]->dtype);
        for (size_t k = 0; k < gradients->count; k++)
            bytes += (double)gradients->freights[k].parcel->elements * (c->bf16 ? 2 : 4);
    }
    return bytes * (c->buckets->ranks - 1) / c->buckets->ranks;
}

static void run_pass(tv_carrier *c, const route *r, bool computes)
{
    size_t count = r->pass->count;
    bool before = computes, now = computes; // whether the section's program was started
    c->bytes += bytes_of(c, r);
    send_weights(c, &r->weights[0]);
    for (size_t i = 0; i < count; i++) {
        if (i + 1 < count)
            send_weights(c, &r->weights[i + 1]);
        run_section(c, r, i, &now);
        if (i > 0) {
            if (before)
                finish(c, &r->pass->all[i - 1]);
            send_gradients(c, r, i - 1, before);
        }
        before = now;
    }
    if (before)
        finish(c, &r->pass->all[count - 1]);
    send_gradients(c, r, count - 1, before);
    for (size_t i = 0; i < count; i++)
        take_sums(c, &r->gradients[i]);
}

// Reads this rank's pieces of weights, or writes those of gradients.
static tv_err move_own(const tv_carrier *c, const tv_parcel *parcel, uint64_t own, bool weights)
{
    tv_piece *pieces = tv_alloc(parcel->count, sizeof *pieces);
    size_t count = tv_parcel_pieces(parcel, tv_comm_rank(c->behind), pieces);
    tv_err err = TV_OK;
    for (size_t i = 0; i < count && err == TV_OK; i++) {
        const tv_piece *p = &pieces[i];
        if (weights)
            err = tv_plan_read_bytes(c->plan, p->weight->sharding->held, 0, p->count,
                                     c->weights + own * tv_dtype_bytes(p->weight->dtype));
        else
            err = tv_plan_write(c->plan, p->weight->gradient, p->first, p->count, c->sums + own);
        own += p->count;
    }
    tv_free(pieces);
    return err;
}

tv_err tv_carrier_begin(tv_carrier *c, tv_err err)
{
    uint32_t rank = tv_comm_rank(c->behind);
    c->error = (tv_kept_error){.err = TV_OK};
    c->seconds = c->bytes = 0;
    tv_error_keep(&c->error, err);
    for (size_t p = 0; p < c->buckets->parcel_count; p++) {
        const tv_parcel *parcel = &c->buckets->parcels[p];
        memset(c->sums + c->own[p], 0, (size_t)parcel->owned[rank] * sizeof *c->sums);
        if (c->weights && c->error.err == TV_OK)
            tv_error_keep(&c->error, move_own(c, parcel, c->own[p], true));
    }
    return tv_error_tell(&c->error);
}

tv_err tv_carrier_pass(tv_carrier *c, const tv_sections *pass, bool computes, tv_err err)
{
    tv_error_keep(&c->error, err);
    for (size_t r = 0; r < c->route_count; r++)
        if (c->routes[r].pass == pass)
            run_pass(c, &c->routes[r], computes);
    return tv_error_tell(&c->error);
}

tv_err tv_carrier_end(tv_carrier *c, tv_err err)
{
    tv_error_keep(&c->error, err);
    for (size_t p = 0; p < c->buckets->parcel_count && c->error.err == TV_OK; p++)
        tv_error_keep(&c->error, move_own(c, &c->buckets->parcels[p], c->own[p], false));
    return tv_error_tell(&c->error);
}
