// 16-bit storage on a device that lacks it: rows of the table of cases give the same bits where
// halves are converted by bit operations and 16-bit values are packed in words as with all that the
// driver offers.
#include "base/memory.h"
#include "conformance/case.h"
#include "harness/harness.h"

static const char POOR[] = "no-f16,no-storage16";

typedef struct devices {
    tv_device *plain, *poor;
} devices;

static int open_devices(void **state)
{
    devices *d = tv_alloc(1, sizeof *d);
    *state = d;
    d->plain = tv_test_device("no-coopmat");
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

// Prints what differs.
static bool same(const tv_trial *t, const tv_trial_result *plain, const tv_trial_result *poor)
{
    bool outputs = tv_trial_same_outputs(t, plain, poor);
    bool gradients = tv_trial_same_gradients(t, plain, poor);
    char name[128];
    tv_case_name(t->row, name);
    if (!outputs || !gradients)
        print_error("  %s as %s: %s%s%s differ in their bits\n", name, tv_dtype_name(t->storage),
                    outputs ? "" : "outputs", outputs || gradients ? "" : " and ",
                    gradients ? "" : "gradients");
    return outputs && gradients;
}

static bool check_case(const devices *d, const tv_case *row, tv_dtype storage)
{
    tv_trial t;
    tv_trial_result plain = {0}, poor = {0};
    tv_trial_init(&t, row, storage);
    assert_ok(tv_trial_run(&t, d->plain, &plain));
    assert_ok(tv_trial_run(&t, d->poor, &poor));
    bool good = same(&t, &plain, &poor);
    tv_trial_result_finish(&plain);
    tv_trial_result_finish(&poor);
    tv_trial_finish(&t);
    return good;
}

static void check_all(const devices *d, tv_dtype storage)
{
    size_t failed = 0, seen[TV_OP_COUNT] = {0};
    for (size_t i = 0; i < tv_case_count; i++)
        if (tv_test_takes(seen[tv_cases[i].op]++, 2))
            failed += !check_case(d, &tv_cases[i], storage);
    assert_int_equal(failed, 0);
}

static void test_f16(void **state)
{
    check_all(*state, TV_F16);
}

static void test_bf16(void **state)
{
    check_all(*state, TV_BF16);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16),
        cmocka_unit_test(test_bf16),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, open_devices, close_devices);
}
