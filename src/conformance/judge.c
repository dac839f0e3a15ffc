// Judging: limits, and comparing with the reference and with its central differences.
#include "conformance/judge.h"

#include "base/memory.h"
#include "conformance/scores.h"
#include "conformance/stored.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Of central differences: their own error is about this squared, far below a float's rounding.
static const double DIFFERENCE = 3e-5;
enum { PROBES = 64, DIRECTIONS = 4 };

// What errors of one tensor may be.
typedef struct limits {
    tv_dtype unit;
    double relative; // of arithmetic in floats, times `scale`
    double scale;    // of what is added up
    tv_bound stored; // inherited from 16-bit intermediates
    double rounding; // relative, of storing the tensor itself: 0 for floats
    double tiny;     // the same of values that are subnormal
    double scores;   // rms of what roundings of scores move (scores.c)
    double slack;    // what differences themselves may be off
} limits;

// The relative error that f32 arithmetic may have. A sum of n terms of random signs gathers
// roundings of its partial sums: about u * sqrt(n/2) of its own size. Around it stand a handful of
// roundings and functions such as exp, which Vulkan allows 3 + 2|x| units. Twice that.
static double tolerance(const tv_trial *t)
{
    uint32_t longest = 1;
    for (uint32_t i = 0; i < t->leaf_count; i++) {
        const tv_tensor *tensor = t->leaves[i].tensor;
        longest = tensor->rows > longest ? tensor->rows : longest;
        longest = tensor->columns > longest ? tensor->columns : longest;
    }
    return tv_rounding(TV_F32) * (16 + 2 * sqrt(0.5 * longest));
}

// AdamW rounds what has no float behind it at random, to either of the two neighbours.
static bool rounds_at_random(const tv_trial *t, const tv_tensor *tensor)
{
    const tv_node *node = t->graph->nodes[0];
    return node->op == TV_OP_ADAMW && tensor->dtype == TV_BF16 && tensor != node->out[3];
}

static limits limits_of(const tv_trial *t, const tv_tensor *tensor, double scale, tv_bound stored)
{
    bool in_full = tensor->dtype == TV_F32;
    double roundings = in_full ? 0 : rounds_at_random(t, tensor) ? 2 : 1;
    return (limits){.unit = stored.rms > 0 ? t->storage : tensor->dtype,
                    .relative = tolerance(t),
                    .scale = scale,
                    .stored = stored,
                    .rounding = roundings * tv_rounding(tensor->dtype),
                    .tiny = roundings * tv_ulp(tensor->dtype, 0) / 2};
}

// Of the root of the mean square of the errors; rms is that of what is wanted. Of scores and of the
// other roundings the larger counts, not their sum, as each is twice what is expected.
static double most_in_norm(const limits *l, double rms)
{
    return fmax(l->relative * l->scale, l->scores) + l->rounding * rms + l->tiny + l->stored.rms;
}

// Of one element: its error may be several times the usual one, and a large element's is larger.
// For scores that is known of each element; twice it is six standard deviations.
static double most_of(const limits *l, double want, double scores)
{
    return fmax(8 * l->relative * fmax(l->scale, fabs(want)), 2 * scores) +
           l->rounding * fabs(want) + l->tiny + l->stored.most + l->slack;
}

// Adds an element to the verdict. Not a number counts as infinitely far.
static void compare(tv_verdict *v, const limits *l, size_t i, double got, double want,
                    double scores)
{
    double error = fabs(got - want), unit = tv_ulp(l->unit, fmax(fabs(want), l->scale));
    double limit = most_of(l, want, scores);
    if (isnan(error))
        error = INFINITY;
    v->rms += error / unit * (error / unit);
    bool bad = !(error <= limit);
    if (bad && v->good)
        snprintf(v->why, sizeof v->why, "[%zu] is %.9g, should be %.9g (limit %.3g)", i, got, want,
                 limit);
    v->good &= !bad;
    if (v->compared++ == 0 || error / unit > v->most) {
        v->most = error / unit;
        v->where = i;
        v->got = got;
        v->want = want;
        v->limit = limit / unit;
    }
}

static tv_verdict verdict_on(bool gradient, uint32_t index, const tv_tensor *tensor, tv_dtype unit)
{
    return (tv_verdict){.gradient = gradient,
                        .index = index,
                        .dtype = tensor->dtype,
                        .unit = unit,
                        .count = (size_t)tv_tensor_count(tensor),
                        .good = true};
}

static void finish(tv_verdict *v)
{
    v->rms = v->compared > 0 ? sqrt(v->rms / (double)v->compared) : 0;
}

// ---------------------------------------------------------------------------------------- outputs

static double **new_outputs(const tv_trial *t)
{
    double **y = tv_alloc(TV_CASE_OUTPUTS, sizeof *y);
    for (uint32_t i = 0; i < t->output_count; i++)
        y[i] = tv_alloc((size_t)tv_tensor_count(t->outputs[i]), sizeof **y);
    return y;
}

static void free_outputs(double **y)
{
    for (int i = 0; i < TV_CASE_OUTPUTS; i++)
        tv_free(y[i]);
    tv_free(y);
}

static tv_verdict judge_output(const tv_trial *t, uint32_t which, const tv_trial_result *result,
                               const double *want, const double *moved)
{
    const float *got = result->outputs[which];
    const tv_tensor *tensor = t->outputs[which];
    size_t count = (size_t)tv_tensor_count(tensor);
    double error = 0, norm = 0, scores = 0;
    for (size_t i = 0; i < count; i++) {
        error += (got[i] - want[i]) * (got[i] - want[i]);
        norm += want[i] * want[i];
        scores += moved[i] * moved[i];
    }
    double rms = sqrt(norm / (double)count);
    limits l =
        limits_of(t, tensor, fmax(rms, t->row->magnitude), tv_stored_in_output(t, which, result));
    l.scores = sqrt(scores / (double)count);
    tv_verdict v = verdict_on(false, which, tensor, l.unit);
    for (size_t i = 0; i < count; i++)
        compare(&v, &l, i, got[i], want[i], moved[i]);
    finish(&v);
    double limit = most_in_norm(&l, rms);
    error = sqrt(norm > 0 ? error / (double)count : error);
    if (v.good && !(error <= limit)) {
        v.good = false;
        snprintf(v.why, sizeof v.why, "the root mean square error is %.3g (limit %.3g)", error,
                 limit);
    }
    return v;
}

// -------------------------------------------------------------------------------------- gradients

static double weighted_sum(const tv_trial *t, double **y)
{
    double sum = 0;
    t->row->reference(t, y);
    for (uint64_t i = 0; i < tv_tensor_count(t->outputs[0]); i++)
        sum += (double)t->seed[i] * y[0][i];
    return sum;
}

// The derivative of weighted_sum as x moves along `direction`.
static double difference(const tv_trial *t, const tv_leaf *leaf, const double *direction,
                         double **y)
{
    double *x = tv_alloc(leaf->count, sizeof *x), ends[2];
    memcpy(x, leaf->x, leaf->count * sizeof *x);
    for (int sign = 0; sign < 2; sign++) {
        for (size_t i = 0; i < leaf->count; i++)
            leaf->x[i] = x[i] + (sign ? DIFFERENCE : -DIFFERENCE) * direction[i];
        ends[sign] = weighted_sum(t, y);
    }
    memcpy(leaf->x, x, leaf->count * sizeof *x);
    tv_free(x);
    return (ends[1] - ends[0]) / (2 * DIFFERENCE);
}

// Single elements: all if they are few, else some.
static void judge_elements(const tv_trial *t, tv_verdict *v, const limits *l,
                           const double *gradient, double **y)
{
    const tv_leaf *leaf = &t->leaves[v->index];
    double *direction = tv_alloc(leaf->count, sizeof *direction);
    tv_rng rng = tv_rng_init(v->index, leaf->count);
    for (size_t probe = 0; probe < PROBES && probe < leaf->count; probe++) {
        size_t i = leaf->count <= PROBES ? probe : tv_rng_below(&rng, (uint32_t)leaf->count);
        direction[i] = 1;
        compare(v, l, i, gradient[i], difference(t, leaf, direction, y), 0);
        direction[i] = 0;
    }
    tv_free(direction);
}

// Random directions, so that every element counts. An error of the gradient in the Euclidean norm
// shows as about as large an error of the derivative along a direction of unit variance.
static void judge_directions(const tv_trial *t, tv_verdict *v, const limits *l,
                             const double *gradient, double rms, double **y)
{
    const tv_leaf *leaf = &t->leaves[v->index];
    double *direction = tv_alloc(leaf->count, sizeof *direction);
    double limit = 4 * most_in_norm(l, rms) * sqrt((double)leaf->count) + 1e-8;
    tv_rng rng = tv_rng_init(v->index + 100, leaf->count);
    for (int k = 0; k < DIRECTIONS && v->good; k++) {
        double got = 0;
        for (size_t i = 0; i < leaf->count; i++) {
            direction[i] = tv_rng_normal(&rng);
            got += direction[i] * gradient[i];
        }
        double want = difference(t, leaf, direction, y);
        v->good = fabs(got - want) <= limit;
        if (!v->good)
            snprintf(v->why, sizeof v->why,
                     "along a direction %.9g, differences say %.9g (limit %.3g)", got, want, limit);
    }
    tv_free(direction);
}

static bool all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static tv_verdict judge_gradient(const tv_trial *t, uint32_t which, const float *got, double **y)
{
    const tv_leaf *leaf = &t->leaves[which];
    const tv_tensor *tensor = leaf->tensor->gradient;
    tv_verdict v = verdict_on(true, which, tensor, tensor->dtype);
    if (!all_finite(got, leaf->count)) {
        v.good = false;
        v.most = v.rms = INFINITY;
        snprintf(v.why, sizeof v.why, "not finite");
        return v;
    }
    if (t->row->check == TV_CASE_FINITE || t->row->check == TV_CASE_LOSS_FINITE)
        return v;
    double *gradient = tv_alloc(leaf->count, sizeof *gradient), rms = 0;
    for (size_t i = 0; i < leaf->count; i++) {
        gradient[i] = got[i] - (leaf->prefill ? (double)leaf->prefill[i] : 0);
        rms += gradient[i] * gradient[i] / (double)leaf->count;
    }
    rms = sqrt(rms);
    // What a gradient was added to is rounded, too, and has about the size of 1.
    double scale = fmax(fmax(rms, t->row->magnitude), leaf->prefill ? 1 : 0);
    limits l = limits_of(t, tensor, scale, tv_stored_in_gradient(t, which));
    l.slack = 1e-9;
    v.unit = l.unit;
    judge_elements(t, &v, &l, gradient, y);
    judge_directions(t, &v, &l, gradient, rms, y);
    finish(&v);
    tv_free(gradient);
    return v;
}

// -------------------------------------------------------------------------------------- verdicts

size_t tv_judge(const tv_trial *t, const tv_trial_result *result, tv_verdict verdicts[TV_VERDICTS])
{
    size_t count = 0;
    double **y = new_outputs(t), **moved = new_outputs(t);
    t->row->reference(t, y);
    tv_scores_move(t, moved);
    for (uint32_t i = 0; i < t->output_count; i++)
        verdicts[count++] = judge_output(t, i, result, y[i], moved[i]);
    free_outputs(moved);
    for (uint32_t i = 0; i < t->leaf_count; i++)
        if (result->gradients[i])
            verdicts[count++] = judge_gradient(t, i, result->gradients[i], y);
    free_outputs(y);
    return count;
}

void tv_verdict_name(const tv_verdict *verdict, char name[32])
{
    snprintf(name, 32, verdict->gradient ? "gradient of leaf %u" : "output %u", verdict->index);
}
