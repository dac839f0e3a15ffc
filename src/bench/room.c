// A room: what each rank computes, and what a step would take under each strategy.
#include "bench/room.h"

#include "base/memory.h"
#include "bench/probe.h"
#include "train/ranks.h"
#include "train/strategy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double SECONDS = 3;   // of each rank's steps
static const double PATIENCE = 10; // no strategy is verified that is predicted to take longer

void tv_bench_room_destroy(tv_bench_room **room)
{
    tv_bench_room *r = *room;
    if (!r)
        return;
    tv_free(r->members);
    tv_free(r->ranks);
    tv_free(r->buckets);
    tv_free(r->done);
    tv_free(r);
    *room = NULL;
}

static void tell(const tv_room_request *request, const char *what)
{
    if (request->options->progress)
        request->options->progress(request->options->context, what);
}

static tv_bench_rule rule_of(const tv_room_request *request)
{
    double seconds = request->options->seconds;
    return tv_bench_rule_of(seconds > 0 ? seconds : SECONDS);
}

// ------------------------------------------------------------------------------------- computing

// What a rank tells the others.
typedef struct told {
    tv_bench_summary step;
    double micro, update, copy;
    char device[128], driver[80], check[160];
    uint32_t good;
} told;

static void fill_told(const tv_bench_probe *p, told *t)
{
    const tv_device_info *info = tv_device_get_info(p->trial.session.device);
    memset(t, 0, sizeof *t);
    t->step = p->step;
    t->micro = p->micro;
    t->update = p->update;
    t->copy = p->copy;
    t->good = p->good;
    snprintf(t->device, sizeof t->device, "%.127s", info->name);
    snprintf(t->driver, sizeof t->driver, "%.8s: %.60s", info->backend, info->driver);
    snprintf(t->check, sizeof t->check, "%s", p->check);
}

static void add_compute(const tv_session *s, const told *t, uint32_t rank, tv_bench_report *report)
{
    tv_bench_result *r =
        tv_bench_report_add(report, TV_BENCH_COMPUTE, "tokens/s", "computing alone, rank %u", rank);
    r->rate = tv_bench_rates(&t->step, (double)s->balance.ranks[rank].share * s->seq_len);
    r->good = t->good;
    snprintf(r->check, sizeof r->check, "%s", t->check);
}

// Shares as the run would come to, and equal ones.
static void share_out(tv_session *s, const told *all, tv_bench_room *room)
{
    for (uint32_t r = 0; r < room->count; r++) {
        tv_balance_rank *b = &s->balance.ranks[r];
        room->ranks[r].apart[0] = (uint32_t)tv_div_up(b->share, b->micro_batch);
        room->ranks[r].apart[1] = b->share;
        b->cost = (tv_balance_cost){all[r].micro, all[r].update};
    }
    if (s->balance.follows)
        tv_balance_deal(&s->balance);
    for (uint32_t r = 0; r < room->count; r++) {
        const tv_balance_rank *b = &s->balance.ranks[r];
        room->ranks[r].batches = (uint32_t)tv_div_up(b->share, b->micro_batch);
        room->ranks[r].share = b->share;
        room->members[r].micro_batch = b->micro_batch;
    }
}

static void describe_members(const told *all, tv_bench_room *room)
{
    size_t buckets = room->job.bucket_count;
    for (uint32_t r = 0; r < room->count; r++) {
        tv_bench_member *m = &room->members[r];
        tv_predict_rank *rank = &room->ranks[r];
        snprintf(m->device, sizeof m->device, "%s", all[r].device);
        snprintf(m->driver, sizeof m->driver, "%s", all[r].driver);
        rank->micro = all[r].micro;
        rank->update = all[r].update;
        rank->copy = all[r].copy;
        rank->done = room->done + r * buckets;
    }
}

static void describe_model(const tv_session *s, tv_bench_room *room)
{
    const tv_buckets *buckets = s->graph->buckets;
    tv_predict_job *job = &room->job;
    room->buckets = tv_alloc(buckets->bucket_count, sizeof *room->buckets);
    room->ranks = tv_alloc(room->count, sizeof *room->ranks);
    room->done = tv_alloc(room->count * buckets->bucket_count, sizeof *room->done);
    *job = (tv_predict_job){.ranks = room->ranks,
                            .rank_count = room->count,
                            .seq_len = s->seq_len,
                            .buckets = room->buckets,
                            .bucket_count = buckets->bucket_count,
                            .elements = buckets->elements,
                            .weight_bytes = tv_dtype_bytes(s->graph->graph->storage)};
    for (size_t i = 0; i < buckets->bucket_count; i++) {
        const tv_bucket *bucket = &buckets->buckets[i];
        room->buckets[i].parcels = (uint32_t)bucket->count;
        for (size_t p = 0; p < bucket->count; p++)
            room->buckets[i].elements += bucket->parcels[p].elements;
    }
    snprintf(room->model, sizeof room->model,
             "%s, %llu parameters, %u sequences of %u tokens a step, %s",
             tv_model_type_name(s->model_config.type), (unsigned long long)buckets->elements,
             s->global_batch, s->seq_len, tv_precision_get_info(s->precision)->name);
}

static tv_err gather_members(tv_bench_probe *p, tv_comm *comm, tv_bench_report *report)
{
    tv_bench_room *room = report->room;
    tv_session *s = &p->trial.session;
    told mine, *all = tv_alloc(room->count, sizeof *all);
    fill_told(p, &mine);
    tv_err err = tv_comm_gather(comm, &mine, sizeof mine, all);
    if (err == TV_OK)
        err = tv_comm_gather(comm, p->done, p->bucket_count * sizeof *p->done, room->done);
    for (uint32_t r = 0; r < room->count && err == TV_OK; r++)
        add_compute(s, &all[r], r, report);
    if (err == TV_OK) {
        share_out(s, all, room);
        describe_members(all, room);
    }
    tv_free(all);
    return err;
}

static tv_err find_mixed(tv_comm *comm, const tv_device_info *info, bool *mixed)
{
    double *shares = tv_alloc(tv_comm_size(comm), sizeof *shares);
    const char *reason;
    tv_strategy strategy = TV_STRATEGY_DDP;
    tv_err err = tv_strategy_choose(comm, "auto", info, &strategy, &reason, shares);
    *mixed = strategy == TV_STRATEGY_ZERO1;
    tv_free(shares);
    return err;
}

// ------------------------------------------------------------------------------------ predicting

static void configure_diloco(const tv_config *c, tv_wire wire, tv_predict_job *job)
{
    job->diloco.interval = (uint64_t)c->diloco.sync_every_n_steps;
    job->diloco.fragments = (uint64_t)c->diloco.fragments;
    job->diloco.overlap = (uint64_t)c->diloco.overlap_steps;
    job->diloco.bits = tv_wire_bits(wire);
    job->diloco.equal = strcmp(c->diloco.local_steps, "equal") == 0;
}

static void predict(tv_bench_report *report)
{
    tv_bench_room *room = report->room;
    tv_predict_job *job = &room->job;
    const tv_predict_strategy *s;
    tv_text why = {0};
    job->sum = room->sum;
    job->scatter = room->scatter;
    job->gather = room->gather;
    job->outer = room->outer;
    job->meeting = room->meeting;
    for (size_t i = 0; (s = tv_predict_strategy_at(i)); i++) {
        TV_CHECK(i < TV_ROOM_STRATEGIES, "too many strategies");
        tv_prediction *p = &room->predictions[i];
        s->predict(job, p);
        double value = tv_predict_rate(p);
        tv_bench_result *r =
            tv_bench_report_add(report, TV_BENCH_PREDICTED, "tokens/s", "predicted %s", s->name);
        r->rate = (tv_bench_summary){1, value, value, value, value, value, true};
        r->good = true;
        snprintf(r->check, sizeof r->check, "computed, not measured");
        room->measured[i] = NAN;
        room->strategy_count = i + 1;
    }
    tv_predict_choose(job, room->predictions, &why);
    snprintf(room->advice, sizeof room->advice, "%s", why.data);
    tv_text_finish(&why);
    room->predicted = true;
}

// ------------------------------------------------------------------------------------- verifying

static tv_err trial_once(void *trial, double *seconds, bool *right)
{
    TV_TRY(tv_bench_trial_step(trial, seconds));
    *right = isfinite(((tv_bench_trial *)trial)->last.loss);
    return TV_OK;
}

// The steps of a real run, on random tokens.
static tv_err take_steps(const tv_room_request *request, tv_bench_together *together,
                         double *tokens)
{
    tv_bench_trial trial = {0};
    tv_session_options options = {.model_folder = request->model_folder,
                                  .comm = request->comm,
                                  .share_device = request->share_device,
                                  .synthetic = true};
    if (request->config->trainer.micro_batch_size != TV_AUTO)
        options.micro_batch = (uint32_t)request->config->trainer.micro_batch_size;
    tv_bench_rule rule = rule_of(request);
    bool good = false;
    char why[160];
    double loss;
    tv_err err = tv_session_open(request->config, &options, &trial.session);
    if (err == TV_OK)
        err = tv_comm_agree(request->comm, tv_bench_trial_check(&trial, &good, why, &loss));
    if (err == TV_OK)
        err = tv_bench_repeat_together(request->comm, &rule, trial_once, &trial, together);
    bool bad = !good;
    if (err == TV_OK)
        err = tv_ranks_any(request->comm, &bad);
    together->wrong += bad;
    *tokens = (double)trial.session.global_batch * trial.session.seq_len;
    tv_bench_trial_close(&trial);
    return err;
}

// The settings of a row, one after the other.
static tv_err configure(tv_config *config, const char *settings)
{
    TV_TRY(tv_config_set(config, "trainer.gradient_compression=none"));
    for (const char *at = settings; *at;) {
        char one[96];
        size_t length = strcspn(at, " ");
        snprintf(one, sizeof one, "%.*s", (int)length, at);
        TV_TRY(tv_config_set(config, one));
        at += length + strspn(at + length, " ");
    }
    return TV_OK;
}

static tv_err verify(const tv_room_request *request, tv_bench_report *report)
{
    tv_bench_room *room = report->room;
    for (size_t i = 0; i < room->strategy_count; i++) {
        const tv_predict_strategy *s = tv_predict_strategy_at(i);
        tv_bench_together together;
        double tokens;
        if (!s->exact || !(room->predictions[i].seconds < PATIENCE))
            continue;
        tell(request, s->name);
        TV_TRY(configure(request->config, s->settings));
        TV_TRY(take_steps(request, &together, &tokens));
        tv_bench_result *r =
            tv_bench_report_add(report, TV_BENCH_STEP, "tokens/s", "measured %s", s->name);
        r->rate = tv_bench_rates(&together.seconds, tokens);
        r->good = together.wrong == 0;
        snprintf(r->check, sizeof r->check, "losses of all steps%s", r->good ? "" : " are wrong");
        room->measured[i] = together.seconds.median;
    }
    return TV_OK;
}

// --------------------------------------------------------------------------------------- all of it

static tv_err check_shares(const tv_session *s)
{
    for (uint32_t r = 0; r < s->balance.count; r++)
        if (s->balance.ranks[r].share == 0)
            return tv_fail(TV_EUSAGE,
                           "rank %u of %u has no work in global batches of %u, micro-batches of "
                           "%u; a prediction needs work for each",
                           r, s->balance.count, s->global_batch, s->balance.ranks[r].micro_batch);
    return TV_OK;
}

static tv_err measure_with(tv_bench_probe *p, const tv_room_request *request, tv_wire wire,
                           tv_bench_report *report)
{
    tv_comm *comm = request->comm;
    tv_session *s = &p->trial.session;
    tv_bench_rule rule = rule_of(request);
    TV_TRY(check_shares(s));
    TV_TRY(tv_bench_network(comm, request->options, &wire, report));
    tell(request, "computing alone");
    TV_TRY(tv_comm_barrier(comm));
    TV_TRY(tv_comm_agree(comm, tv_bench_probe_run(p, &rule)));
    describe_model(s, report->room);
    configure_diloco(request->config, wire, &report->room->job);
    TV_TRY(find_mixed(comm, tv_device_get_info(s->device), &report->room->job.mixed));
    TV_TRY(gather_members(p, comm, report));
    predict(report);
    report->after = tv_bench_moment_read("", tv_device_get_info(s->device));
    return TV_OK;
}

tv_err tv_bench_room_measure(const tv_room_request *request, const char *mask,
                             tv_bench_report *report)
{
    tv_bench_probe probe;
    tv_wire wire;
    *report = (tv_bench_report){0};
    TV_TRY(tv_wire_parse(request->config->diloco.compression, &wire));
    TV_TRY(configure(request->config, "trainer.strategy=ddp"));
    tell(request, "planning");
    TV_TRY(tv_bench_probe_open(request, &probe));
    tv_bench_report_init(report, "network", tv_device_get_info(probe.trial.session.device), mask,
                         request->options->seconds);
    tv_err err = measure_with(&probe, request, wire, report);
    tv_bench_probe_close(&probe);
    return err == TV_OK && request->verify ? verify(request, report) : err;
}
