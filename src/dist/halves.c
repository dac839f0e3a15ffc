// Halves: packing, exchange and sums.
#include "dist/halves.h"

#include "base/half.h"
#include "base/memory.h"

// The values in 16 bits: pieces in rank order, each in whole words.
typedef struct halves {
    const uint64_t *counts;
    uint32_t ranks, rank;
    uint64_t *words; // [ranks] of each piece, and its bytes
    uint64_t *sizes;
    uint32_t *all; // of all pieces
    uint32_t *own; // this rank's piece, from every rank
} halves;

static halves halves_create(const tv_comm *comm, const uint64_t *counts)
{
    halves h = {.counts = counts, .ranks = tv_comm_size(comm), .rank = tv_comm_rank(comm)};
    uint64_t total = 0;
    h.words = tv_alloc(h.ranks, sizeof *h.words);
    h.sizes = tv_alloc(h.ranks, sizeof *h.sizes);
    for (uint32_t r = 0; r < h.ranks; r++) {
        h.words[r] = tv_div_up(counts[r], 2);
        h.sizes[r] = h.words[r] * sizeof *h.all;
        total += h.words[r];
    }
    h.all = tv_alloc((size_t)total, sizeof *h.all);
    h.own = tv_alloc((size_t)(h.ranks * h.words[h.rank]), sizeof *h.own);
    return h;
}

static void halves_finish(halves *h)
{
    tv_free(h->words);
    tv_free(h->sizes);
    tv_free(h->all);
    tv_free(h->own);
}

// Between floats and words; `only`: one rank's piece, or all.
static void convert(const halves *h, float *values, bool pack, int64_t only)
{
    uint32_t *words = h->all;
    for (uint32_t r = 0; r < h->ranks; r++) {
        size_t count = (size_t)h->counts[r];
        if (pack && (only < 0 || only == r))
            tv_halves_from_floats(true, values, (uint16_t *)words, count);
        else if (!pack)
            tv_floats_from_halves(true, (const uint16_t *)words, values, count);
        values += count;
        words += h->words[r];
    }
}

// This rank's piece becomes the sum over the ranks.
static void add_own(const halves *h, float *values)
{
    float *sums = values;
    for (uint32_t r = 0; r < h->rank; r++)
        sums += h->counts[r];
    for (size_t i = 0; i < h->counts[h->rank]; i++) {
        double sum = 0;
        for (uint32_t r = 0; r < h->ranks; r++)
            sum += tv_float_from_bf16(((const uint16_t *)(h->own + r * h->words[h->rank]))[i]);
        sums[i] = (float)sum;
    }
}

tv_err tv_halves_sum(tv_comm *comm, float *values, const uint64_t *counts, bool all)
{
    halves h = halves_create(comm, counts);
    convert(&h, values, true, -1);
    tv_err err = tv_comm_exchange(comm, h.all, h.words, h.own);
    if (err == TV_OK)
        add_own(&h, values);
    if (err == TV_OK && all) {
        convert(&h, values, true, h.rank);
        err = tv_comm_all_gather(comm, h.all, h.sizes);
        convert(&h, values, false, -1);
    }
    halves_finish(&h);
    return err;
}
