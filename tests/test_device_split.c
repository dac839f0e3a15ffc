// Launches that must be split: the table of cases on a device whose bindings span little, against
// the same device without that limit; and GPT-2's embedding, which is larger than what some devices
// bind at once.
#include "base/memory.h"
#include "conformance/case.h"
#include "graph/ops.h"
#include "harness/harness.h"
#include "plan/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct devices {
    tv_device *plain, *poor;
} devices;

// Small enough to split every kind of op in the table; blocks of 64 rows of its widest rows still
// fit.
static const char POOR[] = "range=304K,alloc=8M";

static int open_devices(void **state)
{
    devices *d = tv_alloc(1, sizeof *d);
    *state = d;
    d->plain = tv_test_device("");
    d->poor = d->plain ? tv_test_device(POOR) : NULL;
    return d->poor ? 0 : -1;
}

static int close_devices(void **state)
{
    devices *d = *state;
    bool poor = tv_test_device_done(&d->poor), plain = tv_test_device_done(&d->plain);
    tv_free(d);
    return plain && poor ? 0 : -1;
}

// Sums in another order may differ by a few roundings of their terms, which have about the size of
// 1 or of the result: a sum of n terms differs by about sqrt(n) roundings, n at most 1030. Where
// that takes a value across the middle of two of a 16-bit type, it becomes the other one, twice a
// rounding away.
static bool nearly_same(const float *a, const float *b, size_t count, tv_dtype type)
{
    double *want = tv_alloc(count, sizeof *want);
    for (size_t i = 0; i < count; i++)
        want[i] = b[i];
    tv_distance d = tv_compare(a, want, count);
    tv_free(want);
    double limit = tv_rounding(TV_F32) * sqrt(1030) * fmax(d.rms, 1);
    limit += type == TV_F32 ? 0 : 2 * tv_rounding(type) * d.rms;
    return d.relative * (d.rms > 0 ? d.rms : 1) <= limit;
}

static bool compare(const tv_trial *t, const tv_trial_result *plain, const tv_trial_result *poor)
{
    if (t->row->exact && !tv_trial_same_outputs(t, plain, poor)) {
        print_error("  outputs differ in their bits\n");
        return false;
    }
    for (uint32_t i = 0; i < t->output_count; i++)
        if (!nearly_same(poor->outputs[i], plain->outputs[i],
                         (size_t)tv_tensor_count(t->outputs[i]), t->outputs[i]->dtype)) {
            print_error("  output %u differs\n", i);
            return false;
        }
    for (uint32_t i = 0; i < t->leaf_count; i++)
        if (plain->gradients[i] &&
            !nearly_same(poor->gradients[i], plain->gradients[i], t->leaves[i].count, t->storage)) {
            print_error("  the gradient of leaf %u differs\n", i);
            return false;
        }
    return true;
}

// Whether splitting changed nothing; *split: whether there was any.
static bool run_case(const devices *d, const tv_case *row, tv_dtype storage, bool *split)
{
    tv_trial t;
    tv_trial_result plain = {0}, poor = {0};
    tv_trial_init(&t, row, storage);
    bool good =
        tv_trial_run(&t, d->plain, &plain) == TV_OK && tv_trial_run(&t, d->poor, &poor) == TV_OK;
    if (!good)
        print_error("  %s\n", tv_error_message());
    // What is infinite or saturated is no matter of order, but differs by more than roundings.
    bool comparable = row->spread == 0;
    good = good && (!comparable || compare(&t, &plain, &poor));
    *split |= poor.dispatches > plain.dispatches;
    tv_trial_result_finish(&plain);
    tv_trial_result_finish(&poor);
    tv_trial_finish(&t);
    return good;
}

// Every row as floats, and in one of the two 16-bit types: they are split alike.
static void test_table(void **state)
{
    bool split[TV_OP_COUNT] = {false};
    size_t failed = 0;
    for (size_t i = 0; i < 2 * tv_case_count; i++) {
        const tv_case *row = &tv_cases[i / 2];
        tv_dtype storage = i % 2 == 0 ? TV_F32 : i / 2 % 2 == 0 ? TV_F16 : TV_BF16;
        if (!run_case(*state, row, storage, &split[row->op])) {
            char name[128];
            tv_case_name(row, name);
            print_error("  in %s as %s\n", name, tv_dtype_name(storage));
            failed++;
        }
    }
    assert_int_equal(failed, 0);
    static const tv_op must[] = {TV_OP_FILL,        TV_OP_ADD,        TV_OP_GELU,
                                 TV_OP_SWIGLU,      TV_OP_DROPOUT,    TV_OP_ROPE,
                                 TV_OP_POSADD,      TV_OP_EMBED,      TV_OP_LAYERNORM,
                                 TV_OP_RMSNORM,     TV_OP_MATMUL,     TV_OP_ATTENTION,
                                 TV_OP_SUMSQ,       TV_OP_ADAMW,      TV_OP_COLSUM,
                                 TV_OP_POSADD_GRAD, TV_OP_EMBED_GRAD, TV_OP_LINEAR_CROSS_ENTROPY};
    for (size_t i = 0; i < sizeof must / sizeof *must; i++)
        if (!split[must[i]])
            fail_msg("no case of %s was split", tv_op_get_info(must[i])->name);
}

// Products whose inputs are read as they lie and from panels, whatever their size.
static void test_products(void **state)
{
    static const char *const picks[] = {"pick:0", "pick:1"};
    size_t failed = 0;
    for (size_t i = 0; i < 2 * tv_case_count; i++) {
        const tv_case *row = &tv_cases[i / 2];
        bool split = false;
        if (row->op != TV_OP_MATMUL && row->op != TV_OP_LINEAR_CROSS_ENTROPY)
            continue;
        setenv("TRIVIUM_TUNE", picks[i % 2], 1);
        if (!run_case(*state, row, TV_F32, &split)) {
            char name[128];
            tv_case_name(row, name);
            print_error("  in %s, %s\n", name, picks[i % 2]);
            failed++;
        }
    }
    unsetenv("TRIVIUM_TUNE");
    assert_int_equal(failed, 0);
}

enum { SIDE = 64, LONG = 4500 };

// A sum of any length is rounded to 16 bits once: parts of it are no launches of their own.
static void test_long_sums(void **state)
{
    const devices *d = *state;
    tv_plan *plan;
    tv_graph *graph = tv_graph_create();
    tv_tensor *in[TV_NODE_INPUTS] = {tv_graph_tensor(graph, TV_CONSTANT, TV_BF16, SIDE, LONG, "a"),
                                     tv_graph_tensor(graph, TV_CONSTANT, TV_BF16, SIDE, LONG, "b")};
    tv_tensor *out[TV_NODE_OUTPUTS] = {tv_graph_tensor(graph, TV_CACHE, TV_BF16, SIDE, SIDE, "c")};
    tv_attrs attrs = {.layout = TV_NT};
    tv_graph_add(graph, TV_OP_MATMUL, &attrs, in, out);
    static float a[SIDE * LONG], b[SIDE * LONG], c[SIDE * SIDE];
    tv_rng rng = tv_rng_init(2, 0);
    for (size_t i = 0; i < SIDE * LONG; i++) { // eighths
        a[i] = (float)floor(tv_rng_uniform(&rng) * 17 - 8) / 8;
        b[i] = (float)floor(tv_rng_uniform(&rng) * 17 - 8) / 8;
    }
    setenv("TRIVIUM_TUNE", "pick:1", 1);
    assert_ok(tv_plan_create(graph, d->plain, &plan));
    unsetenv("TRIVIUM_TUNE");
    assert_ok(tv_plan_write(plan, in[0], 0, SIDE * LONG, a));
    assert_ok(tv_plan_write(plan, in[1], 0, SIDE * LONG, b));
    assert_ok(tv_plan_execute(plan, 0));
    assert_ok(tv_plan_read(plan, out[0], 0, SIDE * SIDE, c));
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        double sum = 0;
        for (size_t k = 0; k < LONG; k++)
            sum += (double)a[i / SIDE * LONG + k] * b[i % SIDE * LONG + k];
        if (c[i] != tv_round_to(TV_BF16, (float)sum)) // sums of eighths times eighths are exact
            fail_msg("element %zu is %g, should be %g", i, (double)c[i], sum);
    }
    tv_plan_destroy(&plan);
    tv_graph_destroy(&graph);
}

// ------------------------------------------------------------------------------ GPT-2's embedding

enum { VOCABULARY = 50257, WIDTH = 768, ROWS = 64 };

// The loss of one row in double precision.
static double row_loss(const float *x, const float *w, uint32_t target)
{
    double high = -INFINITY, sum = 0, *logits = tv_alloc(VOCABULARY, sizeof *logits);
    for (size_t v = 0; v < VOCABULARY; v++) {
        for (size_t c = 0; c < WIDTH; c++)
            logits[v] += (double)x[c] * w[v * WIDTH + c];
        high = fmax(high, logits[v]);
    }
    for (size_t v = 0; v < VOCABULARY; v++)
        sum += exp(logits[v] - high);
    double loss = log(sum) + high - logits[target];
    tv_free(logits);
    return loss;
}

static void test_embedding_beyond_one_binding(void **state)
{
    const devices *d = *state;
    tv_device *device;
    tv_plan *plan;
    tv_graph *graph = tv_graph_create();
    uint64_t range = tv_device_get_info(d->plain)->caps.max_range;
    assert_ok(tv_device_open(getenv("TRIVIUM_TEST_DEVICE"), range > 128u << 20 ? "range=128M" : "",
                             &device));
    tv_tensor *ids = tv_graph_tensor(graph, TV_FEED, TV_U32, 1, ROWS, "ids");
    tv_tensor *targets = tv_graph_tensor(graph, TV_FEED, TV_U32, 1, ROWS, "targets");
    tv_tensor *step = tv_graph_tensor(graph, TV_FEED, TV_U32, 1, TV_STEP_WORDS, "step");
    tv_tensor *table = tv_graph_tensor(graph, TV_WEIGHT, TV_F32, VOCABULARY, WIDTH, "table");
    tv_tensor *x = tv_embed(graph, ids, table, NULL);
    tv_tensor *loss = tv_linear_cross_entropy(graph, x, table, targets, step, ROWS, false);
    x->kind = loss->kind = TV_RESULT;
    assert_ok(tv_plan_create(graph, device, &plan));

    float *w = tv_alloc((size_t)VOCABULARY * WIDTH, sizeof *w);
    tv_rng rng = tv_rng_init(1, 0);
    for (size_t i = 0; i < (size_t)VOCABULARY * WIDTH; i++)
        w[i] = (float)(tv_rng_uniform(&rng) - 0.5) / 5;
    assert_ok(tv_plan_write(plan, table, 0, tv_tensor_count(table), w));
    uint32_t *id = tv_plan_feed(plan, ids), *target = tv_plan_feed(plan, targets);
    for (uint32_t r = 0; r < ROWS; r++) {
        id[r] = (uint32_t)((uint64_t)r * (VOCABULARY - 1) / (ROWS - 1)); // the last one, too
        target[r] = VOCABULARY - 1 - id[r];
    }
    assert_ok(tv_plan_upload(plan));
    assert_ok(tv_plan_run(plan, 0));
    assert_ok(tv_plan_wait(plan, 0));
    assert_ok(tv_plan_download(plan));
    const float *rows = tv_plan_result(plan, x), *got = tv_plan_result(plan, loss);
    for (uint32_t r = 0; r < ROWS; r++)
        assert_memory_equal(rows + (size_t)r * WIDTH, w + (size_t)id[r] * WIDTH, WIDTH * 4);
    for (uint32_t r = 0; r < ROWS; r += 21) { // rows 0 and 63 among them
        double want = row_loss(rows + (size_t)r * WIDTH, w, target[r]);
        // A loss of about 11 from logits of about 2.6 and a sum of 50257 terms.
        if (!(fabs(got[r] - want) <= 0x1p-24 * 64 * want))
            fail_msg("row %u: loss %.9g, should be %.9g", r, (double)got[r], want);
    }
    tv_free(w);
    tv_plan_destroy(&plan);
    tv_graph_destroy(&graph);
    assert_true(tv_test_device_done(&device));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_long_sums),
        cmocka_unit_test(test_embedding_beyond_one_binding),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
