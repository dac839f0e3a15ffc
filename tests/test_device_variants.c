// Every variant of products, and of what else has several kernels, through the table of cases: with
// masks that leave one family of kernels after the other, and each tile of a family.
#include "base/memory.h"
#include "harness/cases.h"
#include "harness/harness.h"
#include "plan/lower.h"
#include "plan/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const masks[] = {"", "no-coopmat2", "no-coopmat",
                                    "no-coopmat,no-subgroup,no-texel,no-cpu-kernels"};
static const tv_op others[] = {TV_OP_ATTENTION, TV_OP_LINEAR_CROSS_ENTROPY,
                               TV_OP_LAYERNORM, TV_OP_RMSNORM,
                               TV_OP_GELU,      TV_OP_SWIGLU};
enum { MASK_COUNT = sizeof masks / sizeof *masks, EVERY = 3 };

// The largest number of variants that the device has for a product of some type and layout.
static size_t most_variants(const tv_device *device)
{
    tv_lowering lowering = {.device = device, .caps = &tv_device_get_info(device)->caps};
    tv_variant variants[TV_VARIANTS_MAX];
    size_t most = 0;
    for (int storage = 0; storage < TV_STORAGE_COUNT; storage++)
        for (int layout = TV_NT; layout <= TV_TN; layout++) {
            tv_tensor t = {.dtype = tv_storages[storage], .rows = 64, .columns = 64};
            tv_product p = {
                .layout = (tv_layout)layout, .m = 64, .n = 64, .k = 64, .a = &t, .b = &t, .c = &t};
            most = tv_max_size(most, tv_product_variants(&lowering, &p, variants));
        }
    return most;
}

static bool same_kernels(const tv_caps *a, const tv_caps *b)
{
    return a->coop == b->coop && a->coop2 == b->coop2 && a->texel == b->texel &&
           a->subgroup == b->subgroup && a->cpu_kernels == b->cpu_kernels;
}

// PoCL compiles the general kernels for minutes; the tests under profiles run them.
static bool is_slow(const tv_device_info *info)
{
    return strcmp(info->backend, "opencl") == 0 && info->device_class == TV_CLASS_CPU &&
           !info->caps.cpu_kernels;
}

static void test_variants(void **state)
{
    tv_caps seen = {.subgroup = UINT32_MAX};
    size_t failed = 0;
    (void)state;
    for (size_t m = 0; m < MASK_COUNT; m++) {
        tv_device *device = tv_test_device(masks[m]);
        assert_non_null(device);
        const tv_caps *caps = &tv_device_get_info(device)->caps;
        bool skipped = same_kernels(caps, &seen) || is_slow(tv_device_get_info(device));
        size_t variants = skipped ? 0 : most_variants(device);
        for (size_t pick = 0; pick < variants; pick++) {
            char value[32], what[128];
            snprintf(value, sizeof value, "pick:%zu", pick);
            snprintf(what, sizeof what, "mask '%s', variant %zu of %zu", masks[m], pick, variants);
            setenv("TRIVIUM_TUNE", value, 1);
            print_message("%s\n", what);
            failed += tv_test_cases(device, TV_OP_MATMUL, EVERY, what);
            if (pick == 0 && m > 0) { // test_device_ops has the device as it is
                for (size_t i = 0; i < sizeof others / sizeof *others; i++)
                    failed += tv_test_cases(device, others[i], EVERY, what);
            }
        }
        unsetenv("TRIVIUM_TUNE");
        seen = *caps;
        assert_true(tv_test_device_done(&device));
    }
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_variants)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
