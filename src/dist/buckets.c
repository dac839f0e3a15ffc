// Buckets: order, parcels and ownership.
#include "dist/buckets.h"

#include "base/error.h"

#include <stdlib.h>

// Weights of so many elements travel by themselves, from where they lie if that can be.
static const uint64_t LARGE = 1 << 18;
// The first and the last bucket have at least about so many.
static const uint64_t FEW = 1 << 16;

typedef struct finished {
    tv_tensor *weight;
    size_t node; // the last one that adds to its gradient
} finished;

static int earlier_first(const void *a, const void *b)
{
    const finished *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return x->weight->id < y->weight->id ? -1 : x->weight->id > y->weight->id;
}

static size_t last_writer(const tv_graph *graph, uint32_t phase, const tv_tensor *gradient)
{
    size_t last = 0;
    for (size_t n = 0; n < graph->node_count; n++)
        for (size_t i = 0; i < TV_NODE_OUTPUTS; i++)
            if (graph->nodes[n]->phase == phase && graph->nodes[n]->out[i] == gradient)
                last = n;
    return last;
}

static void sort_weights(tv_buckets *b, const tv_graph *graph, tv_tensor *const *weights,
                         uint32_t phase)
{
    finished *list = tv_alloc(b->weight_count, sizeof *list);
    for (size_t i = 0; i < b->weight_count; i++)
        list[i] = (finished){weights[i], last_writer(graph, phase, weights[i]->gradient)};
    qsort(list, b->weight_count, sizeof *list, earlier_first);
    for (size_t i = 0; i < b->weight_count; i++)
        b->weights[i] = list[i].weight;
    tv_free(list);
}

// ----------------------------------------------------------------------------------- ownership

// The nearest place at or below `element` of the parcel at which a piece may start.
static uint64_t cut_below(const tv_parcel *parcel, uint64_t element)
{
    uint64_t start = 0;
    for (size_t i = 0; i < parcel->count; i++) {
        uint64_t count = tv_tensor_count(parcel->weights[i]);
        if (element < start + count)
            return start + (element - start) / TV_PIECE_UNIT * TV_PIECE_UNIT;
        start += count;
    }
    return start;
}

static void share_out(tv_buckets *b, tv_parcel *parcel, const double *shares)
{
    uint64_t *owned = tv_arena_alloc(&b->arena, b->ranks, sizeof *owned), end = 0;
    double sum = 0, total = 0;
    for (uint32_t r = 0; r < b->ranks; r++)
        total += shares[r];
    for (uint32_t r = 0; r < b->ranks; r++) {
        sum += shares[r];
        uint64_t wanted = (uint64_t)((double)parcel->elements * (sum / total) + 0.5);
        uint64_t cut = r + 1 == b->ranks ? parcel->elements : cut_below(parcel, wanted);
        owned[r] = cut - end;
        end = cut;
    }
    parcel->owned = owned;
}

// Where an element of a parcel lies in a weight that takes elements [start, start + count) of it;
// at the nearer end where it does not.
static uint64_t place_within(uint64_t element, uint64_t start, uint64_t count)
{
    return element < start ? 0 : tv_min_size(element - start, count);
}

size_t tv_parcel_pieces(const tv_parcel *parcel, uint32_t rank, tv_piece *pieces)
{
    uint64_t first = 0, start = 0;
    size_t count = 0;
    for (uint32_t r = 0; r < rank; r++)
        first += parcel->owned[r];
    uint64_t end = first + parcel->owned[rank];
    for (size_t i = 0; i < parcel->count; i++) {
        uint64_t all = tv_tensor_count(parcel->weights[i]);
        uint64_t from = place_within(first, start, all), to = place_within(end, start, all);
        if (from < to)
            pieces[count++] = (tv_piece){parcel->weights[i], from, to - from};
        start += all;
    }
    return count;
}

static void cut(const tv_parcel *parcel, size_t index, uint32_t ranks, uint64_t *cuts)
{
    uint64_t start = 0, end = 0, count = tv_tensor_count(parcel->weights[index]);
    for (size_t i = 0; i < index; i++)
        start += tv_tensor_count(parcel->weights[i]);
    cuts[0] = 0;
    for (uint32_t r = 0; r < ranks; r++) {
        end += parcel->owned[r];
        cuts[r + 1] = place_within(end, start, count);
    }
}

void tv_buckets_cut(const tv_buckets *buckets, const tv_tensor *weight, uint64_t *cuts)
{
    for (size_t p = 0; p < buckets->parcel_count; p++)
        for (size_t i = 0; i < buckets->parcels[p].count; i++)
            if (buckets->parcels[p].weights[i] == weight) {
                cut(&buckets->parcels[p], i, buckets->ranks, cuts);
                return;
            }
    TV_CHECK(false, "%s is in no bucket", weight->name);
}

// -------------------------------------------------------------------------------------- parcels

static tv_parcel *add_parcel(tv_buckets *b, size_t first)
{
    tv_parcel *parcel = &b->parcels[b->parcel_count++];
    *parcel = (tv_parcel){.weights = b->weights + first};
    return parcel;
}

// Weights [first, end) as parcels. Small ones share one as long as no large one lies in between.
static void make_parcels(tv_buckets *b, size_t first, size_t end, const double *shares)
{
    size_t start = b->parcel_count;
    bool was_small = false;
    for (size_t i = first; i < end; i++) {
        uint64_t elements = tv_tensor_count(b->weights[i]);
        bool is_small = elements < LARGE;
        tv_parcel *parcel =
            is_small && was_small ? &b->parcels[b->parcel_count - 1] : add_parcel(b, i);
        parcel->count++;
        parcel->elements += elements;
        was_small = is_small;
    }
    for (size_t i = start; i < b->parcel_count; i++)
        share_out(b, &b->parcels[i], shares);
}

// Large weights first, in their order: so that the small ones between them become one parcel.
static void collect_small(tv_buckets *b, size_t first, size_t end)
{
    tv_tensor **sorted = tv_alloc(end - first, sizeof *sorted);
    size_t count = 0;
    for (int small = 0; small < 2; small++)
        for (size_t i = first; i < end; i++)
            if ((tv_tensor_count(b->weights[i]) < LARGE) == small)
                sorted[count++] = b->weights[i];
    for (size_t i = 0; i < count; i++)
        b->weights[first + i] = sorted[i];
    tv_free(sorted);
}

static const uint32_t *add_watches(tv_buckets *b, tv_graph *graph, size_t first, size_t end,
                                   const uint32_t *phases, size_t phase_count)
{
    uint32_t *watches = tv_arena_alloc(&b->arena, phase_count, sizeof *watches);
    tv_tensor **gradients = tv_alloc(end - first, sizeof *gradients);
    for (size_t i = first; i < end; i++)
        gradients[i - first] = b->weights[i]->gradient;
    for (size_t p = 0; p < phase_count; p++)
        watches[p] = tv_graph_watch(graph, phases[p], gradients, end - first);
    tv_free(gradients);
    return watches;
}

static tv_buckets *create(tv_tensor *const *weights, size_t count, uint32_t ranks)
{
    tv_buckets *b = tv_alloc(1, sizeof *b);
    b->ranks = ranks;
    b->weight_count = count;
    b->weights = tv_alloc(count, sizeof *b->weights);
    b->parcels = tv_alloc(count, sizeof *b->parcels);
    b->buckets = tv_alloc(count, sizeof *b->buckets);
    for (size_t i = 0; i < count; i++) {
        b->weights[i] = weights[i];
        b->elements += tv_tensor_count(weights[i]);
    }
    return b;
}

// Weights [first, end) become a bucket.
static void add_bucket(tv_buckets *b, size_t first, size_t end, const uint32_t *watches,
                       const double *shares)
{
    tv_bucket *bucket = &b->buckets[b->bucket_count++];
    bucket->parcels = b->parcels + b->parcel_count;
    bucket->watches = watches;
    collect_small(b, first, end);
    make_parcels(b, first, end, shares);
    bucket->count = (size_t)(b->parcels + b->parcel_count - bucket->parcels);
}

// Elements that a bucket takes at least, behind buckets of `done`. The first ones are small, so
// that the network is soon at work, and so are the last ones, behind which there is nothing to
// compute.
static uint64_t least_elements(const tv_buckets *b, uint64_t done, uint64_t bytes)
{
    uint64_t least = tv_max_size(tv_min_size(done, (b->elements - done) / 2), FEW);
    return tv_min_size(least, bytes / sizeof(float));
}

tv_buckets *tv_buckets_create(tv_graph *graph, tv_tensor *const *weights, size_t count,
                              const uint32_t *phases, size_t phase_count, uint64_t bytes,
                              const double *shares, uint32_t ranks)
{
    tv_buckets *b = create(weights, count, ranks);
    sort_weights(b, graph, weights, phases[0]);
    uint64_t gathered = 0, done = 0;
    for (size_t i = 0, first = 0; i < count; i++) {
        gathered += tv_tensor_count(b->weights[i]);
        if (gathered < least_elements(b, done, bytes) && i + 1 < count)
            continue;
        const uint32_t *watches = add_watches(b, graph, first, i + 1, phases, phase_count);
        add_bucket(b, first, i + 1, watches, shares);
        first = i + 1;
        done += gathered;
        gathered = 0;
    }
    return b;
}

tv_buckets *tv_buckets_of_units(tv_tensor *const *weights, size_t count, const double *shares,
                                uint32_t ranks)
{
    tv_buckets *b = create(weights, count, ranks);
    for (size_t i = 0, end; i < count; i = end) {
        uint32_t unit = weights[i]->unit;
        for (end = i + 1; end < count && unit != 0 && weights[end]->unit == unit; end++)
            ;
        add_bucket(b, i, end, NULL, shares);
    }
    return b;
}

void tv_buckets_destroy(tv_buckets **buckets)
{
    tv_buckets *b = *buckets;
    if (!b)
        return;
    tv_arena_finish(&b->arena);
    tv_free(b->weights);
    tv_free(b->parcels);
    tv_free(b->buckets);
    tv_free(b);
    *buckets = NULL;
}
