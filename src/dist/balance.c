// Balance: costs of ranks, as measured, and shares that fit them.
#include "dist/balance.h"

#include "base/error.h"
#include "base/memory.h"

#include <math.h>

enum {
    FIRST_STEPS = 2, // drivers compile in the first one, and the next may still be slow
    SOON = 5,        // steps that must count before shares change for the first time,
    LATER = 20,      // and for each further time
};
static const double LEAST_GAIN = 0.03;  // of the longest time, for a change
static const double SMOOTHING = 0.2;    // weight of a new sample; the first ones have a plain mean
static const double FORGIVENESS = 1e-3; // what a rank without share is thought to gain in a step

void tv_balance_create(tv_balance *balance, uint32_t count, uint32_t global_batch,
                       const uint32_t *micro_batches)
{
    *balance = (tv_balance){
        .count = count, .global_batch = global_batch, .ignored = FIRST_STEPS, .settled = SOON};
    balance->ranks = tv_alloc(count, sizeof *balance->ranks);
    for (uint32_t r = 0; r < count; r++) {
        TV_CHECK(micro_batches[r] > 0, "rank %u has no micro-batch", r);
        balance->ranks[r].micro_batch = micro_batches[r];
    }
    tv_balance_deal(balance);
}

void tv_balance_destroy(tv_balance *balance)
{
    tv_free(balance->ranks);
    *balance = (tv_balance){0};
}

// ---------------------------------------------------------------------------------------- shares

// Seconds per sequence that ranks of unknown speed are taken to need: as many sequences per second
// as the others have in the mean.
static double usual_cost(const tv_balance *b)
{
    double speed = 0;
    uint32_t known = 0;
    for (uint32_t r = 0; r < b->count; r++)
        if (b->ranks[r].cost.batch > 0) {
            speed += b->ranks[r].micro_batch / b->ranks[r].cost.batch;
            known++;
        }
    return known ? known / speed : 1;
}

static double cost_of(const tv_balance_rank *rank, double usual)
{
    return rank->cost.batch > 0 ? rank->cost.batch : usual * rank->micro_batch;
}

static uint32_t micro_batches_of(const tv_balance_rank *rank)
{
    return (uint32_t)tv_div_up(rank->share, rank->micro_batch);
}

// The rank that would be done first with one more micro-batch; the first of several. While shares
// are dealt, they are whole micro-batches.
static tv_balance_rank *next_taker(tv_balance *b, double usual)
{
    tv_balance_rank *taker = NULL;
    double earliest = INFINITY;
    for (uint32_t r = 0; r < b->count; r++) {
        tv_balance_rank *rank = &b->ranks[r];
        double end = rank->cost.fixed + (micro_batches_of(rank) + 1) * cost_of(rank, usual);
        if (end < earliest) {
            earliest = end;
            taker = rank;
        }
    }
    return taker;
}

// Micro-batches are dealt in the order in which they would end, so what is dealt when the batch is
// complete is what could end by then, and no less time would do.
void tv_balance_deal(tv_balance *b)
{
    double usual = usual_cost(b);
    for (uint32_t r = 0; r < b->count; r++)
        b->ranks[r].share = 0;
    for (uint32_t left = b->global_batch; left > 0;) {
        tv_balance_rank *taker = next_taker(b, usual);
        uint32_t taken = taker->micro_batch < left ? taker->micro_batch : left;
        taker->share += taken;
        left -= taken;
    }
}

void tv_balance_divide(tv_balance *b, const double *weights)
{
    double sum = 0, before = 0;
    uint32_t dealt = 0;
    for (uint32_t r = 0; r < b->count; r++)
        sum += weights[r];
    TV_CHECK(sum > 0, "no rank takes work");
    for (uint32_t r = 0; r < b->count; r++) {
        before += weights[r];
        uint32_t end = (uint32_t)(b->global_batch * (before / sum) + 0.5);
        b->ranks[r].share = end - dealt;
        dealt = end;
    }
}

double tv_balance_longest(const tv_balance *b)
{
    double usual = usual_cost(b), longest = 0;
    for (uint32_t r = 0; r < b->count; r++) {
        const tv_balance_rank *rank = &b->ranks[r];
        uint32_t n = micro_batches_of(rank);
        longest = fmax(longest, rank->cost.fixed + n * cost_of(rank, usual));
    }
    return longest;
}

void tv_balance_range(const tv_balance *b, uint32_t rank, uint64_t total, uint64_t *first,
                      uint64_t *end)
{
    uint64_t before = 0;
    *first = 0;
    *end = total;
    if (b->count <= 1)
        return;
    for (uint32_t r = 0; r < rank; r++)
        before += b->ranks[r].share;
    *first = total * before / b->global_batch;
    *end = total * (before + b->ranks[rank].share) / b->global_batch;
}

// ------------------------------------------------------------------------------------- measuring

static double mean(double old, double sample, uint32_t measured)
{
    double weight = fmax(SMOOTHING, 1.0 / (measured + 1));
    return old + weight * (sample - old);
}

static double middle(double a, double b, double c)
{
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

// Of three samples in a row, so that a single step which something disturbed counts for nothing.
static double steady(tv_balance_rank *rank, double sample)
{
    double *recent = rank->recent;
    double value = rank->measured < 2 ? sample : middle(sample, recent[0], recent[1]);
    recent[1] = recent[0];
    recent[0] = sample;
    return value;
}

// A rank without share cannot be measured. It is slowly taken to be faster, so that in the end it
// is tried again.
static void take_sample(tv_balance_rank *rank, const tv_balance_cost *taken, uint32_t counted)
{
    uint32_t n = micro_batches_of(rank);
    rank->cost.fixed = mean(rank->cost.fixed, taken->fixed, counted);
    if (n > 0) {
        rank->cost.batch = mean(rank->cost.batch, steady(rank, taken->batch / n), rank->measured);
        rank->measured++;
    } else {
        rank->cost.batch *= 1 - FORGIVENESS;
        rank->measured = 0;
    }
}

static bool deal_anew(tv_balance *b)
{
    double before = tv_balance_longest(b);
    uint32_t *old = tv_alloc(b->count, sizeof *old);
    for (uint32_t r = 0; r < b->count; r++)
        old[r] = b->ranks[r].share;
    tv_balance_deal(b);
    bool better = tv_balance_longest(b) < before * (1 - LEAST_GAIN);
    for (uint32_t r = 0; r < b->count && !better; r++)
        b->ranks[r].share = old[r];
    tv_free(old);
    return better;
}

bool tv_balance_step(tv_balance *b, const tv_balance_cost *taken)
{
    if (!b->follows || b->count <= 1)
        return false;
    if (b->ignored > 0) {
        b->ignored--;
        return false;
    }
    for (uint32_t r = 0; r < b->count; r++)
        take_sample(&b->ranks[r], &taken[r], b->counted);
    b->counted++;
    if (b->settled > 0)
        b->settled--;
    if (b->settled > 0 || !deal_anew(b))
        return false;
    b->settled = LATER;
    b->ignored = 1; // a phase may run for the first time
    return true;
}

// ---------------------------------------------------------------------------------------- report

static void put_speed(const tv_balance_rank *rank, uint32_t seq_len, bool unit, tv_text *out)
{
    double speed = (double)rank->micro_batch * seq_len / rank->cost.batch;
    const char *suffix = speed >= 1e6 ? "M" : speed >= 1e3 ? "k" : "";
    speed /= speed >= 1e6 ? 1e6 : speed >= 1e3 ? 1e3 : 1;
    tv_text_printf(out, speed < 100 ? " (%.1f%s%s)" : " (%.0f%s%s)", speed, suffix,
                   unit ? " tokens/s" : "");
}

void tv_balance_describe(const tv_balance *b, uint32_t seq_len, tv_text *out)
{
    for (uint32_t r = 0; r < b->count; r++) {
        const tv_balance_rank *rank = &b->ranks[r];
        tv_text_printf(out, "%srank %u %u%s", r ? ", " : "", r, rank->share, r ? "" : " sequences");
        if (b->follows && rank->cost.batch > 0)
            put_speed(rank, seq_len, r == 0, out);
    }
}
