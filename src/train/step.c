// One optimizer step, and validation: feeds, programs and results in order.
#include "train/session.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// The numbers that kernels read for this step; `t` is AdamW's, counted from 1.
static void write_step_block(tv_session *s, uint64_t step, uint64_t t, double lr, uint64_t valid)
{
    uint32_t *block = tv_plan_feed(s->plan, s->graph->step);
    const tv_config *c = s->config;
    double beta1 = c->optimizer.betas.items[0], beta2 = c->optimizer.betas.items[1];
    memset(block, 0, TV_STEP_WORDS * sizeof *block);
    block[TV_STEP_SEED_LOW] = (uint32_t)c->seed;
    block[TV_STEP_SEED_HIGH] = (uint32_t)((uint64_t)c->seed >> 32);
    block[TV_STEP_STEP] = (uint32_t)step;
    block[TV_STEP_LR] = bits_of((float)lr);
    block[TV_STEP_LOSS_SCALE] = bits_of((float)(1.0 / (double)valid));
    block[TV_STEP_CORRECT1] = bits_of((float)(1 - pow(beta1, (double)t)));
    block[TV_STEP_CORRECT2] = bits_of((float)sqrt(1 - pow(beta2, (double)t)));
    block[TV_STEP_CLIP] = bits_of((float)c->trainer.gradient_clip_val);
}

static uint64_t count_valid(const uint32_t *targets, size_t count)
{
    uint64_t valid = 0;
    for (size_t i = 0; i < count; i++)
        valid += targets[i] != TV_NO_TARGET;
    return valid;
}

// Runs a phase on one micro-batch of the arrays, from sequence `first` on.
static tv_err run_batch(tv_session *s, uint32_t phase, uint32_t first, bool training)
{
    size_t rows = (size_t)s->micro_batch * s->seq_len, at = (size_t)first * s->seq_len;
    memcpy(tv_plan_feed(s->plan, s->graph->ids), s->ids + at, rows * sizeof *s->ids);
    memcpy(tv_plan_feed(s->plan, s->graph->targets), s->targets + at, rows * sizeof *s->targets);
    if (training) {
        tv_sort_by_id(s->ids + at, rows, tv_plan_feed(s->plan, s->graph->order));
        memcpy(tv_plan_feed(s->plan, s->graph->samples), s->samples + first,
               s->micro_batch * sizeof *s->samples);
    }
    TV_TRY(tv_plan_upload(s->plan));
    TV_TRY(tv_plan_run(s->plan, phase));
    return tv_plan_wait(s->plan, phase);
}

static tv_err run_phase(tv_session *s, uint32_t phase)
{
    TV_TRY(tv_plan_run(s->plan, phase));
    return tv_plan_wait(s->plan, phase);
}

tv_err tv_session_train(tv_session *s, tv_train_state *state, tv_step_report *report)
{
    const tv_step_graph *g = s->graph;
    report->tokens = count_valid(s->targets, (size_t)s->global_batch * s->seq_len);
    report->lr = tv_schedule_lr(&s->schedule, state->step);
    write_step_block(s, state->step, state->updates + 1, report->lr, report->tokens);

    TV_TRY(run_phase(s, g->zero));
    for (uint32_t first = 0; first < s->global_batch; first += s->micro_batch)
        TV_TRY(run_batch(s, g->micro, first, true));
    TV_TRY(run_phase(s, g->update));

    TV_TRY(tv_plan_download(s->plan));
    const float *stat = tv_plan_result(s->plan, g->stat);
    const float *sum = tv_plan_result(s->plan, g->loss_sum);
    report->loss = (double)*sum / (double)report->tokens;
    report->grad_norm = stat[TV_STAT_NORM];
    report->finite = stat[TV_STAT_FINITE] != 0;
    state->step++;
    state->tokens += report->tokens;
    state->updates += report->finite;
    state->skipped += !report->finite;
    state->skipped_in_a_row = report->finite ? 0 : state->skipped_in_a_row + 1;
    return TV_OK;
}

tv_err tv_session_step(tv_session *s, tv_train_state *state, tv_step_report *report)
{
    tv_dataset_fill(s->train, (uint64_t)s->config->seed, state->step, s->global_batch, 0,
                    s->global_batch, s->ids, s->targets, s->samples);
    return tv_session_train(s, state, report);
}

tv_err tv_session_validate(tv_session *s, int64_t batches, double *loss)
{
    uint64_t rows = tv_dataset_order_rows(s->val), valid = 0;
    double sum = 0;
    if (batches != TV_AUTO && (uint64_t)batches < rows / s->global_batch)
        rows = (uint64_t)batches * s->global_batch;
    for (uint64_t row = 0; row < rows; row += s->micro_batch) {
        tv_dataset_fill_order(s->val, row, s->micro_batch, s->ids, s->targets);
        valid += count_valid(s->targets, (size_t)s->micro_batch * s->seq_len);
        TV_TRY(run_phase(s, s->graph->zero));
        TV_TRY(run_batch(s, s->graph->eval, 0, false));
        TV_TRY(tv_plan_download(s->plan));
        sum += *(const float *)tv_plan_result(s->plan, s->graph->loss_sum);
    }
    *loss = sum / (double)valid;
    return TV_OK;
}
