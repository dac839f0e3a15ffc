// A session: opens what a run needs.
#include "train/session.h"

#include "base/file.h"
#include "base/memory.h"
#include "train/fastest.h"
#include "train/fit.h"
#include "train/ranks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// A synthetic run has no data, but needs a vocabulary.
static tv_err open_data(tv_session *s, bool synthetic)
{
    const tv_config *c = s->config;
    if (synthetic && (c->model.vocab_size != TV_AUTO || c->model.from[0]))
        return TV_OK;
    TV_TRY(tv_tokenizer_open_data(c->data.train, &s->tokenizer));
    if (synthetic)
        return TV_OK;
    TV_TRY(tv_dataset_open(c->data.train, s->seq_len, s->tokenizer, &s->train));
    if (c->data.val[0])
        TV_TRY(tv_dataset_open(c->data.val, s->seq_len, s->tokenizer, &s->val));
    return TV_OK;
}

static tv_err configure_model(tv_session *s, const char *model_folder)
{
    tv_text path = {0};
    if (model_folder)
        tv_path_join(&path, model_folder, "config.json");
    tv_err err = model_folder && !s->config->model.from[0]
                     ? tv_model_config_read(path.data, &s->model_config)
                     : tv_config_model(s->config, path.data, &s->model_config);
    tv_text_finish(&path);
    TV_TRY(err);
    uint32_t vocabulary = s->train       ? tv_dataset_vocab_size(s->train)
                          : s->tokenizer ? (uint32_t)tv_tokenizer_vocab_size(s->tokenizer)
                                         : s->model_config.vocab_size;
    if (s->model_config.vocab_size == 0)
        s->model_config.vocab_size = vocabulary;
    if (s->model_config.vocab_size < vocabulary)
        return tv_fail(TV_EUSAGE,
                       "%s has a vocabulary of %u tokens, the model only %u; prepare the data with "
                       "the model's tokenizer",
                       s->config->data.train, vocabulary, s->model_config.vocab_size);
    return tv_model_config_check(&s->model_config, "model");
}

static void configure_schedule(tv_session *s)
{
    const tv_config *c = s->config;
    s->schedule = (tv_schedule){.lr = c->optimizer.lr,
                                .min_lr = c->lr_scheduler.min_lr,
                                .warmup_steps = (uint64_t)c->lr_scheduler.warmup_steps,
                                .decay_steps = (uint64_t)c->lr_scheduler.decay_steps,
                                .max_steps = (uint64_t)c->trainer.max_steps};
}

static tv_err open_device(tv_session *s)
{
    const char *mask = s->config->mask;
    tv_text which = {0};
    tv_err err = TV_OK;
    if (tv_comm_size(s->comm) == 1)
        err = tv_fastest_device(s->config, &s->model_config, &which);
    if (err == TV_OK && which.length == 0)
        err = tv_ranks_choose_device(s->comm, s->config->device, &which);
    if (err == TV_OK)
        err = tv_device_open(which.data, mask[0] ? mask : NULL, &s->device);
    tv_text_finish(&which);
    return err;
}

// `auto` must mean the same on all ranks: what one device lacks, all do without.
static tv_err choose_precision(tv_session *s, const tv_train_state *resumed)
{
    const tv_device_info *info = tv_device_get_info(s->device);
    tv_caps caps = info->caps;
    bool cpu = info->device_class == TV_CLASS_CPU;
    bool no_storage16 = !caps.storage16, no_bf16 = !caps.bf16, no_f16 = !caps.f16;
    bool *const shared[] = {&cpu, &no_storage16, &no_bf16, &no_f16};
    TV_TRY(tv_moment_dtype_parse(s->config->optimizer.state_precision, &s->moments));
    TV_TRY(tv_precision_parse(s->config->trainer.precision, &s->precision));
    if (s->precision != TV_PRECISION_AUTO)
        return TV_OK;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        TV_TRY(tv_ranks_any(s->comm, shared[i]));
    caps.storage16 = !no_storage16;
    caps.bf16 = !no_bf16;
    caps.f16 = !no_f16;
    tv_precision_choice choice = tv_precision_auto(&caps, cpu ? TV_CLASS_CPU : info->device_class);
    s->precision = resumed ? resumed->precision : choice.precision;
    s->precision_reason = resumed ? "the checkpoint has it" : choice.reason;
    return TV_OK;
}

static tv_err check_weights(const tv_session *s)
{
    const tv_word_doubles *balance = &s->config->trainer.balance;
    uint32_t ranks = tv_comm_size(s->comm);
    if (balance->word || balance->list.count == ranks)
        return TV_OK;
    return tv_fail(TV_EUSAGE, "trainer.balance has %zu weights for %u rank%s; give one for each",
                   balance->list.count, ranks, ranks == 1 ? "" : "s");
}

// What a checkpoint knows of ranks that have not changed since.
static tv_balance_cost known_cost(const tv_train_state *resumed, uint32_t rank,
                                  const tv_balance_rank *now)
{
    bool known = resumed->ranks[rank].micro_batch == now->micro_batch;
    return known ? resumed->ranks[rank].cost : (tv_balance_cost){0};
}

static tv_err open_balance(tv_session *s, const tv_train_state *resumed)
{
    const tv_word_doubles *balance = &s->config->trainer.balance;
    uint32_t ranks = tv_comm_size(s->comm);
    uint32_t *micro_batches = tv_alloc(ranks, sizeof *micro_batches);
    tv_err err = tv_comm_gather(s->comm, &s->micro_batch, sizeof *micro_batches, micro_batches);
    if (err == TV_OK)
        tv_balance_create(&s->balance, ranks, s->global_batch, micro_batches);
    tv_free(micro_batches);
    TV_TRY(err);
    s->balance.follows = balance->word && !tv_fit_equal_shares(s);
    if (!balance->word)
        tv_balance_divide(&s->balance, balance->list.items);
    if (!s->balance.follows || !resumed || resumed->rank_count != ranks)
        return TV_OK;
    for (uint32_t r = 0; r < ranks; r++)
        s->balance.ranks[r].cost = known_cost(resumed, r, &s->balance.ranks[r]);
    tv_balance_deal(&s->balance);
    return TV_OK;
}

static tv_err open_parts(tv_session *s, const tv_session_options *o)
{
    TV_TRY(tv_schedule_parse(s->config->lr_scheduler.name, &s->schedule.kind));
    TV_TRY(check_weights(s));
    tv_stage(o->stages, "opening data", 0, 0);
    TV_TRY(open_data(s, o->synthetic));
    TV_TRY(configure_model(s, o->model_folder));
    tv_stage(o->stages, "opening the device", 0, 0);
    s->device = o->device;
    s->device_is_lent = o->device != NULL;
    return s->device_is_lent ? TV_OK : open_device(s);
}

static tv_err compare_data(const tv_session *s)
{
    char sums[64];
    snprintf(sums, sizeof sums, "%016" PRIx64 "-%016" PRIx64, tv_dataset_checksum(s->train),
             s->val ? tv_dataset_checksum(s->val) : 0);
    return tv_ranks_compare(s->comm, "data", sums);
}

static tv_err open_exchange(tv_session *s)
{
    const tv_config *c = s->config;
    const tv_step_graph *g = s->graph;
    tv_sharded level = g->options.sharded;
    bool bf16 = strcmp(c->trainer.gradient_compression, "bf16") == 0;
    const tv_sections *passes[] = {&g->training, &g->validation};
    tv_powersgd_options powersgd = {.rank = (size_t)c->trainer.powersgd_rank,
                                    .start_step = (uint64_t)c->trainer.powersgd_start_step,
                                    .seed = (uint64_t)c->seed};
    if (level >= TV_SHARDED_GRADIENTS)
        TV_TRY(tv_carrier_create(g->buckets, s->plan, s->comm, passes,
                                 level >= TV_SHARDED_WEIGHTS ? 2 : 1, bf16, &s->carrier));
    if (level == TV_SHARDED_OPTIMIZER || level == TV_SHARDED_GRADIENTS)
        TV_TRY(tv_handout_create(g->buckets, s->plan, s->comm, &s->handout));
    if (s->carrier)
        return TV_OK;
    if (strcmp(c->trainer.gradient_compression, "powersgd") == 0)
        s->powersgd = tv_powersgd_create(g->buckets, tv_comm_behind(s->comm), &powersgd);
    tv_exchange_options options = {
        .scatter = level >= TV_SHARDED_OPTIMIZER, .bf16 = bf16, .powersgd = s->powersgd};
    return tv_exchange_create(g->buckets, s->plan, s->comm, &options, &s->exchange);
}

static tv_err open_all(tv_session *s, const tv_session_options *o)
{
    TV_TRY(tv_comm_agree(s->comm, open_parts(s, o)));
    if (!o->synthetic)
        TV_TRY(compare_data(s));
    TV_TRY(tv_ranks_compare_devices(s->comm, tv_device_get_info(s->device), o->share_device));
    tv_stage(o->stages, "planning", 0, 0);
    TV_TRY(choose_precision(s, o->resumed));
    s->shares = tv_alloc(tv_comm_size(s->comm), sizeof *s->shares);
    TV_TRY(tv_strategy_choose(s->comm, s->config->trainer.strategy, tv_device_get_info(s->device),
                              &s->strategy, &s->strategy_reason, s->shares));
    TV_TRY(tv_comm_agree(s->comm, tv_fit_micro_batch(s, o->micro_batch)));
    TV_TRY(open_balance(s, o->resumed));
    s->graph = tv_fit_build(s);
    TV_TRY(tv_plan_create_in_stages(s->graph->graph, s->device, o->stages, &s->plan));
    size_t tokens = (size_t)s->global_batch * s->seq_len;
    s->ids = tv_alloc(tokens, sizeof *s->ids);
    s->targets = tv_alloc(tokens, sizeof *s->targets);
    s->samples = tv_alloc(s->global_batch, sizeof *s->samples);
    s->apart = s->apart || s->alone;
    return s->graph->buckets && !s->alone ? open_exchange(s) : TV_OK;
}

tv_err tv_session_open(const tv_config *config, const tv_session_options *options,
                       tv_session *session)
{
    *session = (tv_session){.config = config,
                            .comm = options->comm,
                            .global_batch = (uint32_t)config->trainer.global_batch_size,
                            .seq_len = (uint32_t)config->data.seq_len,
                            .apart = tv_config_is_diloco(config),
                            .alone = options->alone};
    configure_schedule(session);
    tv_err err = open_all(session, options);
    if (err != TV_OK)
        tv_session_close(session);
    return err;
}

void tv_session_close(tv_session *session)
{
    tv_exchange_destroy(&session->exchange);
    tv_carrier_destroy(&session->carrier);
    tv_handout_destroy(&session->handout);
    tv_powersgd_destroy(&session->powersgd);
    tv_balance_destroy(&session->balance);
    tv_plan_destroy(&session->plan);
    tv_step_graph_destroy(&session->graph);
    if (!session->device_is_lent)
        tv_device_close(&session->device);
    tv_dataset_close(&session->train);
    tv_dataset_close(&session->val);
    tv_tokenizer_destroy(&session->tokenizer);
    tv_free(session->ids);
    tv_free(session->targets);
    tv_free(session->samples);
    tv_free(session->shares);
    *session = (tv_session){0};
}

void tv_session_enter(const tv_session *session, tv_train_state *state)
{
    bool scaled = tv_precision_get_info(session->precision)->scaled;
    bool was_scaled = tv_precision_get_info(state->precision)->scaled;
    if (!scaled)
        state->loss_scale = (tv_loss_scale){.value = 1};
    else if (!was_scaled)
        state->loss_scale = (tv_loss_scale){.value = session->config->trainer.loss_scale};
    state->precision = session->precision;
    state->moments = session->moments;
    state->micro_batch = session->micro_batch;
    state->global_batch = session->global_batch;
    state->seq_len = session->seq_len;
    state->seed = (uint64_t)session->config->seed;
}

void tv_session_note_ranks(const tv_session *session, tv_train_state *state)
{
    const tv_balance *balance = &session->balance;
    bool noted = balance->count > 1 && balance->count <= TV_LIST_MAX;
    state->rank_count = noted ? balance->count : 0;
    for (uint32_t r = 0; r < state->rank_count; r++) {
        const tv_balance_rank *rank = &balance->ranks[r];
        state->ranks[r] = (tv_rank_state){.micro_batch = rank->micro_batch};
        if (balance->follows)
            state->ranks[r].cost = rank->cost;
    }
}

tv_checkpoint_parts tv_session_parts(const tv_session *session)
{
    return (tv_checkpoint_parts){
        .plan = session->plan,
        .collect = {.comm = session->comm,
                    .plan = session->plan,
                    .graph = session->graph->graph,
                    .powersgd = session->powersgd},
        .model = session->graph->model,
        .moments = {session->graph->first_moments, session->graph->second_moments},
        .tokenizer = session->tokenizer};
}
