// One optimizer step, and validation: feeds, programs and results in order.
#include "base/clock.h"
#include "base/memory.h"
#include "base/stop.h"
#include "train/session.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// The numbers that kernels read for this step.
static void write_step_block(tv_session *s, const tv_train_state *state, double lr, uint64_t valid)
{
    double t = (double)state->updates + 1, scale = state->loss_scale.value;
    uint32_t *block = tv_plan_feed(s->plan, s->graph->step);
    const tv_config *c = s->config;
    double beta1 = c->optimizer.betas.items[0], beta2 = c->optimizer.betas.items[1];
    TV_CHECK(scale > 0, "the state of a run starts with tv_session_enter");
    memset(block, 0, TV_STEP_WORDS * sizeof *block);
    block[TV_STEP_SEED_LOW] = (uint32_t)c->seed;
    block[TV_STEP_SEED_HIGH] = (uint32_t)((uint64_t)c->seed >> 32);
    block[TV_STEP_STEP] = (uint32_t)state->step;
    block[TV_STEP_LR] = bits_of((float)lr);
    block[TV_STEP_LOSS_SCALE] = bits_of((float)(scale / (double)valid));
    block[TV_STEP_UNSCALE] = bits_of((float)(1 / scale));
    block[TV_STEP_CORRECT1] = bits_of((float)(1 - pow(beta1, t)));
    block[TV_STEP_CORRECT2] = bits_of((float)sqrt(1 - pow(beta2, t)));
    block[TV_STEP_CLIP] = bits_of((float)c->trainer.gradient_clip_val);
}

// A sequence of filling: any id, and no target, so that it adds nothing to loss and gradients.
static void fill_up(tv_session *s, uint32_t count)
{
    size_t from = (size_t)count * s->seq_len, rows = (size_t)s->micro_batch * s->seq_len;
    uint32_t *ids = tv_plan_feed(s->plan, s->graph->ids);
    uint32_t *targets = tv_plan_feed(s->plan, s->graph->targets);
    memset(ids + from, 0, (rows - from) * sizeof *ids);
    memset(targets + from, 0xFF, (rows - from) * sizeof *targets); // TV_NO_TARGET
}

// The feeds of one micro-batch: `count` sequences of the arrays from sequence `first` on, and
// filling. The device may still be busy with the one before it.
static void fill_feeds(tv_session *s, uint64_t first, uint32_t count, bool training)
{
    size_t rows = (size_t)count * s->seq_len, at = (size_t)first * s->seq_len;
    uint32_t *ids = tv_plan_feed(s->plan, s->graph->ids);
    memcpy(ids, s->ids + at, rows * sizeof *ids);
    memcpy(tv_plan_feed(s->plan, s->graph->targets), s->targets + at, rows * sizeof *s->targets);
    fill_up(s, count);
    if (!training)
        return;
    tv_sort_by_id(ids, (size_t)s->micro_batch * s->seq_len, tv_plan_feed(s->plan, s->graph->order));
    uint32_t *samples = tv_plan_feed(s->plan, s->graph->samples);
    memset(samples, 0, s->micro_batch * sizeof *samples);
    memcpy(samples, s->samples + first, count * sizeof *samples);
}

// Starts this rank's micro-batches; *pass says which program comes last. An upload waits for the
// program that reads what was there before it, so that the host waits between micro-batches, and
// nowhere else.
static tv_err start_batches(tv_session *s, tv_pass *pass)
{
    uint64_t first, end;
    tv_balance_range(&s->balance, tv_comm_rank(s->comm), s->global_batch, &first, &end);
    *pass = end == first                    ? TV_PASS_ZERO
            : end - first <= s->micro_batch ? TV_PASS_FIRST
                                            : TV_PASS_MICRO;
    s->started = tv_now_seconds();
    for (uint64_t at = first; at < end; at += s->micro_batch) {
        fill_feeds(s, at, (uint32_t)tv_min_size(end - at, s->micro_batch), true);
        TV_TRY(tv_plan_upload(s->plan));
        TV_TRY(tv_plan_run(s->plan, at == first ? s->graph->first : s->graph->micro));
    }
    if (first < end)
        return TV_OK;
    TV_TRY(tv_plan_upload(s->plan)); // the update reads the step's block
    return tv_plan_run(s->plan, s->graph->zero);
}

// The most micro-batches that any rank has of `sequences`: of ranks that carry weights and
// gradients for one another, all take part in all of each other's.
static uint64_t count_rounds(const tv_session *s, uint64_t sequences)
{
    uint64_t most = 0, first, end;
    for (uint32_t r = 0; r < s->balance.count; r++) {
        tv_balance_range(&s->balance, r, sequences, &first, &end);
        most = tv_max_size(most, tv_div_up(end - first, s->balance.ranks[r].micro_batch));
    }
    return most;
}

// This rank's micro-batches, and its part in those of others.
static tv_err carry_batches(tv_session *s, tv_err err)
{
    uint64_t first, end, rounds = count_rounds(s, s->global_batch);
    double started = tv_now_seconds();
    tv_balance_range(&s->balance, tv_comm_rank(s->comm), s->global_batch, &first, &end);
    if (err == TV_OK)
        err = tv_plan_upload(s->plan);
    if (err == TV_OK)
        err = tv_plan_execute(s->plan, s->graph->zero);
    err = tv_carrier_begin(s->carrier, err);
    for (uint64_t i = 0, at = first; i < rounds; i++, at += s->micro_batch) {
        bool computes = at < end;
        if (computes && err == TV_OK) {
            fill_feeds(s, at, (uint32_t)tv_min_size(end - at, s->micro_batch), true);
            err = tv_plan_upload(s->plan);
        }
        err = tv_carrier_pass(s->carrier, &s->graph->training, computes, err);
    }
    err = tv_carrier_end(s->carrier, err);
    // Others' micro-batches take time, too: what this rank's own took, its device tells.
    double seconds = tv_carrier_seconds(s->carrier);
    s->taken.batch = seconds > 0 ? seconds : tv_now_seconds() - started;
    return err;
}

// Each rank tells what its part of the loss and of the gradient's square is, how long that took,
// and whether it is to stop.
static tv_err sum_results(tv_session *s, double *loss_sum)
{
    const tv_tensor *square = s->graph->square_sum;
    struct told {
        double loss_sum, square_sum;
        tv_balance_cost taken;
        bool stop;
    } mine, *all;
    memset(&mine, 0, sizeof mine);
    mine.taken = s->taken;
    mine.stop = tv_stop_requested();
    mine.loss_sum = *(const float *)tv_plan_result(s->plan, s->graph->loss_sum);
    mine.square_sum = square ? *(const float *)tv_plan_result(s->plan, square) : 0;
    double square_sum = 0;
    uint32_t size = tv_comm_size(s->comm);
    all = tv_alloc(size, sizeof *all);
    tv_balance_cost *taken = tv_alloc(size, sizeof *taken);
    tv_err err = tv_comm_gather(s->comm, &mine, sizeof mine, all);
    *loss_sum = 0;
    for (uint32_t r = 0; r < size; r++) {
        *loss_sum += all[r].loss_sum;
        square_sum += all[r].square_sum;
        taken[r] = all[r].taken;
        s->stop = s->stop || all[r].stop;
    }
    s->rebalanced = err == TV_OK && tv_balance_step(&s->balance, taken);
    if (square)
        *(float *)tv_plan_feed(s->plan, s->graph->square_total) = (float)square_sum;
    tv_free(all);
    tv_free(taken);
    return err;
}

// While the last micro-batch computes the rest, what it has finished is on its way.
static tv_err exchange_batches(tv_session *s, tv_err err)
{
    tv_pass pass = TV_PASS_ZERO;
    if (err == TV_OK)
        err = start_batches(s, &pass);
    if (!s->exchange)
        return err;
    err = tv_exchange_gradients(s->exchange, pass, err);
    s->taken.batch = tv_exchange_ready(s->exchange) - s->started;
    return err;
}

// Gradients of the whole batch, on every rank, or on the owner of each. The sums have the same bits
// everywhere. err: how this rank fared so far.
static tv_err accumulate(tv_session *s, tv_err err, double *loss_sum)
{
    err = s->carrier ? carry_batches(s, err) : exchange_batches(s, err);
    if (!s->exchange && !s->carrier)
        return err;
    if (err == TV_OK && s->graph->square_sum)
        err = tv_plan_run(s->plan, s->graph->norm);
    if (err == TV_OK)
        err = tv_plan_download(s->plan);
    TV_TRY(tv_comm_agree(s->comm, err));
    return sum_results(s, loss_sum);
}

// Where every rank makes the same update, replicas stay identical as long as all devices round
// alike; where each makes that of what it owns, they cannot drift apart. Then they also meet again
// behind it, so that a smaller share does not make up for a slow one.
static tv_err update(tv_session *s)
{
    const tv_step_graph *g = s->graph;
    double since = tv_now_seconds();
    tv_err err = g->square_sum ? tv_plan_upload(s->plan) : TV_OK;
    if (err == TV_OK)
        err = tv_plan_run(s->plan, g->update);
    if (err == TV_OK)
        err = tv_plan_download(s->plan);
    s->taken.fixed = g->square_sum ? 0 : tv_now_seconds() - since;
    return s->handout ? tv_handout_weights(s->handout, err) : err;
}

// The tokens that this update learns from: all of the batch, or this rank's share.
static void find_tokens(const tv_session *s, size_t *first, size_t *count)
{
    uint64_t begin = 0, end = s->global_batch;
    if (s->apart)
        tv_balance_range(&s->balance, tv_comm_rank(s->comm), s->global_batch, &begin, &end);
    *first = (size_t)begin * s->seq_len;
    *count = (size_t)(end - begin) * s->seq_len;
}

// Counts a step that has run, and adapts the loss scale.
static void count_step(const tv_session *s, tv_train_state *state, const tv_step_report *report)
{
    bool scaled = tv_precision_get_info(s->precision)->scaled;
    // The loss itself does not depend on the scale, nor is there a scale below 1.
    bool mendable = scaled && state->loss_scale.value > 1 && isfinite(report->loss);
    state->step++;
    state->tokens += report->tokens;
    state->updates += report->finite;
    state->skipped += !report->finite;
    if (report->finite)
        state->skipped_in_a_row = 0;
    else if (!mendable)
        state->skipped_in_a_row++;
    if (scaled)
        tv_loss_scale_update(&state->loss_scale, report->finite);
}

tv_err tv_session_train(tv_session *s, tv_train_state *state, tv_step_report *report)
{
    const tv_step_graph *g = s->graph;
    double loss_sum = 0;
    size_t first, count;
    find_tokens(s, &first, &count);
    report->tokens = count;
    uint64_t valid = tv_count_targets(s->targets + first, count);
    report->lr = tv_schedule_lr(&s->schedule, state->step);
    report->loss_scale = state->loss_scale.value;
    write_step_block(s, state, report->lr, valid);
    if (s->powersgd)
        tv_powersgd_begin(s->powersgd, state->step, state->loss_scale.value);
    uint64_t sent = tv_comm_sent_bytes(s->comm);

    s->stop = !s->apart && !s->exchange && !s->carrier && tv_stop_requested();
    TV_TRY(accumulate(s, TV_OK, &loss_sum));
    TV_TRY(update(s));
    s->sent = tv_comm_sent_bytes(s->comm) - sent;
    if (!s->exchange && !s->carrier)
        loss_sum = *(const float *)tv_plan_result(s->plan, g->loss_sum);
    const float *stat = tv_plan_result(s->plan, g->stat);
    report->loss = loss_sum / (double)valid;
    report->grad_norm = stat[TV_STAT_NORM];
    report->finite = stat[TV_STAT_FINITE] != 0;
    count_step(s, state, report);
    return TV_OK;
}

tv_err tv_session_give_up(tv_session *s, uint64_t step, tv_err err)
{
    double loss_sum;
    if (tv_comm_has_failed(s->comm))
        return err;
    if (s->powersgd)
        tv_powersgd_begin(s->powersgd, step, 1);
    return accumulate(s, err, &loss_sum);
}

tv_err tv_session_step(tv_session *s, tv_train_state *state, tv_step_report *report)
{
    tv_dataset_fill(s->train, (uint64_t)s->config->seed, state->step, s->global_batch, 0,
                    s->global_batch, s->ids, s->targets, s->samples);
    return tv_session_train(s, state, report);
}

// A micro-batch of the validation data from row `at` on.
static tv_err feed_validation(tv_session *s, uint64_t at, uint64_t end, double *valid)
{
    uint32_t count = (uint32_t)tv_min_size(end - at, s->micro_batch);
    tv_dataset_fill_order(s->val, at, count, s->ids, s->targets);
    *valid += (double)tv_count_targets(s->targets, (size_t)count * s->seq_len);
    fill_feeds(s, 0, count, false);
    return tv_plan_upload(s->plan);
}

static tv_err add_loss(tv_session *s, double *sum)
{
    TV_TRY(tv_plan_download(s->plan));
    *sum += *(const float *)tv_plan_result(s->plan, s->graph->loss_sum);
    return TV_OK;
}

// Rows [first, end) of the validation data: adds up their losses and valid targets. Where weights
// are sharded, this rank takes part in `rounds` micro-batches, its own and those of others.
static tv_err validate_part(tv_session *s, uint64_t first, uint64_t end, uint64_t rounds,
                            double *sum, double *valid)
{
    const tv_sections *sections = &s->graph->validation;
    tv_err err = sections->count > 0 ? tv_carrier_begin(s->carrier, TV_OK) : TV_OK;
    for (uint64_t i = 0, at = first; i < rounds; i++, at += s->micro_batch) {
        bool computes = at < end;
        if (computes && err == TV_OK)
            err = feed_validation(s, at, end, valid);
        if (sections->count > 0)
            err = tv_carrier_pass(s->carrier, sections, computes, err);
        else if (computes && err == TV_OK)
            err = tv_plan_run(s->plan, s->graph->eval);
        if (computes && err == TV_OK)
            err = add_loss(s, sum);
    }
    return err;
}

tv_err tv_session_validate(tv_session *s, int64_t batches, double *loss)
{
    uint64_t rows = tv_dataset_order_rows(s->val), first, end;
    double totals[2] = {0, 0}; // losses, valid targets
    if (batches != TV_AUTO && (uint64_t)batches < rows / s->global_batch)
        rows = (uint64_t)batches * s->global_batch;
    tv_balance_range(&s->balance, tv_comm_rank(s->comm), rows, &first, &end);
    TV_TRY(tv_comm_agree(
        s->comm, validate_part(s, first, end, count_rounds(s, rows), &totals[0], &totals[1])));
    TV_TRY(tv_comm_sum_f64(s->comm, totals, 2));
    *loss = totals[0] / totals[1];
    return TV_OK;
}
