// Precision modes on a device: how far each may be from 32-true, that what a driver does by itself
// and its emulation give the same bits, and the loss scale when gradients overflow.
#include "harness/golden.h"

#include "base/file.h"
#include "base/memory.h"
#include "formats/checksum.h"
#include "train/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Unit roundoffs: half the distance from 1 to the next number, relative to it.
#define ROUNDOFF_F16 0x1p-11
#define ROUNDOFF_BF16 0x1p-8

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const tv_precision sixteen_bit[] = {TV_PRECISION_16_MIXED, TV_PRECISION_BF16_MIXED,
                                           TV_PRECISION_BF16_TRUE};

static const char *name_of(tv_precision precision)
{
    return tv_precision_get_info(precision)->name;
}

// ---------------------------------------------------------------------------------- the session

// Everything that a step may change, tensor by tensor: calls visit on each.
typedef void visitor(const tv_golden *golden, const tv_tensor *tensor, void *context);

static void visit_all(const tv_golden *g, visitor *visit, void *context)
{
    const tv_step_graph *graph = g->session.graph;
    for (size_t i = 0; i < graph->model->weight_count; i++) {
        const tv_tensor *w = graph->model->weights[i];
        visit(g, w, context);
        if (w->master)
            visit(g, w->master, context);
        visit(g, graph->first_moments[i], context);
        visit(g, graph->second_moments[i], context);
    }
}

static void fold_tensor(const tv_golden *g, const tv_tensor *tensor, void *context)
{
    size_t size = (size_t)tv_tensor_count(tensor) * sizeof(float);
    float *values = tv_golden_fetch(g, tensor);
    tv_checksum_stream_add(context, values, size);
    tv_free(values);
}

// A checksum of the bits of all weights, masters and moments.
static tv_checksum fingerprint(const tv_golden *g)
{
    tv_checksum_stream *stream = tv_checksum_stream_create();
    visit_all(g, fold_tensor, stream);
    tv_checksum sum = tv_checksum_stream_sum(stream);
    tv_checksum_stream_destroy(&stream);
    return sum;
}

static void check_fingerprint(const tv_golden *g, const tv_checksum *want, bool same,
                              const char *what)
{
    tv_checksum got = fingerprint(g);
    if ((strcmp(got.xxh3, want->xxh3) == 0) != same)
        fail_msg("%s in %s, state %s: weights, masters and moments %s %s", g->name,
                 name_of(g->options.precision), tv_moment_dtype_name(g->options.moments),
                 same ? "differ" : "do not differ", what);
}

// ------------------------------------------------------------------------------------- the curve

// How many roundoffs a loss may be off PyTorch's in double precision. The first one is a mean over
// tokens of what is each wrong by a roundoff or so, with either sign. Rounded copies of a master
// are as close to it after many steps as after one, so later losses stay within a few. Without
// masters every step rounds each weight at random: after n steps it is sqrt(n) roundings off.
static double allowed_roundoffs(tv_precision precision, size_t step)
{
    if (step == 0)
        return 0.5;
    return precision == TV_PRECISION_BF16_TRUE ? 3 + 2 * sqrt((double)step) : 3;
}

static void check_curve(tv_device *device, const char *name, const tv_golden_options *options)
{
    double roundoff = options->precision == TV_PRECISION_16_MIXED ? ROUNDOFF_F16 : ROUNDOFF_BF16;
    tv_golden g;
    tv_golden_open(&g, device, name, options);
    double *losses = tv_golden_read(&g, "losses", TV_ST_F64, TV_GOLDEN_STEPS), largest = 0;
    double *norms = tv_golden_read(&g, "grad_norms", TV_ST_F64, TV_GOLDEN_STEPS);
    for (size_t step = 0; step < TV_GOLDEN_STEPS; step++) {
        tv_step_report report = tv_golden_step(&g);
        double off = fabs(report.loss / losses[step] - 1) / roundoff;
        if (!(off <= allowed_roundoffs(options->precision, step)))
            fail_msg("%s in %s: the loss of step %zu is %.7g, PyTorch has %.7g: %.2f roundoffs off",
                     name, name_of(options->precision), step + 1, report.loss, losses[step], off);
        // The loss scale is taken out of it: otherwise it would be off by a factor of 65536.
        if (step == 0 && !(fabs(report.grad_norm / norms[0] - 1) <= 4 * roundoff))
            fail_msg("%s in %s: the gradient's norm is %.7g, PyTorch has %.7g", name,
                     name_of(options->precision), report.grad_norm, norms[0]);
        largest = fmax(largest, off);
    }
    print_message("%s in %s, state %s: at most %.2f roundoffs off\n", name,
                  name_of(options->precision), tv_moment_dtype_name(options->moments), largest);
    tv_free(losses);
    tv_free(norms);
    tv_golden_close(&g);
}

static void check_curves(tv_device *device, const char *name, tv_dtype moments, tv_recompute mode)
{
    for (size_t i = 0; i < COUNT(sixteen_bit); i++)
        check_curve(device, name,
                    &(tv_golden_options){
                        .precision = sixteen_bit[i], .moments = moments, .recompute = mode});
}

static void test_gpt2_curve(void **state)
{
    check_curves(*state, "gpt2", TV_F32, TV_RECOMPUTE_NONE);
}

static void test_llama_curve(void **state)
{
    check_curves(*state, "llama", TV_F32, TV_RECOMPUTE_NONE);
}

static void test_curve_with_blocks_recomputed(void **state)
{
    check_curves(*state, "gpt2", TV_F32, TV_RECOMPUTE_BLOCK);
}

static void test_curve_with_activations_recomputed(void **state)
{
    check_curves(*state, "llama", TV_F32, TV_RECOMPUTE_SELECTIVE);
}

static void test_curve_with_small_state(void **state)
{
    check_curves(*state, "shakespeare-twin", TV_BF16, TV_RECOMPUTE_NONE);
}

// ------------------------------------------------------------------------------------ emulation

enum { EMULATED_STEPS = 6 };

static void check_emulated(tv_device *native, tv_device *emulated, const char *name,
                           const tv_golden_options *options)
{
    tv_golden g[2];
    tv_golden_open(&g[0], native, name, options);
    tv_golden_open(&g[1], emulated, name, options);
    for (size_t step = 0; step < EMULATED_STEPS; step++) {
        double loss = tv_golden_step(&g[0]).loss, other = tv_golden_step(&g[1]).loss;
        if (!(loss == other))
            fail_msg("%s in %s: the loss of step %zu is %.9g, emulated %.9g", name,
                     name_of(options->precision), step + 1, loss, other);
    }
    assert_int_equal(g[0].state.updates, EMULATED_STEPS);
    tv_checksum sum = fingerprint(&g[0]);
    check_fingerprint(&g[1], &sum, true, "where the types are emulated");
    tv_golden_close(&g[0]);
    tv_golden_close(&g[1]);
}

static void test_emulated_bits(void **state)
{
    (void)state;
    // Matrix units add up in an order of their own.
    tv_device *native = tv_test_device("no-coopmat");
    tv_device *emulated = tv_test_device("no-f16,no-bf16,no-storage16");
    assert_true(native && emulated);
    for (size_t i = 0; i < COUNT(sixteen_bit); i++) {
        check_emulated(native, emulated, "gpt2",
                       &(tv_golden_options){.precision = sixteen_bit[i], .accumulate = true});
        check_emulated(native, emulated, "llama",
                       &(tv_golden_options){.precision = sixteen_bit[i], .moments = TV_BF16});
    }
    bool clean = tv_test_device_done(&native);
    assert_true(tv_test_device_done(&emulated) && clean);
}

// ---------------------------------------------------------------------------------- loss scale

static void test_overflow(void **state)
{
    tv_golden g;
    tv_golden_open(&g, *state, "gpt2",
                   &(tv_golden_options){.precision = TV_PRECISION_16_MIXED, .loss_scale = 0x1p30});
    assert_true(g.state.loss_scale.value == 0x1p30);
    tv_checksum before = fingerprint(&g);
    tv_step_report report = tv_golden_step(&g);
    double first_loss = report.loss;
    assert_true(isfinite(first_loss) && report.loss_scale == 0x1p30);
    for (double scale = 0x1p30; !report.finite; scale /= 2) {
        check_fingerprint(&g, &before, true, "after a step that was skipped");
        assert_true(report.loss_scale == scale && g.state.loss_scale.value == scale / 2);
        assert_int_equal(g.state.updates, 0);
        assert_int_equal(g.state.skipped, g.state.step);
        assert_int_equal(g.state.skipped_in_a_row, 0); // the scale's work, no fault
        report = tv_golden_step(&g);
    }
    uint64_t skipped = g.state.skipped;
    print_message("%llu steps skipped until a loss scale of %g\n", (unsigned long long)skipped,
                  report.loss_scale);
    assert_true(skipped >= 1 && skipped <= 29);
    check_fingerprint(&g, &before, false, "after a step that was not skipped");
    while (g.state.step < TV_GOLDEN_STEPS)
        report = tv_golden_step(&g);
    assert_true(g.state.updates >= TV_GOLDEN_STEPS - skipped - 3); // it may come down further
    if (!(report.loss < 0.9 * first_loss))
        fail_msg("the loss was %g at first and is %g after %d steps", first_loss, report.loss,
                 TV_GOLDEN_STEPS);
    tv_golden_close(&g);
}

// A loss that is not a number is no matter of the scale, and is counted at once.
static void test_overflow_that_no_scale_mends(void **state)
{
    const float nan = NAN;
    tv_golden g;
    tv_golden_open(&g, *state, "gpt2", &(tv_golden_options){.precision = TV_PRECISION_16_MIXED});
    const tv_tensor *embedding = g.session.graph->model->embedding;
    assert_ok(tv_plan_write(g.session.plan, embedding, 5, 1, &nan));
    for (uint64_t i = 1; i <= 3; i++) {
        tv_step_report report = tv_golden_step(&g);
        assert_false(report.finite || isfinite(report.loss));
        assert_int_equal(g.state.skipped_in_a_row, i);
    }
    tv_golden_close(&g);
}

// ------------------------------------------------------------------------------ rounding at random

// Sum of a * b over all weights, each minus its first value, in two sessions.
static double sum_of_moves(const tv_golden *start, const tv_golden *a, const tv_golden *b)
{
    double sum = 0;
    const tv_model *models[] = {start->session.graph->model, a->session.graph->model,
                                b->session.graph->model};
    for (size_t i = 0; i < models[0]->weight_count; i++) {
        float *first = tv_golden_fetch(start, models[0]->weights[i]);
        float *x = tv_golden_fetch(a, models[1]->weights[i]);
        float *y = tv_golden_fetch(b, models[2]->weights[i]);
        for (uint64_t k = 0; k < tv_tensor_count(models[0]->weights[i]); k++)
            sum += ((double)x[k] - first[k]) * ((double)y[k] - first[k]);
        tv_free(first);
        tv_free(x);
        tv_free(y);
    }
    return sum;
}

// Steps far below the spacing of bfloat16, which rounding to nearest would lose: on average the
// weights must move as those in 32 bits do.
static void test_small_steps_are_not_lost(void **state)
{
    const double lr = 1e-6;
    tv_golden start, exact, rounded;
    tv_golden_open(&start, *state, "shakespeare-twin",
                   &(tv_golden_options){.precision = TV_PRECISION_BF16_TRUE, .lr = lr});
    tv_golden_open(&rounded, *state, "shakespeare-twin", &start.options);
    tv_golden_open(&exact, *state, "shakespeare-twin", &(tv_golden_options){.lr = lr});
    const tv_model *from = start.session.graph->model, *to = exact.session.graph->model;
    for (size_t i = 0; i < from->weight_count; i++) { // from the same weights
        float *values = tv_golden_fetch(&start, from->weights[i]);
        uint64_t count = tv_tensor_count(from->weights[i]);
        assert_ok(tv_plan_write(exact.session.plan, to->weights[i], 0, count, values));
        tv_free(values);
    }
    for (int i = 0; i < 20; i++) {
        tv_golden_step(&exact);
        tv_golden_step(&rounded);
    }
    double ratio = sum_of_moves(&start, &rounded, &exact) / sum_of_moves(&start, &exact, &exact);
    print_message("the weights moved %.3f times as far as in 32 bits\n", ratio);
    assert_true(fabs(ratio - 1) < 0.2);
    tv_golden_close(&start);
    tv_golden_close(&exact);
    tv_golden_close(&rounded);
}

static void fill(const tv_golden *g, const tv_tensor *tensor, float value)
{
    uint64_t count = tv_tensor_count(tensor);
    float *values = tv_alloc(count, sizeof *values);
    for (uint64_t i = 0; i < count; i++)
        values[i] = value;
    assert_ok(tv_plan_write(g->session.plan, tensor, 0, count, values));
    tv_free(values);
}

// The mean second moment after 50 steps that each take a thousandth off it, from 1 on.
static double fallen_moments(tv_device *device, tv_dtype moments)
{
    double sum = 0, count = 0;
    tv_golden g;
    tv_golden_open(&g, device, "gpt2", &(tv_golden_options){.moments = moments, .beta2 = 0.999});
    const tv_step_graph *graph = g.session.graph;
    for (size_t i = 0; i < graph->model->weight_count; i++)
        fill(&g, graph->second_moments[i], 1);
    while (g.state.step < TV_GOLDEN_STEPS)
        tv_golden_step(&g);
    for (size_t i = 0; i < graph->model->weight_count; i++) {
        float *values = tv_golden_fetch(&g, graph->second_moments[i]);
        for (uint64_t k = 0; k < tv_tensor_count(graph->second_moments[i]); k++, count++)
            sum += values[k];
        tv_free(values);
    }
    tv_golden_close(&g);
    return sum / count;
}

// A thousandth is less than bfloat16 sees: rounded to nearest the moments would stay at 1.
static void test_second_moments_fall(void **state)
{
    double exact = fallen_moments(*state, TV_F32), rounded = fallen_moments(*state, TV_BF16);
    print_message("second moments fell from 1 to %.5f in 32 bits, to %.5f in bf16\n", exact,
                  rounded);
    assert_true(fabs(exact - pow(0.999, TV_GOLDEN_STEPS)) < 0.001);
    assert_true(fabs(rounded - exact) < 0.001);
}

// ---------------------------------------------------------------------------------- checkpoints

// What a file of weights or moments must hold in this precision.
static void check_file(const char *path, tv_st_dtype dtype)
{
    tv_safetensors file;
    assert_ok(tv_safetensors_open(path, &file));
    assert_true(file.count > 0);
    for (size_t i = 0; i < file.count; i++)
        assert_int_equal(file.tensors[i].dtype, dtype);
    tv_safetensors_close(&file);
}

static void check_saved(tv_device *device, const char *folder, const tv_golden_options *options)
{
    char weights[600], state[600];
    bool true16 = options->precision == TV_PRECISION_BF16_TRUE;
    tv_golden g, again;
    snprintf(weights, sizeof weights, "%s/model.safetensors", folder);
    snprintf(state, sizeof state, "%s/optimizer.safetensors", folder);
    tv_golden_open(&g, device, "llama", options);
    for (int i = 0; i < 3; i++)
        tv_golden_step(&g);
    const tv_step_graph *graph = g.session.graph;
    tv_moments moments = {graph->first_moments, graph->second_moments};
    tv_collect from = {.plan = g.session.plan};
    assert_ok(tv_weights_save(&from, graph->model, weights, NULL));
    assert_ok(tv_moments_save(&from, graph->model, &moments, state, NULL));
    check_file(weights, true16 ? TV_ST_BF16 : TV_ST_F32);
    check_file(state, options->moments == TV_BF16 ? TV_ST_BF16 : TV_ST_F32);

    tv_golden_open(&again, device, "llama", options);
    graph = again.session.graph;
    moments = (tv_moments){graph->first_moments, graph->second_moments};
    assert_ok(tv_weights_load(again.session.plan, graph->model, weights));
    assert_ok(tv_moments_load(again.session.plan, graph->model, &moments, state));
    tv_checksum sum = fingerprint(&g);
    check_fingerprint(&again, &sum, true, "after saving and loading");
    tv_golden_close(&g);
    tv_golden_close(&again);
    remove(weights);
    remove(state);
}

static void test_saved_and_loaded(void **state)
{
    char folder[] = "/tmp/trivium-precision-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (int precision = 0; precision < TV_PRECISION_COUNT; precision++)
        for (int i = 0; i < 2; i++)
            check_saved(*state, folder,
                        &(tv_golden_options){.precision = (tv_precision)precision,
                                             .moments = i ? TV_BF16 : TV_F32});
    remove(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_curve),
        cmocka_unit_test(test_llama_curve),
        cmocka_unit_test(test_curve_with_blocks_recomputed),
        cmocka_unit_test(test_curve_with_activations_recomputed),
        cmocka_unit_test(test_curve_with_small_state),
        cmocka_unit_test(test_emulated_bits),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_overflow_that_no_scale_mends),
        cmocka_unit_test(test_small_steps_are_not_lost),
        cmocka_unit_test(test_second_moments_fall),
        cmocka_unit_test(test_saved_and_loaded),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, tv_test_setup, tv_test_teardown);
}
