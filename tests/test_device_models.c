// Models on a device against PyTorch in double precision: the golden files, and stories260K.
#include "harness/golden.h"

#include "base/file.h"
#include "base/memory.h"
#include "graph/ops.h"
#include "train/generator.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void check_relative(const tv_golden *g, const char *what, size_t step, double got,
                           double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * fabs(want)))
        fail_msg("%s: %s of step %zu is %.9g, PyTorch has %.9g", g->name, what, step + 1, got,
                 want);
}

// A weight's gradient, part by part, as the checkpoint names them.
static void check_gradient(const tv_golden *g, const tv_tensor *weight)
{
    const tv_session *s = &g->session;
    for (uint32_t i = 0; i < weight->weight->part_count; i++) {
        const tv_weight_part *part = &weight->weight->parts[i];
        size_t count = (size_t)part->rows * weight->columns;
        char name[160];
        snprintf(name, sizeof name, "grad.%s", part->name);
        float *want = tv_golden_read(g, name, TV_ST_F32, count);
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

static void check_run(tv_device *device, const char *name, bool gradients,
                      const tv_golden_options *options)
{
    tv_golden g;
    tv_golden_open(&g, device, name, options);
    double *losses = tv_golden_read(&g, "losses", TV_ST_F64, TV_GOLDEN_STEPS);
    double *norms = tv_golden_read(&g, "grad_norms", TV_ST_F64, TV_GOLDEN_STEPS);
    double *lrs = tv_golden_read(&g, "lrs", TV_ST_F64, TV_GOLDEN_STEPS);
    for (size_t step = 0; step < TV_GOLDEN_STEPS; step++) {
        tv_step_report report = tv_golden_step(&g);
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
    tv_golden_close(&g);
}

static void test_gpt2(void **state)
{
    check_run(*state, "gpt2", true, &(tv_golden_options){0});
}

static void test_llama(void **state)
{
    check_run(*state, "llama", true, &(tv_golden_options){0});
}

static void test_gpt2_accumulated(void **state)
{
    check_run(*state, "gpt2", true, &(tv_golden_options){.accumulate = true});
}

static void test_llama_accumulated(void **state)
{
    check_run(*state, "llama", true, &(tv_golden_options){.accumulate = true});
}

static void test_recomputed(void **state)
{
    for (tv_recompute mode = 1; mode < TV_RECOMPUTE_COUNT; mode++) {
        check_run(*state, "gpt2", true, &(tv_golden_options){.recompute = mode});
        check_run(*state, "llama", true, &(tv_golden_options){.recompute = mode});
    }
}

static void test_shakespeare_twin(void **state)
{
    check_run(*state, "shakespeare-twin", false, &(tv_golden_options){0});
}

// Logits of step 0, through a graph of their own.
static void check_logits(tv_device *device, const char *name)
{
    tv_golden g;
    tv_golden_open(&g, device, name, &(tv_golden_options){0});
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
    tv_golden_set_batch(&g, 0);
    memcpy(tv_plan_feed(plan, in.ids), s->ids, rows * sizeof *s->ids);
    assert_ok(tv_plan_upload(plan));
    assert_ok(tv_plan_run(plan, 0));
    assert_ok(tv_plan_wait(plan, 0));
    assert_ok(tv_plan_download(plan));
    float *want = tv_golden_read(&g, "logits", TV_ST_F32, (size_t)rows * vocabulary);
    const float *got = tv_plan_result(plan, logits);
    for (size_t i = 0; i < (size_t)rows * vocabulary; i++)
        if (!(fabsf(got[i] - want[i]) <= 2e-5f))
            fail_msg("%s: logit %zu is %g, PyTorch has %g", name, i, got[i], want[i]);
    tv_free(want);
    tv_plan_destroy(&plan);
    tv_model_destroy(&model);
    tv_graph_destroy(&graph);
    tv_golden_close(&g);
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
        cmocka_unit_test(test_recomputed),
        cmocka_unit_test(test_shakespeare_twin),
        cmocka_unit_test(test_stories260k),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, tv_test_setup, tv_test_teardown);
}
