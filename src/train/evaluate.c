// Evaluation of a finished model: loss over data, and exact answers to exercises.
#include "train/evaluate.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/batch.h"
#include "plan/plan.h"
#include "train/checkpoint.h"
#include "train/step_graph.h"
#include "train/weights.h"

#include <string.h>

enum { BATCH_TOKENS = 2048, ANSWER_TOKENS = 96 };

typedef struct evaluator {
    tv_model_config config;
    tv_tokenizer *tokenizer;
    tv_dataset *data;
    tv_step_graph *graph;
    tv_plan *plan;
} evaluator;

static tv_err open_model(evaluator *e, const char *folder, uint32_t *seq_len)
{
    tv_text path = {0};
    tv_train_state state;
    tv_err err = tv_model_config_read(tv_path_join(&path, folder, "config.json"), &e->config);
    if (err == TV_OK)
        err = tv_model_config_check(&e->config, path.data);
    if (err == TV_OK && *seq_len == 0) {
        *seq_len = e->config.positions;
        if (tv_path_exists(tv_path_join(&path, folder, "trainer.json"))) {
            err = tv_checkpoint_read_state(folder, &state);
            if (err == TV_OK && state.seq_len > 0 && state.seq_len <= e->config.positions)
                *seq_len = state.seq_len;
        }
    }
    tv_text_finish(&path);
    TV_TRY(err);
    if (*seq_len > e->config.positions)
        return tv_fail(TV_EUSAGE, "sequences of %u tokens exceed the model's context of %u",
                       *seq_len, e->config.positions);
    return tv_tokenizer_open_model(folder, e->config.vocab_size, &e->tokenizer);
}

static tv_err open_plan(evaluator *e, const char *folder, uint32_t seq_len, tv_device *device)
{
    tv_text path = {0};
    tv_step_options options = {.batch = BATCH_TOKENS / seq_len + (BATCH_TOKENS < seq_len),
                               .time = seq_len};
    e->graph = tv_step_graph_create(&e->config, &options);
    tv_err err = tv_plan_create(e->graph->graph, device, &e->plan);
    if (err == TV_OK)
        err = tv_weights_load(e->plan, e->graph->model,
                              tv_path_join(&path, folder, "model.safetensors"));
    tv_text_finish(&path);
    return err;
}

static tv_err sum_losses(evaluator *e, uint64_t limit, tv_evaluation *out)
{
    uint32_t batch = e->graph->options.batch, seq_len = e->graph->options.time;
    uint64_t rows = tv_dataset_order_rows(e->data);
    double sum = 0;
    for (uint64_t row = 0; row < rows && (limit == 0 || out->tokens < limit); row += batch) {
        uint32_t *targets = tv_plan_feed(e->plan, e->graph->targets);
        tv_dataset_fill_order(e->data, row, batch, tv_plan_feed(e->plan, e->graph->ids), targets);
        out->tokens += tv_count_targets(targets, (size_t)batch * seq_len);
        TV_TRY(tv_plan_upload(e->plan));
        TV_TRY(tv_plan_execute(e->plan, e->graph->eval));
        TV_TRY(tv_plan_download(e->plan));
        sum += *(const float *)tv_plan_result(e->plan, e->graph->loss_sum);
    }
    out->loss = sum / (double)out->tokens;
    return TV_OK;
}

tv_err tv_evaluate_loss(const char *folder, const char *data, uint32_t seq_len, uint64_t limit,
                        tv_device *device, tv_evaluation *evaluation)
{
    evaluator e = {0};
    tv_err err = open_model(&e, folder, &seq_len);
    *evaluation = (tv_evaluation){.seq_len = seq_len};
    if (err == TV_OK)
        err = tv_dataset_open(data, seq_len, e.tokenizer, &e.data);
    if (err == TV_OK)
        err = open_plan(&e, folder, seq_len, device);
    if (err == TV_OK)
        err = sum_losses(&e, limit, evaluation);
    tv_plan_destroy(&e.plan);
    tv_step_graph_destroy(&e.graph);
    tv_dataset_close(&e.data);
    tv_tokenizer_destroy(&e.tokenizer);
    return err;
}

// ----------------------------------------------------------------------------------- exercises

// What the model writes behind a prompt, up to the end of the line.
static tv_err answer(tv_generator *generator, const char *prompt, tv_text *written)
{
    const tv_tokenizer *tokenizer = tv_generator_tokenizer(generator);
    const tv_sampling greedy = {.temperature = 0, .top_p = 1};
    uint32_t vocabulary = tv_generator_config(generator)->vocab_size;
    tv_ids ids = {0};
    tv_text line = {0};
    const float *logits;
    tv_text_printf(&line, "\n%s", prompt); // as in training: behind another line
    tv_tokenizer_encode(tokenizer, line.data, line.length, false, &ids);
    tv_text_finish(&line);
    tv_generator_reset(generator);
    tv_err err = tv_generator_feed(generator, ids.ids, ids.count, &logits);
    uint32_t previous = ids.count ? ids.ids[ids.count - 1] : TV_NO_TOKEN;
    tv_ids_finish(&ids);
    tv_text_clear(written);
    for (int i = 0; i < ANSWER_TOKENS && err == TV_OK; i++) {
        uint32_t token = tv_sample(logits, vocabulary, &greedy, 0);
        tv_tokenizer_decode(tokenizer, previous, token, written);
        bool over = token == tv_tokenizer_eos(tokenizer) || token == tv_tokenizer_bos(tokenizer);
        char *end = written->data ? strchr(written->data, '\n') : NULL;
        if (end) {
            *end = 0;
            written->length = (size_t)(end - written->data);
        }
        if (over || end ||
            tv_generator_position(generator) == tv_generator_config(generator)->positions)
            break;
        previous = token;
        err = tv_generator_feed(generator, &token, 1, &logits);
    }
    return err;
}

tv_err tv_evaluate_exercises(tv_generator *generator, const tv_exercises *exercises, size_t limit,
                             tv_answer_hook *hook, void *context, size_t *asked, size_t *correct)
{
    size_t count = limit && limit < exercises->count ? limit : exercises->count;
    tv_text written = {0};
    tv_err err = TV_OK;
    *asked = *correct = 0;
    for (size_t i = 0; i < count && err == TV_OK; i++) {
        const tv_exercise *exercise = &exercises->items[i * exercises->count / count];
        err = answer(generator, exercise->prompt, &written);
        if (err != TV_OK)
            break;
        const char *text = written.data ? written.data : "";
        bool right = tv_exercise_match(text, exercise->answer);
        *correct += right;
        ++*asked;
        if (hook)
            hook(context, exercise, text, right);
    }
    tv_text_finish(&written);
    return err;
}
