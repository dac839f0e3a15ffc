// The outer optimizer of DiLoCo: exchange of differences, and the step on their mean.
#include "dist/outer.h"

#include "base/clock.h"
#include "base/memory.h"

#include <string.h>

// Values that are worked on at a time: whole blocks that stay in a core's cache.
enum { CHUNK = 64 * TV_WIRE_BLOCK };

typedef struct exchange {
    tv_comm *comm;
    const tv_outer_rule *rule;
    const tv_outer_part *part;
    uint32_t rank, ranks;
    uint64_t own_first, own_count; // the piece of this rank
    uint64_t *words;               // [ranks] of each piece when packed
    double *weights;               // [ranks], together 1
    float *values;                 // [CHUNK]
    double *mean;                  // [CHUNK]
    uint32_t *packed, *pieces;     // of all values; of this rank's piece from every rank
} exchange;

void tv_outer_piece(uint64_t count, uint32_t rank, uint32_t ranks, uint64_t *first, uint64_t *end)
{
    uint64_t blocks = tv_div_up(count, TV_WIRE_BLOCK);
    *first = tv_min_size(blocks * rank / ranks * TV_WIRE_BLOCK, count);
    *end = tv_min_size(blocks * (rank + 1) / ranks * TV_WIRE_BLOCK, count);
}

double tv_outer_bytes(tv_wire wire, uint64_t count, uint32_t ranks)
{
    return 2.0 * (ranks - 1) / ranks * (double)count * tv_wire_bits(wire) / 8;
}

static tv_err share_weights(exchange *x, uint64_t weight)
{
    uint64_t *all = tv_alloc(x->ranks, sizeof *all);
    double total = 0;
    tv_err err = tv_comm_gather(x->comm, &weight, sizeof weight, all);
    for (uint32_t r = 0; r < x->ranks; r++)
        total += (double)all[r];
    for (uint32_t r = 0; r < x->ranks; r++)
        x->weights[r] = total > 0 ? (double)all[r] / total : 1.0 / x->ranks;
    tv_free(all);
    return err;
}

static void open_exchange(exchange *x)
{
    uint64_t total = 0;
    x->words = tv_alloc(x->ranks, sizeof *x->words);
    x->weights = tv_alloc(x->ranks, sizeof *x->weights);
    for (uint32_t r = 0; r < x->ranks; r++) {
        uint64_t first, end;
        tv_outer_piece(x->part->count, r, x->ranks, &first, &end);
        x->words[r] = tv_wire_words(x->rule->wire, end - first);
        total += x->words[r];
        if (r == x->rank) {
            x->own_first = first;
            x->own_count = end - first;
        }
    }
    x->values = tv_alloc(CHUNK, sizeof *x->values);
    x->mean = tv_alloc(CHUNK, sizeof *x->mean);
    x->packed = tv_alloc(total, sizeof *x->packed);
    x->pieces = tv_alloc(x->ranks * x->words[x->rank], sizeof *x->pieces);
}

static void close_exchange(exchange *x)
{
    tv_free(x->words);
    tv_free(x->weights);
    tv_free(x->values);
    tv_free(x->mean);
    tv_free(x->packed);
    tv_free(x->pieces);
}

// Calls `visit` for one chunk of all values after the other, with its words in x->packed.
static void for_each_chunk(exchange *x, void (*visit)(exchange *x, uint64_t first, uint64_t count,
                                                      uint32_t *packed))
{
    uint32_t *packed = x->packed;
    for (uint32_t r = 0; r < x->ranks; r++) {
        uint64_t first, end;
        tv_outer_piece(x->part->count, r, x->ranks, &first, &end);
        for (uint64_t i = first; i < end; i += CHUNK)
            visit(x, i, tv_min_size(end - i, CHUNK),
                  packed + tv_wire_words(x->rule->wire, i - first));
        packed += x->words[r];
    }
}

static void pack_differences(exchange *x, uint64_t first, uint64_t count, uint32_t *packed)
{
    const float *shared = x->part->shared + first, *own = x->part->own + first;
    for (uint64_t i = 0; i < count; i++)
        x->values[i] = shared[i] - own[i];
    tv_wire_pack(x->rule->wire, x->values, count, x->part->error + first, packed);
}

// The means of a chunk of this rank's piece, from its word `word` on.
static void pack_means(exchange *x, uint64_t first, uint64_t count, uint64_t word, uint32_t *packed)
{
    tv_wire wire = x->rule->wire;
    uint64_t words = x->words[x->rank];
    memset(x->mean, 0, count * sizeof *x->mean);
    for (uint32_t r = 0; r < x->ranks; r++) {
        tv_wire_unpack(wire, x->pieces + r * words + word, count, x->values);
        for (uint64_t i = 0; i < count; i++)
            x->mean[i] += x->weights[r] * x->values[i];
    }
    for (uint64_t i = 0; i < count; i++)
        x->values[i] = (float)x->mean[i];
    tv_wire_pack(wire, x->values, count, x->part->mean_error + first, packed);
}

// To the place of this rank's piece among those of all.
static void pack_own_piece(exchange *x)
{
    uint64_t offset = 0;
    for (uint32_t r = 0; r < x->rank; r++)
        offset += x->words[r];
    for (uint64_t i = 0; i < x->own_count; i += CHUNK) {
        uint64_t word = tv_wire_words(x->rule->wire, i);
        pack_means(x, x->own_first + i, tv_min_size(x->own_count - i, CHUNK), word,
                   x->packed + offset + word);
    }
}

static void step_chunk(exchange *x, uint64_t first, uint64_t count, uint32_t *packed)
{
    float lr = (float)x->rule->lr, decay = (float)x->rule->momentum;
    float *momentum = x->part->momentum + first, *shared = x->part->shared + first;
    tv_wire_unpack(x->rule->wire, packed, count, x->values);
    for (uint64_t i = 0; i < count; i++) {
        float mean = x->values[i];
        momentum[i] = decay * momentum[i] + mean;
        shared[i] -= lr * (mean + decay * momentum[i]);
    }
}

static bool is_finite(const exchange *x)
{
    const uint32_t *packed = x->packed;
    bool finite = true;
    for (uint32_t r = 0; r < x->ranks; r++) {
        uint64_t first, end;
        tv_outer_piece(x->part->count, r, x->ranks, &first, &end);
        finite = finite && tv_wire_is_finite(x->rule->wire, packed, end - first);
        packed += x->words[r];
    }
    return finite;
}

static tv_err run(exchange *x, uint64_t weight)
{
    TV_TRY(share_weights(x, weight));
    for_each_chunk(x, pack_differences);
    TV_TRY(tv_comm_exchange(x->comm, x->packed, x->words, x->pieces));
    pack_own_piece(x);
    for (uint32_t r = 0; r < x->ranks; r++)
        x->words[r] *= sizeof *x->packed;
    TV_TRY(tv_comm_all_gather(x->comm, x->packed, x->words));
    for (uint32_t r = 0; r < x->ranks; r++)
        x->words[r] /= sizeof *x->packed;
    if (!is_finite(x))
        return tv_fail(TV_EDATA, "the mean of what the ranks trained is not finite; lower "
                                 "optimizer.lr, or start from an older checkpoint");
    for_each_chunk(x, step_chunk);
    return TV_OK;
}

tv_err tv_outer_step(tv_comm *comm, const tv_outer_rule *rule, const tv_outer_part *part,
                     uint64_t weight, tv_outer_report *report)
{
    exchange x = {.comm = comm,
                  .rule = rule,
                  .part = part,
                  .rank = tv_comm_rank(comm),
                  .ranks = tv_comm_size(comm)};
    double start = tv_now_seconds();
    uint64_t before = tv_comm_sent_bytes(comm);
    open_exchange(&x);
    tv_err err = run(&x, weight);
    close_exchange(&x);
    report->seconds = tv_now_seconds() - start;
    report->sent = tv_comm_sent_bytes(comm) - before;
    return err;
}
