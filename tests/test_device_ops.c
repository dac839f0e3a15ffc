// Ops on a device: every row of the table of cases, and the update over many steps.
#include "base/memory.h"
#include "graph/ops.h"
#include "harness/cases.h"
#include "harness/harness.h"
#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// One test per op. Those without rows are parts of others': see test_every_op_is_covered.
#define OP(name, kernel, inputs, outputs, lower, gradient)                                         \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        assert_int_equal(tv_test_cases(*state, TV_OP_##name, 1, NULL), 0);                         \
    }
#include "graph/ops.def"
#undef OP

// Ops must occur in a checked graph; ops with a gradient in one whose gradients are checked.
static void test_every_op_is_covered(void **state)
{
    size_t built[TV_OP_COUNT] = {0}, differentiated[TV_OP_COUNT] = {0};
    (void)state;
    for (size_t i = 0; i < tv_case_count; i++) {
        const tv_case_check check = tv_cases[i].check;
        bool checked = check != TV_CASE_FINITE && check != TV_CASE_LOSS_FINITE;
        tv_trial trial;
        tv_trial_init(&trial, &tv_cases[i], TV_F32);
        for (size_t n = 0; n < trial.graph->node_count && checked; n++)
            built[trial.graph->nodes[n]->op]++;
        differentiated[tv_cases[i].op] += checked && check != TV_CASE_FORWARD;
        tv_trial_finish(&trial);
    }
    for (tv_op op = 0; op < TV_OP_COUNT; op++) {
        const tv_op_info *info = tv_op_get_info(op);
        if (built[op] == 0)
            fail_msg("no case contains %s", info->name);
        if (strcmp(info->gradient, "none") != 0 && differentiated[op] == 0)
            fail_msg("no case differentiates %s", info->name);
    }
}

// Attention with scores of thousands, in each flavour of the kernel.
static void test_large_scores(void **state)
{
    static const char *const masks[] = {"", "no-texel,no-cpu-kernels"};
    (void)state;
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        tv_device *device = tv_test_device(masks[m]);
        size_t failed = 0;
        assert_non_null(device);
        for (uint32_t i = 0; i < 12 * TV_STORAGE_COUNT; i++) {
            const tv_case row = tv_test_large_scores(i / TV_STORAGE_COUNT);
            failed += !tv_test_case(device, &row, tv_storages[i % TV_STORAGE_COUNT], masks[m]);
        }
        assert_int_equal(failed, 0);
        assert_true(tv_test_device_done(&device));
    }
}

// --------------------------------------------------------------------------------------- in place

// sequences, time, heads, of them rotated, head size. Forward and backward, what lies between x and
// y can take over one memory.
static void build_chain(tv_trial *t)
{
    const uint32_t *size = t->row->size;
    tv_tensor *x =
        tv_trial_leaf(t, TV_FEED, t->storage, size[0] * size[1], size[2] * size[4])->tensor;
    tv_tensor *table = tv_trial_leaf(t, TV_CONSTANT, TV_F32, size[1], size[4])->tensor;
    x = tv_rope(t->graph, tv_gelu(t->graph, x), table, tv_trial_step(t, 0, 0), size[1], size[3],
                size[4]);
    t->outputs[t->output_count++] = tv_swiglu(t->graph, x);
}

static uint64_t activations_of(const tv_trial *t, tv_device *device)
{
    tv_plan_memory memory;
    assert_ok(tv_plan_measure(t->graph, &tv_device_get_info(device)->caps, &memory));
    return memory.bytes[TV_ACTIVATION];
}

// The same bits as where each tensor has its own memory.
static void compare_in_place(const tv_case *row, tv_dtype storage, tv_device *device)
{
    tv_trial shared, apart;
    tv_trial_result a, b;
    tv_trial_init(&shared, row, storage);
    tv_trial_init(&apart, row, storage);
    for (size_t i = 0; i < apart.graph->tensor_count; i++)
        if (apart.graph->tensors[i]->kind == TV_ACTIVATION)
            apart.graph->tensors[i]->kind = TV_RESULT;
    const tv_tensor *x = shared.leaves[0].tensor;
    assert_int_equal(activations_of(&shared, device),
                     tv_align_up(tv_tensor_bytes(x), TV_BINDING_ALIGNMENT));
    assert_int_equal(activations_of(&apart, device), 0);
    assert_ok(tv_trial_run(&shared, device, &a));
    assert_ok(tv_trial_run(&apart, device, &b));
    if (!tv_trial_same_outputs(&shared, &a, &b) || !tv_trial_same_gradients(&shared, &a, &b))
        fail_msg("heads of %u as %s: other results in place", row->size[4], tv_dtype_name(storage));
    tv_trial_result_finish(&a);
    tv_trial_result_finish(&b);
    tv_trial_finish(&shared);
    tv_trial_finish(&apart);
}

// In each flavour of the kernels, and by sequences.
static void test_in_place(void **state)
{
    static const char *const masks[] = {"", "no-texel,no-cpu-kernels", "no-f16,no-storage16",
                                        "range=64K"};
    static const uint32_t head_sizes[] = {2, 18, 24, 64, 80};
    (void)state;
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        tv_device *device = tv_test_device(masks[m]);
        assert_non_null(device);
        for (size_t i = 0; i < sizeof head_sizes / sizeof *head_sizes; i++)
            for (int k = 0; k < TV_STORAGE_COUNT; k++) {
                const tv_case row = {.op = TV_OP_ROPE,
                                     .check = TV_CASE_GRADIENT,
                                     .build = build_chain,
                                     .size = {3, 32, 6, 4, head_sizes[i]}};
                compare_in_place(&row, tv_storages[k], device);
            }
        assert_true(tv_test_device_done(&device));
    }
}

// ------------------------------------------------------------------------------------- the update

enum { UPDATE_COUNT = 137, UPDATE_STEPS = 200 };

typedef struct update {
    tv_graph *graph;
    tv_plan *plan;
    tv_tensor *step, *stat, *w, *m, *v;
    tv_attrs attrs;
    double want_w[UPDATE_COUNT], want_m[UPDATE_COUNT], want_v[UPDATE_COUNT];
} update;

static void update_create(update *u, tv_device *device)
{
    float zeros[UPDATE_COUNT] = {0}, w[UPDATE_COUNT];
    tv_rng rng = tv_rng_init(3, 0);
    *u = (update){.graph = tv_graph_create(),
                  .attrs = {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8f, .weight_decay = 0.1f}};
    u->step = tv_graph_tensor(u->graph, TV_FEED, TV_U32, 1, TV_STEP_WORDS, "step");
    u->stat = tv_graph_tensor(u->graph, TV_RESULT, TV_F32, 1, TV_STAT_WORDS, "stat");
    u->w = tv_graph_tensor(u->graph, TV_WEIGHT, TV_F32, 1, UPDATE_COUNT, "w");
    u->w->gradient = tv_graph_tensor(u->graph, TV_GRADIENT, TV_F32, 1, UPDATE_COUNT, "g");
    u->m = tv_graph_tensor(u->graph, TV_OPTIMIZER, TV_F32, 1, UPDATE_COUNT, "m");
    u->v = tv_graph_tensor(u->graph, TV_OPTIMIZER, TV_F32, 1, UPDATE_COUNT, "v");
    tv_grad_norm(u->graph, &u->w->gradient, 1, u->step, u->stat);
    tv_adamw(u->graph, u->w, u->m, u->v, u->stat, u->step, &u->attrs);
    assert_ok(tv_plan_create(u->graph, device, &u->plan));
    for (int i = 0; i < UPDATE_COUNT; i++)
        u->want_w[i] = w[i] = (float)tv_rng_normal(&rng);
    assert_ok(tv_plan_write(u->plan, u->w, 0, UPDATE_COUNT, w));
    assert_ok(tv_plan_write(u->plan, u->m, 0, UPDATE_COUNT, zeros));
    assert_ok(tv_plan_write(u->plan, u->v, 0, UPDATE_COUNT, zeros));
}

static void update_destroy(update *u)
{
    tv_plan_destroy(&u->plan);
    tv_graph_destroy(&u->graph);
}

// One step on the device; returns the statistics.
static const float *update_run(update *u, uint32_t t, const float *gradient, float lr, float clip)
{
    float one = 1, correct1 = (float)(1 - pow(u->attrs.beta1, t));
    float correct2 = (float)sqrt(1 - pow(u->attrs.beta2, t));
    uint32_t *step = tv_plan_feed(u->plan, u->step);
    memcpy(&step[TV_STEP_LR], &lr, 4);
    memcpy(&step[TV_STEP_CLIP], &clip, 4);
    memcpy(&step[TV_STEP_UNSCALE], &one, 4);
    memcpy(&step[TV_STEP_CORRECT1], &correct1, 4);
    memcpy(&step[TV_STEP_CORRECT2], &correct2, 4);
    assert_ok(tv_plan_upload(u->plan));
    assert_ok(tv_plan_write(u->plan, u->w->gradient, 0, UPDATE_COUNT, gradient));
    assert_ok(tv_plan_run(u->plan, 0));
    assert_ok(tv_plan_wait(u->plan, 0));
    assert_ok(tv_plan_download(u->plan));
    return tv_plan_result(u->plan, u->stat);
}

// The same in double precision.
static void update_reference(update *u, uint32_t t, const float *gradient, double lr, double clip)
{
    double sum = 0, b1 = u->attrs.beta1, b2 = u->attrs.beta2;
    for (int i = 0; i < UPDATE_COUNT; i++)
        sum += (double)gradient[i] * gradient[i];
    double factor = clip > 0 ? fmin(1, clip / (sqrt(sum) + 1e-6)) : 1;
    for (int i = 0; i < UPDATE_COUNT; i++) {
        double g = gradient[i] * factor;
        u->want_m[i] = b1 * u->want_m[i] + (1 - b1) * g;
        u->want_v[i] = b2 * u->want_v[i] + (1 - b2) * g * g;
        double root = sqrt(u->want_v[i] / (1 - pow(b2, t))) + u->attrs.epsilon;
        u->want_w[i] -= lr * u->attrs.weight_decay * u->want_w[i];
        u->want_w[i] -= lr * (u->want_m[i] / (1 - pow(b1, t))) / root;
    }
}

static void test_many_updates(void **state)
{
    update u;
    float gradient[UPDATE_COUNT], w[UPDATE_COUNT];
    tv_rng rng = tv_rng_init(4, 0);
    update_create(&u, *state);
    for (uint32_t t = 1; t <= UPDATE_STEPS; t++) {
        float lr = 1e-2f, clip = t % 2 ? 5.0f : 0; // the norm is about 12
        for (int i = 0; i < UPDATE_COUNT; i++)
            gradient[i] = (float)tv_rng_normal(&rng);
        const float *stat = update_run(&u, t, gradient, lr, clip);
        assert_true(stat[TV_STAT_FINITE] == 1);
        assert_true(t % 2 ? stat[TV_STAT_COEFFICIENT] < 1 : stat[TV_STAT_COEFFICIENT] == 1);
        update_reference(&u, t, gradient, lr, clip);
    }
    assert_ok(tv_plan_read(u.plan, u.w, 0, UPDATE_COUNT, w));
    tv_distance d = tv_compare(w, u.want_w, UPDATE_COUNT);
    // Each step rounds the weight twice, and its own small part a few times: a random walk.
    double limit = 4 * 0x1p-24 * sqrt(UPDATE_STEPS);
    if (d.relative > limit)
        fail_msg("relative error %g of the weights, limit %g", d.relative, limit);
    update_destroy(&u);
}

static void test_update_skips_what_is_not_finite(void **state)
{
    static const float bad[] = {INFINITY, -INFINITY, NAN, 3e38f}; // the last one's square overflows
    update u;
    float gradient[UPDATE_COUNT], before[3][UPDATE_COUNT], after[3][UPDATE_COUNT];
    update_create(&u, *state);
    tv_tensor *tensors[] = {u.w, u.m, u.v};
    for (int i = 0; i < UPDATE_COUNT; i++)
        gradient[i] = 0.5f;
    update_run(&u, 1, gradient, 0.1f, 1);
    for (int k = 0; k < 3; k++)
        assert_ok(tv_plan_read(u.plan, tensors[k], 0, UPDATE_COUNT, before[k]));
    for (int i = 0; i < 4; i++) {
        gradient[UPDATE_COUNT - 1] = bad[i];
        const float *stat = update_run(&u, 2, gradient, 0.1f, i % 2 ? 1.0f : 0);
        assert_true(stat[TV_STAT_FINITE] == 0 && stat[TV_STAT_COEFFICIENT] == 0);
        for (int k = 0; k < 3; k++)
            assert_ok(tv_plan_read(u.plan, tensors[k], 0, UPDATE_COUNT, after[k]));
        assert_memory_equal(before, after, sizeof before);
    }
    update_destroy(&u);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define OP(name, kernel, inputs, outputs, lower, gradient) cmocka_unit_test(test_##name),
#include "graph/ops.def"
#undef OP
        cmocka_unit_test(test_every_op_is_covered),
        cmocka_unit_test(test_large_scores),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_many_updates),
        cmocka_unit_test(test_update_skips_what_is_not_finite),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, tv_test_setup, tv_test_teardown);
}
