// Generation: a graph for one token and one for a stretch of prompt, over the same caches.
#include "train/generator.h"

#include "base/file.h"
#include "base/memory.h"
#include "graph/ops.h"
#include "model/model.h"
#include "plan/plan.h"
#include "train/weights.h"

// Prompt tokens that one run of the prompt's program takes.
enum { PROMPT_ROWS = 32 };

// The program for `rows` tokens at a time.
typedef struct stretch {
    uint32_t phase, rows;
    tv_tensor *ids;
} stretch;

struct tv_generator {
    tv_graph *graph;
    tv_model *model;
    tv_plan *plan;
    tv_tokenizer *tokenizer;
    tv_tensor *step, *logits;
    stretch prompt, token;
    uint32_t position;
};

static tv_tensor *build_stretch(tv_generator *g, stretch *s, uint32_t phase, uint32_t rows)
{
    *s = (stretch){.phase = phase, .rows = rows};
    s->ids = tv_graph_tensor(g->graph, TV_FEED, TV_U32, 1, rows, rows == 1 ? "id" : "ids");
    tv_model_inputs inputs = {.batch = 1,
                              .time = rows,
                              .ids = s->ids,
                              .step = g->step,
                              .cache_rows = g->model->config.positions};
    return tv_model_forward(g->model, &inputs);
}

static void build(tv_generator *g, const tv_model_config *config)
{
    uint32_t rows = config->positions < PROMPT_ROWS ? config->positions : PROMPT_ROWS;
    g->graph = tv_graph_create();
    g->model = tv_model_create(g->graph, config, false);
    g->step = tv_graph_tensor(g->graph, TV_FEED, TV_U32, 1, TV_STEP_WORDS, "step");
    build_stretch(g, &g->prompt, 0, rows);
    tv_tensor *hidden = build_stretch(g, &g->token, tv_graph_new_phase(g->graph), 1);
    g->logits = tv_linear(g->graph, hidden, g->model->head, NULL, TV_NT);
    g->logits->kind = TV_RESULT;
}

static tv_err open_all(tv_generator *g, const char *folder, tv_device *device)
{
    tv_text path = {0};
    tv_model_config config;
    tv_err err = tv_model_config_read(tv_path_join(&path, folder, "config.json"), &config);
    if (err == TV_OK)
        err = tv_model_config_check(&config, path.data);
    if (err == TV_OK)
        err = tv_tokenizer_open_model(folder, config.vocab_size, &g->tokenizer);
    if (err == TV_OK) {
        build(g, &config);
        err = tv_plan_create(g->graph, device, &g->plan);
    }
    if (err == TV_OK)
        err = tv_weights_load(g->plan, g->model, tv_path_join(&path, folder, "model.safetensors"));
    tv_text_finish(&path);
    return err;
}

tv_err tv_generator_open(const char *folder, tv_device *device, tv_generator **generator)
{
    tv_generator *g = tv_alloc(1, sizeof *g);
    tv_err err = open_all(g, folder, device);
    if (err != TV_OK)
        tv_generator_close(&g);
    *generator = g;
    return err;
}

void tv_generator_close(tv_generator **generator)
{
    tv_generator *g = *generator;
    if (!g)
        return;
    tv_plan_destroy(&g->plan);
    tv_model_destroy(&g->model);
    tv_graph_destroy(&g->graph);
    tv_tokenizer_destroy(&g->tokenizer);
    tv_free(g);
    *generator = NULL;
}

const tv_model_config *tv_generator_config(const tv_generator *generator)
{
    return &generator->model->config;
}

const tv_tokenizer *tv_generator_tokenizer(const tv_generator *generator)
{
    return generator->tokenizer;
}

uint32_t tv_generator_position(const tv_generator *generator)
{
    return generator->position;
}

void tv_generator_reset(tv_generator *generator)
{
    generator->position = 0;
}

// Feeds `count` tokens, at most as many as the stretch has rows. The rows behind them compute
// something too, but their places in the caches are overwritten before anything looks at them.
static tv_err run_stretch(tv_generator *g, const stretch *s, const uint32_t *ids, size_t count)
{
    uint32_t *step = tv_plan_feed(g->plan, g->step), *rows = tv_plan_feed(g->plan, s->ids);
    step[TV_STEP_POSITION] = g->position;
    for (size_t i = 0; i < s->rows; i++)
        rows[i] = i < count ? ids[i] : 0;
    TV_TRY(tv_plan_upload(g->plan));
    TV_TRY(tv_plan_execute(g->plan, s->phase));
    g->position += (uint32_t)count;
    return TV_OK;
}

tv_err tv_generator_feed(tv_generator *g, const uint32_t *ids, size_t count, const float **logits)
{
    uint32_t room = g->model->config.positions - g->position;
    if (count > room)
        return tv_fail(TV_EUSAGE,
                       "%zu tokens do not fit: the model's context holds %u, and %u are "
                       "in it; shorten the prompt",
                       count, g->model->config.positions, g->position);
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= g->model->config.vocab_size)
            return tv_fail(TV_EFORMAT, "token %u is outside the model's vocabulary of %u", ids[i],
                           g->model->config.vocab_size);
    size_t done = 0; // the last token goes alone: its program is the one that makes logits
    while (count - done > 1 && g->position + g->prompt.rows <= g->model->config.positions) {
        size_t n = tv_min_size(count - 1 - done, g->prompt.rows);
        TV_TRY(run_stretch(g, &g->prompt, ids + done, n));
        done += n;
    }
    for (; done < count; done++)
        TV_TRY(run_stretch(g, &g->token, ids + done, 1));
    TV_TRY(tv_plan_download(g->plan));
    *logits = tv_plan_result(g->plan, g->logits);
    return TV_OK;
}
