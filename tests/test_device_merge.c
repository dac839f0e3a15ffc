// Launches that follow one another in memory become one, and compute the same bits; so do those
// that overwrite gradients instead of adding to cleared ones.
#include "base/memory.h"
#include "graph/ops.h"
#include "harness/step.h"
#include "plan/plan.h"

#include <math.h>
#include <string.h>

// All but the last one end where the next one starts.
enum { WEIGHTS = 3, LARGEST = 1280, ROWS = 100 };
static const uint32_t sizes[WEIGHTS] = {256, LARGEST, 199};

typedef struct update {
    tv_graph *graph;
    tv_plan *plan;
    tv_tensor *step, *stat, *w[WEIGHTS], *m[WEIGHTS], *v[WEIGHTS];
} update;

// Tensors lie in the order of the weights, or in the opposite one, where nothing can be merged.
static tv_tensor *tensor(update *u, tv_kind kind, tv_dtype dtype, int i, bool apart, int part)
{
    tv_tensor *made = tv_graph_tensor(u->graph, kind, dtype, 1, sizes[i], "tensor");
    made->rank = (uint32_t)(WEIGHTS * part + (apart ? WEIGHTS - i : 0));
    return made;
}

// The gradients are cleared in phase 0 and the weights updated in phase 1.
static void create(update *u, tv_device *device, tv_dtype dtype, bool apart)
{
    tv_tensor *gradients[WEIGHTS];
    tv_attrs attrs = {.beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8f, .weight_decay = 0.1f};
    *u = (update){.graph = tv_graph_create()};
    u->step = tv_graph_tensor(u->graph, TV_FEED, TV_U32, 1, TV_STEP_WORDS, "step");
    u->stat = tv_graph_tensor(u->graph, TV_RESULT, TV_F32, 1, TV_STAT_WORDS, "stat");
    for (int i = 0; i < WEIGHTS; i++) {
        u->w[i] = tensor(u, TV_WEIGHT, dtype, i, apart, 0);
        u->m[i] = tensor(u, TV_OPTIMIZER, dtype, i, apart, 0);
        u->v[i] = tensor(u, TV_OPTIMIZER, dtype, i, apart, 1);
        u->w[i]->gradient = gradients[i] = tensor(u, TV_GRADIENT, TV_F32, i, apart, 0);
        tv_fill(u->graph, gradients[i], 0);
    }
    tv_graph_new_phase(u->graph);
    tv_grad_norm(u->graph, gradients, WEIGHTS, u->step, u->stat);
    for (int i = 0; i < WEIGHTS; i++) {
        tv_adamw(u->graph, u->w[i], u->m[i], u->v[i], u->stat, u->step, &attrs);
        attrs.site += (uint32_t)tv_div_up(sizes[i], 4);
    }
    assert_ok(tv_plan_create(u->graph, device, &u->plan));
}

static void destroy(update *u)
{
    tv_plan_destroy(&u->plan);
    tv_graph_destroy(&u->graph);
}

static size_t dispatches_of(const update *u, uint32_t phase)
{
    size_t dispatches, barriers;
    double work;
    tv_plan_count(u->plan, phase, &dispatches, &barriers, &work);
    return dispatches;
}

static void run_update(update *u)
{
    float one = 1, rate = 1e-2f, values[LARGEST];
    tv_rng rng = tv_rng_init(5, 0);
    uint32_t *step = tv_plan_feed(u->plan, u->step);
    step[TV_STEP_STEP] = 7;
    memcpy(&step[TV_STEP_LR], &rate, 4);
    memcpy(&step[TV_STEP_UNSCALE], &one, 4);
    memcpy(&step[TV_STEP_CORRECT1], &one, 4);
    memcpy(&step[TV_STEP_CORRECT2], &one, 4);
    assert_ok(tv_plan_upload(u->plan));
    for (int i = 0; i < WEIGHTS; i++) {
        tv_tensor *all[] = {u->w[i], u->m[i], u->v[i], u->w[i]->gradient};
        for (int k = 0; k < 4; k++) {
            for (uint32_t e = 0; e < sizes[i]; e++)
                values[e] = (float)fabs(tv_rng_normal(&rng));
            assert_ok(tv_plan_write(u->plan, all[k], 0, sizes[i], values));
        }
    }
    assert_ok(tv_plan_execute(u->plan, 1));
    assert_ok(tv_plan_download(u->plan));
}

static void compare(const update *a, const update *b)
{
    float x[LARGEST], y[LARGEST];
    const float *one = tv_plan_result(a->plan, a->stat), *two = tv_plan_result(b->plan, b->stat);
    assert_true(one[TV_STAT_FINITE] == 1);
    assert_true(fabsf(one[TV_STAT_NORM] - two[TV_STAT_NORM]) <= 1e-6f * one[TV_STAT_NORM]);
    for (int i = 0; i < WEIGHTS; i++) {
        tv_tensor *of_a[] = {a->w[i], a->m[i], a->v[i]}, *of_b[] = {b->w[i], b->m[i], b->v[i]};
        for (int k = 0; k < 3; k++) {
            assert_ok(tv_plan_read(a->plan, of_a[k], 0, sizes[i], x));
            assert_ok(tv_plan_read(b->plan, of_b[k], 0, sizes[i], y));
            assert_memory_equal(x, y, sizes[i] * sizeof *x);
        }
    }
}

// As floats, and as bfloat16, where each element's random numbers must stay its own.
static void test_updates(void **state)
{
    static const tv_dtype types[] = {TV_F32, TV_BF16};
    for (size_t i = 0; i < 2; i++) {
        update merged, single;
        create(&merged, *state, types[i], false);
        create(&single, *state, types[i], true);
        assert_int_equal(dispatches_of(&merged, 0), 1);
        assert_int_equal(dispatches_of(&merged, 1), 3);
        assert_int_equal(dispatches_of(&single, 0), WEIGHTS);
        assert_int_equal(dispatches_of(&single, 1), 2 * WEIGHTS + 1);
        run_update(&merged);
        run_update(&single);
        compare(&merged, &single);
        destroy(&merged);
        destroy(&single);
    }
}

static void test_fills(void **state)
{
    update u;
    float values[LARGEST];
    create(&u, *state, TV_F32, false);
    run_update(&u);
    assert_ok(tv_plan_execute(u.plan, 0));
    for (int i = 0; i < WEIGHTS; i++) {
        assert_ok(tv_plan_read(u.plan, u.w[i]->gradient, 0, sizes[i], values));
        for (uint32_t e = 0; e < sizes[i]; e++)
            assert_true(values[e] == 0);
    }
    destroy(&u);
}

// Sums of a tensor's columns, part after part: targets [first, first + count) of each.
static void test_column_sums(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan;
    float x[ROWS * 96], sums[3][64] = {0};
    static const uint32_t widths[] = {64, 20, 12};
    tv_tensor *table = tv_graph_tensor(graph, TV_WEIGHT, TV_F32, ROWS, 96, "x"), *targets[3];
    tv_attrs attrs = {.block = ROWS, .accumulate = true};
    for (int i = 0; i < 3; i++) {
        targets[i] = tv_graph_tensor(graph, TV_GRADIENT, TV_F32, 1, widths[i], "sums");
        tv_graph_add(graph, TV_OP_COLSUM, &attrs, &table, &targets[i]);
        attrs.offset += widths[i];
    }
    assert_ok(tv_plan_create(graph, *state, &plan));
    size_t dispatches, barriers;
    double work;
    tv_plan_count(plan, 0, &dispatches, &barriers, &work);
    assert_int_equal(dispatches, 2); // the last target starts at the next multiple of 256 bytes
    assert_int_equal(barriers, 0);
    for (int i = 0; i < ROWS * 96; i++)
        x[i] = (float)(i % 96);
    assert_ok(tv_plan_write(plan, table, 0, ROWS * 96, x));
    for (int i = 0; i < 3; i++)
        assert_ok(tv_plan_write(plan, targets[i], 0, widths[i], sums[i]));
    assert_ok(tv_plan_execute(plan, 0));
    for (int i = 0, column = 0; i < 3; i++) {
        assert_ok(tv_plan_read(plan, targets[i], 0, widths[i], sums[i]));
        for (uint32_t c = 0; c < widths[i]; c++)
            assert_true(sums[i][c] == (float)(ROWS * column++));
    }
    tv_plan_destroy(&plan);
    tv_graph_destroy(&graph);
}

// ------------------------------------------------------------------------------- fresh gradients

// A step's graph with weights and feeds, and gradients that are not finite.
static tv_step_graph *open_model(tv_model_type type, bool tied, tv_device *device, tv_plan **plan)
{
    tv_model_config config = tv_small_model(type);
    const tv_step_options options = {
        .batch = TV_SMALL_BATCH, .time = TV_SMALL_TIME, .update = true};
    config.tie_embeddings = tied;
    tv_step_graph *g = tv_step_graph_create(&config, &options);
    const tv_model *model = g->model;
    *plan = tv_small_plan(g, device);
    for (size_t i = 0; i < model->weight_count; i++) {
        size_t count = (size_t)tv_tensor_count(model->weights[i]);
        float *values = tv_alloc(count, sizeof *values);
        for (size_t k = 0; k < count; k++)
            values[k] = NAN;
        assert_ok(tv_plan_write(*plan, model->weights[i]->gradient, 0, count, values));
        tv_free(values);
    }
    return g;
}

// The first micro-batch overwrites what adding to cleared gradients gives.
static void test_first_micro_batch(void **state)
{
    for (int i = 0; i < 4; i++) {
        tv_plan *plan;
        tv_step_graph *g = open_model(i / 2 ? TV_MODEL_LLAMA : TV_MODEL_GPT2, i % 2, *state, &plan);
        size_t count = (size_t)tv_model_parameters(g->model) + 1;
        assert_ok(tv_plan_execute(plan, g->first));
        float *first = tv_small_read(g, plan);
        assert_true(tv_all_finite(first, count));
        assert_ok(tv_plan_execute(plan, g->zero));
        assert_ok(tv_plan_execute(plan, g->micro));
        float *added = tv_small_read(g, plan);
        for (size_t k = 0; k < count; k++)
            if (first[k] != added[k])
                fail_msg("model %d, value %zu: %g, not %g", i, k, first[k], added[k]);
        tv_free(first);
        tv_free(added);
        tv_plan_destroy(&plan);
        tv_step_graph_destroy(&g);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates),
        cmocka_unit_test(test_fills),
        cmocka_unit_test(test_column_sums),
        cmocka_unit_test(test_first_micro_batch),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, tv_test_setup, tv_test_teardown);
}
