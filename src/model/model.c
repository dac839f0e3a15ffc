// Models: the table of kinds, weights and their first values.
#include "model/model.h"

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "graph/ops.h"
#include "model/model_kind.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const tv_model_kind *const kinds[TV_MODEL_TYPE_COUNT] = {
    [TV_MODEL_GPT2] = &tv_model_gpt2,
    [TV_MODEL_LLAMA] = &tv_model_llama,
};

enum { NAME_MAX_LENGTH = 128 };

// The formats are constants of this room; a format without %u ignores the layer.
static void layer_name(char name[NAME_MAX_LENGTH], const char *format, uint32_t layer)
{
    const char *place = strstr(format, "%u");
    if (place)
        snprintf(name, NAME_MAX_LENGTH, "%.*s%u%s", (int)(place - format), format, layer,
                 place + 2);
    else
        snprintf(name, NAME_MAX_LENGTH, "%s", format);
}

tv_model *tv_model_create(tv_graph *graph, const tv_model_config *config, bool training)
{
    tv_model *model = tv_alloc(1, sizeof *model);
    model->graph = graph;
    model->config = *config;
    model->training = training;
    kinds[config->type]->declare(model);
    return model;
}

void tv_model_destroy(tv_model **model)
{
    if (!*model)
        return;
    tv_free((*model)->weights);
    tv_free(*model);
    *model = NULL;
}

tv_tensor *tv_model_forward(tv_model *model, const tv_model_inputs *inputs)
{
    return kinds[model->config.type]->forward(model, inputs);
}

// -------------------------------------------------------------------------------- declarations

// A layer is a unit.
static tv_tensor *add_weight(tv_model *model, const tv_weight *weight, uint32_t unit, uint32_t rows,
                             uint32_t columns)
{
    tv_weight *kept = tv_arena_alloc(&model->graph->arena, 1, sizeof *kept);
    *kept = *weight;
    const char *name = kept->parts[0].name;
    tv_tensor *tensor =
        tv_graph_tensor(model->graph, TV_WEIGHT, model->graph->storage, rows, columns, name);
    tensor->weight = kept;
    tensor->unit = unit;
    tensor->rank = weight->matrix ? 0 : TV_WEIGHT_RANKS - 1;
    if (model->training) {
        char label[NAME_MAX_LENGTH + 8];
        snprintf(label, sizeof label, "grad.%s", name);
        tensor->gradient = tv_graph_tensor(model->graph, TV_GRADIENT, TV_F32, rows, columns, label);
        tensor->gradient->rank = tensor->rank;
        tensor->gradient->unit = unit;
    }
    TV_RESERVE(model->weights, model->weight_capacity, model->weight_count + 1);
    model->weights[model->weight_count++] = tensor;
    return tensor;
}

static uint32_t unit_of(const char *format, uint32_t layer)
{
    return strstr(format, "%u") ? layer + 1 : 0;
}

static const char *keep_name(tv_model *model, const char *format, uint32_t layer)
{
    char name[NAME_MAX_LENGTH];
    layer_name(name, format, layer);
    return tv_arena_printf(&model->graph->arena, "%s", name);
}

tv_tensor *tv_declare(tv_model *model, uint32_t rows, uint32_t columns, tv_weight_init init,
                      double std, const char *format, uint32_t layer)
{
    tv_weight weight = {.parts = {{keep_name(model, format, layer), 0, rows}},
                        .part_count = 1,
                        .init = init,
                        .std = std,
                        .matrix = true};
    return add_weight(model, &weight, unit_of(format, layer), rows, columns);
}

tv_tensor *tv_declare_table(tv_model *model, uint32_t rows, uint32_t columns, double std,
                            const char *name)
{
    tv_weight weight = {.parts = {{keep_name(model, name, 0), 0, rows}},
                        .part_count = 1,
                        .init = TV_INIT_NORMAL,
                        .std = std,
                        .matrix = true,
                        .table = true};
    return add_weight(model, &weight, 0, rows, columns);
}

tv_tensor *tv_declare_vector(tv_model *model, uint32_t columns, tv_weight_init init,
                             const char *format, uint32_t layer)
{
    tv_weight weight = {
        .parts = {{keep_name(model, format, layer), 0, 1}}, .part_count = 1, .init = init};
    return add_weight(model, &weight, unit_of(format, layer), 1, columns);
}

tv_tensor *tv_declare_parts(tv_model *model, const tv_part_spec *parts, uint32_t count,
                            uint32_t columns, double std, uint32_t layer)
{
    tv_weight weight = {.part_count = count, .init = TV_INIT_NORMAL, .std = std, .matrix = true};
    uint32_t rows = 0;
    for (uint32_t i = 0; i < count; i++) {
        weight.parts[i] =
            (tv_weight_part){keep_name(model, parts[i].format, layer), rows, parts[i].rows};
        rows += parts[i].rows;
    }
    return add_weight(model, &weight, unit_of(parts[0].format, layer), rows, columns);
}

// ------------------------------------------------------------------- what forward passes share

tv_tensor *tv_model_weight(const tv_model *model, const char *format, uint32_t layer)
{
    char name[NAME_MAX_LENGTH];
    layer_name(name, format, layer);
    for (size_t i = 0; i < model->weight_count; i++)
        if (strcmp(model->weights[i]->name, name) == 0)
            return model->weights[i];
    tv_bug(__FILE__, __LINE__, "no weight %s", name);
}

// A layer's key or value cache, made on first use.
static tv_tensor *cache_of(tv_model *model, const tv_model_inputs *inputs, const char *which,
                           uint32_t layer)
{
    char name[NAME_MAX_LENGTH];
    snprintf(name, sizeof name, "cache.%u.%s", layer, which);
    tv_tensor *cache = tv_graph_find(model->graph, name);
    if (cache)
        return cache;
    return tv_graph_tensor(model->graph, TV_CACHE, TV_F32, inputs->cache_rows,
                           model->config.kv_heads * model->config.head_size, name);
}

tv_tensor *tv_model_dropout(tv_model *model, const tv_model_inputs *inputs, tv_tensor *x,
                            uint32_t site, double rate)
{
    if (!inputs->samples || rate == 0)
        return x;
    return tv_dropout(model->graph, x, inputs->step, inputs->samples, site, (float)rate);
}

tv_tensor *tv_model_attention(tv_model *model, const tv_model_inputs *inputs, tv_tensor *qkv,
                              uint32_t layer)
{
    const tv_model_config *c = &model->config;
    if (!inputs->cache_rows)
        return tv_attention(model->graph, qkv, inputs->batch, c->heads, c->kv_heads, c->head_size);
    return tv_attention_cached(model->graph, qkv, inputs->step, cache_of(model, inputs, "k", layer),
                               cache_of(model, inputs, "v", layer), c->heads, c->kv_heads,
                               c->head_size);
}

// -------------------------------------------------------------------------------------- counts

uint64_t tv_model_parameters(const tv_model *model)
{
    uint64_t count = 0;
    for (size_t i = 0; i < model->weight_count; i++)
        count += tv_tensor_count(model->weights[i]);
    return count;
}

double tv_model_flops_per_token(const tv_model *model, uint32_t time)
{
    const tv_model_config *c = &model->config;
    double multiplied = 0;
    for (size_t i = 0; i < model->weight_count; i++) {
        const tv_tensor *w = model->weights[i];
        if (w == model->head || (w->weight->matrix && !w->weight->table))
            multiplied += (double)tv_tensor_count(w);
    }
    return 6 * multiplied + 6.0 * c->layers * time * c->heads * c->head_size;
}

// ---------------------------------------------------------------------------------- first values

typedef struct init_job {
    uint64_t seed, stream, first;
    double std;
    float *values;
} init_job;

static void draw(void *context, size_t first, size_t end)
{
    const init_job *job = context;
    tv_rng_normals(job->seed, job->stream, job->first + first, job->std, end - first,
                   job->values + first);
}

void tv_model_init_weight(const tv_model *model, size_t index, uint64_t seed, uint64_t first,
                          size_t count, float *values)
{
    enum { WORTH_A_THREAD = 1 << 14 };
    const tv_weight *weight = model->weights[index]->weight;
    init_job job = {seed, index, first, weight->std, values};
    if (weight->init == TV_INIT_NORMAL)
        tv_parallel(count, WORTH_A_THREAD, draw, &job);
    for (size_t i = 0; i < count && weight->init != TV_INIT_NORMAL; i++)
        values[i] = weight->init == TV_INIT_ONES ? 1.0f : 0.0f;
}

void tv_model_fill_rope(const tv_model *model, float *values)
{
    uint32_t half = model->config.head_size / 2;
    for (uint32_t position = 0; position < model->config.positions; position++)
        for (uint32_t i = 0; i < half; i++) {
            double frequency = pow(model->config.rope_theta, -(double)i / half);
            values[(size_t)position * 2 * half + i] = (float)cos(position * frequency);
            values[(size_t)position * 2 * half + half + i] = (float)sin(position * frequency);
        }
}
