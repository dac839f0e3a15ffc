// The conformance suite's judgement, without a device: what is right passes, what is not does not.
#include "base/memory.h"
#include "conformance/conformance.h"
#include "conformance/reference.h"
#include "harness/cases.h"
#include "harness/harness.h"

#include <math.h>
#include <string.h>

static void test_units(void **state)
{
    (void)state;
    assert_true(tv_ulp(TV_F32, 1) == 0x1p-23 && tv_ulp(TV_F16, -1.5) == 0x1p-10);
    assert_true(tv_ulp(TV_BF16, 1) == 0x1p-7 && tv_ulp(TV_BF16, 0.99) == 0x1p-8);
    assert_true(tv_ulp(TV_F16, 0) == 0x1p-24 && tv_ulp(TV_F16, 1e-9) == 0x1p-24);
    assert_true(tv_ulp(TV_F32, 0) == 0x1p-149 && tv_ulp(TV_BF16, 0) == 0x1p-133);
    for (int i = 0; i < TV_STORAGE_COUNT; i++) {
        double u = tv_rounding(tv_storages[i]);
        assert_true(tv_ulp(tv_storages[i], 1) == 2 * u);
        assert_true(tv_round_to(tv_storages[i], (float)(1 + 2 * u)) == 1 + 2 * u);
        if (tv_storages[i] != TV_F32) // a tie goes to the even one
            assert_true(tv_round_to(tv_storages[i], (float)(1 + u)) == 1);
    }
}

// The reference's outputs, rounded to their types: the best that a device could give.
static void perfect(const tv_trial *t, tv_trial_result *result)
{
    double *y[TV_CASE_OUTPUTS] = {NULL};
    *result = (tv_trial_result){0};
    for (uint32_t i = 0; i < t->output_count; i++)
        y[i] = tv_alloc((size_t)tv_tensor_count(t->outputs[i]), sizeof **y);
    t->row->reference(t, y);
    for (uint32_t i = 0; i < t->output_count; i++) {
        size_t count = (size_t)tv_tensor_count(t->outputs[i]);
        result->outputs[i] = tv_alloc(count, sizeof(float));
        for (size_t k = 0; k < count; k++)
            result->outputs[i][k] = tv_round_to(t->outputs[i]->dtype, (float)y[i][k]);
        tv_free(y[i]);
    }
}

static bool is_good(const tv_trial *t, const tv_trial_result *result, double *most)
{
    tv_verdict verdicts[TV_VERDICTS];
    size_t count = tv_judge(t, result, verdicts);
    bool good = true;
    *most = 0;
    for (size_t i = 0; i < count; i++) {
        good &= verdicts[i].good;
        *most = fmax(*most, verdicts[i].most);
        assert_true(verdicts[i].good == (verdicts[i].why[0] == 0));
    }
    return good;
}

// Every row's outputs: rounded they are right; one element that is not a number, or far off, is
// not.
static void test_outputs(void **state)
{
    (void)state;
    for (size_t i = 0; i < TV_STORAGE_COUNT * tv_case_count; i++) {
        tv_trial t;
        tv_trial_result result;
        double most;
        tv_trial_init(&t, &tv_cases[i / TV_STORAGE_COUNT], tv_storages[i % TV_STORAGE_COUNT]);
        perfect(&t, &result);
        assert_true(is_good(&t, &result, &most) && most <= 0.51);
        uint64_t count = tv_tensor_count(t.outputs[0]);
        float *last = &result.outputs[0][count - 1], right = *last;
        *last = NAN;
        assert_false(is_good(&t, &result, &most));
        assert_true(isinf(most));
        *last = right + 3e5f; // rows whose values are spread to 1e4 have sums of this size
        if (t.row->spread == 0)
            assert_false(is_good(&t, &result, &most));
        tv_trial_result_finish(&result);
        tv_trial_finish(&t);
    }
}

static const tv_case *row_of(tv_op op, tv_case_check check)
{
    for (size_t i = 0; i < tv_case_count; i++)
        if (tv_cases[i].op == op && tv_cases[i].check == check && tv_cases[i].size[0] > 1)
            return &tv_cases[i];
    fail_msg("no row of %s", tv_op_get_info(op)->name);
    return NULL;
}

// A 16-bit output that is the second nearest value is wrong: one rounding is all that is allowed.
static void test_one_unit_off(void **state)
{
    (void)state;
    for (int i = 1; i < TV_STORAGE_COUNT; i++) {
        tv_trial t;
        tv_trial_result result;
        double most;
        tv_trial_init(&t, row_of(TV_OP_GELU, TV_CASE_GRADIENT), tv_storages[i]);
        perfect(&t, &result);
        uint64_t count = tv_tensor_count(t.outputs[0]), largest = 0;
        for (uint64_t k = 0; k < count; k++)
            if (result.outputs[0][k] > result.outputs[0][largest])
                largest = k;
        float *y = &result.outputs[0][largest];
        *y += (float)tv_ulp(tv_storages[i], *y);
        assert_false(is_good(&t, &result, &most));
        assert_true(most >= 0.5 && most <= 1.5);
        tv_trial_result_finish(&result);
        tv_trial_finish(&t);
    }
}

// For ADD the gradients are the cotangent itself.
static void test_gradients(void **state)
{
    (void)state;
    for (int i = 0; i < TV_STORAGE_COUNT; i++) {
        tv_trial t;
        tv_trial_result result;
        double most;
        tv_trial_init(&t, row_of(TV_OP_ADD, TV_CASE_GRADIENT), tv_storages[i]);
        perfect(&t, &result);
        size_t count = t.leaves[0].count;
        result.gradients[0] = tv_alloc(count, sizeof(float));
        memcpy(result.gradients[0], t.seed, count * sizeof(float));
        assert_true(is_good(&t, &result, &most));
        for (size_t k = 0; k < count; k++) // eight roundings: for floats that is still little
            result.gradients[0][k] *= 1 + 8 * (float)tv_rounding(tv_storages[i]);
        if (tv_storages[i] != TV_F32)
            assert_false(is_good(&t, &result, &most));
        for (size_t k = 0; k < count; k++)
            result.gradients[0][k] = 0;
        assert_false(is_good(&t, &result, &most));
        result.gradients[0][count / 2] = INFINITY;
        assert_false(is_good(&t, &result, &most));
        assert_true(isinf(most));
        tv_trial_result_finish(&result);
        tv_trial_finish(&t);
    }
}

// -------------------------------------------------------------------------------- large scores

typedef enum fault { NONE, DROPPED_KEY, HALF_SCORES, COARSE_SCORES } fault;

static float score_of(const tv_ref_query *query, uint32_t j, fault wrong)
{
    float s = 0, scale = 1 / sqrtf((float)query->size);
    for (uint32_t d = 0; d < query->size; d++)
        s += (float)query->q[d] * scale * (float)query->k[j * query->pitch + d];
    if (wrong == HALF_SCORES)
        s = tv_round_to(TV_F16, s);
    if (wrong == COARSE_SCORES)
        s *= 1 + (j % 2 ? 0x1p-18f : -0x1p-18f);
    return wrong == DROPPED_KEY && j == 0 && query->last > 0 ? -1e30f : s;
}

// One query in floats, as a kernel computes it. o [size]; returns the logsumexp.
static float attend(const tv_ref_query *query, float *o, fault wrong)
{
    float *p = tv_alloc(query->last + 1, sizeof *p), high = -INFINITY, sum = 0;
    for (uint32_t j = 0; j <= query->last; j++) {
        p[j] = score_of(query, j, wrong);
        high = fmaxf(high, p[j]);
    }
    for (uint32_t j = 0; j <= query->last; j++)
        sum += p[j] = expf(p[j] - high);
    for (uint32_t d = 0; d < query->size; d++) {
        o[d] = 0;
        for (uint32_t j = 0; j <= query->last; j++)
            o[d] += p[j] * (float)query->v[j * query->pitch + d];
        o[d] /= sum;
    }
    tv_free(p);
    return high + logf(sum);
}

static bool attention_is_good(const tv_case *row, tv_dtype storage, fault wrong)
{
    tv_trial t;
    tv_trial_result result;
    double most;
    tv_trial_init(&t, row, storage);
    perfect(&t, &result);
    uint32_t time = row->size[1], heads = row->size[2], size = row->size[4];
    for (uint32_t r = 0; r < row->size[0] * time; r++)
        for (uint32_t h = 0; h < heads; h++) {
            tv_ref_query query = tv_ref_query_of(&t, r, h);
            float *o = result.outputs[0] + ((size_t)r * heads + h) * size;
            result.outputs[1][(r / time * heads + h) * time + r % time] = attend(&query, o, wrong);
            for (uint32_t d = 0; d < size; d++)
                o[d] = tv_round_to(storage, o[d]);
        }
    bool good = is_good(&t, &result, &most);
    tv_trial_result_finish(&result);
    tv_trial_finish(&t);
    return good;
}

// Scores of thousands, with several sets of random values: what floats lose of them is allowed,
// what any fault does to them is not, even if it is only 64 times as much.
static void test_large_scores(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 12 * TV_STORAGE_COUNT; seed++) {
        tv_dtype storage = tv_storages[seed % TV_STORAGE_COUNT];
        const tv_case row = tv_test_large_scores(seed);
        assert_true(attention_is_good(&row, storage, NONE));
        assert_false(attention_is_good(&row, storage, DROPPED_KEY));
        assert_false(attention_is_good(&row, storage, HALF_SCORES));
        assert_false(attention_is_good(&row, storage, COARSE_SCORES));
    }
}

// ------------------------------------------------------------------------------------- the suite

static void ignore(void *context, const tv_case *row, tv_dtype storage, size_t done, size_t total)
{
    (void)row;
    (void)storage;
    assert_true(done == (*(size_t *)context)++ && done < total);
}

// The null device computes nothing, so nearly all that it gives is wrong, and the suite says so.
static void test_a_device_that_computes_nothing(void **state)
{
    (void)state;
    tv_device *device;
    tv_conformance result;
    size_t calls = 0;
    assert_ok(tv_device_open("null", "", &device));
    assert_error(tv_conformance_run(device, "NOTHING", ignore, &calls, &result), TV_EUSAGE,
                 "NOTHING");
    tv_conformance_finish(&result);
    assert_ok(tv_conformance_run(device, "ADD", ignore, &calls, &result));
    assert_true(calls == result.count && result.count > 0 && result.failed == result.count);
    for (int i = 0; i < TV_STORAGE_COUNT; i++) {
        tv_conformance_cell cell =
            tv_conformance_cell_of(&result, TV_OP_ADD, tv_storages[i], false);
        assert_true(!cell.good && cell.verdicts > 0 && cell.worst->most > 1);
        assert_int_equal(cell.trial->storage, tv_storages[i]);
        cell = tv_conformance_cell_of(&result, TV_OP_GELU, tv_storages[i], false);
        assert_true(cell.good && cell.verdicts == 0 && !cell.worst);
    }
    tv_conformance_finish(&result);
    tv_device_close(&device);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units),        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_one_unit_off), cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_large_scores), cmocka_unit_test(test_a_device_that_computes_nothing),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
