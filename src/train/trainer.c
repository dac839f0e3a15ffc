// The trainer: the order of events of a run. What each event does stands in its own file.
#include "train/trainer.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/stop.h"
#include "report/plot.h"
#include "report/progress.h"
#include "train/checkpoint.h"
#include "train/diloco.h"
#include "train/rank_table.h"
#include "train/ranks.h"
#include "train/replicas.h"
#include "train/run_dir.h"
#include "train/run_log.h"
#include "train/session.h"
#include "train/startup.h"

#include <stdio.h>
#include <string.h>

typedef struct trainer {
    const tv_config *config;
    tv_comm *comm;
    bool writes, share_device; // writes: rank 0, which alone has loggers, log and history
    tv_session session;
    tv_diloco *diloco; // NULL: ranks meet in every step
    tv_train_state state;
    tv_loggers *loggers;
    tv_progress *progress;
    tv_startup startup;
    tv_run_log *log;
    tv_metrics *history; // all metric lines, for the plot
    size_t history_count, history_capacity;
    double window_start; // since the last metric line
    uint64_t window_tokens, window_steps;
    uint64_t saved_step, validated_step, plotted_lines;
    uint64_t sent; // bytes in a step, as logged last
} trainer;

// --------------------------------------------------------------------------------------- start

static tv_err save_config(const trainer *t)
{
    tv_text path = {0}, text = {0};
    tv_config_print(t->config, false, &text);
    tv_err err = tv_file_write(tv_path_join(&path, t->config->run_dir, "config.yaml"), text.data,
                               text.length);
    tv_text_finish(&path);
    tv_text_finish(&text);
    return err;
}

static void report_shares(const trainer *t, const char *when)
{
    tv_text shares = {0};
    tv_balance_describe(&t->session.balance, t->session.seq_len, &shares);
    if (tv_comm_size(t->comm) > 1)
        tv_run_log_line(t->log, "balance: %s: %s", when, shares.data);
    tv_text_finish(&shares);
}

// What a step sends, where it is not what the one before it did.
static void report_sent(trainer *t)
{
    const tv_session *s = &t->session;
    if (!t->log || (!s->exchange && !s->carrier) || s->sent == t->sent)
        return;
    double formula = s->exchange ? tv_exchange_bytes(s->exchange) : 0;
    formula += s->carrier ? tv_carrier_bytes(s->carrier) : 0;
    formula += s->handout ? tv_handout_bytes(s->handout) : 0;
    t->sent = s->sent;
    tv_run_log_line(t->log, "traffic: step %llu: %.4g MB sent (formula %.4g)",
                    (unsigned long long)t->state.step, (double)t->sent / 1e6, formula / 1e6);
}

static void report_powersgd(const trainer *t)
{
    tv_text line = {0};
    if (t->session.powersgd) {
        tv_powersgd_describe(t->session.powersgd, &line);
        tv_run_log_line(t->log, "powersgd: %s", line.data);
    }
    tv_text_finish(&line);
}

static void report_start(trainer *t)
{
    const tv_device_info *info = tv_device_get_info(t->session.device);
    const tv_plan_memory *memory = tv_plan_get_memory(t->session.plan);
    const tv_model *model = t->session.graph->model;
    const tv_precision_info *precision = tv_precision_get_info(t->session.precision);
    const char *reason = t->session.precision_reason;
    char weights[32], masters[64] = "", gradients[32], optimizer[32], activations[32], total[32];
    char host[64] = "";
    tv_format_bytes(memory->bytes[TV_WEIGHT], weights);
    if (memory->bytes[TV_MASTER]) {
        snprintf(masters, sizeof masters, ", master weights ");
        tv_format_bytes(memory->bytes[TV_MASTER], masters + strlen(masters));
    }
    tv_format_bytes(memory->bytes[TV_GRADIENT], gradients);
    tv_format_bytes(memory->bytes[TV_OPTIMIZER], optimizer);
    tv_format_bytes(memory->bytes[TV_ACTIVATION], activations);
    tv_format_bytes(memory->total, total);
    if (memory->host) {
        snprintf(host, sizeof host, "; in the host's memory ");
        tv_format_bytes(memory->host, host + strlen(host));
    }
    tv_run_log_line(t->log, "device: %s (%s, %s)%s", info->name, info->backend, info->driver,
                    info->device_class == TV_CLASS_CPU ? " - a CPU: no GPU was found or chosen"
                                                       : "");
    tv_run_log_line(t->log, "model: %s, %llu parameters, vocabulary %u",
                    tv_model_type_name(model->config.type),
                    (unsigned long long)tv_model_parameters(model), model->config.vocab_size);
    tv_run_log_line(t->log, "precision: %s%s%s: %s", precision->name,
                    reason ? ", chosen because " : "", reason ? reason : "", precision->stored);
    tv_run_log_line(t->log,
                    "memory: weights %s%s, gradients %s, optimizer %s, activations %s; %s in all%s",
                    weights, masters, gradients, optimizer, activations, total, host);
    tv_run_log_line(t->log, "batch: %u sequences of %u tokens, %u at a time",
                    t->session.global_batch, t->session.seq_len, t->session.micro_batch);
    if (tv_comm_size(t->comm) > 1)
        tv_run_log_line(t->log, "ranks: %u, strategy %s%s%s", tv_comm_size(t->comm),
                        tv_strategy_name(t->session.strategy),
                        t->session.strategy_reason ? ", chosen because " : "",
                        t->session.strategy_reason ? t->session.strategy_reason : "");
    report_shares(t, "at first");
    report_powersgd(t);
    tv_text line = {0};
    tv_startup_summarize(&t->startup, &line);
    tv_run_log_line(t->log, "%s", line.data);
    tv_text_finish(&line);
}

// Warns where a resumed run would not be the same run.
static void compare_state(const trainer *t, const tv_train_state *old)
{
    if (old->seed != (uint64_t)t->config->seed || old->seq_len != t->session.seq_len ||
        old->global_batch != t->session.global_batch)
        tv_warn("seed, data.seq_len or trainer.global_batch_size differ from the checkpoint's: the "
                "data will come in another order than before");
    if (old->precision != t->session.precision || old->moments != t->session.moments)
        tv_warn("the checkpoint was trained in %s (optimizer.state_precision %s), this run goes on "
                "in %s (%s): weights and optimizer state are converted",
                tv_precision_get_info(old->precision)->name, tv_moment_dtype_name(old->moments),
                tv_precision_get_info(t->session.precision)->name,
                tv_moment_dtype_name(t->session.moments));
}

static tv_err read_history(trainer *t)
{
    tv_text path = {0};
    tv_path_join(&path, t->config->run_dir, "metrics.jsonl");
    tv_err err = TV_OK;
    if (tv_path_exists(path.data))
        err = tv_metrics_read(path.data, &t->history, &t->history_count);
    t->history_capacity = t->history_count;
    tv_text_finish(&path);
    return err;
}

// Weights: of the checkpoint, of model.from, or fresh ones.
static tv_err set_weights(trainer *t, const char *folder, bool resumed)
{
    tv_checkpoint_parts parts = tv_session_parts(&t->session);
    if (resumed)
        return tv_checkpoint_load(folder, &parts);
    TV_TRY(tv_moments_clear(parts.plan, parts.model, &parts.moments));
    if (!folder)
        return tv_weights_init(parts.plan, parts.model, (uint64_t)t->config->seed);
    tv_text path = {0};
    tv_err err =
        tv_weights_load(parts.plan, parts.model, tv_path_join(&path, folder, "model.safetensors"));
    tv_text_finish(&path);
    return err;
}

// The micro-batch as configured; that of the checkpoint, where it keeps every rank busy; or 0.
// As many ranks as before keep one each.
static uint32_t wanted_micro_batch(const trainer *t)
{
    const tv_config *c = t->config;
    uint32_t before = t->state.micro_batch;
    if (c->trainer.micro_batch_size != TV_AUTO)
        return (uint32_t)c->trainer.micro_batch_size;
    bool same = t->state.global_batch == c->trainer.global_batch_size;
    if (same && t->state.rank_count > 1 && t->state.rank_count == tv_comm_size(t->comm))
        return t->state.ranks[tv_comm_rank(t->comm)].micro_batch;
    return same && before <= t->state.global_batch / tv_comm_size(t->comm) ? before : 0;
}

// The files of the run.
static tv_err open_records(trainer *t, const char *folder, bool resumed)
{
    const tv_config *c = t->config;
    TV_TRY(tv_make_dirs(c->run_dir));
    TV_TRY(tv_run_log_open(c->run_dir, &t->log));
    TV_TRY(tv_loggers_create(c->run_dir, c->loggers.items, c->loggers.count,
                             resumed ? &t->state.logs : NULL, &t->loggers));
    if (resumed) {
        TV_TRY(read_history(t));
        tv_run_log_line(t->log, "resumed from %s at step %llu", folder,
                        (unsigned long long)t->state.step);
    }
    TV_TRY(save_config(t));
    report_start(t);
    return TV_OK;
}

// Collective, once all ranks have started.
static tv_err report_ranks(const trainer *t)
{
    uint32_t rank = tv_comm_rank(t->comm);
    if (tv_comm_size(t->comm) == 1)
        return TV_OK;
    return tv_rank_table_print(t->comm, t->session.device,
                               tv_precision_get_info(t->session.precision)->name,
                               t->session.balance.ranks[rank].share, t->log);
}

static tv_err start(trainer *t, const char *folder, bool resumed)
{
    const tv_config *c = t->config;
    if (resumed)
        TV_TRY(tv_checkpoint_read_state(folder, &t->state));
    t->progress = tv_progress_create(t->state.step, (uint64_t)c->trainer.max_steps,
                                     c->trainer.enable_progress_bar);
    tv_startup_begin(&t->startup, t->progress);
    tv_session_options options = {.model_folder = folder,
                                  .micro_batch = wanted_micro_batch(t),
                                  .resumed = resumed ? &t->state : NULL,
                                  .comm = t->comm,
                                  .share_device = t->share_device,
                                  .stages = &t->startup.stages};
    TV_TRY(tv_session_open(c, &options, &t->session));
    tv_stage(&t->startup.stages, "setting weights", 0, 0);
    TV_TRY(set_weights(t, folder, resumed));
    if (resumed)
        compare_state(t, &t->state);
    tv_session_enter(&t->session, &t->state);
    if (t->session.apart)
        TV_TRY(tv_diloco_open(&t->session, resumed ? folder : NULL, &t->state, &t->diloco));
    t->saved_step = resumed ? t->state.step : UINT64_MAX;
    return t->writes ? open_records(t, folder, resumed) : TV_OK;
}

// -------------------------------------------------------------------------------------- events

static tv_err log_metrics(trainer *t, const tv_metrics *metrics)
{
    if (!t->writes)
        return TV_OK;
    TV_RESERVE(t->history, t->history_capacity, t->history_count + 1);
    t->history[t->history_count++] = *metrics;
    tv_progress_update(t->progress, metrics);
    return tv_loggers_write(t->loggers, metrics);
}

static double shown_scale(const trainer *t, const tv_step_report *report)
{
    return tv_precision_get_info(t->session.precision)->scaled ? report->loss_scale : NAN;
}

// The line of a step; speeds are those since the last line.
static tv_metrics step_metrics(trainer *t, const tv_step_report *report)
{
    double now = tv_now_seconds(), seconds = now - t->window_start;
    tv_metrics m = tv_metrics_none(t->state.step);
    m.loss = report->loss;
    m.lr = report->lr;
    m.grad_norm = report->grad_norm;
    m.tokens = t->state.tokens;
    m.skipped = t->state.skipped;
    m.loss_scale = shown_scale(t, report);
    m.tokens_per_s = (double)t->window_tokens / seconds;
    m.flops_per_s =
        m.tokens_per_s * tv_model_flops_per_token(t->session.graph->model, t->session.seq_len);
    m.step_ms = 1e3 * seconds / (double)t->window_steps;
    t->window_start = now;
    t->window_tokens = t->window_steps = 0;
    return m;
}

static tv_err plot(trainer *t)
{
    if (t->plotted_lines == t->history_count)
        return TV_OK;
    t->plotted_lines = t->history_count;
    tv_text path = {0};
    const char *name = tv_path_base(t->config->run_dir);
    tv_plot_run run = {name, t->history, t->history_count};
    tv_err err = tv_plot_write(tv_path_join(&path, t->config->run_dir, "loss.png"), name, &run, 1);
    tv_text_finish(&path);
    return err == TV_EDATA ? TV_OK : err; // nothing finite to draw yet
}

static tv_err validate(trainer *t)
{
    if (!t->session.val || t->validated_step == t->state.step)
        return TV_OK;
    double start = tv_now_seconds();
    tv_metrics m = tv_metrics_none(t->state.step);
    int64_t batches = t->config->trainer.limit_val_batches;
    TV_TRY(t->diloco ? tv_diloco_validate(t->diloco, t->state.step, batches, &m.val_loss)
                     : tv_session_validate(&t->session, batches, &m.val_loss));
    m.tokens = t->state.tokens;
    m.skipped = t->state.skipped;
    t->validated_step = t->state.step;
    t->window_start += tv_now_seconds() - start; // no training time
    TV_TRY(log_metrics(t, &m));
    return plot(t);
}

// Every rank takes part, since rank 0 may not hold everything.
static tv_err save_checkpoint(trainer *t)
{
    tv_checkpoint_parts parts = tv_session_parts(&t->session);
    if (t->writes)
        t->state.logs = tv_loggers_sizes(t->loggers);
    tv_session_note_ranks(&t->session, &t->state);
    if (t->diloco)
        return tv_diloco_save(t->diloco, t->config->run_dir, &t->state);
    if (!t->writes)
        return tv_collect_serve(&parts.collect);
    tv_err err = tv_checkpoint_save(t->config->run_dir, &parts, &t->state);
    if (err == TV_OK)
        return tv_collect_end(&parts.collect);
    tv_kept_error kept = {.err = TV_OK};
    tv_error_keep(&kept, err);
    tv_collect_end(&parts.collect); // the others need not wait any longer
    return tv_error_tell(&kept);
}

static tv_err save(trainer *t)
{
    if (t->saved_step == t->state.step)
        return TV_OK;
    double start = tv_now_seconds();
    TV_TRY(save_checkpoint(t));
    t->saved_step = t->state.step;
    if (!t->writes)
        return TV_OK;
    TV_TRY(tv_checkpoints_prune(t->config->run_dir, t->state.step,
                                (uint64_t)t->config->trainer.keep_checkpoints));
    t->window_start += tv_now_seconds() - start;
    return plot(t);
}

static tv_err check_finite(const trainer *t, const tv_step_report *report)
{
    if (report->finite)
        return TV_OK;
    if (t->state.skipped_in_a_row == 0) { // the loss scale was too high; nothing is wrong
        tv_info("step %llu skipped: the gradients overflow at a loss scale of %.10g; it is now "
                "%.10g",
                (unsigned long long)t->state.step, report->loss_scale, t->state.loss_scale.value);
        return TV_OK;
    }
    tv_warn("step %llu skipped: loss %g, gradient norm %g", (unsigned long long)t->state.step,
            report->loss, report->grad_norm);
    if (t->state.skipped_in_a_row > (uint64_t)t->config->trainer.max_nonfinite_steps)
        return tv_fail(TV_EDATA,
                       "%llu steps in a row were not finite (trainer.max_nonfinite_steps); lower "
                       "optimizer.lr or start from an older checkpoint",
                       (unsigned long long)t->state.skipped_in_a_row);
    return TV_OK;
}

static bool is_due(uint64_t step, int64_t interval)
{
    return interval > 0 && step % (uint64_t)interval == 0;
}

// Whether something is due behind that step that all ranks have a part in. Else they meet in the
// middle of the next one, so that none waits for the slowest update.
static bool is_meeting(const trainer *t, uint64_t step)
{
    const tv_config *c = t->config;
    bool apart = t->diloco != NULL;
    if (apart && (is_due(step, c->trainer.log_every_n_steps) || step == 1))
        return true;
    if (!apart && (is_due(step, c->trainer.check_replicas_every_n_steps) || t->session.stop))
        return true;
    return is_due(step, c->trainer.val_check_interval) ||
           is_due(step, c->trainer.checkpoint_every_n_steps) ||
           step == (uint64_t)c->trainer.max_steps;
}

static tv_err take_step(trainer *t, tv_step_report *report)
{
    tv_text line = {0};
    if (!t->diloco)
        return tv_session_step(&t->session, &t->state, report);
    bool meet = is_meeting(t, t->state.step + 1);
    tv_err err = tv_diloco_step(t->diloco, &t->state, meet, report);
    while (tv_diloco_take_news(t->diloco, &line)) {
        if (t->log)
            tv_run_log_line(t->log, "%s", line.data);
        tv_text_clear(&line);
    }
    tv_text_finish(&line);
    return err;
}

static tv_err check_replicas(trainer *t)
{
    tv_text news = {0};
    bool resync = strcmp(t->config->trainer.on_replica_mismatch, "resync") == 0;
    tv_err err = tv_replicas_check(&t->session, t->state.step, resync, &news);
    if (err == TV_OK && news.length && t->log)
        tv_run_log_line(t->log, "%s", news.data);
    tv_text_finish(&news);
    return err;
}

static tv_err one_step(trainer *t)
{
    const tv_config *c = t->config;
    tv_step_report report;
    double start = tv_now_seconds();
    TV_TRY(take_step(t, &report));
    t->state.seconds += tv_now_seconds() - start;
    t->window_tokens += report.tokens;
    t->window_steps++;
    uint64_t step = t->state.step;
    tv_metrics shown = tv_metrics_none(step);
    shown.loss = report.loss;
    shown.lr = report.lr;
    shown.loss_scale = shown_scale(t, &report);
    tv_progress_update(t->progress, &shown);
    bool last = step == (uint64_t)c->trainer.max_steps;
    report_sent(t);
    TV_TRY(check_finite(t, &report));
    if (t->writes && t->session.rebalanced) {
        char when[32];
        snprintf(when, sizeof when, "step %llu", (unsigned long long)step);
        report_shares(t, when);
    }
    if (is_due(step, c->trainer.check_replicas_every_n_steps))
        TV_TRY(check_replicas(t));
    if (is_due(step, c->trainer.log_every_n_steps) || step == 1 || last) {
        tv_metrics metrics = step_metrics(t, &report);
        TV_TRY(log_metrics(t, &metrics));
    }
    if (is_due(step, c->trainer.val_check_interval) || last)
        TV_TRY(validate(t));
    if (is_due(step, c->trainer.checkpoint_every_n_steps) || last)
        TV_TRY(save(t));
    bool drifts = tv_fault_strike(tv_comm_rank(t->comm), step);
    return drifts ? tv_replicas_damage(&t->session) : TV_OK;
}

// Whether the ranks were asked to stop by the time they met.
static tv_err find_stop(trainer *t, bool *stop)
{
    *stop = t->session.stop;
    if (!t->diloco)
        return TV_OK;
    *stop = tv_stop_requested();
    return tv_ranks_any(t->comm, stop);
}

static tv_err run(trainer *t)
{
    tv_progress_stage(t->progress, "first step", 0, 0);
    t->window_start = tv_now_seconds();
    t->validated_step = UINT64_MAX;
    while (t->state.step < (uint64_t)t->config->trainer.max_steps) {
        uint64_t step = t->state.step + 1;
        tv_err err = one_step(t);
        bool meet = is_meeting(t, step) || (t->diloco && tv_diloco_is_due(t->diloco, step));
        if (err == TV_OK && !meet)
            continue; // without a word to the other ranks
        if (!meet && !t->diloco)
            return tv_session_give_up(&t->session, step, err);
        TV_TRY(tv_comm_agree(t->comm, err));
        bool stop;
        TV_TRY(find_stop(t, &stop));
        if (!stop)
            continue;
        TV_TRY(tv_comm_agree(t->comm, save(t)));
        return tv_fail(TV_ESTOP, "stopped on request at step %llu; the checkpoint is saved",
                       (unsigned long long)t->state.step);
    }
    return TV_OK;
}

static void finish(trainer *t, tv_err err)
{
    tv_kept_error kept = {.err = TV_OK};
    tv_error_keep(&kept, err); // closing must not replace it
    if (t->progress)
        tv_progress_finish(t->progress);
    if (t->log && err == TV_OK)
        tv_run_log_line(t->log, "done: %llu steps, %llu tokens in %.0f s; see %s/loss.png",
                        (unsigned long long)t->state.step, (unsigned long long)t->state.tokens,
                        t->state.seconds, t->config->run_dir);
    tv_progress_destroy(&t->progress);
    tv_loggers_destroy(&t->loggers);
    tv_run_log_close(&t->log);
    tv_diloco_close(&t->diloco);
    tv_session_close(&t->session);
    tv_free(t->history);
    tv_error_tell(&kept);
}

// ------------------------------------------------------------------------------------ the run

// Where to start from: *folder is NULL for fresh weights.
static tv_err find_start(const tv_config *config, const char *resume, tv_text *folder,
                         bool *resumed)
{
    *resumed = false;
    if (resume && strcmp(resume, "auto") == 0)
        TV_TRY(tv_checkpoint_newest(config->run_dir, folder, resumed));
    else if (resume) {
        TV_TRY(tv_model_folder(resume, folder));
        if (tv_run_has_checkpoints(config->run_dir) && !tv_run_holds(config->run_dir, folder->data))
            return tv_fail(TV_EUSAGE, "%s holds another run than %s; choose another run_dir",
                           config->run_dir, resume);
        *resumed = true;
    } else if (tv_run_has_checkpoints(config->run_dir)) {
        return tv_fail(TV_EUSAGE,
                       "%s holds a run already; --resume auto continues it, another run_dir starts "
                       "a new one",
                       config->run_dir);
    }
    if (*resumed)
        return TV_OK;
    tv_text_clear(folder);
    return config->model.from[0] ? tv_model_folder(config->model.from, folder) : TV_OK;
}

// Rank 0 finds it, so that all start from the same one. *resumed must be false.
static tv_err agree_on_start(const trainer *t, const char *resume, tv_text *folder, bool *resumed)
{
    tv_err err = t->writes ? find_start(t->config, resume, folder, resumed) : TV_OK;
    TV_TRY(tv_comm_agree(t->comm, err));
    TV_TRY(tv_ranks_any(t->comm, resumed));
    return tv_ranks_send_text(t->comm, folder);
}

tv_err tv_train(const tv_config *config, const tv_train_options *options)
{
    trainer t = {.config = config,
                 .comm = options->comm,
                 .writes = tv_comm_rank(options->comm) == 0,
                 .share_device = options->share_device};
    tv_text folder = {0};
    bool resumed = false;
    TV_TRY(tv_ranks_compare_setup(t.comm, config));
    tv_err err = agree_on_start(&t, options->resume, &folder, &resumed);
    if (err == TV_OK) {
        err = tv_comm_agree(t.comm, start(&t, folder.length ? folder.data : NULL, resumed));
        if (err == TV_OK)
            err = report_ranks(&t);
        if (err == TV_OK)
            err = run(&t);
        finish(&t, err);
    }
    tv_text_finish(&folder);
    return err;
}
