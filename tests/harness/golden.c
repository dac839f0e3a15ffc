// Golden runs: configuration, weights and batches of the folders under tests/golden.
#include "harness/golden.h"

#include "base/memory.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static double or_default(double value, double initial)
{
    return value > 0 ? value : initial;
}

// The configuration that tools/golden.py trains with.
static void configure(tv_golden *g, uint32_t batch, uint32_t time, uint32_t micro_batch)
{
    const tv_golden_options *o = &g->options;
    tv_text text = {0};
    tv_text_printf(&text,
                   "data: {seq_len: %u}\n"
                   "trainer: {max_steps: 50, global_batch_size: %u, micro_batch_size: %u,\n"
                   "  gradient_clip_val: 1.0, precision: %s, loss_scale: %.17g}\n"
                   "optimizer: {lr: %.17g, betas: [0.9, %.17g], eps: 1.0e-8, weight_decay: 0.1,\n"
                   "  state_precision: %s}\n"
                   "lr_scheduler: {name: cosine, warmup_steps: 10, min_lr: 0}\n",
                   time, batch, micro_batch, tv_precision_get_info(o->precision)->name,
                   or_default(o->loss_scale, 65536), or_default(o->lr, 1e-3),
                   or_default(o->beta2, 0.95), tv_moment_dtype_name(o->moments));
    tv_config_init(&g->config);
    assert_ok(tv_config_parse(&g->config, (uint8_t *)text.data, text.length, "golden"));
    tv_text_finish(&text);
}

static void open_session(tv_golden *g, tv_device *device, uint32_t batch, uint32_t time)
{
    const tv_golden_options *o = &g->options;
    uint32_t micro_batch = o->accumulate ? 1 : batch;
    char path[600];
    tv_session *s = &g->session;
    configure(g, batch, time, micro_batch);
    double lr = g->config.optimizer.lr;
    *s = (tv_session){.config = &g->config,
                      .schedule = {TV_SCHEDULE_COSINE, lr, lr / 10, 10, 0, TV_GOLDEN_STEPS},
                      .device = device,
                      .precision = o->precision,
                      .moments = o->moments,
                      .global_batch = batch,
                      .micro_batch = micro_batch,
                      .seq_len = time};
    snprintf(path, sizeof path, "%s/config.json", g->folder);
    assert_ok(tv_model_config_read(path, &s->model_config));
    tv_step_options options = {.batch = micro_batch,
                               .time = time,
                               .beta1 = 0.9,
                               .beta2 = g->config.optimizer.betas.items[1],
                               .epsilon = 1e-8f,
                               .weight_decay = 0.1f,
                               .precision = o->precision,
                               .moments = o->moments,
                               .recompute = o->recompute,
                               .update = true};
    s->graph = tv_step_graph_create(&s->model_config, &options);
    assert_ok(tv_plan_create(s->graph->graph, device, &s->plan));
    snprintf(path, sizeof path, "%s/model.safetensors", g->folder);
    assert_ok(tv_weights_load(s->plan, s->graph->model, path));
    tv_moments moments = {s->graph->first_moments, s->graph->second_moments};
    assert_ok(tv_moments_clear(s->plan, s->graph->model, &moments));
    s->ids = tv_alloc((size_t)batch * time, sizeof *s->ids);
    s->targets = tv_alloc((size_t)batch * time, sizeof *s->targets);
    s->samples = tv_alloc(batch, sizeof *s->samples);
    tv_session_enter(s, &g->state);
}

void *tv_golden_read(const tv_golden *g, const char *name, tv_st_dtype dtype, size_t count)
{
    const tv_safetensor *tensor;
    assert_ok(tv_safetensors_get(&g->file, name, &tensor));
    assert_int_equal(tensor->dtype, dtype);
    assert_int_equal(tensor->count, count);
    return memcpy(tv_alloc(tensor->size, 1), tensor->data, tensor->size);
}

void tv_golden_open(tv_golden *g, tv_device *device, const char *name,
                    const tv_golden_options *options)
{
    char path[600];
    const tv_safetensor *inputs;
    *g = (tv_golden){.name = name, .options = *options};
    snprintf(g->folder, sizeof g->folder, "%s/%s", TV_GOLDEN_DATA, name);
    snprintf(path, sizeof path, "%s/golden.safetensors", g->folder);
    assert_ok(tv_safetensors_open(path, &g->file));
    assert_ok(tv_safetensors_get(&g->file, "inputs", &inputs));
    assert_int_equal(inputs->rank, 3);
    assert_int_equal(inputs->shape[0], TV_GOLDEN_STEPS);
    g->inputs = tv_golden_read(g, "inputs", TV_ST_I32, inputs->count);
    g->targets = tv_golden_read(g, "targets", TV_ST_I32, inputs->count);
    open_session(g, device, (uint32_t)inputs->shape[1], (uint32_t)inputs->shape[2]);
}

void tv_golden_close(tv_golden *g)
{
    g->session.device = NULL; // the test's
    tv_session_close(&g->session);
    tv_config_finish(&g->config);
    tv_safetensors_close(&g->file);
    tv_free(g->inputs);
    tv_free(g->targets);
}

void tv_golden_set_batch(tv_golden *g, size_t step)
{
    tv_session *s = &g->session;
    size_t count = (size_t)s->global_batch * s->seq_len;
    for (size_t i = 0; i < count; i++) {
        int32_t target = g->targets[step * count + i];
        s->ids[i] = (uint32_t)g->inputs[step * count + i];
        s->targets[i] = target < 0 ? TV_NO_TARGET : (uint32_t)target;
    }
}

tv_step_report tv_golden_step(tv_golden *g)
{
    tv_step_report report;
    tv_golden_set_batch(g, (size_t)g->state.step);
    assert_ok(tv_session_train(&g->session, &g->state, &report));
    return report;
}

float *tv_golden_fetch(const tv_golden *g, const tv_tensor *tensor)
{
    uint64_t count = tv_tensor_count(tensor);
    float *values = tv_alloc(count, sizeof *values);
    assert_ok(tv_plan_read(g->session.plan, tensor, 0, count, values));
    return values;
}
