// Plans without a device that computes: barriers, dispatches, transfers, limits.
#include "base/memory.h"
#include "conformance/case.h"
#include "graph/ops.h"
#include "harness/harness.h"
#include "harness/placement.h"
#include "model/model.h"
#include "plan/plan.h"
#include "train/step_graph.h"

#include <stdio.h>
#include <string.h>

// All ops as the table builds them, and on a device so poor that launches are split.
static void test_table(void **state)
{
    tv_device *poor;
    assert_ok(tv_device_open("null", "range=304K", &poor));
    for (size_t i = 0; i < TV_STORAGE_COUNT * tv_case_count; i++) {
        const tv_case *row = &tv_cases[i / TV_STORAGE_COUNT];
        tv_trial trial;
        char name[128];
        tv_case_name(row, name);
        tv_trial_init(&trial, row, tv_storages[i % TV_STORAGE_COUNT]);
        if (tv_test_programs(trial.graph, *state) != TV_OK ||
            tv_test_programs(trial.graph, poor) != TV_OK)
            fail_msg("%s: %s", name, tv_error_message());
        tv_test_placement(trial.graph, *state, 1u << 30);
        tv_trial_finish(&trial);
    }
    tv_device_close(&poor);
}

// --------------------------------------------------------------------------------------- barriers

static void count_barriers(const tv_graph *graph, tv_device *device, size_t dispatches,
                           size_t barriers)
{
    tv_plan *plan;
    size_t got_dispatches, got_barriers;
    double work;
    assert_ok(tv_plan_create(graph, device, &plan));
    tv_plan_count(plan, 0, &got_dispatches, &got_barriers, &work);
    assert_int_equal(got_dispatches, dispatches);
    assert_int_equal(got_barriers, barriers);
    assert_true(work > 0);
    tv_plan_destroy(&plan);
}

static void test_barriers_stand_only_where_needed(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_tensor *x = tv_test_feed(graph, TV_F32, 100, "x"), *y[4];
    for (int i = 0; i < 4; i++) { // independent, also of each other's memory
        y[i] = tv_gelu(graph, x);
        y[i]->kind = TV_RESULT;
    }
    count_barriers(graph, *state, 4, 0);
    tv_tensor *a = tv_add(graph, y[0], y[1]), *b = tv_add(graph, y[2], y[3]); // one for both
    a->kind = b->kind = TV_RESULT;
    count_barriers(graph, *state, 6, 1);
    tv_gelu(graph, tv_add(graph, a, b));
    count_barriers(graph, *state, 8, 3);
    tv_graph_destroy(&graph);
}

// What depends on nothing new comes forward: two chains need no more barriers than one.
static void test_chains_run_side_by_side(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_tensor *x = tv_test_feed(graph, TV_F32, 100, "x");
    for (int chain = 0; chain < 2; chain++) {
        tv_tensor *y = x;
        for (int i = 0; i < 3; i++) {
            y = tv_gelu(graph, y);
            y->kind = TV_RESULT;
        }
    }
    count_barriers(graph, *state, 6, 2);
    tv_graph_destroy(&graph);
}

static void test_barriers_before_overwriting(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_tensor *x = tv_graph_tensor(graph, TV_RESULT, TV_F32, 1, 100, "x");
    tv_fill(graph, x, 1);
    tv_fill(graph, x, 2); // write after write
    tv_gelu(graph, x);    // read after write
    tv_fill(graph, x, 3); // write after read
    count_barriers(graph, *state, 4, 3);
    tv_graph_destroy(&graph);
}

// ------------------------------------------------------------------------------------- dispatches

// A step of a model whose weights leave no gaps clears and updates all of them at once.
static void test_a_step_takes_few_dispatches(void **state)
{
    const tv_model_config config = {.type = TV_MODEL_GPT2,
                                    .vocab_size = 128,
                                    .layers = 3,
                                    .heads = 4,
                                    .kv_heads = 4,
                                    .head_size = 32,
                                    .width = 128,
                                    .inner = 512,
                                    .positions = 32,
                                    .norm_epsilon = 1e-5,
                                    .initializer_range = 0.02};
    tv_step_options options = {
        .batch = 2, .time = 32, .beta1 = 0.9, .beta2 = 0.999, .weight_decay = 0.1f, .update = true};
    for (tv_precision p = 0; p < TV_PRECISION_COUNT; p++) {
        tv_plan *plan;
        size_t dispatches, barriers;
        double work;
        options.precision = p;
        tv_step_graph *g = tv_step_graph_create(&config, &options);
        assert_ok(tv_plan_create(g->graph, *state, &plan));
        tv_plan_count(plan, g->zero, &dispatches, &barriers, &work);
        assert_int_equal(dispatches, 2); // and the sum of losses
        assert_int_equal(barriers, 0);
        tv_plan_count(plan, g->update, &dispatches, &barriers, &work);
        // Two for the norm, one each for the weights that decay and for those that do not.
        assert_int_equal(dispatches, 4);
        assert_int_equal(barriers, 2);
        tv_plan_destroy(&plan);
        tv_step_graph_destroy(&g);
    }
}

static void test_dispatches_are_described(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan;
    size_t count;
    graph->storage = TV_BF16;
    tv_tensor *x = tv_graph_tensor(graph, TV_CONSTANT, TV_BF16, 70, 24, "x");
    tv_tensor *w = tv_graph_tensor(graph, TV_WEIGHT, TV_BF16, 96, 24, "w");
    tv_tensor *qkv = tv_linear(graph, x, w, NULL, TV_NT);
    tv_gelu(graph, tv_attention(graph, qkv, 2, 4, 4, 8));
    assert_ok(tv_plan_create(graph, *state, &plan));
    const tv_plan_dispatch *d = tv_plan_dispatches(plan, 0, &count);
    assert_int_equal(count, 3);
    assert_int_equal(d[0].op, TV_OP_MATMUL);
    assert_string_equal(d[0].shape, "70x96x24");
    assert_true(d[0].flop == 2 * 70 * 96 * 24);
    assert_true(d[0].bytes == 2 * (70 * 24 + 96 * 24 + 70 * 96)); // no bias, and so none is read
    assert_int_equal(d[0].storage, TV_BF16);
    assert_false(d[0].barrier);
    assert_string_equal(d[1].shape, "2x4x35x8");
    assert_true(d[1].flop > 0 && d[1].barrier);
    assert_string_equal(d[2].kernel, "gelu");
    assert_string_equal(d[2].shape, "70x32");
    assert_true(d[2].flop == 0 && d[2].bytes == 2 * 2 * 70 * 32);
    assert_ok(tv_plan_profile(plan, 0));
    assert_true(d[2].seconds == 0); // the null device does not tell the time
    assert_ok(tv_plan_execute(plan, 0));
    tv_plan_destroy(&plan);
    tv_graph_destroy(&graph);
}

// A batch takes one launch, or as many as the device's windows ask for; all of them at once.
static void test_a_batch_is_one_launch(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan;
    tv_device *poor;
    size_t count;
    tv_tensor *a = tv_graph_tensor(graph, TV_CONSTANT, TV_F32, 96 * 64, 64, "a");
    tv_tensor *b = tv_graph_tensor(graph, TV_CONSTANT, TV_F32, 96 * 64, 64, "b");
    tv_gelu(graph, tv_matmul(graph, a, b, 96, TV_NN)); // which no product of a batch takes over
    assert_ok(tv_plan_create(graph, *state, &plan));
    const tv_plan_dispatch *d = tv_plan_dispatches(plan, 0, &count);
    assert_int_equal(count, 2);
    assert_string_equal(d[0].shape, "96x64x64x64");
    assert_true(d[0].flop == 2.0 * 96 * 64 * 64 * 64);
    assert_string_equal(d[1].kernel, "gelu");
    tv_plan_destroy(&plan);

    assert_ok(tv_device_open("null", "range=300K", &poor)); // 18 of 16 KiB, so six times 16
    count_barriers(graph, poor, 6 + 6, 1);
    tv_device_close(&poor);
    tv_graph_destroy(&graph);
}

// -------------------------------------------------------------------------------------- transfers

static void test_feeds_results_and_parts(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan;
    float values[100], got[100] = {0};
    tv_tensor *x = tv_test_feed(graph, TV_F32, 100, "x"), *y = tv_gelu(graph, x);
    tv_tensor *w = tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 4, 25, "w");
    y->kind = TV_RESULT;
    assert_ok(tv_plan_create(graph, *state, &plan));
    for (int i = 0; i < 100; i++)
        values[i] = (float)i;
    memcpy(tv_plan_feed(plan, x), values, sizeof values);
    assert_ok(tv_plan_upload(plan));
    assert_ok(tv_plan_read(plan, x, 0, 100, got));
    assert_memory_equal(got, values, sizeof got);
    assert_ok(tv_plan_write(plan, w, 0, 100, values));
    assert_ok(tv_plan_write(plan, w, 25, 3, values));
    assert_ok(tv_plan_read(plan, w, 24, 5, got));
    assert_true(got[0] == 24 && got[1] == 0 && got[2] == 1 && got[3] == 2 && got[4] == 28);
    assert_ok(tv_plan_write(plan, y, 0, 100, values)); // the null device computes nothing
    assert_ok(tv_plan_run(plan, 0));
    assert_ok(tv_plan_wait(plan, 0));
    const float *result = tv_plan_result(plan, y);
    assert_true(result[99] == 0);
    assert_ok(tv_plan_download(plan));
    assert_memory_equal(result, values, sizeof values);
    tv_plan_destroy(&plan);
    assert_null(plan);
    tv_plan_destroy(&plan);
    tv_graph_destroy(&graph);
}

// ----------------------------------------------------------------------------------------- limits

static void test_a_tensor_too_large(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan = NULL;
    tv_plan_memory memory;
    tv_device *poor;
    (void)state;
    assert_ok(tv_device_open("null", "alloc=1M", &poor));
    tv_caps caps = tv_device_get_info(poor)->caps;
    tv_tensor *x = tv_graph_tensor(graph, TV_FEED, TV_F32, 1024, 256, "just fits");
    assert_ok(tv_plan_measure(graph, &caps, &memory));
    tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 1024, 257, "large");
    assert_error(tv_plan_measure(graph, &caps, &memory), TV_EMEMORY, "large [1024, 257]");
    assert_error(tv_plan_create(graph, poor, &plan), TV_EMEMORY, "1.0 MiB");
    assert_null(plan);
    tv_graph_destroy(&graph);

    graph = tv_graph_create(); // and an activation
    x = tv_graph_tensor(graph, TV_FEED, TV_F32, 1024, 200, "x");
    tv_linear(graph, x, tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 300, 200, "w"), NULL, TV_NT);
    assert_error(tv_plan_measure(graph, &caps, &memory), TV_EMEMORY, "[1024, 300]");
    tv_graph_destroy(&graph);
    tv_device_close(&poor);
}

static void test_too_little_memory(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan = NULL;
    tv_device *device = *state;
    uint64_t have = tv_device_get_info(device)->caps.memory;
    for (uint64_t taken = 0; taken <= have; taken += 1u << 30)
        tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 1 << 14, 1 << 14, "w");
    tv_err err = tv_plan_create(graph, device, &plan);
    assert_error(err, TV_EMEMORY, "8.0 GiB");
    assert_error(err, TV_EMEMORY, "9.0 GiB");
    assert_null(plan);
    tv_graph_destroy(&graph);
}

static void test_a_row_too_long(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan = NULL;
    tv_device *poor;
    (void)state;
    assert_ok(tv_device_open("null", "range=4K", &poor));
    tv_tensor *x = tv_graph_tensor(graph, TV_FEED, TV_F32, 4, 4096, "wide");
    tv_rmsnorm(graph, x, tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 1, 4096, "w"), 1e-5f);
    assert_error(tv_plan_create(graph, poor, &plan), TV_EMEMORY, "wide [4, 4096]");
    assert_null(plan);
    tv_graph_destroy(&graph);
    tv_device_close(&poor);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_barriers_stand_only_where_needed),
        cmocka_unit_test(test_chains_run_side_by_side),
        cmocka_unit_test(test_barriers_before_overwriting),
        cmocka_unit_test(test_a_step_takes_few_dispatches),
        cmocka_unit_test(test_dispatches_are_described),
        cmocka_unit_test(test_a_batch_is_one_launch),
        cmocka_unit_test(test_feeds_results_and_parts),
        cmocka_unit_test(test_a_tensor_too_large),
        cmocka_unit_test(test_too_little_memory),
        cmocka_unit_test(test_a_row_too_long),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, tv_test_open_null, tv_test_teardown);
}
