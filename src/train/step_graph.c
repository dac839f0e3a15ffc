// The graph of training: phases over one set of weights.
#include "train/step_graph.h"

#include "device/device.h"
#include "graph/grad.h"
#include "graph/ops.h"

#include <stdio.h>

uint32_t tv_loss_chunk(uint32_t vocab_size)
{
    uint64_t rows = (64ull << 20) / 4 / (vocab_size + 64ull);
    return rows < 64 ? 64 : (uint32_t)(rows / 64 * 64);
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
    }
}

static void declare_moments(tv_step_graph *s)
{
    tv_dtype dtype = s->options.moments;
    size_t count = s->model->weight_count;
    s->first_moments = tv_arena_alloc(&s->graph->arena, count, sizeof *s->first_moments);
    s->second_moments = tv_arena_alloc(&s->graph->arena, count, sizeof *s->second_moments);
    for (size_t i = 0; i < count; i++) {
        const tv_tensor *w = s->model->weights[i];
        char name[160];
        snprintf(name, sizeof name, "exp_avg.%s", w->name);
        s->first_moments[i] =
            tv_graph_tensor(s->graph, TV_OPTIMIZER, dtype, w->rows, w->columns, name);
        snprintf(name, sizeof name, "exp_avg_sq.%s", w->name);
        s->second_moments[i] =
            tv_graph_tensor(s->graph, TV_OPTIMIZER, dtype, w->rows, w->columns, name);
    }
}

static void add_pass(tv_step_graph *s, bool backward)
{
    tv_model_inputs inputs = {.batch = s->options.batch,
                              .time = s->options.time,
                              .ids = s->ids,
                              .order = backward ? s->order : NULL,
                              .step = s->step,
                              .samples = backward ? s->samples : NULL};
    tv_tensor *hidden = tv_model_forward(s->model, &inputs);
    tv_tensor *loss = tv_linear_cross_entropy(s->graph, hidden, s->model->head, s->targets, s->step,
                                              tv_loss_chunk(s->model->config.vocab_size), backward);
    tv_reduce_sum_into(s->graph, loss, s->loss_sum);
    if (backward)
        tv_graph_backward(s->graph, loss, NULL);
}

static void add_update(tv_step_graph *s)
{
    const tv_step_options *o = &s->options;
    tv_model *model = s->model;
    tv_tensor **gradients = tv_alloc(model->weight_count, sizeof(tv_tensor *));
    for (size_t i = 0; i < model->weight_count; i++)
        gradients[i] = model->weights[i]->gradient;
    tv_grad_norm(s->graph, gradients, model->weight_count, s->step, s->stat);
    tv_free(gradients);
    for (size_t i = 0; i < model->weight_count; i++) {
        tv_tensor *w = model->weights[i];
        tv_attrs attrs = {.beta1 = o->beta1,
                          .beta2 = o->beta2,
                          .epsilon = o->epsilon,
                          .site = (uint32_t)i,
                          .weight_decay = w->weight->matrix ? o->weight_decay : 0};
        tv_adamw(s->graph, w, s->first_moments[i], s->second_moments[i], s->stat, s->step, &attrs);
    }
}

tv_step_graph *tv_step_graph_create(const tv_model_config *config, const tv_step_options *options)
{
    tv_step_graph *s = tv_alloc(1, sizeof *s);
    s->options = *options;
    s->graph = tv_graph_create();
    s->graph->storage = tv_precision_get_info(options->precision)->storage;
    s->model = tv_model_create(s->graph, config, options->update);
    declare_inputs(s);
    s->zero = s->graph->phase;
    tv_fill(s->graph, s->loss_sum, 0);
    if (options->update) {
        if (tv_precision_get_info(options->precision)->masters)
            declare_masters(s);
        declare_moments(s);
        for (size_t i = 0; i < s->model->weight_count; i++)
            tv_fill(s->graph, s->model->weights[i]->gradient, 0);
        s->micro = tv_graph_new_phase(s->graph);
        add_pass(s, true);
        s->update = tv_graph_new_phase(s->graph);
        add_update(s);
    }
    s->eval = tv_graph_new_phase(s->graph);
    add_pass(s, false);
    return s;
}

void tv_step_graph_destroy(tv_step_graph **graph)
{
    if (!*graph)
        return;
    tv_model_destroy(&(*graph)->model);
    tv_graph_destroy(&(*graph)->graph);
    tv_free(*graph);
    *graph = NULL;
}
