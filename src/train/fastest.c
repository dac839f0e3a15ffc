// The fastest of several software drivers: a probe on each, kept on disk.
#include "train/fastest.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "device/device.h"
#include "formats/checksum.h"
#include "plan/plan.h"
#include "train/step_graph.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBE_TOKENS = 256, PROBE_RUNS = 2, CANDIDATES_MAX = 8, CACHE_LIMIT = 4096 };
static const double WORTH_FLOP = 1e13; // about a minute of two cores

typedef struct candidate {
    char name[24]; // "opencl:0"
    tv_device_info info;
    double seconds; // of a step's passes over PROBE_TOKENS; INFINITY: it cannot run them
} candidate;

typedef struct probe {
    const tv_config *config;
    const tv_model_config *model;
    candidate list[CANDIDATES_MAX];
    size_t count;
} probe;

// None where there is a GPU.
static tv_err find_candidates(probe *p)
{
    tv_device_info *infos;
    size_t count;
    bool gpu = false;
    TV_TRY(tv_device_list(&infos, &count));
    for (size_t i = 0; i < count; i++) {
        if (infos[i].problem[0])
            continue;
        gpu = gpu || infos[i].device_class != TV_CLASS_CPU;
        if (gpu || p->count == CANDIDATES_MAX)
            continue;
        candidate *c = &p->list[p->count++];
        c->info = infos[i];
        snprintf(c->name, sizeof c->name, "%s:%u", infos[i].backend, (unsigned)infos[i].index);
    }
    if (gpu)
        p->count = 0;
    tv_free(infos);
    return TV_OK;
}

static uint32_t probe_batch(const probe *p)
{
    uint64_t sequences = PROBE_TOKENS / (uint64_t)p->config->data.seq_len;
    return (uint32_t)tv_max_size(1, tv_min_size(sequences, p->config->trainer.global_batch_size));
}

static tv_step_graph *build(const probe *p, uint32_t layers, uint32_t batch, tv_precision precision)
{
    tv_model_config model = *p->model;
    tv_step_options options = {.batch = batch,
                               .time = (uint32_t)p->config->data.seq_len,
                               .precision = precision,
                               .single = true,
                               .offload_optimizer = p->config->trainer.offload_optimizer,
                               .update = true};
    model.layers = layers;
    return tv_step_graph_create(&model, &options);
}

static bool is_worth_it(const probe *p)
{
    const tv_config *c = p->config;
    double tokens =
        1.0 * c->trainer.max_steps * c->trainer.global_batch_size * (double)c->data.seq_len;
    tv_step_graph *graph = build(p, p->model->layers, 1, TV_PRECISION_32_TRUE);
    double flop = tokens * tv_model_flops_per_token(graph->model, (uint32_t)c->data.seq_len);
    tv_step_graph_destroy(&graph);
    return flop >= WORTH_FLOP;
}

// ------------------------------------------------------------------------------------- the probe

// Any numbers will do, as long as they are finite and the ids differ.
static tv_err set_values(tv_plan *plan, const tv_step_graph *g)
{
    const tv_model *model = g->model;
    for (size_t i = 0; i < model->weight_count; i++) {
        size_t count = (size_t)tv_tensor_count(model->weights[i]);
        float *values = tv_alloc(count, sizeof *values);
        for (size_t k = 0; k < count; k++)
            values[k] = 0.01f;
        tv_err err = tv_plan_write(plan, model->weights[i], 0, count, values);
        tv_free(values);
        TV_TRY(err);
    }
    uint32_t *ids = tv_plan_feed(plan, g->ids), *order = tv_plan_feed(plan, g->order);
    for (uint32_t i = 0; i < g->options.batch * g->options.time; i++) {
        ids[i] = i % model->config.vocab_size;
        order[i] = i;
    }
    return tv_plan_upload(plan);
}

// What belongs to no layer.
static bool is_outside_layers(tv_op op)
{
    return op == TV_OP_LINEAR_CROSS_ENTROPY || op == TV_OP_EMBED || op == TV_OP_EMBED_GRAD ||
           op == TV_OP_POSADD || op == TV_OP_POSADD_GRAD;
}

static double step_seconds(const tv_plan *plan, uint32_t phase, uint32_t layers)
{
    size_t count;
    double seconds = 0;
    const tv_plan_dispatch *dispatches = tv_plan_dispatches(plan, phase, &count);
    for (size_t i = 0; i < count; i++)
        seconds += dispatches[i].seconds * (is_outside_layers(dispatches[i].op) ? 1 : layers);
    return seconds;
}

static tv_err run_probe(const probe *p, tv_device *device, const tv_step_graph *g, double *seconds)
{
    tv_plan *plan = NULL;
    tv_err err;
    TV_GOTO(done, tv_plan_create(g->graph, device, &plan));
    TV_GOTO(done, set_values(plan, g));
    TV_GOTO(done, tv_plan_execute(plan, g->first)); // drivers compile
    for (int i = 0; i < PROBE_RUNS; i++) {
        TV_GOTO(done, tv_plan_profile(plan, g->first));
        *seconds = fmin(*seconds, step_seconds(plan, g->first, p->model->layers));
    }
done:
    tv_plan_destroy(&plan);
    return err;
}

static tv_err check_memory(const probe *p, const tv_device_info *info, tv_precision precision)
{
    tv_plan_memory memory;
    tv_step_graph *whole = build(p, p->model->layers, 1, precision);
    tv_err err = tv_plan_measure(whole->graph, &info->caps, &memory);
    tv_step_graph_destroy(&whole);
    if (err == TV_OK && (memory.total > info->caps.memory || memory.host > info->caps.host_memory))
        err = tv_fail(TV_EMEMORY, "too little memory");
    return err;
}

static tv_err measure_on(const probe *p, tv_device *device, double *seconds)
{
    const tv_device_info *info = tv_device_get_info(device);
    tv_precision precision;
    TV_TRY(tv_precision_parse(p->config->trainer.precision, &precision));
    if (precision == TV_PRECISION_AUTO)
        precision = tv_precision_auto(&info->caps, info->device_class).precision;
    TV_TRY(check_memory(p, info, precision));
    tv_step_graph *graph = build(p, 1, probe_batch(p), precision);
    tv_err err = run_probe(p, device, graph, seconds);
    tv_step_graph_destroy(&graph);
    return err;
}

static void measure(const probe *p, candidate *c)
{
    tv_device *device = NULL;
    const char *mask = p->config->mask;
    double seconds = INFINITY;
    tv_err err = tv_device_open(c->name, mask[0] ? mask : NULL, &device);
    if (err == TV_OK)
        err = measure_on(p, device, &seconds);
    if (err != TV_OK)
        tv_debug("%s is no choice: %s", c->name, tv_error_message());
    tv_device_close(&device);
    // A driver that does not tell the time cannot be compared.
    c->seconds = err == TV_OK && seconds > 0 ? seconds : INFINITY;
}

// ------------------------------------------------------------------------------------- the cache

static tv_err cache_path(const probe *p, tv_text *path)
{
    const tv_model_config *m = p->model;
    const char *mask = p->config->mask[0] ? p->config->mask : getenv("TRIVIUM_MASK");
    tv_text key = {0};
    tv_text_printf(&key, "%s %s %u %u %u %u %u %u %u %" PRId64 " %u %s %s\n", TV_VERSION,
                   tv_model_type_name(m->type), m->vocab_size, m->layers, m->heads, m->kv_heads,
                   m->head_size, m->width, m->inner, p->config->data.seq_len, probe_batch(p),
                   p->config->trainer.precision, mask ? mask : "");
    for (size_t i = 0; i < p->count; i++)
        tv_text_printf(&key, "%s %s %s\n", p->list[i].name, p->list[i].info.name,
                       p->list[i].info.driver);
    tv_checksum sum = tv_checksum_memory(key.data, key.length);
    tv_text_finish(&key);
    TV_TRY(tv_cache_dir(path));
    tv_text_printf(path, "/fastest-%s.txt", sum.xxh3);
    return TV_OK;
}

// One time per line; false where there is no such file, or it is damaged.
static bool read_times(probe *p, const char *path)
{
    uint8_t *data = NULL;
    size_t size, read = 0;
    if (!tv_path_exists(path) || tv_file_read(path, CACHE_LIMIT, &data, &size) != TV_OK)
        return false;
    char *at = (char *)data;
    for (; read < p->count; read++) {
        char *end;
        p->list[read].seconds = strtod(at, &end);
        if (end == at || !(p->list[read].seconds > 0))
            break;
        at = end;
    }
    tv_free(data);
    return read == p->count;
}

static void write_times(const probe *p, const char *path)
{
    tv_text text = {0};
    for (size_t i = 0; i < p->count; i++)
        tv_text_printf(&text, "%.9g\n", p->list[i].seconds);
    if (tv_file_write(path, text.data, text.length) != TV_OK)
        tv_debug("the times of the drivers are not kept: %s", tv_error_message());
    tv_text_finish(&text);
}

static void get_times(probe *p)
{
    tv_text path = {0};
    bool kept = cache_path(p, &path) == TV_OK;
    if (!kept)
        tv_debug("the times of the drivers are not kept: %s", tv_error_message());
    if (!kept || !read_times(p, path.data)) {
        for (size_t i = 0; i < p->count; i++)
            measure(p, &p->list[i]);
        if (kept)
            write_times(p, path.data);
    }
    tv_text_finish(&path);
}

// ------------------------------------------------------------------------------------ the choice

static void say(const probe *p, const candidate *best)
{
    tv_text others = {0};
    for (size_t i = 0; i < p->count; i++)
        if (&p->list[i] != best && isfinite(p->list[i].seconds))
            tv_text_printf(&others, ", %.0f on %s (%s)", 1e3 * p->list[i].seconds, p->list[i].name,
                           p->list[i].info.name);
        else if (&p->list[i] != best)
            tv_text_printf(&others, "; %s (%s) cannot run it", p->list[i].name,
                           p->list[i].info.name);
    tv_info("device: auto is %s (%s), the fastest for this model: %.0f ms for %u tokens%s",
            best->name, best->info.name, 1e3 * best->seconds,
            (unsigned)(probe_batch(p) * p->config->data.seq_len), others.data ? others.data : "");
    tv_text_finish(&others);
}

tv_err tv_fastest_device(const tv_config *config, const tv_model_config *model, tv_text *which)
{
    probe p = {.config = config, .model = model};
    if (strcmp(config->device, "auto") != 0)
        return TV_OK;
    TV_TRY(find_candidates(&p));
    if (p.count < 2 || !is_worth_it(&p))
        return TV_OK;
    get_times(&p);
    const candidate *best = &p.list[0];
    for (size_t i = 1; i < p.count; i++)
        if (p.list[i].seconds < best->seconds)
            best = &p.list[i];
    if (!isfinite(best->seconds))
        return TV_OK; // opening one of them says what is wrong
    say(&p, best);
    tv_text_puts(which, best->name);
    return TV_OK;
}
