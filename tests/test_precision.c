// Precision: names, the choice by device, the rules of the loss scale, what a training graph stores
// in which type, what that takes in memory, and what checkpoints remember of it.
#include "harness/harness.h"

#include "base/file.h"
#include "base/memory.h"
#include "plan/plan.h"
#include "train/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

// ---------------------------------------------------------------------------------------- names

static void test_names(void **state)
{
    static const struct {
        const char *name;
        tv_precision precision;
    } rows[] = {
        {"32-true", TV_PRECISION_32_TRUE},       {"32", TV_PRECISION_32_TRUE},
        {"16-mixed", TV_PRECISION_16_MIXED},     {"16", TV_PRECISION_16_MIXED},
        {"bf16-mixed", TV_PRECISION_BF16_MIXED}, {"bf16", TV_PRECISION_BF16_MIXED},
        {"bf16-true", TV_PRECISION_BF16_TRUE},   {"auto", TV_PRECISION_AUTO},
    };
    static const char *const wrong[] = {"16-true", "bf16-", "", "AUTO", "64"};
    (void)state;
    tv_precision precision;
    tv_dtype dtype;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_ok(tv_precision_parse(rows[i].name, &precision));
        assert_int_equal(precision, rows[i].precision);
    }
    for (size_t i = 0; i < COUNT(wrong); i++)
        assert_error(tv_precision_parse(wrong[i], &precision), TV_EUSAGE, "bf16-mixed, bf16-true");
    assert_ok(tv_moment_dtype_parse("32", &dtype));
    assert_int_equal(dtype, TV_F32);
    assert_ok(tv_moment_dtype_parse("bf16", &dtype));
    assert_int_equal(dtype, TV_BF16);
    assert_error(tv_moment_dtype_parse("16", &dtype), TV_EUSAGE, "32, bf16");
}

// Every name that the configuration allows is one that parses.
static void test_configured_names(void **state)
{
    static const char *const names[] = {"32-true", "16-mixed", "bf16-mixed", "bf16-true",
                                        "auto",    "32",       "16",         "bf16"};
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        tv_config config;
        tv_precision precision;
        char line[64];
        tv_config_init(&config);
        snprintf(line, sizeof line, "trainer: {precision: %s}\n", names[i]);
        assert_ok(tv_config_parse(&config, (const uint8_t *)line, strlen(line), "c.yaml"));
        assert_string_equal(config.trainer.precision, names[i]);
        assert_ok(tv_precision_parse(config.trainer.precision, &precision));
        tv_config_finish(&config);
    }
}

static void test_auto(void **state)
{
    static const struct {
        bool storage16, f16, bf16;
        tv_device_class device_class;
        tv_precision precision;
        const char *reason;
    } rows[] = {
        {true, true, true, TV_CLASS_DISCRETE, TV_PRECISION_BF16_MIXED, "has bfloat16"},
        {true, false, true, TV_CLASS_INTEGRATED, TV_PRECISION_BF16_MIXED, "has bfloat16"},
        {true, true, false, TV_CLASS_DISCRETE, TV_PRECISION_16_MIXED, "float16 and no bfloat16"},
        {true, true, false, TV_CLASS_VIRTUAL, TV_PRECISION_16_MIXED, "float16 and no bfloat16"},
        {true, false, false, TV_CLASS_DISCRETE, TV_PRECISION_32_TRUE, "neither"},
        {false, true, true, TV_CLASS_DISCRETE, TV_PRECISION_32_TRUE, "does not store"},
        {true, true, true, TV_CLASS_CPU, TV_PRECISION_32_TRUE, "CPU"},
        {false, false, false, TV_CLASS_CPU, TV_PRECISION_32_TRUE, "CPU"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        tv_caps caps = {.storage16 = rows[i].storage16, .f16 = rows[i].f16, .bf16 = rows[i].bf16};
        tv_precision_choice choice = tv_precision_auto(&caps, rows[i].device_class);
        assert_int_equal(choice.precision, rows[i].precision);
        assert_non_null(strstr(choice.reason, rows[i].reason));
    }
}

// ----------------------------------------------------------------------------------- loss scale

static void update(tv_loss_scale *scale, int finite, int times)
{
    for (int i = 0; i < times; i++)
        tv_loss_scale_update(scale, finite);
}

// The rules of torch.amp.GradScaler: growth 2, backoff 0.5, interval 2000.
static void test_loss_scale(void **state)
{
    (void)state;
    tv_loss_scale scale = {.value = 65536};
    update(&scale, true, 1999);
    assert_true(scale.value == 65536);
    update(&scale, true, 1);
    assert_true(scale.value == 131072 && scale.good_steps == 0);
    update(&scale, true, 1999);
    update(&scale, false, 1); // starts the count anew
    assert_true(scale.value == 65536 && scale.good_steps == 0);
    update(&scale, true, 1999);
    assert_true(scale.value == 65536);
    update(&scale, true, 1);
    assert_true(scale.value == 131072);
    update(&scale, false, 5);
    assert_true(scale.value == 4096);
}

static void test_loss_scale_ends(void **state)
{
    (void)state;
    tv_loss_scale scale = {.value = 3};
    update(&scale, false, 1);
    assert_true(scale.value == 1.5);
    update(&scale, false, 1);
    assert_true(scale.value == 1);
    update(&scale, false, 100);
    assert_true(scale.value == 1);
    update(&scale, true, 2000 * 200); // its inverse stays a normal float
    assert_true(scale.value == 0x1p100);
}

// What a session makes of a state: new, resumed, and resumed from another precision.
static void test_state_of_a_session(void **state)
{
    const tv_precision half = TV_PRECISION_16_MIXED, bf16 = TV_PRECISION_BF16_MIXED;
    const struct {
        tv_precision session, before;
        double scale, good_steps, want_scale, want_good_steps;
    } rows[] = {
        {half, 0, 0, 0, 1024, 0},   {bf16, 0, 0, 0, 1, 0},    {0, 0, 0, 0, 1, 0},
        {half, half, 32, 7, 32, 7}, {half, 0, 1, 0, 1024, 0}, {half, bf16, 1, 0, 1024, 0},
        {bf16, half, 32, 7, 1, 0},
    };
    (void)state;
    tv_config config;
    tv_config_init(&config);
    assert_ok(tv_config_set(&config, "trainer.loss_scale=1024"));
    for (size_t i = 0; i < COUNT(rows); i++) {
        tv_session session = {
            .config = &config, .precision = rows[i].session, .moments = TV_BF16, .micro_batch = 3};
        tv_train_state s = {.precision = rows[i].before,
                            .loss_scale = {rows[i].scale, (uint64_t)rows[i].good_steps}};
        tv_session_enter(&session, &s);
        assert_true(s.loss_scale.value == rows[i].want_scale);
        assert_true((double)s.loss_scale.good_steps == rows[i].want_good_steps);
        assert_int_equal(s.precision, rows[i].session);
        assert_int_equal(s.moments, TV_BF16);
        assert_int_equal(s.micro_batch, 3);
    }
    tv_config_finish(&config);
}

// ---------------------------------------------------------------------------------------- graphs

static const tv_model_config small = {.type = TV_MODEL_GPT2,
                                      .layers = 2,
                                      .heads = 4,
                                      .kv_heads = 4,
                                      .head_size = 64,
                                      .width = 256,
                                      .inner = 1024,
                                      .vocab_size = 1000,
                                      .positions = 128,
                                      .tie_embeddings = true,
                                      .initializer_range = 0.02,
                                      .norm_epsilon = 1e-5};

static tv_step_graph *create(tv_precision precision, tv_dtype moments)
{
    tv_step_options options = {.batch = 8,
                               .time = 128,
                               .beta1 = 0.9,
                               .beta2 = 0.95,
                               .epsilon = 1e-8F,
                               .precision = precision,
                               .moments = moments,
                               .update = true};
    return tv_step_graph_create(&small, &options);
}

static void test_types_in_the_graph(void **state)
{
    static const struct {
        tv_precision precision;
        tv_dtype weights;
        bool masters;
    } rows[] = {
        {TV_PRECISION_32_TRUE, TV_F32, false},
        {TV_PRECISION_16_MIXED, TV_F16, true},
        {TV_PRECISION_BF16_MIXED, TV_BF16, true},
        {TV_PRECISION_BF16_TRUE, TV_BF16, false},
    };
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        tv_dtype moments = i % 2 ? TV_BF16 : TV_F32;
        tv_step_graph *graph = create(rows[i / 2].precision, moments);
        for (size_t w = 0; w < graph->model->weight_count; w++) {
            const tv_tensor *weight = graph->model->weights[w], *master = weight->master;
            assert_int_equal(weight->dtype, rows[i / 2].weights);
            assert_int_equal(weight->gradient->dtype, TV_F32);
            assert_int_equal(graph->first_moments[w]->dtype, moments);
            assert_int_equal(graph->second_moments[w]->dtype, moments);
            assert_int_equal(master != NULL, rows[i / 2].masters);
            if (master)
                assert_true(master->dtype == TV_F32 && master->kind == TV_MASTER &&
                            tv_tensor_count(master) == tv_tensor_count(weight));
        }
        assert_int_equal(graph->loss_sum->dtype, TV_F32);
        tv_step_graph_destroy(&graph);
    }
}

// Where validation is all there is, nothing but the weights.
static void test_no_masters_without_update(void **state)
{
    (void)state;
    tv_step_options options = {.batch = 1, .time = 8, .precision = TV_PRECISION_BF16_MIXED};
    tv_step_graph *graph = tv_step_graph_create(&small, &options);
    assert_null(graph->model->weights[0]->master);
    assert_int_equal(graph->model->weights[0]->dtype, TV_BF16);
    tv_step_graph_destroy(&graph);
}

static tv_plan_memory measure(tv_precision precision, tv_dtype moments, uint64_t *parameters)
{
    const tv_caps caps = {.subgroup = 32,
                          .max_group = 256,
                          .shared_bytes = 32 << 10,
                          .max_groups = {65535, 65535, 65535},
                          .max_range = 1 << 30,
                          .max_alloc = 1 << 30,
                          .memory = UINT64_C(8) << 30,
                          .speed = 1};
    tv_plan_memory memory;
    tv_step_graph *graph = create(precision, moments);
    assert_ok(tv_plan_measure(graph->graph, &caps, &memory));
    *parameters = tv_model_parameters(graph->model);
    tv_step_graph_destroy(&graph);
    return memory;
}

// Bytes per parameter of each kind are those in docs/precision.md, and every 16-bit mode takes less
// than 32-true in all.
static void test_memory(void **state)
{
    static const struct {
        tv_precision precision;
        tv_dtype moments;
        double weights, masters, optimizer; // bytes per parameter
    } rows[] = {
        {TV_PRECISION_32_TRUE, TV_F32, 4, 0, 8},    {TV_PRECISION_32_TRUE, TV_BF16, 4, 0, 4},
        {TV_PRECISION_16_MIXED, TV_F32, 2, 4, 8},   {TV_PRECISION_16_MIXED, TV_BF16, 2, 4, 4},
        {TV_PRECISION_BF16_MIXED, TV_F32, 2, 4, 8}, {TV_PRECISION_BF16_MIXED, TV_BF16, 2, 4, 4},
        {TV_PRECISION_BF16_TRUE, TV_F32, 2, 0, 8},  {TV_PRECISION_BF16_TRUE, TV_BF16, 2, 0, 4},
    };
    (void)state;
    uint64_t n;
    tv_plan_memory full = measure(TV_PRECISION_32_TRUE, TV_F32, &n);
    for (size_t i = 0; i < COUNT(rows); i++) {
        tv_plan_memory memory = measure(rows[i].precision, rows[i].moments, &n);
        const double want[][2] = {
            {(double)memory.bytes[TV_WEIGHT], rows[i].weights},
            {(double)memory.bytes[TV_MASTER], rows[i].masters},
            {(double)memory.bytes[TV_GRADIENT], 4},
            {(double)memory.bytes[TV_OPTIMIZER], rows[i].optimizer},
        };
        for (size_t k = 0; k < COUNT(want); k++) // tensors are aligned
            assert_true(want[k][0] >= want[k][1] * (double)n &&
                        want[k][0] <= 1.02 * want[k][1] * (double)n);
        if (rows[i].precision == TV_PRECISION_32_TRUE)
            continue;
        assert_true(memory.bytes[TV_ACTIVATION] < 0.75 * (double)full.bytes[TV_ACTIVATION]);
        assert_true(memory.total < full.total);
    }
}

// ----------------------------------------------------------------------------------- checkpoints

#define STATE                                                                                      \
    "\"step\": 9, \"updates\": 8, \"tokens\": 64, \"skipped\": 1, \"skipped_in_a_row\": 0, "       \
    "\"micro_batch_size\": 2, \"global_batch_size\": 4, \"seq_len\": 8, \"seed\": 5, "             \
    "\"metrics_jsonl_bytes\": 0, \"metrics_csv_bytes\": 0, \"seconds\": 1.5"

static tv_err read_state(const char *json, tv_train_state *state)
{
    char folder[] = "/tmp/trivium-state-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/trainer.json", folder);
    assert_ok(tv_file_write(path, json, strlen(json)));
    tv_err err = tv_checkpoint_read_state(folder, state);
    remove(path);
    remove(folder);
    return err;
}

static void test_state_that_is_read(void **state)
{
    (void)state;
    tv_train_state s;
    assert_ok(read_state("{" STATE ", \"precision\": \"16-mixed\", \"state_precision\": \"bf16\", "
                         "\"loss_scale\": 4096.0, \"loss_scale_good_steps\": 1999}",
                         &s));
    assert_int_equal(s.precision, TV_PRECISION_16_MIXED);
    assert_int_equal(s.moments, TV_BF16);
    assert_true(s.loss_scale.value == 4096 && s.loss_scale.good_steps == 1999);
    assert_ok(read_state("{" STATE "}", &s)); // from before there were precisions
    assert_int_equal(s.precision, TV_PRECISION_32_TRUE);
    assert_int_equal(s.moments, TV_F32);
    assert_true(s.loss_scale.value == 1 && s.loss_scale.good_steps == 0);
    assert_int_equal(s.rank_count, 0);
    assert_ok(read_state("{" STATE ", \"ranks\": [{\"micro_batch_size\": 4, "
                         "\"micro_batch_seconds\": 0.5, \"update_seconds\": 0.25}, "
                         "{\"micro_batch_size\": 1}]}",
                         &s));
    assert_int_equal(s.rank_count, 2);
    assert_true(s.ranks[0].micro_batch == 4 && s.ranks[1].micro_batch == 1);
    assert_true(s.ranks[0].cost.batch == 0.5 && s.ranks[0].cost.fixed == 0.25);
    assert_true(s.ranks[1].cost.batch == 0 && s.ranks[1].cost.fixed == 0);
}

static void test_state_that_is_refused(void **state)
{
    static const struct {
        const char *json, *part;
    } rows[] = {
        {"{" STATE ", \"precision\": \"auto\"}", "precision: there is no 'auto'"},
        {"{" STATE ", \"precision\": \"8-true\"}", "precision: there is no '8-true'"},
        {"{" STATE ", \"precision\": 16}", "precision"},
        {"{" STATE ", \"state_precision\": \"fp8\"}", "state_precision: there is no 'fp8'"},
        {"{" STATE ", \"loss_scale\": 0}", "loss_scale"},
        {"{" STATE ", \"loss_scale\": -1}", "loss_scale"},
        {"{" STATE ", \"loss_scale_good_steps\": 2000}", "loss_scale_good_steps"},
        {"{" STATE ", \"ranks\": 2}", "ranks: not a list of 2 to 64"},
        {"{" STATE ", \"ranks\": [{\"micro_batch_size\": 4}]}", "ranks: not a list of 2 to 64"},
        {"{" STATE ", \"ranks\": [1, 2]}", "ranks: not a list of objects"},
        {"{" STATE ", \"ranks\": [{}, {}]}", "no micro_batch_size"},
        {"{" STATE ", \"ranks\": [{\"micro_batch_size\": 0}, {}]}", "micro_batch_size"},
        {"{" STATE ", \"ranks\": [{\"micro_batch_size\": 1, \"update_seconds\": -1}, {}]}",
         "update_seconds"},
    };
    (void)state;
    tv_train_state s;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_error(read_state(rows[i].json, &s), TV_EFORMAT, rows[i].part);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_configured_names),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_loss_scale),
        cmocka_unit_test(test_loss_scale_ends),
        cmocka_unit_test(test_state_of_a_session),
        cmocka_unit_test(test_types_in_the_graph),
        cmocka_unit_test(test_no_masters_without_update),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_state_that_is_read),
        cmocka_unit_test(test_state_that_is_refused),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
