// Nodes that take over what is done to their results, against the same graph left as it is.
#include "base/memory.h"
#include "conformance/stored.h"
#include "harness/step.h"
#include "plan/fuse.h"
#include "plan/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const tv_op fused_ops[] = {TV_OP_MATMUL, TV_OP_DROPOUT};

// How far apart two runs are, of what they should be.
static tv_distance distance(const float *a, const float *b, size_t count)
{
    double *want = tv_alloc(count, sizeof *want);
    for (size_t i = 0; i < count; i++)
        want[i] = b[i];
    tv_distance d = tv_compare(a, want, count);
    tv_free(want);
    return d;
}

// Both round to the storage type, at most four times on the way. Of many elements the norm is as
// large as what they sum up; a single one may be a small difference, of a product and the bias or
// the gradient that it is added to, and then each run is off by what it lost of these.
static void compare(const tv_trial *t, const char *what, uint32_t index, const float *fused,
                    const float *plain, size_t count, tv_bound lost)
{
    tv_distance d = distance(fused, plain, count);
    double most = 4 * tv_rounding(t->storage) * d.rms + (count == 1 ? 2 * lost.rms : 0);
    double apart = d.relative * (d.rms > 0 ? d.rms : 1);
    if (!(apart <= most))
        fail_msg("%s: %s %u: %g apart (limit %g)", tv_dtype_name(t->storage), what, index, apart,
                 most);
}

static void compare_all(const tv_trial *t, const tv_trial_result *fused,
                        const tv_trial_result *plain)
{
    for (uint32_t i = 0; i < t->output_count; i++)
        compare(t, "output", i, fused->outputs[i], plain->outputs[i],
                (size_t)tv_tensor_count(t->outputs[i]), tv_stored_in_output(t, i, plain));
    for (uint32_t i = 0; i < t->leaf_count; i++)
        if (fused->gradients[i])
            compare(t, "gradient", i, fused->gradients[i], plain->gradients[i], t->leaves[i].count,
                    tv_stored_in_gradient(t, i));
}

static size_t nodes_of(const tv_trial *t, const tv_device *device)
{
    tv_fused fused;
    tv_fuse(t->graph, &tv_device_get_info(device)->caps, &fused);
    size_t count = fused.graph.node_count;
    tv_fused_finish(&fused);
    return count;
}

// True where the device fuses anything of the row.
static bool test_row(const tv_case *row, tv_dtype storage, tv_device *device)
{
    tv_trial t;
    tv_trial_result fused, plain;
    tv_trial_init(&t, row, storage);
    bool any = nodes_of(&t, device) < t.graph->node_count;
    if (any) {
        assert_ok(tv_trial_run(&t, device, &fused));
        setenv("TRIVIUM_FUSE", "0", 1);
        assert_int_equal(nodes_of(&t, device), t.graph->node_count);
        assert_ok(tv_trial_run(&t, device, &plain));
        unsetenv("TRIVIUM_FUSE");
        assert_true(fused.dispatches < plain.dispatches);
        compare_all(&t, &fused, &plain);
        tv_trial_result_finish(&fused);
        tv_trial_result_finish(&plain);
    }
    tv_trial_finish(&t);
    return any;
}

static bool is_fused(tv_op op)
{
    for (size_t i = 0; i < sizeof fused_ops / sizeof *fused_ops; i++)
        if (fused_ops[i] == op)
            return true;
    return false;
}

// A row in all storage types, and if it is one of single elements, with many random values.
static bool test_values(const tv_case *from, tv_device *device)
{
    uint32_t seeds = from->size[0] * from->size[1] * from->size[2] == 1 ? 100 : 1;
    bool any = false;
    for (uint32_t i = 0; i < seeds * TV_STORAGE_COUNT; i++) {
        tv_case row = *from;
        row.size[TV_CASE_SIZES - 1] = i / TV_STORAGE_COUNT; // seeds leaves, and is nobody's size
        any |= test_row(&row, tv_storages[i % TV_STORAGE_COUNT], device);
    }
    return any;
}

// ------------------------------------------------------------------------------------------ models

// Norms that add, of a training step.
static uint32_t sums_in_norms(const tv_step_graph *g, const tv_device *device)
{
    tv_fused fused;
    uint32_t count = 0;
    tv_fuse(g->graph, &tv_device_get_info(device)->caps, &fused);
    for (size_t i = 0; i < fused.graph.node_count; i++) {
        const tv_node *node = fused.graph.nodes[i];
        count += node->phase == g->first && node->op == TV_OP_ADD_LAYERNORM;
    }
    tv_fused_finish(&fused);
    return count;
}

// GPT-2 with dropout: norms of sums whose dropout has added them, and all that products take over.
static void test_model(void **state)
{
    tv_model_config config = tv_small_model(TV_MODEL_GPT2);
    const tv_step_options options = {
        .batch = TV_SMALL_BATCH, .time = TV_SMALL_TIME, .update = true};
    config.resid_pdrop = 0.25;
    tv_device *device = tv_test_device(NULL);
    (void)state;
    assert_non_null(device);
    tv_step_graph *g = tv_step_graph_create(&config, &options);
    size_t count = (size_t)tv_model_parameters(g->model) + 1;
    assert_int_equal(sums_in_norms(g, device), 0);
    float *fused = tv_small_step(g, device);
    setenv("TRIVIUM_FUSE", "0", 1);
    assert_int_equal(sums_in_norms(g, device), 2 * config.layers);
    float *plain = tv_small_step(g, device);
    unsetenv("TRIVIUM_FUSE");
    assert_true(tv_all_finite(fused, count));
    double d = distance(fused, plain, count).relative;
    if (!(d <= 1e-5))
        fail_msg("gradients are %g apart", d);
    tv_free(fused);
    tv_free(plain);
    tv_step_graph_destroy(&g);
    assert_true(tv_test_device_done(&device));
}

// The subgroup kernels of software drivers have no epilogues: without them, every device has some.
static void test_fused(void **state)
{
    static const char *const masks[] = {"", "no-coopmat2", "no-coopmat,no-coopmat2,no-texel"};
    bool products = false, coop = true, coop2 = true;
    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        if (i == 1 ? !coop2 : i == 2 ? products && !coop : false)
            continue; // the same kernels as before
        tv_device *device = tv_test_device(masks[i]);
        assert_non_null(device);
        coop = tv_device_get_info(device)->caps.coop;
        coop2 = tv_device_get_info(device)->caps.coop2;
        products = false;
        for (size_t k = 0; k < tv_case_count; k++)
            if (is_fused(tv_cases[k].op))
                products |= test_values(&tv_cases[k], device) && tv_cases[k].op == TV_OP_MATMUL;
        assert_true(tv_test_device_done(&device));
    }
    if (!products)
        fail_msg("no product took over anything");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fused), cmocka_unit_test(test_model)};
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
