// Predictions of a step's time under each strategy.
#include "bench/predict.h"

#include <math.h>

// A training step has so many calls in which ranks only meet: an agreement and the gathering of
// losses.
enum { MEETINGS = 2 };

// ------------------------------------------------------------------------ gradients in every step

// How gradients, and weights, travel.
typedef struct route {
    double bytes; // of a gradient's element on its way
    bool scatter; // each rank receives what it owns only, updates that and hands it out
} route;

static double half_way(const tv_predict_job *job)
{
    return (job->rank_count - 1.0) / job->rank_count;
}

// Seconds of the calls that sum a bucket.
static double sum_seconds(const tv_predict_job *job, const route *r, const tv_predict_bucket *b)
{
    const tv_line *line = r->scatter ? &job->scatter : &job->sum;
    return b->parcels * line->fixed + (double)b->elements * r->bytes * line->slope;
}

static double gather_seconds(const tv_predict_job *job)
{
    double seconds = 0;
    for (size_t i = 0; i < job->bucket_count; i++)
        seconds += job->buckets[i].parcels * job->gather.fixed +
                   (double)job->buckets[i].elements * job->weight_bytes * job->gather.slope;
    return seconds;
}

static double batches_seconds(const tv_predict_rank *rank)
{
    return rank->batches * rank->micro;
}

// When the slowest rank has a bucket: only the last micro-batch's gradients travel.
static double bucket_there(const tv_predict_job *job, size_t bucket)
{
    double there = 0;
    for (uint32_t r = 0; r < job->rank_count; r++) {
        const tv_predict_rank *rank = &job->ranks[r];
        if (rank->batches > 0)
            there = fmax(there, (rank->batches - 1 + rank->done[bucket]) * rank->micro);
    }
    return there;
}

// One bucket travels after the other, each as soon as all ranks have it. Then comes the update.
static void predict_route(const tv_predict_job *job, const route *r, tv_prediction *p)
{
    double part = r->scatter ? 1.0 / job->rank_count : 1; // of the model that a rank updates
    double computed = 0, update = 0, whole_update = 0, copy = 0, end = 0;
    uint64_t sequences = 0;
    *p = (tv_prediction){0};
    for (uint32_t i = 0; i < job->rank_count; i++) {
        const tv_predict_rank *rank = &job->ranks[i];
        computed = fmax(computed, batches_seconds(rank));
        update = fmax(update, part * rank->update);
        whole_update = fmax(whole_update, rank->update);
        copy = fmax(copy, rank->copy * (r->scatter ? part + 1 : 1));
        sequences += rank->share;
    }
    for (size_t i = 0; i < job->bucket_count; i++) {
        double seconds = sum_seconds(job, r, &job->buckets[i]);
        end = fmax(end, bucket_there(job, i)) + seconds;
        p->network += seconds;
    }
    double waited = fmax(end - computed, 0);
    double behind = MEETINGS * job->meeting + (r->scatter ? gather_seconds(job) : 0);
    p->hidden = p->network - waited;
    p->network += behind;
    p->computing = computed + update;
    p->seconds = computed + waited + update + copy + behind;
    p->tokens = (double)sequences * job->seq_len;
    p->sent = half_way(job) * (double)job->elements *
              (r->scatter ? r->bytes + job->weight_bytes : 2 * r->bytes);
}

static void predict_ddp(const tv_predict_job *job, tv_prediction *p)
{
    predict_route(job, &(route){4, false}, p);
}

static void predict_ddp_bf16(const tv_predict_job *job, tv_prediction *p)
{
    predict_route(job, &(route){2, false}, p);
}

static void predict_zero1(const tv_predict_job *job, tv_prediction *p)
{
    predict_route(job, &(route){4, true}, p);
}

static void predict_zero1_bf16(const tv_predict_job *job, tv_prediction *p)
{
    predict_route(job, &(route){2, true}, p);
}

// ---------------------------------------------------------- gradients, and weights, by sections

// A third of a micro-batch is its forward pass (2 of 6 FLOP for each weight and token).
static const double FORWARD = 1.0 / 3;

// Every rank takes part in each round, a micro-batch of any of them. What travels for one section
// does so while others compute; for the first and the last one there is nothing behind which to.
static void predict_sections(const tv_predict_job *job, bool weights, tv_prediction *p)
{
    const route r = {4, true};
    double micro = 0, update = 0, copy = 0, rounds = 0, gradients = 0;
    double gather = weights ? gather_seconds(job) : 0;
    double last = sum_seconds(job, &r, &job->buckets[job->bucket_count - 1]);
    uint64_t sequences = 0;
    for (uint32_t i = 0; i < job->rank_count; i++) {
        const tv_predict_rank *rank = &job->ranks[i];
        micro = rank->batches > 0 ? fmax(micro, rank->micro) : micro;
        rounds = fmax(rounds, rank->batches);
        update = fmax(update, rank->update / job->rank_count);
        copy = fmax(copy, rank->copy);
        sequences += rank->share;
    }
    for (size_t i = 0; i < job->bucket_count; i++)
        gradients += sum_seconds(job, &r, &job->buckets[i]);
    double round = fmax(FORWARD * micro, gather) +
                   fmax((1 - FORWARD) * micro, gather + gradients - last) + last +
                   gather / (double)job->bucket_count;
    double behind = MEETINGS * job->meeting + (weights ? 0 : gather_seconds(job));
    double waited = rounds * (round - micro);
    *p = (tv_prediction){.network = rounds * (2 * gather + gradients) + behind,
                         .computing = rounds * micro + update,
                         .tokens = (double)sequences * job->seq_len};
    p->hidden = fmax(p->network - behind - waited, 0);
    copy *= 1.0 / job->rank_count + (weights ? 2 * rounds : 1);
    p->seconds = rounds * round + update + copy + behind;
    p->sent = half_way(job) * (double)job->elements *
              (rounds * r.bytes + (weights ? 2 * rounds : 1) * job->weight_bytes);
}

static void predict_zero2(const tv_predict_job *job, tv_prediction *p)
{
    predict_sections(job, false, p);
}

static void predict_fsdp(const tv_predict_job *job, tv_prediction *p)
{
    predict_sections(job, true, p);
}

// ------------------------------------------------------------------------------------ averages

static double apart_seconds(const tv_predict_rank *rank)
{
    return rank->apart[0] * rank->micro + rank->update;
}

// An interval: each rank's steps, and exchanges of fragments, of which so much is waited for as
// does not fit behind the steps that may overlap.
static void predict_diloco(const tv_predict_job *job, tv_prediction *p)
{
    double fastest = 0, interval = (double)job->diloco.interval, copy = 0;
    double fragments = (double)job->diloco.fragments;
    bool idle = false; // a rank has no work, which diloco refuses
    *p = (tv_prediction){0};
    for (uint32_t r = 0; r < job->rank_count; r++) {
        const tv_predict_rank *rank = &job->ranks[r];
        fastest = fmax(fastest, rank->apart[1] / apart_seconds(rank));
        copy = fmax(copy, rank->copy);
        idle = idle || rank->apart[1] == 0;
    }
    for (uint32_t r = 0; r < job->rank_count; r++) {
        const tv_predict_rank *rank = &job->ranks[r];
        double speed = rank->apart[1] / apart_seconds(rank);
        double steps = job->diloco.equal ? interval : fmax(1, round(interval * speed / fastest));
        p->computing = fmax(p->computing, steps / interval * apart_seconds(rank));
        p->tokens += steps / interval * rank->apart[1] * job->seq_len;
    }
    double exchange = tv_line_at(&job->outer, (double)job->elements / fragments);
    double waited = fmax(exchange - (double)job->diloco.overlap * p->computing, 0);
    p->network = fragments * exchange / interval;
    p->hidden = fragments * (exchange - waited) / interval;
    p->seconds = idle ? INFINITY : p->computing + (fragments * waited + 2 * copy) / interval;
    p->sent = 2 * half_way(job) * (double)job->elements * job->diloco.bits / 8 / interval;
}

// ---------------------------------------------------------------------------------- strategies

static const tv_predict_strategy strategies[] = {
    {"ddp", "trainer.strategy=ddp", true, true, false, predict_ddp},
    {"ddp bf16", "trainer.strategy=ddp trainer.gradient_compression=bf16", true, true, true,
     predict_ddp_bf16},
    {"zero1", "trainer.strategy=zero1", true, false, false, predict_zero1},
    {"zero1 bf16", "trainer.strategy=zero1 trainer.gradient_compression=bf16", true, false, true,
     predict_zero1_bf16},
    {"zero2", "trainer.strategy=zero2", true, false, false, predict_zero2},
    {"fsdp", "trainer.strategy=fsdp", true, false, false, predict_fsdp},
    {"diloco", "trainer.strategy=diloco", false, false, false, predict_diloco},
};
enum { STRATEGIES = sizeof strategies / sizeof *strategies };

const tv_predict_strategy *tv_predict_strategy_at(size_t index)
{
    return index < STRATEGIES ? &strategies[index] : NULL;
}

double tv_predict_rate(const tv_prediction *p)
{
    return p->tokens / p->seconds;
}

double tv_predict_use(const tv_prediction *p)
{
    return p->computing / p->seconds;
}

// What a strategy must gain to be worth what it changes: any at all, rounding, another algorithm.
static const double WORTH_ANY = 1.03, WORTH_ROUNDING = 1.1, WORTH_LOSSES = 1.25;

// Rows are in the order of preference: a later one has to be worth it.
static size_t best_of(const tv_predict_job *job, const tv_prediction *predictions, bool exact)
{
    size_t best = STRATEGIES;
    for (size_t i = 0; i < STRATEGIES; i++) {
        const tv_predict_strategy *s = &strategies[i];
        if (s->exact != exact || (job->mixed && s->drifts))
            continue;
        bool rounds = best < STRATEGIES && s->rounds && !strategies[best].rounds;
        double worth = rounds ? WORTH_ROUNDING : WORTH_ANY;
        if (best == STRATEGIES ||
            tv_predict_rate(&predictions[i]) > worth * tv_predict_rate(&predictions[best]))
            best = i;
    }
    return best;
}

static void explain(const tv_predict_job *job, const tv_prediction *predictions, size_t best,
                    size_t other, tv_text *why)
{
    const tv_predict_strategy *s = &strategies[best];
    const tv_prediction *p = &predictions[best];
    tv_text_printf(why, "this room should use %s (%s): ", s->name, s->settings);
    if (s->exact) {
        tv_text_printf(why,
                       "computing is %.0f %% of its step, and the run is that of one rank but for "
                       "rounding",
                       100 * tv_predict_use(p));
        tv_text_puts(why, job->mixed ? "; devices round differently, and with ddp replicas would "
                                       "drift apart"
                                     : "");
        return;
    }
    tv_text_printf(why,
                   "computing is %.0f %% of its step, and %.0f %% with %s, the best that meets in "
                   "every step; its losses are close to those of one rank, not equal",
                   100 * tv_predict_use(p), 100 * tv_predict_use(&predictions[other]),
                   strategies[other].name);
}

size_t tv_predict_choose(const tv_predict_job *job, const tv_prediction *predictions, tv_text *why)
{
    size_t exact = best_of(job, predictions, true), other = best_of(job, predictions, false);
    double gain = tv_predict_rate(&predictions[other]) / tv_predict_rate(&predictions[exact]);
    size_t best = gain > WORTH_LOSSES ? other : exact;
    explain(job, predictions, best, exact, why);
    return best;
}
