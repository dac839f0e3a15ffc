// A backward pass that computes activations again gives the gradients of one that keeps them.
#include "base/memory.h"
#include "conformance/case.h"
#include "harness/step.h"

// How far apart two runs are: |a - b| / |b|.
static double distance(const float *a, const float *b, size_t count)
{
    double *want = tv_alloc(count, sizeof *want);
    for (size_t i = 0; i < count; i++)
        want[i] = b[i];
    double relative = tv_compare(a, want, count).relative;
    tv_free(want);
    return relative;
}

static float *step(const tv_model_config *config, tv_precision precision, tv_recompute mode,
                   bool offload, tv_device *device, size_t *count)
{
    const tv_step_options options = {.batch = TV_SMALL_BATCH,
                                     .time = TV_SMALL_TIME,
                                     .precision = precision,
                                     .recompute = mode,
                                     .offload_activations = offload,
                                     .update = true};
    tv_step_graph *g = tv_step_graph_create(config, &options);
    float *all = tv_small_step(g, device);
    *count = (size_t)tv_model_parameters(g->model) + 1;
    tv_step_graph_destroy(&g);
    return all;
}

// What is computed again starts from stored tensors, where the first time an unrounded sum may have
// been at hand; and on a GPU a product that takes over GELU may be another kernel than one that
// does not. So only floats on a CPU are the same bits, where blocks are computed as they were.
static void compare(const float *again, const float *kept, size_t count, tv_precision precision,
                    tv_recompute mode, bool cpu)
{
    tv_dtype storage = tv_precision_get_info(precision)->storage;
    double d = distance(again, kept, count);
    bool exact = cpu && storage == TV_F32 && mode == TV_RECOMPUTE_BLOCK;
    double most = exact ? 0 : storage == TV_F32 ? 1e-6 : tv_rounding(storage) / 100;
    if (!(d <= most))
        fail_msg("%s in %s: gradients are %g apart", tv_recompute_name(mode),
                 tv_precision_get_info(precision)->name, d);
}

static void check(const tv_model_config *config, tv_device *device)
{
    bool cpu = tv_device_get_info(device)->device_class == TV_CLASS_CPU;
    for (tv_precision precision = 0; precision < TV_PRECISION_COUNT; precision++) {
        size_t count;
        float *kept = step(config, precision, TV_RECOMPUTE_NONE, false, device, &count);
        assert_true(tv_all_finite(kept, count) && kept[count - 1] > 0);
        for (tv_recompute mode = 1; mode < TV_RECOMPUTE_COUNT; mode++) {
            float *again = step(config, precision, mode, false, device, &count);
            compare(again, kept, count, precision, mode, cpu);
            tv_free(again);
        }
        tv_free(kept);
    }
}

static void test_gpt2(void **state)
{
    tv_model_config config = tv_small_model(TV_MODEL_GPT2);
    check(&config, *state);
}

static void test_gpt2_with_dropout(void **state)
{
    tv_model_config config = tv_small_model(TV_MODEL_GPT2);
    config.embd_pdrop = config.resid_pdrop = 0.25;
    check(&config, *state);
}

static void test_llama(void **state)
{
    tv_model_config config = tv_small_model(TV_MODEL_LLAMA);
    check(&config, *state);
}

// A tensor that was away is as it was.
static void test_offloaded(void **state)
{
    tv_model_config config = tv_small_model(TV_MODEL_GPT2);
    config.resid_pdrop = 0.25;
    for (tv_precision precision = 0; precision < TV_PRECISION_BF16_TRUE; precision++)
        for (tv_recompute mode = 0; mode < TV_RECOMPUTE_COUNT; mode++) {
            size_t count;
            float *here = step(&config, precision, mode, false, *state, &count);
            float *there = step(&config, precision, mode, true, *state, &count);
            assert_memory_equal(there, here, count * sizeof *here);
            tv_free(here);
            tv_free(there);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_gpt2_with_dropout),
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_offloaded),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, tv_test_setup, tv_test_teardown);
}
