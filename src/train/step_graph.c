// The graph of training: phases over one set of weights.
#include "train/step_graph.h"

#include "device/device.h"
#include "graph/grad.h"
#include "graph/offload.h"
#include "graph/ops.h"

#include <stdio.h>

static const uint64_t LOGIT_BYTES = 64ull << 20, LOGIT_BYTES_MOST = 1ull << 30;

// A wide device needs many rows to be busy, and each chunk adds to the whole gradient of the head.
uint64_t tv_logit_bytes(const tv_device_info *info)
{
    uint64_t share = info->device_class == TV_CLASS_CPU ? 0 : info->caps.memory / 64;
    return tv_max_size(LOGIT_BYTES, tv_min_size(share, LOGIT_BYTES_MOST));
}

// How many of `rows` rows of logits there are at a time: chunks of one size.
static uint32_t loss_chunk(uint32_t vocab_size, uint64_t bytes, uint32_t rows)
{
    uint64_t most = (bytes ? bytes : LOGIT_BYTES) / 4 / (vocab_size + 64ull);
    uint64_t chunks = tv_div_up(rows, tv_max_size(most / 64 * 64, 64));
    return (uint32_t)tv_align_up(tv_div_up(rows, chunks), 64);
}

static tv_tensor *feed(tv_step_graph *s, uint32_t count, const char *name)
{
    return tv_graph_tensor(s->graph, TV_FEED, TV_U32, 1, count, name);
}

static void declare_inputs(tv_step_graph *s)
{
    uint32_t rows = s->options.batch * s->options.time;
    s->ids = feed(s, rows, "ids");
    s->targets = feed(s, rows, "targets");
    s->step = feed(s, TV_STEP_WORDS, "step");
    s->loss_sum = tv_graph_tensor(s->graph, TV_RESULT, TV_F32, 1, 1, "loss_sum");
    if (!s->options.update)
        return;
    s->order = feed(s, rows, "order");
    s->samples = feed(s, s->options.batch, "samples");
    s->stat = tv_graph_tensor(s->graph, TV_RESULT, TV_F32, 1, TV_STAT_WORDS, "stat");
}

static void declare_masters(tv_step_graph *s)
{
    for (size_t i = 0; i < s->model->weight_count; i++) {
        tv_tensor *w = s->model->weights[i];
        char name[160];
        snprintf(name, sizeof name, "master.%s", w->name);
        w->master = tv_graph_tensor(s->graph, TV_MASTER, TV_F32, w->rows, w->columns, name);
        w->master->rank = w->rank;
        w->master->on_host = s->options.offload_optimizer;
    }
}

static tv_tensor *declare_moment(tv_step_graph *s, const tv_tensor *w, const char *prefix,
                                 uint32_t rank)
{
    char name[160];
    snprintf(name, sizeof name, "%s.%s", prefix, w->name);
    tv_tensor *moment =
        tv_graph_tensor(s->graph, TV_OPTIMIZER, s->options.moments, w->rows, w->columns, name);
    moment->rank = rank;
    moment->on_host = s->options.offload_optimizer;
    return moment;
}

// All first moments lie before all second ones, each in the order of the weights.
static void declare_moments(tv_step_graph *s)
{
    size_t count = s->model->weight_count;
    s->first_moments = tv_arena_alloc(&s->graph->arena, count, sizeof *s->first_moments);
    s->second_moments = tv_arena_alloc(&s->graph->arena, count, sizeof *s->second_moments);
    for (size_t i = 0; i < count; i++) {
        const tv_tensor *w = s->model->weights[i];
        s->first_moments[i] = declare_moment(s, w, "exp_avg", w->rank);
        s->second_moments[i] = declare_moment(s, w, "exp_avg_sq", TV_WEIGHT_RANKS + w->rank);
    }
}

static void add_pass(tv_step_graph *s, bool backward, bool accumulate)
{
    tv_model_inputs inputs = {.batch = s->options.batch,
                              .time = s->options.time,
                              .ids = s->ids,
                              .order = backward ? s->order : NULL,
                              .step = s->step,
                              .samples = backward ? s->samples : NULL};
    tv_tensor *hidden = tv_model_forward(s->model, &inputs);
    uint32_t chunk = loss_chunk(s->model->config.vocab_size, s->options.logit_bytes,
                                s->options.batch * s->options.time);
    tv_tensor *loss = tv_linear_cross_entropy(s->graph, hidden, s->model->head, s->targets, s->step,
                                              chunk, backward);
    tv_reduce_sum_into(s->graph, loss, s->loss_sum, accumulate);
    if (!backward)
        return;
    size_t first = s->graph->node_count;
    tv_graph_backward(s->graph, loss, NULL);
    tv_graph_recompute(s->graph, first, s->options.recompute);
    if (s->options.offload_activations)
        tv_graph_offload(s->graph, first);
}

// The weights' numbers in the order in which they lie in memory, so that what is done to one after
// the other becomes one launch; the caller frees it.
static size_t *placed_order(const tv_model *model)
{
    size_t *order = tv_alloc(model->weight_count, sizeof *order), count = 0;
    for (uint32_t rank = 0; rank < TV_WEIGHT_RANKS; rank++)
        for (size_t i = 0; i < model->weight_count; i++)
            if (model->weights[i]->rank == rank)
                order[count++] = i;
    return order;
}

static void add_zero(tv_step_graph *s, const size_t *order)
{
    tv_fill(s->graph, s->loss_sum, 0);
    for (size_t i = 0; i < s->model->weight_count && s->options.sharded < TV_SHARDED_GRADIENTS; i++)
        tv_fill(s->graph, s->model->weights[order[i]]->gradient, 0);
}

static void add_norm(tv_step_graph *s, const size_t *order)
{
    size_t count = s->model->weight_count;
    tv_tensor **gradients = tv_alloc(count, sizeof *gradients);
    tv_tensor **moments = tv_alloc(count, sizeof *moments);
    for (size_t i = 0; i < count; i++) {
        gradients[i] = s->model->weights[order[i]]->gradient;
        moments[i] = s->first_moments[order[i]];
    }
    if (s->options.sharded)
        tv_grad_sumsq(s->graph, gradients, moments, count, s->square_sum);
    else
        tv_grad_norm(s->graph, gradients, count, s->step, s->stat);
    tv_free(gradients);
    tv_free(moments);
}

static void add_update(tv_step_graph *s, const size_t *order)
{
    const tv_step_options *o = &s->options;
    uint64_t fours = 0;
    add_norm(s, order);
    if (o->sharded) {
        s->norm = s->update;
        s->update = tv_graph_new_phase(s->graph);
        tv_grad_norm_of(s->graph, s->square_total, s->step, s->stat);
    }
    for (size_t i = 0; i < s->model->weight_count; i++) {
        tv_tensor *w = s->model->weights[order[i]];
        tv_attrs attrs = {.beta1 = o->beta1,
                          .beta2 = o->beta2,
                          .epsilon = o->epsilon,
                          .site = (uint32_t)fours,
                          .weight_decay = w->weight->matrix ? o->weight_decay : 0};
        tv_adamw(s->graph, w, s->first_moments[order[i]], s->second_moments[order[i]], s->stat,
                 s->step, &attrs);
        fours += tv_div_up(tv_tensor_count(w), 4);
    }
}

static const tv_sharding *make_sharding(tv_step_graph *s, const tv_tensor *whole,
                                        const uint64_t *cuts)
{
    uint32_t rank = s->options.rank;
    tv_sharding *sharding = tv_arena_alloc(&s->graph->arena, 1, sizeof *sharding);
    *sharding = (tv_sharding){.ranks = s->options.ranks, .cuts = cuts, .first = cuts[rank]};
    uint64_t count = cuts[rank + 1] - cuts[rank];
    if (count == 0)
        return sharding;
    sharding->held =
        tv_graph_tensor(s->graph, whole->kind, whole->dtype, 1, (uint32_t)count, whole->name);
    sharding->held->rank = whole->rank;
    sharding->held->on_host = whole->on_host;
    return sharding;
}

// What this rank owns of masters and moments, and of gradients and weights where these are sharded,
// instead of all of them.
static void shard_state(tv_step_graph *s, const size_t *order)
{
    tv_sharded level = s->options.sharded;
    if (!level)
        return;
    for (size_t i = 0; i < s->model->weight_count; i++) {
        tv_tensor *w = s->model->weights[order[i]];
        uint64_t *cuts =
            tv_arena_alloc(&s->graph->arena, (size_t)s->options.ranks + 1, sizeof *cuts);
        tv_tensor *whole[] = {w->master, s->first_moments[order[i]], s->second_moments[order[i]],
                              level >= TV_SHARDED_GRADIENTS ? w->gradient : NULL,
                              level >= TV_SHARDED_WEIGHTS ? w : NULL};
        tv_buckets_cut(s->buckets, w, cuts);
        for (size_t k = 0; k < sizeof whole / sizeof *whole; k++)
            if (whole[k])
                whole[k]->sharding = make_sharding(s, whole[k], cuts);
    }
    s->square_sum = tv_graph_tensor(s->graph, TV_RESULT, TV_F32, 1, 1, "square_sum");
    s->square_total = tv_graph_tensor(s->graph, TV_FEED, TV_F32, 1, 1, "square_total");
}

static void add_buckets(tv_step_graph *s)
{
    const tv_step_options *o = &s->options;
    tv_tensor *const *weights = s->model->weights;
    size_t count = s->model->weight_count;
    if (o->ranks < 2)
        return;
    uint32_t phases[TV_PASSES] = {s->first, o->single ? s->first : s->micro, s->zero};
    double *shares = tv_alloc(o->ranks, sizeof *shares);
    for (uint32_t r = 0; r < o->ranks; r++)
        shares[r] = o->shares ? o->shares[r] : 1;
    s->buckets = o->sharded >= TV_SHARDED_GRADIENTS
                     ? tv_buckets_of_units(weights, count, shares, o->ranks)
                     : tv_buckets_create(s->graph, weights, count, phases, TV_PASSES,
                                         o->bucket_bytes, shares, o->ranks);
    tv_free(shares);
}

// Forward and backward passes, in which weights and gradients are whole.
static void add_passes(tv_step_graph *s, const size_t *order)
{
    s->first = tv_graph_new_phase(s->graph);
    tv_graph_fresh_gradients(s->graph);
    add_pass(s, true, false);
    if (!s->options.single) {
        s->micro = tv_graph_new_phase(s->graph);
        add_pass(s, true, true);
    }
    add_buckets(s);
    shard_state(s, order);
}

// The same in sections, each time from gradients that are nothing yet.
static void add_sections(tv_step_graph *s, const size_t *order)
{
    size_t first = s->graph->node_count;
    add_buckets(s);
    shard_state(s, order);
    tv_graph_new_phase(s->graph);
    add_pass(s, true, true);
    tv_graph_cut(s->graph, first, &s->training);
}

static void add_eval(tv_step_graph *s)
{
    size_t first = s->graph->node_count;
    s->eval = s->options.update ? tv_graph_new_phase(s->graph) : s->graph->phase;
    add_pass(s, false, false);
    if (s->options.sharded == TV_SHARDED_WEIGHTS)
        tv_graph_cut(s->graph, first, &s->validation);
}

tv_step_graph *tv_step_graph_create(const tv_model_config *config, const tv_step_options *options)
{
    tv_step_graph *s = tv_alloc(1, sizeof *s);
    s->options = *options;
    s->graph = tv_graph_create();
    s->graph->storage = tv_precision_get_info(options->precision)->storage;
    s->model = tv_model_create(s->graph, config, options->update);
    declare_inputs(s);
    if (options->update) {
        size_t *order = placed_order(s->model);
        s->zero = s->graph->phase;
        add_zero(s, order);
        if (tv_precision_get_info(options->precision)->masters)
            declare_masters(s);
        declare_moments(s);
        if (options->sharded < TV_SHARDED_GRADIENTS)
            add_passes(s, order);
        else
            add_sections(s, order);
        s->update = tv_graph_new_phase(s->graph);
        add_update(s, order);
        tv_free(order);
    }
    add_eval(s);
    return s;
}

void tv_step_graph_destroy(tv_step_graph **graph)
{
    if (!*graph)
        return;
    tv_buckets_destroy(&(*graph)->buckets);
    tv_model_destroy(&(*graph)->model);
    tv_graph_destroy(&(*graph)->graph);
    tv_free(*graph);
    *graph = NULL;
}
