// Cases: building a row's graph, running it, and comparing what came out.
#include "harness/op_table.h"

#include "base/memory.h"
#include "graph/grad.h"
#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Half the distance between 1 and the next float: what one rounding may lose.
static const double ROUNDING = 0x1p-24;
// Of central differences: their own error is about this squared, far below ROUNDING.
static const double DIFFERENCE = 3e-5;
enum { PROBES = 64, DIRECTIONS = 4 };

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// ---------------------------------------------------------------------------------------- leaves

void op_leaf_set(op_leaf *leaf, size_t i, float value)
{
    leaf->words[i] = float_bits(value);
    leaf->x[i] = value;
}

static float random_float(op_subject *s)
{
    double value = tv_rng_normal(&s->rng);
    if (s->row->spread > 0) // magnitudes are uniform in their logarithm
        value = copysign(1e-3 * pow(s->row->spread / 1e-3, tv_rng_uniform(&s->rng)), value);
    return (float)value;
}

op_leaf *op_leaf_add(op_subject *s, tv_kind kind, tv_dtype dtype, uint32_t rows, uint32_t columns)
{
    TV_CHECK(s->leaf_count < OP_LEAVES, "too many leaves");
    char name[32];
    snprintf(name, sizeof name, "leaf.%u", s->leaf_count);
    op_leaf *leaf = &s->leaves[s->leaf_count++];
    leaf->tensor = tv_graph_tensor(s->graph, kind, dtype, rows, columns, name);
    leaf->count = (size_t)tv_tensor_count(leaf->tensor);
    leaf->words = tv_alloc(leaf->count, sizeof *leaf->words);
    if (dtype == TV_U32)
        return leaf;
    leaf->x = tv_alloc(leaf->count, sizeof *leaf->x);
    for (size_t i = 0; i < leaf->count; i++)
        op_leaf_set(leaf, i, random_float(s));
    if (kind == TV_WEIGHT) {
        leaf->tensor->gradient =
            tv_graph_tensor(s->graph, TV_GRADIENT, TV_F32, rows, columns, "leaf.gradient");
        leaf->prefill = tv_alloc(leaf->count, sizeof *leaf->prefill);
        for (size_t i = 0; i < leaf->count; i++)
            leaf->prefill[i] = float_bits((float)tv_rng_normal(&s->rng));
    }
    return leaf;
}

tv_tensor *op_step(op_subject *s, uint32_t position, float clip)
{
    op_leaf *leaf = op_leaf_add(s, TV_FEED, TV_U32, 1, TV_STEP_WORDS);
    leaf->words[TV_STEP_SEED_LOW] = 0x89ABCDEFu;
    leaf->words[TV_STEP_SEED_HIGH] = 0x01234567u;
    leaf->words[TV_STEP_STEP] = 7;
    leaf->words[TV_STEP_POSITION] = position;
    leaf->words[TV_STEP_LR] = float_bits(0.01f);
    leaf->words[TV_STEP_CORRECT1] = float_bits(0.3f);
    leaf->words[TV_STEP_CORRECT2] = float_bits(0.4f);
    leaf->words[TV_STEP_LOSS_SCALE] = float_bits(OP_LOSS_SCALE);
    leaf->words[TV_STEP_UNSCALE] = float_bits(1);
    leaf->words[TV_STEP_CLIP] = float_bits(clip);
    return leaf->tensor;
}

// --------------------------------------------------------------------------------------- subjects

void op_case_name(const op_case *row, char name[128])
{
    int length = snprintf(name, 128, "%s", tv_op_get_info(row->op)->name);
    int last = OP_SIZES - 1;
    while (last > 0 && row->size[last] == 0)
        last--;
    for (int i = 0; i <= last; i++)
        length += snprintf(name + length, 128 - (size_t)length, " %u", row->size[i]);
    if (row->spread > 0)
        snprintf(name + length, 128 - (size_t)length, " spread %g", (double)row->spread);
}

// Results must outlive the nodes that make them.
static void keep(tv_tensor *tensor)
{
    if (tensor->kind == TV_ACTIVATION)
        tensor->kind = TV_RESULT;
}

static bool differentiable(const op_leaf *leaf)
{
    const tv_tensor *t = leaf->tensor;
    return t->dtype == TV_F32 && (t->kind == TV_FEED || t->kind == TV_WEIGHT);
}

static void add_backward(op_subject *s)
{
    const op_check check = s->row->check;
    tv_tensor *y = s->outputs[0];
    if (check == OP_FORWARD)
        return;
    s->seed = tv_alloc((size_t)tv_tensor_count(y), sizeof *s->seed);
    for (uint64_t i = 0; i < tv_tensor_count(y); i++)
        s->seed[i] = check == OP_LOSS || check == OP_LOSS_FINITE ? OP_LOSS_SCALE
                                                                 : (float)tv_rng_normal(&s->rng);
    if (check == OP_GRADIENT || check == OP_FINITE)
        s->cotangent = tv_graph_tensor(s->graph, TV_FEED, TV_F32, y->rows, y->columns, "cotangent");
    tv_graph_backward(s->graph, y, s->cotangent);
    for (uint32_t i = 0; i < s->leaf_count; i++)
        if (differentiable(&s->leaves[i])) {
            TV_CHECK(s->leaves[i].tensor->gradient, "leaf %u has no gradient", i);
            keep(s->leaves[i].tensor->gradient);
        }
}

void op_subject_init(op_subject *s, const op_case *row)
{
    uint64_t stream = row->op;
    for (int i = 0; i < OP_SIZES; i++)
        stream = stream * 1031 + row->size[i];
    *s = (op_subject){.row = row, .graph = tv_graph_create(), .rng = tv_rng_init(2026, stream)};
    row->build(s);
    add_backward(s);
    for (uint32_t i = 0; i < s->output_count; i++)
        keep(s->outputs[i]);
}

void op_subject_finish(op_subject *s)
{
    for (uint32_t i = 0; i < s->leaf_count; i++) {
        tv_free(s->leaves[i].words);
        tv_free(s->leaves[i].x);
        tv_free(s->leaves[i].prefill);
    }
    tv_free(s->seed);
    tv_graph_destroy(&s->graph);
}

// --------------------------------------------------------------------------------------- running

static tv_err fill(const op_subject *s, tv_plan *plan)
{
    for (uint32_t i = 0; i < s->leaf_count; i++) {
        const op_leaf *leaf = &s->leaves[i];
        if (leaf->tensor->kind == TV_FEED)
            memcpy(tv_plan_feed(plan, leaf->tensor), leaf->words, leaf->count * 4);
        else
            TV_TRY(tv_plan_write(plan, leaf->tensor, 0, leaf->count, leaf->words));
        if (leaf->prefill)
            TV_TRY(tv_plan_write(plan, leaf->tensor->gradient, 0, leaf->count, leaf->prefill));
    }
    if (s->cotangent)
        memcpy(tv_plan_feed(plan, s->cotangent), s->seed, tv_tensor_bytes(s->cotangent));
    return tv_plan_upload(plan);
}

static tv_err fetch(tv_plan *plan, const tv_tensor *tensor, float **values)
{
    *values = tv_alloc((size_t)tv_tensor_count(tensor), sizeof **values);
    if (tensor->kind != TV_RESULT)
        return tv_plan_read(plan, tensor, 0, tv_tensor_count(tensor), *values);
    memcpy(*values, tv_plan_result(plan, tensor), (size_t)tv_tensor_bytes(tensor));
    return TV_OK;
}

static tv_err run_once(const op_subject *s, tv_plan *plan, op_result *result)
{
    double work;
    size_t barriers;
    *result = (op_result){0};
    tv_plan_count(plan, 0, &result->dispatches, &barriers, &work);
    TV_TRY(fill(s, plan));
    TV_TRY(tv_plan_run(plan, 0));
    TV_TRY(tv_plan_wait(plan, 0));
    TV_TRY(tv_plan_download(plan));
    for (uint32_t i = 0; i < s->output_count; i++)
        TV_TRY(fetch(plan, s->outputs[i], &result->outputs[i]));
    for (uint32_t i = 0; i < s->leaf_count; i++)
        if (s->row->check != OP_FORWARD && differentiable(&s->leaves[i]))
            TV_TRY(fetch(plan, s->leaves[i].tensor->gradient, &result->gradients[i]));
    return TV_OK;
}

bool op_result_same(const op_subject *s, const op_result *a, const op_result *b)
{
    for (uint32_t i = 0; i < s->output_count; i++)
        if (memcmp(a->outputs[i], b->outputs[i], (size_t)tv_tensor_bytes(s->outputs[i])) != 0)
            return false;
    return true;
}

static bool same_gradients(const op_subject *s, const op_result *a, const op_result *b)
{
    for (uint32_t i = 0; i < s->leaf_count; i++)
        if (a->gradients[i] &&
            memcmp(a->gradients[i], b->gradients[i], s->leaves[i].count * sizeof(float)) != 0)
            return false;
    return true;
}

tv_err op_run(const op_subject *s, tv_device *device, op_result *result)
{
    tv_plan *plan = NULL;
    op_result again = {0};
    *result = (op_result){0};
    tv_err err;
    TV_GOTO(done, tv_plan_create(s->graph, device, &plan));
    TV_GOTO(done, run_once(s, plan, result));
    TV_GOTO(done, run_once(s, plan, &again));
    if (!op_result_same(s, result, &again) || !same_gradients(s, result, &again))
        err = tv_fail(TV_EDATA, "two runs of the same program differ");
done:
    op_result_finish(&again);
    tv_plan_destroy(&plan);
    return err;
}

void op_result_finish(op_result *result)
{
    for (int i = 0; i < OP_OUTPUTS; i++)
        tv_free(result->outputs[i]);
    for (int i = 0; i < OP_LEAVES; i++)
        tv_free(result->gradients[i]);
    *result = (op_result){0};
}

// -------------------------------------------------------------------------------------- comparing

// The relative error that f32 arithmetic may have. A sum of n terms of random signs gathers
// roundings of its partial sums: about ROUNDING * sqrt(n/2) of its own size. Around it stand a
// handful of roundings and functions such as exp, which Vulkan allows 3 + 2|x| units. Twice that.
static double tolerance(const op_subject *s)
{
    uint32_t longest = 1;
    for (uint32_t i = 0; i < s->leaf_count; i++) {
        const tv_tensor *t = s->leaves[i].tensor;
        longest = t->rows > longest ? t->rows : longest;
        longest = t->columns > longest ? t->columns : longest;
    }
    return ROUNDING * (16 + 2 * sqrt(0.5 * longest));
}

static double **new_outputs(const op_subject *s)
{
    double **y = tv_alloc(OP_OUTPUTS, sizeof *y);
    for (uint32_t i = 0; i < s->output_count; i++)
        y[i] = tv_alloc((size_t)tv_tensor_count(s->outputs[i]), sizeof **y);
    return y;
}

static void free_outputs(double **y)
{
    for (int i = 0; i < OP_OUTPUTS; i++)
        tv_free(y[i]);
    tv_free(y);
}

static bool check_output(const op_subject *s, uint32_t which, const float *got, const double *want)
{
    size_t count = (size_t)tv_tensor_count(s->outputs[which]);
    tv_distance d = tv_compare(got, want, count);
    double relative = tolerance(s), scale = fmax(d.rms, s->row->magnitude);
    // One element's error may be several times the usual one, and a large element's is larger.
    double single = 8 * relative * fmax(scale, fabs(want[d.where]));
    double norm = d.relative * (d.rms > 0 ? d.rms : 1);
    if (norm <= relative * scale && d.largest <= single)
        return true;
    print_error("  output %u: relative error %.3g (limit %.3g); [%zu] is %.9g, should be %.9g\n",
                which, norm / (scale > 0 ? scale : 1), relative, d.where, (double)got[d.where],
                want[d.where]);
    return false;
}

static double weighted_sum(const op_subject *s, double **y)
{
    double sum = 0;
    s->row->reference(s, y);
    for (uint64_t i = 0; i < tv_tensor_count(s->outputs[0]); i++)
        sum += s->seed[i] * y[0][i];
    return sum;
}

// The derivative of weighted_sum as x moves along `direction`.
static double difference(const op_subject *s, const op_leaf *leaf, const double *direction,
                         double **y)
{
    double *x = tv_alloc(leaf->count, sizeof *x), ends[2];
    memcpy(x, leaf->x, leaf->count * sizeof *x);
    for (int sign = 0; sign < 2; sign++) {
        for (size_t i = 0; i < leaf->count; i++)
            leaf->x[i] = x[i] + (sign ? DIFFERENCE : -DIFFERENCE) * direction[i];
        ends[sign] = weighted_sum(s, y);
    }
    memcpy(leaf->x, x, leaf->count * sizeof *x);
    tv_free(x);
    return (ends[1] - ends[0]) / (2 * DIFFERENCE);
}

// Single elements: all if they are few, else some.
static bool check_elements(const op_subject *s, uint32_t which, const double *gradient, double rms,
                           double **y)
{
    const op_leaf *leaf = &s->leaves[which];
    double *direction = tv_alloc(leaf->count, sizeof *direction), limit = 8 * tolerance(s);
    tv_rng rng = tv_rng_init(which, leaf->count);
    bool good = true;
    for (size_t probe = 0; probe < PROBES && probe < leaf->count && good; probe++) {
        size_t i = leaf->count <= PROBES ? probe : tv_rng_below(&rng, (uint32_t)leaf->count);
        direction[i] = 1;
        double want = difference(s, leaf, direction, y);
        direction[i] = 0;
        good = fabs(gradient[i] - want) <= limit * fmax(rms, fabs(want)) + 1e-9;
        if (!good)
            print_error("  gradient of leaf %u: [%zu] is %.9g, differences say %.9g\n", which, i,
                        gradient[i], want);
    }
    tv_free(direction);
    return good;
}

// Random directions, so that every element counts. An error of the gradient in the Euclidean norm
// shows as about as large an error of the derivative along a direction of unit variance.
static bool check_directions(const op_subject *s, uint32_t which, const double *gradient,
                             double rms, double **y)
{
    const op_leaf *leaf = &s->leaves[which];
    double *direction = tv_alloc(leaf->count, sizeof *direction);
    double limit = 4 * tolerance(s) * rms * sqrt((double)leaf->count) + 1e-8;
    tv_rng rng = tv_rng_init(which + 100, leaf->count);
    bool good = true;
    for (int k = 0; k < DIRECTIONS && good; k++) {
        double got = 0;
        for (size_t i = 0; i < leaf->count; i++) {
            direction[i] = tv_rng_normal(&rng);
            got += direction[i] * gradient[i];
        }
        double want = difference(s, leaf, direction, y);
        good = fabs(got - want) <= limit;
        if (!good)
            print_error("  gradient of leaf %u: along a direction %.9g, differences say %.9g "
                        "(limit %.3g)\n",
                        which, got, want, limit);
    }
    tv_free(direction);
    return good;
}

static bool check_gradient(const op_subject *s, uint32_t which, const float *got, double **y)
{
    const op_leaf *leaf = &s->leaves[which];
    if (!tv_all_finite(got, leaf->count)) {
        print_error("  gradient of leaf %u is not finite\n", which);
        return false;
    }
    if (s->row->check == OP_FINITE || s->row->check == OP_LOSS_FINITE)
        return true;
    double *gradient = tv_alloc(leaf->count, sizeof *gradient), rms = 0;
    for (size_t i = 0; i < leaf->count; i++) {
        gradient[i] = got[i] - (leaf->prefill ? (double)bits_float(leaf->prefill[i]) : 0);
        rms += gradient[i] * gradient[i] / (double)leaf->count;
    }
    // What a gradient was added to is rounded, too, and has about the size of 1.
    rms = fmax(fmax(sqrt(rms), s->row->magnitude), leaf->prefill ? 1 : 0);
    bool good =
        check_elements(s, which, gradient, rms, y) && check_directions(s, which, gradient, rms, y);
    tv_free(gradient);
    return good;
}

bool op_result_check(const op_subject *s, const op_result *result)
{
    double **y = new_outputs(s);
    bool good = true;
    s->row->reference(s, y);
    for (uint32_t i = 0; i < s->output_count; i++)
        good &= check_output(s, i, result->outputs[i], y[i]);
    for (uint32_t i = 0; i < s->leaf_count; i++)
        if (result->gradients[i])
            good &= check_gradient(s, i, result->gradients[i], y);
    free_outputs(y);
    return good;
}
