// Products that take over what is done to their results, against the same graph left as it is.
#include "base/memory.h"
#include "conformance/case.h"
#include "harness/harness.h"
#include "plan/fuse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const tv_op fused_ops[] = {TV_OP_MATMUL};

// How far apart two runs are, of what they should be: |a - b| / |b|.
static double distance(const float *a, const float *b, size_t count)
{
    double *want = tv_alloc(count, sizeof *want);
    for (size_t i = 0; i < count; i++)
        want[i] = b[i];
    double relative = tv_compare(a, want, count).relative;
    tv_free(want);
    return relative;
}

// Both round to the storage type, at most four times on the way.
static void compare(const tv_trial *t, const tv_trial_result *fused, const tv_trial_result *plain)
{
    double most = 4 * tv_rounding(t->storage);
    for (uint32_t i = 0; i < t->output_count; i++) {
        size_t count = (size_t)tv_tensor_count(t->outputs[i]);
        double d = distance(fused->outputs[i], plain->outputs[i], count);
        if (!(d <= most))
            fail_msg("%s: output %u: %g apart", tv_dtype_name(t->storage), i, d);
    }
    for (uint32_t i = 0; i < t->leaf_count; i++) {
        if (!fused->gradients[i])
            continue;
        double d = distance(fused->gradients[i], plain->gradients[i], t->leaves[i].count);
        if (!(d <= most))
            fail_msg("%s: gradient %u: %g apart", tv_dtype_name(t->storage), i, d);
    }
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
        compare(&t, &fused, &plain);
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

static size_t test_all(tv_device *device)
{
    size_t count = 0;
    for (size_t i = 0; i < tv_case_count; i++)
        for (int k = 0; k < TV_STORAGE_COUNT && is_fused(tv_cases[i].op); k++)
            count += test_row(&tv_cases[i], tv_storages[k], device);
    return count;
}

// Kernels on matrix units and of subgroups have no epilogues: without them, every device has some.
static void test_fused(void **state)
{
    static const char *const masks[] = {"", "no-coopmat,no-coopmat2,no-texel"};
    size_t count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks && count == 0; i++) {
        tv_device *device = tv_test_device(masks[i]);
        assert_non_null(device);
        count = test_all(device);
        assert_true(tv_test_device_done(&device));
    }
    assert_true(count > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fused)};
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
