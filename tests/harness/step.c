// A training step of a small model: fresh weights, ids, gradients.
#include "harness/step.h"

#include "base/memory.h"
#include "data/batch.h"
#include "train/weights.h"

#include <string.h>

tv_model_config tv_small_model(tv_model_type type)
{
    return (tv_model_config){.type = type,
                             .vocab_size = 131,
                             .layers = 2,
                             .heads = 4,
                             .kv_heads = type == TV_MODEL_LLAMA ? 2 : 4,
                             .head_size = 8,
                             .width = 32,
                             .inner = 88,
                             .positions = 64,
                             .norm_epsilon = 1e-5,
                             .rope_theta = 10000,
                             .initializer_range = 0.02};
}

tv_model_config tv_uneven_model(tv_model_type type, uint32_t vocab_size)
{
    return (tv_model_config){.type = type,
                             .vocab_size = vocab_size,
                             .layers = 3,
                             .heads = 2,
                             .kv_heads = 2,
                             .width = 136,
                             .inner = 500,
                             .positions = 16,
                             .head_size = 68,
                             .norm_epsilon = 1e-5,
                             .rope_theta = 1e4,
                             .initializer_range = 0.02,
                             .tie_embeddings = true};
}

tv_step_options tv_uneven_options(uint32_t ranks, uint64_t bucket_bytes)
{
    return (tv_step_options){.batch = 1,
                             .time = 16,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .epsilon = 1e-8f,
                             .precision = TV_PRECISION_32_TRUE,
                             .moments = TV_F32,
                             .update = true,
                             .ranks = ranks,
                             .bucket_bytes = bucket_bytes};
}

static void feed(const tv_step_graph *g, tv_plan *plan)
{
    float scale = 1.0f / TV_SMALL_ROWS;
    uint32_t *ids = tv_plan_feed(plan, g->ids), *targets = tv_plan_feed(plan, g->targets);
    for (uint32_t i = 0; i < TV_SMALL_ROWS; i++)
        targets[i] = (ids[i] = i * i % 97) + 1;
    tv_sort_by_id(ids, TV_SMALL_ROWS, tv_plan_feed(plan, g->order));
    memcpy((uint32_t *)tv_plan_feed(plan, g->step) + TV_STEP_LOSS_SCALE, &scale, 4);
    assert_ok(tv_plan_upload(plan));
}

tv_plan *tv_small_plan(const tv_step_graph *g, tv_device *device)
{
    tv_plan *plan;
    assert_ok(tv_plan_create(g->graph, device, &plan));
    assert_ok(tv_weights_init(plan, g->model, 1));
    feed(g, plan);
    return plan;
}

float *tv_small_read(const tv_step_graph *g, tv_plan *plan)
{
    float *all = tv_alloc((size_t)tv_model_parameters(g->model) + 1, sizeof *all), *at = all;
    for (size_t i = 0; i < g->model->weight_count; i++) {
        uint64_t count = tv_tensor_count(g->model->weights[i]);
        assert_ok(tv_plan_read(plan, g->model->weights[i]->gradient, 0, count, at));
        at += count;
    }
    assert_ok(tv_plan_download(plan));
    *at = *(const float *)tv_plan_result(plan, g->loss_sum);
    return all;
}

float *tv_small_step(const tv_step_graph *g, tv_device *device)
{
    tv_plan *plan = tv_small_plan(g, device);
    assert_ok(tv_plan_execute(plan, g->first));
    float *all = tv_small_read(g, plan);
    tv_plan_destroy(&plan);
    return all;
}
