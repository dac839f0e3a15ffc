// Trials: a row's graph with random leaves, built and run.
#include "conformance/case.h"

#include "base/half.h"
#include "base/memory.h"
#include "graph/grad.h"
#include "graph/ops.h"
#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Products of two such values, summed over four of them, are still finite as halves.
static const float HALF_SPREAD = 100;

static uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// ---------------------------------------------------------------------------------------- leaves

void tv_leaf_set(tv_leaf *leaf, size_t i, float value)
{
    leaf->x[i] = tv_round_to(leaf->tensor->dtype, value);
}

static float random_float(tv_trial *t)
{
    double value = tv_rng_normal(&t->rng), most = t->row->spread;
    if (t->storage == TV_F16)
        most = fmin(most, HALF_SPREAD);
    if (most > 0) // magnitudes are uniform in their logarithm
        value = copysign(1e-3 * pow(most / 1e-3, tv_rng_uniform(&t->rng)), value);
    return (float)value;
}

tv_leaf *tv_trial_leaf(tv_trial *t, tv_kind kind, tv_dtype dtype, uint32_t rows, uint32_t columns)
{
    TV_CHECK(t->leaf_count < TV_CASE_LEAVES, "too many leaves");
    char name[32];
    snprintf(name, sizeof name, "leaf.%u", t->leaf_count);
    tv_leaf *leaf = &t->leaves[t->leaf_count++];
    leaf->tensor = tv_graph_tensor(t->graph, kind, dtype, rows, columns, name);
    leaf->count = (size_t)tv_tensor_count(leaf->tensor);
    if (dtype == TV_U32) {
        leaf->words = tv_alloc(leaf->count, sizeof *leaf->words);
        return leaf;
    }
    leaf->x = tv_alloc(leaf->count, sizeof *leaf->x);
    for (size_t i = 0; i < leaf->count; i++)
        tv_leaf_set(leaf, i, random_float(t));
    if (kind == TV_WEIGHT) {
        leaf->tensor->gradient =
            tv_graph_tensor(t->graph, TV_GRADIENT, TV_F32, rows, columns, "leaf.gradient");
        leaf->prefill = tv_alloc(leaf->count, sizeof *leaf->prefill);
        for (size_t i = 0; i < leaf->count; i++)
            leaf->prefill[i] = (float)tv_rng_normal(&t->rng);
    }
    return leaf;
}

tv_tensor *tv_trial_step(tv_trial *t, uint32_t position, float clip)
{
    tv_leaf *leaf = tv_trial_leaf(t, TV_FEED, TV_U32, 1, TV_STEP_WORDS);
    leaf->words[TV_STEP_SEED_LOW] = 0x89ABCDEFu;
    leaf->words[TV_STEP_SEED_HIGH] = 0x01234567u;
    leaf->words[TV_STEP_STEP] = 7;
    leaf->words[TV_STEP_POSITION] = position;
    leaf->words[TV_STEP_LR] = float_bits(0.01f);
    leaf->words[TV_STEP_CORRECT1] = float_bits(0.3f);
    leaf->words[TV_STEP_CORRECT2] = float_bits(0.4f);
    leaf->words[TV_STEP_LOSS_SCALE] = float_bits(TV_CASE_LOSS_SCALE);
    leaf->words[TV_STEP_UNSCALE] = float_bits(0.375f);
    leaf->words[TV_STEP_CLIP] = float_bits(clip);
    return leaf->tensor;
}

// --------------------------------------------------------------------------------------- building

void tv_case_name(const tv_case *row, char name[128])
{
    int length = snprintf(name, 128, "%s", tv_op_get_info(row->op)->name);
    int last = TV_CASE_SIZES - 1;
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

bool tv_trial_differentiates(const tv_trial *t, uint32_t leaf)
{
    const tv_tensor *tensor = t->leaves[leaf].tensor;
    return t->row->check != TV_CASE_FORWARD && tensor->dtype == t->storage &&
           (tensor->kind == TV_FEED || tensor->kind == TV_WEIGHT);
}

static void add_backward(tv_trial *t)
{
    const tv_case_check check = t->row->check;
    bool own = check == TV_CASE_LOSS || check == TV_CASE_LOSS_FINITE;
    tv_tensor *y = t->outputs[0];
    if (check == TV_CASE_FORWARD)
        return;
    t->seed = tv_alloc((size_t)tv_tensor_count(y), sizeof *t->seed);
    for (uint64_t i = 0; i < tv_tensor_count(y); i++)
        t->seed[i] =
            own ? TV_CASE_LOSS_SCALE : tv_round_to(y->dtype, (float)tv_rng_normal(&t->rng));
    if (!own)
        t->cotangent =
            tv_graph_tensor(t->graph, TV_FEED, y->dtype, y->rows, y->columns, "cotangent");
    tv_graph_backward(t->graph, y, t->cotangent);
    for (uint32_t i = 0; i < t->leaf_count; i++)
        if (tv_trial_differentiates(t, i)) {
            TV_CHECK(t->leaves[i].tensor->gradient, "leaf %u has no gradient", i);
            keep(t->leaves[i].tensor->gradient);
        }
}

void tv_trial_init(tv_trial *t, const tv_case *row, tv_dtype storage)
{
    uint64_t stream = row->op;
    for (int i = 0; i < TV_CASE_SIZES; i++)
        stream = stream * 1031 + row->size[i];
    *t = (tv_trial){.row = row,
                    .storage = storage,
                    .graph = tv_graph_create(),
                    .rng = tv_rng_init(2026, stream)};
    t->graph->storage = storage;
    row->build(t);
    add_backward(t);
    for (uint32_t i = 0; i < t->output_count; i++)
        keep(t->outputs[i]);
}

void tv_trial_finish(tv_trial *t)
{
    for (uint32_t i = 0; i < t->leaf_count; i++) {
        tv_free(t->leaves[i].words);
        tv_free(t->leaves[i].x);
        tv_free(t->leaves[i].prefill);
    }
    tv_free(t->seed);
    tv_graph_destroy(&t->graph);
}

// --------------------------------------------------------------------------------------- running

// Values into the memory of a feed, as its type says.
static void feed(tv_plan *plan, const tv_tensor *tensor, const float *values)
{
    void *to = tv_plan_feed(plan, tensor);
    size_t count = (size_t)tv_tensor_count(tensor);
    if (tensor->dtype == TV_F32)
        memcpy(to, values, count * sizeof *values);
    else
        tv_halves_from_floats(tensor->dtype == TV_BF16, values, to, count);
}

static tv_err fill_leaf(const tv_leaf *leaf, tv_plan *plan)
{
    const tv_tensor *tensor = leaf->tensor;
    if (tensor->dtype == TV_U32) {
        TV_CHECK(tensor->kind == TV_FEED, "%s is no feed", tensor->name);
        memcpy(tv_plan_feed(plan, tensor), leaf->words, leaf->count * sizeof *leaf->words);
        return TV_OK;
    }
    tv_err err = TV_OK;
    float *values = tv_alloc(leaf->count, sizeof *values);
    for (size_t i = 0; i < leaf->count; i++)
        values[i] = (float)leaf->x[i];
    if (tensor->kind == TV_FEED)
        feed(plan, tensor, values);
    else
        err = tv_plan_write(plan, tensor, 0, leaf->count, values);
    if (err == TV_OK && leaf->prefill)
        err = tv_plan_write(plan, tensor->gradient, 0, leaf->count, leaf->prefill);
    tv_free(values);
    return err;
}

static tv_err fetch(tv_plan *plan, const tv_tensor *tensor, float **values)
{
    *values = tv_alloc((size_t)tv_tensor_count(tensor), sizeof **values);
    return tv_plan_read(plan, tensor, 0, tv_tensor_count(tensor), *values);
}

static tv_err run_once(const tv_trial *t, tv_plan *plan, tv_trial_result *result)
{
    double work;
    size_t barriers;
    tv_plan_count(plan, 0, &result->dispatches, &barriers, &work);
    for (uint32_t i = 0; i < t->leaf_count; i++)
        TV_TRY(fill_leaf(&t->leaves[i], plan));
    if (t->cotangent)
        feed(plan, t->cotangent, t->seed);
    TV_TRY(tv_plan_upload(plan));
    TV_TRY(tv_plan_execute(plan, 0));
    for (uint32_t i = 0; i < t->output_count; i++)
        TV_TRY(fetch(plan, t->outputs[i], &result->outputs[i]));
    for (uint32_t i = 0; i < t->leaf_count; i++)
        if (tv_trial_differentiates(t, i))
            TV_TRY(fetch(plan, t->leaves[i].tensor->gradient, &result->gradients[i]));
    return TV_OK;
}

bool tv_trial_same_outputs(const tv_trial *t, const tv_trial_result *a, const tv_trial_result *b)
{
    for (uint32_t i = 0; i < t->output_count; i++)
        if (memcmp(a->outputs[i], b->outputs[i],
                   (size_t)tv_tensor_count(t->outputs[i]) * sizeof(float)) != 0)
            return false;
    return true;
}

bool tv_trial_same_gradients(const tv_trial *t, const tv_trial_result *a, const tv_trial_result *b)
{
    for (uint32_t i = 0; i < t->leaf_count; i++)
        if (a->gradients[i] &&
            memcmp(a->gradients[i], b->gradients[i], t->leaves[i].count * sizeof(float)) != 0)
            return false;
    return true;
}

tv_err tv_trial_run(const tv_trial *t, tv_device *device, tv_trial_result *result)
{
    tv_plan *plan = NULL;
    tv_trial_result again = {0};
    *result = (tv_trial_result){.matrix_units = tv_device_get_info(device)->caps.coop};
    tv_err err;
    TV_GOTO(done, tv_plan_create(t->graph, device, &plan));
    TV_GOTO(done, run_once(t, plan, result));
    TV_GOTO(done, run_once(t, plan, &again));
    if (!tv_trial_same_outputs(t, result, &again) || !tv_trial_same_gradients(t, result, &again))
        err = tv_fail(TV_EDATA, "two runs of the same program differ");
done:
    tv_trial_result_finish(&again);
    tv_plan_destroy(&plan);
    return err;
}

void tv_trial_result_finish(tv_trial_result *result)
{
    for (int i = 0; i < TV_CASE_OUTPUTS; i++)
        tv_free(result->outputs[i]);
    for (int i = 0; i < TV_CASE_LEAVES; i++)
        tv_free(result->gradients[i]);
    *result = (tv_trial_result){0};
}
