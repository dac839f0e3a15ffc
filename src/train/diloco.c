// DiLoCo: local steps, exchanges of fragments and when they are due.
#include "train/diloco.h"

#include "base/clock.h"
#include "base/memory.h"
#include "train/diloco_parts.h"
#include "train/ranks.h"
#include "train/weights.h"

#include <math.h>
#include <string.h>

// Ranks hear of a rank's speed after this many of its steps. A rank keeps its number of steps where
// another one differs by less than this part of the interval: measured speeds waver.
enum { FIRST_TIMED_STEPS = 3, STEADY_PART = 10 };

// ---------------------------------------------------------------------------------------- opening

// Cuts between weights, in their order, so that all parts are of about one size.
static tv_err cut(tv_diloco *d, size_t parts)
{
    const tv_model *model = d->session->graph->model;
    size_t weight = 0;
    if (parts > model->weight_count)
        return tv_fail(TV_EUSAGE, "diloco.fragments=%zu: the model has only %zu weights to share",
                       parts, model->weight_count);
    d->fragments = tv_alloc(parts, sizeof *d->fragments);
    d->fragment_count = parts;
    d->count = 0;
    for (size_t f = 0; f < parts; f++) {
        tv_fragment *fragment = &d->fragments[f];
        uint64_t goal = tv_model_parameters(model) / parts * (f + 1);
        *fragment = (tv_fragment){.first_weight = weight, .first = d->count};
        size_t most = model->weight_count - (parts - 1 - f); // the others need one each
        while (weight < most && (weight == fragment->first_weight || f + 1 == parts ||
                                 d->count + tv_tensor_count(model->weights[weight]) / 2 <= goal))
            d->count += tv_tensor_count(model->weights[weight++]);
        fragment->end_weight = weight;
        fragment->count = d->count - fragment->first;
    }
    return TV_OK;
}

static tv_err check_work(const tv_session *s)
{
    for (uint32_t r = 0; r < tv_comm_size(s->comm); r++)
        if (s->balance.ranks[r].share == 0)
            return tv_fail(TV_EUSAGE,
                           "trainer.global_batch_size=%u in micro-batches of %u leaves rank %u of "
                           "%u without work; with diloco each needs a micro-batch",
                           s->global_batch, s->micro_batch, r, tv_comm_size(s->comm));
    return TV_OK;
}

static tv_err open_all(tv_diloco *d, const char *folder, tv_train_state *state)
{
    const tv_config *c = d->session->config;
    uint32_t ranks = tv_comm_size(d->session->comm);
    TV_TRY(check_work(d->session));
    TV_TRY(cut(d, (size_t)c->diloco.fragments));
    TV_TRY(tv_wire_parse(c->diloco.compression, &d->rule.wire));
    float **arrays[] = {&d->shared, &d->momentum, &d->own, &d->error, &d->mean_error, &d->kept};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *arrays[i] = tv_alloc(d->count, sizeof **arrays[i]);
    d->local_steps = tv_alloc(ranks, sizeof *d->local_steps);
    d->speeds = tv_alloc(ranks, sizeof *d->speeds);
    for (uint32_t r = 0; r < ranks; r++)
        d->local_steps[r] = d->interval;
    const tv_model *model = d->session->graph->model;
    TV_TRY(tv_weights_read(d->session->plan, model, 0, model->weight_count, d->shared));
    if (folder)
        TV_TRY(tv_diloco_restore(d, folder, state));
    return tv_worker_create(&d->worker);
}

tv_err tv_diloco_open(tv_session *session, const char *folder, tv_train_state *state,
                      tv_diloco **diloco)
{
    const tv_config *c = session->config;
    tv_diloco *d = tv_alloc(1, sizeof *d);
    *d = (tv_diloco){.session = session,
                     .interval = (uint64_t)c->diloco.sync_every_n_steps,
                     .overlap = (uint64_t)c->diloco.overlap_steps,
                     .last_step = (uint64_t)c->trainer.max_steps,
                     .rule = {.lr = c->diloco.outer_lr, .momentum = c->diloco.outer_momentum},
                     .shared_step = state->step,
                     .warm = 1};
    tv_err err = open_all(d, folder, state);
    if (err == TV_OK)
        *diloco = d;
    else
        tv_diloco_close(&d);
    return err;
}

void tv_diloco_close(tv_diloco **diloco)
{
    tv_diloco *d = *diloco;
    if (!d)
        return;
    tv_worker_destroy(&d->worker);
    tv_free(d->fragments);
    tv_free(d->shared);
    tv_free(d->momentum);
    tv_free(d->own);
    tv_free(d->error);
    tv_free(d->mean_error);
    tv_free(d->kept);
    tv_free(d->local_steps);
    tv_free(d->speeds);
    tv_text_finish(&d->news);
    tv_free(d);
    *diloco = NULL;
}

// -------------------------------------------------------------------------------------- exchanges

static uint64_t offset_of(const tv_diloco *d, size_t fragment)
{
    return (fragment + 1) * d->interval / d->fragment_count;
}

// The last one is at the end of the interval.
static bool is_fragment_due(const tv_diloco *d, size_t fragment, uint64_t step)
{
    return step == d->last_step || step % d->interval == offset_of(d, fragment) % d->interval;
}

bool tv_diloco_is_due(const tv_diloco *d, uint64_t step)
{
    bool due = false;
    for (size_t f = 0; f < d->fragment_count; f++)
        due = due || is_fragment_due(d, f, step);
    return due;
}

static tv_err exchange_job(void *context)
{
    tv_outer_exchange *x = context;
    return tv_outer_step(x->comm, &x->rule, &x->part, x->weight, &x->report);
}

// Waits until the worker is done with what is pending, which leaves it to be merged.
static tv_err settle(const tv_diloco *d)
{
    return tv_worker_wait(d->worker, 0);
}

static void tell_exchange(tv_diloco *d, uint64_t steps, double waited)
{
    uint32_t ranks = tv_comm_size(d->session->comm);
    const tv_outer_exchange *x = &d->exchange;
    tv_text_printf(&d->news, "diloco: round %llu",
                   (unsigned long long)tv_div_up(d->sent_step, d->interval));
    if (d->fragment_count > 1)
        tv_text_printf(&d->news, ", fragment %zu of %zu", (size_t)(d->pending - d->fragments) + 1,
                       d->fragment_count);
    tv_text_printf(&d->news,
                   ": %.4g MB sent (formula %.4g), %.2f s of exchange behind %llu steps, %.2f s "
                   "waited\n",
                   (double)x->report.sent / 1e6,
                   tv_outer_bytes(d->rule.wire, d->pending->count, ranks) / 1e6, x->report.seconds,
                   (unsigned long long)steps, waited);
}

// What the rank has trained since the exchange began stays: it gets the step of all on top.
static tv_err take_over(tv_diloco *d, bool trained_on)
{
    const tv_fragment *f = d->pending;
    tv_plan *plan = d->session->plan;
    const tv_model *model = d->session->graph->model;
    const float *shared = d->shared + f->first, *own = d->own + f->first;
    float *now = d->kept + f->first;
    if (!trained_on)
        return tv_weights_write(plan, model, f->first_weight, f->end_weight, shared);
    TV_TRY(tv_weights_read(plan, model, f->first_weight, f->end_weight, now));
    for (uint64_t i = 0; i < f->count; i++)
        now[i] += shared[i] - own[i];
    return tv_weights_write(plan, model, f->first_weight, f->end_weight, now);
}

static tv_err merge(tv_diloco *d, uint64_t step)
{
    double start = tv_now_seconds();
    TV_TRY(settle(d));
    tell_exchange(d, step - d->sent_step, tv_now_seconds() - start);
    TV_TRY(take_over(d, step > d->sent_step));
    d->pending = NULL;
    return TV_OK;
}

// Starts the exchange of a fragment; all ranks are here.
static tv_err send(tv_diloco *d, tv_fragment *f, uint64_t step)
{
    tv_session *s = d->session;
    tv_err err = tv_weights_read(s->plan, s->graph->model, f->first_weight, f->end_weight,
                                 d->own + f->first);
    TV_TRY(tv_comm_agree(s->comm, err));
    d->exchange = (tv_outer_exchange){.comm = tv_comm_behind(s->comm),
                                      .rule = d->rule,
                                      .part = {.count = f->count,
                                               .shared = d->shared + f->first,
                                               .momentum = d->momentum + f->first,
                                               .own = d->own + f->first,
                                               .error = d->error + f->first,
                                               .mean_error = d->mean_error + f->first},
                                      .weight = d->trained - f->mark};
    f->mark = d->trained;
    d->pending = f;
    d->sent_step = step;
    d->merge_step = step + d->overlap;
    tv_worker_give(d->worker, exchange_job, &d->exchange);
    return d->overlap && step < d->last_step ? TV_OK : merge(d, step);
}

static tv_err send_due(tv_diloco *d, uint64_t step)
{
    size_t merged = 0;
    for (size_t f = 0; f < d->fragment_count; f++)
        if (is_fragment_due(d, f, step)) {
            TV_TRY(send(d, &d->fragments[f], step));
            merged += d->pending == NULL;
        }
    if (merged == d->fragment_count)
        d->shared_step = step;
    return TV_OK;
}

// ------------------------------------------------------------------------------------------ steps

// A rank's steps lie evenly among those of the fastest.
static bool takes_part(const tv_diloco *d, uint64_t step)
{
    uint64_t steps = d->local_steps[tv_comm_rank(d->session->comm)], k = step % d->interval;
    return (k + 1) * steps / d->interval > k * steps / d->interval;
}

static tv_err train(tv_diloco *d, tv_train_state *state, tv_step_report *report)
{
    uint64_t tokens = state->tokens, skipped = state->skipped;
    *report = (tv_step_report){.loss = d->loss,
                               .grad_norm = d->grad_norm,
                               .lr = tv_schedule_lr(&d->session->schedule, state->step),
                               .loss_scale = state->loss_scale.value,
                               .finite = true};
    if (!takes_part(d, state->step)) {
        state->step++;
        return TV_OK;
    }
    double start = tv_now_seconds();
    TV_TRY(tv_session_step(d->session, state, report));
    d->tokens += report->tokens;
    d->skipped += state->skipped - skipped;
    d->trained += report->tokens;
    if (d->warm) {
        d->warm--;
    } else {
        d->timed_tokens += report->tokens;
        d->timed_seconds += tv_now_seconds() - start;
    }
    state->tokens = tokens; // those of all ranks are added when they meet
    state->skipped = skipped;
    d->loss = report->loss;
    d->grad_norm = report->grad_norm;
    report->tokens = 0;
    return TV_OK;
}

// What a rank tells the others where they meet.
typedef struct told {
    double loss, grad_norm, timed_seconds;
    uint64_t tokens, skipped, timed_tokens;
} told;

static void choose_local_steps(tv_diloco *d, const told *all, uint32_t ranks)
{
    double fastest = 0;
    bool changed = false;
    for (uint32_t r = 0; r < ranks; r++) {
        double speed = (double)all[r].timed_tokens / all[r].timed_seconds;
        d->speeds[r] = d->speeds[r] > 0 ? (d->speeds[r] + speed) / 2 : speed;
        fastest = fmax(fastest, d->speeds[r]);
    }
    for (uint32_t r = 0; r < ranks; r++) {
        double wanted = fmax(1, round((double)d->interval * d->speeds[r] / fastest));
        if (fabs(wanted - (double)d->local_steps[r]) * STEADY_PART <= (double)d->interval)
            continue;
        d->local_steps[r] = (uint64_t)wanted;
        changed = true;
    }
    d->timed_tokens = 0;
    d->timed_seconds = 0;
    if (!changed)
        return;
    tv_text_printf(&d->news,
                   "diloco: steps of each rank in %llu:", (unsigned long long)d->interval);
    for (uint32_t r = 0; r < ranks; r++)
        tv_text_printf(&d->news, " %llu", (unsigned long long)d->local_steps[r]);
    tv_text_puts(&d->news, "\n");
}

// At the end of an interval; the first time as soon as something is known of every rank.
static bool is_time_to_choose(const tv_diloco *d, const told *all, uint32_t ranks, uint64_t step)
{
    const tv_session *s = d->session;
    uint64_t least = (uint64_t)s->seq_len * s->micro_batch;
    bool known = true, first = d->speeds[0] <= 0;
    for (uint32_t r = 0; r < ranks; r++)
        known = known && all[r].timed_tokens >= least * (first ? FIRST_TIMED_STEPS : 1);
    return ranks > 1 && strcmp(s->config->diloco.local_steps, "equal") != 0 && known &&
           (first || step % d->interval == 0);
}

static void add_up(tv_diloco *d, const told *all, uint32_t ranks, tv_train_state *state,
                   tv_step_report *report)
{
    report->loss = report->grad_norm = 0;
    report->tokens = 0;
    for (uint32_t r = 0; r < ranks; r++) {
        report->loss += all[r].loss / ranks;
        report->grad_norm += all[r].grad_norm / ranks;
        report->tokens += all[r].tokens;
        state->skipped += all[r].skipped;
    }
    state->tokens += report->tokens;
    d->tokens = d->skipped = 0;
    if (is_time_to_choose(d, all, ranks, state->step))
        choose_local_steps(d, all, ranks);
}

static tv_err tell(tv_diloco *d, tv_train_state *state, tv_step_report *report)
{
    tv_comm *comm = d->session->comm;
    uint32_t ranks = tv_comm_size(comm);
    told mine = {.loss = d->loss,
                 .grad_norm = d->grad_norm,
                 .timed_seconds = d->timed_seconds,
                 .tokens = d->tokens,
                 .skipped = d->skipped,
                 .timed_tokens = d->timed_tokens};
    told *all = tv_alloc(ranks, sizeof *all);
    tv_err err = tv_comm_gather(comm, &mine, sizeof mine, all);
    if (err == TV_OK)
        add_up(d, all, ranks, state, report);
    tv_free(all);
    return err;
}

tv_err tv_diloco_step(tv_diloco *d, tv_train_state *state, bool meet, tv_step_report *report)
{
    tv_err err = train(d, state, report);
    if (err == TV_OK && d->pending && (state->step >= d->merge_step || state->step == d->last_step))
        err = merge(d, state->step);
    if (!meet && !tv_diloco_is_due(d, state->step))
        return err;
    TV_TRY(tv_comm_agree(d->session->comm, err));
    TV_TRY(tell(d, state, report));
    return send_due(d, state->step);
}

bool tv_diloco_take_news(tv_diloco *d, tv_text *line)
{
    size_t length = d->news.length ? strcspn(d->news.data, "\n") : 0;
    if (!length)
        return false;
    tv_text_append(line, d->news.data, length);
    char *rest = tv_strdup(d->news.data + length + 1);
    tv_text_clear(&d->news);
    tv_text_puts(&d->news, rest);
    tv_free(rest);
    return true;
}

// --------------------------------------------------------------------------- shared parameters

// At shared_step the device holds them already, with nothing on its way.
tv_err tv_diloco_show_shared(tv_diloco *d, uint64_t step)
{
    tv_session *s = d->session;
    const tv_model *model = s->graph->model;
    TV_TRY(settle(d));
    if (step == d->shared_step)
        return TV_OK;
    TV_TRY(tv_weights_read(s->plan, model, 0, model->weight_count, d->kept));
    return tv_weights_write(s->plan, model, 0, model->weight_count, d->shared);
}

tv_err tv_diloco_show_own(tv_diloco *d, uint64_t step)
{
    tv_session *s = d->session;
    const tv_model *model = s->graph->model;
    if (step == d->shared_step)
        return TV_OK;
    return tv_weights_write(s->plan, model, 0, model->weight_count, d->kept);
}

tv_err tv_diloco_validate(tv_diloco *d, uint64_t step, int64_t batches, double *loss)
{
    TV_TRY(tv_diloco_show_shared(d, step));
    TV_TRY(tv_session_validate(d->session, batches, loss));
    return tv_diloco_show_own(d, step);
}
