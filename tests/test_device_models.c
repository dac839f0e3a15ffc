// Models on a device against PyTorch in double precision: the golden files, and stories260K.
#include "harness/harness.h"

#include "base/file.h"
#include "base/memory.h"
#include "formats/safetensors.h"
#include "graph/ops.h"
#include "train/generator.h"
#include "train/session.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 50 };

// A golden folder opened as a training session on the test device.
typedef struct golden {
    const char *name;
    tv_safetensors file;
    tv_config config;
    tv_session session;
    int32_t *inputs, *targets; // [STEPS, batch, T]
    char folder[512];
} golden;

static void *read_tensor(const golden *g, const char *name, tv_st_dtype dtype, size_t count)
{
    const tv_safetensor *tensor;
    assert_ok(tv_safetensors_get(&g->file, name, &tensor));
    assert_int_equal(tensor->dtype, dtype);
    assert_int_equal(tensor->count, count);
    return memcpy(tv_alloc(tensor->size, 1), tensor->data, tensor->size);
}

// The configuration that tools/golden.py trains with.
static void configure(golden *g, uint32_t batch, uint32_t time, uint32_t micro_batch)
{
    tv_text text = {0};
    tv_text_printf(&text,
                   "data: {seq_len: %u}\n"
                   "trainer: {max_steps: 50, global_batch_size: %u, micro_batch_size: %u,\n"
                   "  gradient_clip_val: 1.0}\n"
                   "optimizer: {lr: 1.0e-3, betas: [0.9, 0.95], eps: 1.0e-8, weight_decay: 0.1}\n"
                   "lr_scheduler: {name: cosine, warmup_steps: 10, min_lr: 1.0e-4}\n",
                   time, batch, micro_batch);
    tv_config_init(&g->config);
    assert_ok(tv_config_parse(&g->config, (uint8_t *)text.data, text.length, "golden"));
    tv_text_finish(&text);
}

static void open_session(golden *g, tv_device *device, uint32_t batch, uint32_t time,
                         uint32_t micro_batch)
{
    char path[600];
    tv_session *s = &g->session;
    configure(g, batch, time, micro_batch);
    *s = (tv_session){.config = &g->config,
                      .schedule = {TV_SCHEDULE_COSINE, 1e-3, 1e-4, 10, 0, STEPS},
                      .device = device,
                      .global_batch = batch,
                      .micro_batch = micro_batch,
                      .seq_len = time};
    snprintf(path, sizeof path, "%s/config.json", g->folder);
    assert_ok(tv_model_config_read(path, &s->model_config));
    tv_step_options options = {.batch = micro_batch,
                               .time = time,
                               .beta1 = 0.9,
                               .beta2 = 0.95,
                               .epsilon = 1e-8f,
                               .weight_decay = 0.1f,
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
}

static void golden_open(golden *g, tv_device *device, const char *name, bool accumulate)
{
    char path[600];
    const tv_safetensor *inputs;
    g->name = name;
    snprintf(g->folder, sizeof g->folder, "%s/golden/%s", TV_TEST_DATA, name);
    snprintf(path, sizeof path, "%s/golden.safetensors", g->folder);
    assert_ok(tv_safetensors_open(path, &g->file));
    assert_ok(tv_safetensors_get(&g->file, "inputs", &inputs));
    assert_int_equal(inputs->rank, 3);
    assert_int_equal(inputs->shape[0], STEPS);
    uint32_t batch = (uint32_t)inputs->shape[1], time = (uint32_t)inputs->shape[2];
    g->inputs = read_tensor(g, "inputs", TV_ST_I32, inputs->count);
    g->targets = read_tensor(g, "targets", TV_ST_I32, inputs->count);
    open_session(g, device, batch, time, accumulate ? 1 : batch);
}

static void golden_close(golden *g)
{
    g->session.device = NULL; // the test's
    tv_session_close(&g->session);
    tv_config_finish(&g->config);
    tv_safetensors_close(&g->file);
    tv_free(g->inputs);
    tv_free(g->targets);
}

static void set_batch(golden *g, size_t step)
{
    tv_session *s = &g->session;
    size_t count = (size_t)s->global_batch * s->seq_len;
    for (size_t i = 0; i < count; i++) {
        int32_t target = g->targets[step * count + i];
        s->ids[i] = (uint32_t)g->inputs[step * count + i];
        s->targets[i] = target < 0 ? TV_NO_TARGET : (uint32_t)target;
    }
}

static void check_relative(const golden *g, const char *what, size_t step, double got, double want,
                           double tolerance)
{
    if (!(fabs(got - want) <= tolerance * fabs(want)))
        fail_msg("%s: %s of step %zu is %.9g, PyTorch has %.9g", g->name, what, step + 1, got,
                 want);
}

// A weight's gradient, part by part, as the checkpoint names them.
static void check_gradient(const golden *g, const tv_tensor *weight)
{
    const tv_session *s = &g->session;
    for (uint32_t i = 0; i < weight->weight->part_count; i++) {
        const tv_weight_part *part = &weight->weight->parts[i];
        size_t count = (size_t)part->rows * weight->columns;
        char name[160];
        snprintf(name, sizeof name, "grad.%s", part->name);
        float *want = read_tensor(g, name, TV_ST_F32, count);
        float *got = tv_alloc(count, sizeof *got);
        assert_ok(tv_plan_read(s->plan, weight->gradient, (uint64_t)part->first * weight->columns,
                               count, got));
        double *exact = tv_alloc(count, sizeof *exact);
        for (size_t k = 0; k < count; k++)
            exact[k] = want[k];
        tv_distance distance = tv_compare(got, exact, count);
        if (!(distance.relative <= 1e-4))
            fail_msg("%s: gradient of %s is off by %.3g (relative L2)", g->name, part->name,
                     distance.relative);
        tv_free(want);
        tv_free(got);
        tv_free(exact);
    }
}

static void check_run(tv_device *device, const char *name, bool gradients, bool accumulate)
{
    golden g = {0};
    golden_open(&g, device, name, accumulate);
    double *losses = read_tensor(&g, "losses", TV_ST_F64, STEPS);
    double *norms = read_tensor(&g, "grad_norms", TV_ST_F64, STEPS);
    double *lrs = read_tensor(&g, "lrs", TV_ST_F64, STEPS);
    tv_train_state state = {0};
    for (size_t step = 0; step < STEPS; step++) {
        tv_step_report report;
        set_batch(&g, step);
        assert_ok(tv_session_train(&g.session, &state, &report));
        assert_true(report.finite);
        check_relative(&g, "loss", step, report.loss, losses[step], step == 0 ? 1e-5 : 1e-4);
        check_relative(&g, "gradient norm", step, report.grad_norm, norms[step], 1e-3);
        check_relative(&g, "learning rate", step, report.lr, lrs[step], 1e-12);
        for (size_t i = 0; gradients && step == 0 && i < g.session.graph->model->weight_count; i++)
            check_gradient(&g, g.session.graph->model->weights[i]);
    }
    tv_free(losses);
    tv_free(norms);
    tv_free(lrs);
    golden_close(&g);
}

static void test_gpt2(void **state)
{
    check_run(*state, "gpt2", true, false);
}

static void test_llama(void **state)
{
    check_run(*state, "llama", true, false);
}

static void test_gpt2_accumulated(void **state)
{
    check_run(*state, "gpt2", true, true);
}

static void test_llama_accumulated(void **state)
{
    check_run(*state, "llama", true, true);
}

static void test_shakespeare_twin(void **state)
{
    check_run(*state, "shakespeare-twin", false, false);
}

// Logits of step 0, through a graph of their own.
static void check_logits(tv_device *device, const char *name)
{
    golden g = {0};
    golden_open(&g, device, name, false);
    tv_session *s = &g.session;
    uint32_t rows = s->global_batch * s->seq_len, vocabulary = s->model_config.vocab_size;
    tv_graph *graph = tv_graph_create();
    tv_model *model = tv_model_create(graph, &s->model_config, false);
    tv_model_inputs in = {.batch = s->global_batch, .time = s->seq_len};
    in.ids = tv_graph_tensor(graph, TV_FEED, TV_U32, 1, rows, "ids");
    in.step = tv_graph_tensor(graph, TV_FEED, TV_U32, 1, TV_STEP_WORDS, "step");
    tv_tensor *logits = tv_linear(graph, tv_model_forward(model, &in), model->head, NULL, TV_NT);
    logits->kind = TV_RESULT;
    tv_plan *plan;
    assert_ok(tv_plan_create(graph, device, &plan));
    char path[600];
    snprintf(path, sizeof path, "%s/model.safetensors", g.folder);
    assert_ok(tv_weights_load(plan, model, path));
    set_batch(&g, 0);
    memcpy(tv_plan_feed(plan, in.ids), s->ids, rows * sizeof *s->ids);
    assert_ok(tv_plan_upload(plan));
    assert_ok(tv_plan_run(plan, 0));
    assert_ok(tv_plan_wait(plan, 0));
    assert_ok(tv_plan_download(plan));
    float *want = read_tensor(&g, "logits", TV_ST_F32, (size_t)rows * vocabulary);
    const float *got = tv_plan_result(plan, logits);
    for (size_t i = 0; i < (size_t)rows * vocabulary; i++)
        if (!(fabsf(got[i] - want[i]) <= 2e-5f))
            fail_msg("%s: logit %zu is %g, PyTorch has %g", name, i, got[i], want[i]);
    tv_free(want);
    tv_plan_destroy(&plan);
    tv_model_destroy(&model);
    tv_graph_destroy(&graph);
    golden_close(&g);
}

static void test_logits(void **state)
{
    check_logits(*state, "gpt2");
    check_logits(*state, "llama");
}

// ----------------------------------------------------------------------------------- stories260K

// The data of a member of an uncompressed .npz file: behind its local header and the .npy header.
static const uint8_t *npz_member(const uint8_t *file, size_t size, const char *name)
{
    for (size_t at = 0; at + 30 < size && memcmp(file + at, "PK\3\4", 4) == 0;) {
        size_t name_length = file[at + 26] | file[at + 27] << 8;
        size_t extra = file[at + 28] | file[at + 29] << 8, header = at + 30 + name_length + extra;
        uint32_t length;
        memcpy(&length, file + at + 18, sizeof length);
        if (length == UINT32_MAX) // zip64: the size stands first in the extra field, behind its tag
            memcpy(&length, file + at + 30 + name_length + 4, sizeof length);
        if (name_length == strlen(name) && memcmp(file + at + 30, name, name_length) == 0)
            return file + header + 10 + (file[header + 8] | file[header + 9] << 8);
        at = header + length;
    }
    fail_msg("no %s", name);
    return NULL;
}

static void test_stories260k(void **state)
{
    enum { TOKENS = 200, VOCABULARY = 512 };
    const char *folder = TV_SHARED_DATA "/models/stories260K";
    tv_mapping file;
    if (!tv_path_is_dir(folder)) {
        print_message("skipped: no %s\n", folder);
        skip();
    }
    assert_ok(tv_mapping_open(TV_SHARED_DATA "/models/stories260K/greedy_golden_fp64.npz", &file));
    int64_t tokens[TOKENS];
    memcpy(tokens, npz_member(file.data, file.size, "tokens.npy"), sizeof tokens);
    const uint8_t *golden_logits = npz_member(file.data, file.size, "logits.npy");
    tv_generator *generator;
    assert_ok(tv_generator_open(folder, *state, &generator));
    const tv_sampling greedy = {.top_p = 1};
    uint32_t token = tv_tokenizer_bos(tv_generator_tokenizer(generator));
    for (size_t i = 0; i < TOKENS; i++) {
        const float *logits;
        double want[VOCABULARY];
        assert_int_equal(token, tokens[i]);
        assert_ok(tv_generator_feed(generator, &token, 1, &logits));
        memcpy(want, golden_logits + i * sizeof want, sizeof want);
        for (size_t v = 0; v < VOCABULARY; v++)
            if (!(fabs(logits[v] - want[v]) <= 2e-4))
                fail_msg("token %zu, logit %zu: %g instead of %g", i, v, logits[v], want[v]);
        token = tv_sample(logits, VOCABULARY, &greedy, i);
    }
    tv_generator_close(&generator);
    tv_mapping_close(&file);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_gpt2_accumulated),
        cmocka_unit_test(test_llama_accumulated),
        cmocka_unit_test(test_shakespeare_twin),
        cmocka_unit_test(test_stories260k),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, tv_test_setup, tv_test_teardown);
}
