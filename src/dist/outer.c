// The outer optimizer of DiLoCo: exchange of differences, and the step on their mean.
#include "dist/outer.h"

#include "base/clock.h"
#include "base/memory.h"

typedef struct exchange {
    tv_comm *comm;
    const tv_outer_rule *rule;
    const tv_outer_part *part;
    uint32_t rank, ranks;
    uint64_t own_first, own_count; // the piece of this rank
    uint64_t *words;               // [ranks] of each piece when packed
    uint64_t largest;              // values of the largest piece
    double *weights;               // [ranks], together 1
    float *values;                 // [largest]
    double *mean;                  // [own_count]
    double finite;                 // 0 as long as all means are
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
        x->largest = tv_max_size(x->largest, end - first);
        total += x->words[r];
        if (r == x->rank) {
            x->own_first = first;
            x->own_count = end - first;
        }
    }
    x->values = tv_alloc(x->largest, sizeof *x->values);
    x->mean = tv_alloc(x->own_count, sizeof *x->mean);
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

static void pack_differences(exchange *x)
{
    const tv_outer_part *part = x->part;
    uint32_t *packed = x->packed;
    for (uint32_t r = 0; r < x->ranks; r++) {
        uint64_t first, end;
        tv_outer_piece(part->count, r, x->ranks, &first, &end);
        for (uint64_t i = first; i < end; i++)
            x->values[i - first] = part->shared[i] - part->own[i];
        tv_wire_pack(x->rule->wire, x->values, end - first, part->error + first, packed);
        packed += x->words[r];
    }
}

// The mean of this rank's piece, packed to its place among those of all ranks.
static void pack_mean(exchange *x)
{
    uint64_t words = x->words[x->rank], offset = 0;
    for (uint32_t r = 0; r < x->ranks; r++) {
        tv_wire_unpack(x->rule->wire, x->pieces + r * words, x->own_count, x->values);
        for (uint64_t i = 0; i < x->own_count; i++)
            x->mean[i] += x->weights[r] * x->values[i];
    }
    for (uint64_t i = 0; i < x->own_count; i++)
        x->values[i] = (float)x->mean[i];
    for (uint32_t r = 0; r < x->rank; r++)
        offset += x->words[r];
    tv_wire_pack(x->rule->wire, x->values, x->own_count, x->part->mean_error + x->own_first,
                 x->packed + offset);
}

// Calls `visit` with the means of one piece after the other.
static void for_each_piece(exchange *x, void (*visit)(exchange *x, uint64_t first, uint64_t count))
{
    const uint32_t *packed = x->packed;
    for (uint32_t r = 0; r < x->ranks; r++) {
        uint64_t first, end;
        tv_outer_piece(x->part->count, r, x->ranks, &first, &end);
        tv_wire_unpack(x->rule->wire, packed, end - first, x->values);
        visit(x, first, end - first);
        packed += x->words[r];
    }
}

static void check_piece(exchange *x, uint64_t first, uint64_t count)
{
    (void)first;
    for (uint64_t i = 0; i < count; i++)
        x->finite += x->values[i] * 0.0;
}

static void step_piece(exchange *x, uint64_t first, uint64_t count)
{
    float lr = (float)x->rule->lr, decay = (float)x->rule->momentum;
    float *momentum = x->part->momentum + first, *shared = x->part->shared + first;
    for (uint64_t i = 0; i < count; i++) {
        float mean = x->values[i];
        momentum[i] = decay * momentum[i] + mean;
        shared[i] -= lr * (mean + decay * momentum[i]);
    }
}

static tv_err run(exchange *x, uint64_t weight)
{
    TV_TRY(share_weights(x, weight));
    pack_differences(x);
    TV_TRY(tv_comm_exchange(x->comm, x->packed, x->words, x->pieces));
    pack_mean(x);
    for (uint32_t r = 0; r < x->ranks; r++)
        x->words[r] *= sizeof *x->packed;
    TV_TRY(tv_comm_all_gather(x->comm, x->packed, x->words));
    for (uint32_t r = 0; r < x->ranks; r++)
        x->words[r] /= sizeof *x->packed;
    for_each_piece(x, check_piece);
    if (x->finite != 0)
        return tv_fail(TV_EDATA, "the mean of what the ranks trained is not finite; lower "
                                 "optimizer.lr, or start from an older checkpoint");
    for_each_piece(x, step_piece);
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
