// Masks: what each item takes away, and what is refused.
#include "device/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const tv_caps full = {
    .storage16 = true,
    .f16 = true,
    .bf16 = true,
    .timeline = true,
    .host_visible = true,
    .texel = true,
    .subgroup = 16,
    .max_group = 1024,
    .shared_bytes = 32768,
    .max_groups = {65535, 65535, 65535},
    .max_range = UINT64_C(128) << 20,
    .max_alloc = UINT64_C(2) << 30,
    .memory = UINT64_C(8) << 30,
    .speed = 1,
};

static void assert_same(const tv_caps *a, const tv_caps *b)
{
    assert_int_equal(a->storage16, b->storage16);
    assert_int_equal(a->f16, b->f16);
    assert_int_equal(a->bf16, b->bf16);
    assert_int_equal(a->timeline, b->timeline);
    assert_int_equal(a->host_visible, b->host_visible);
    assert_int_equal(a->texel, b->texel);
    assert_int_equal(a->subgroup, b->subgroup);
    assert_int_equal(a->max_group, b->max_group);
    assert_int_equal(a->shared_bytes, b->shared_bytes);
    assert_memory_equal(a->max_groups, b->max_groups, sizeof a->max_groups);
    assert_int_equal(a->max_range, b->max_range);
    assert_int_equal(a->max_alloc, b->max_alloc);
    assert_int_equal(a->memory, b->memory);
    assert_true(a->speed == b->speed);
}

static void no_mask_changes_nothing(void **state)
{
    static const char *const masks[] = {NULL, "", ",", " , ,"};
    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        tv_caps caps = full;
        assert_int_equal(tv_mask_apply(masks[i], &caps), TV_OK);
        assert_same(&caps, &full);
    }
}

// Each item changes its own field and no other.
static void items(void **state)
{
    (void)state;
#define ITEM(mask, field, value)                                                                   \
    do {                                                                                           \
        tv_caps caps = full, expected = full;                                                      \
        expected.field = value;                                                                    \
        assert_int_equal(tv_mask_apply(mask, &caps), TV_OK);                                       \
        assert_same(&caps, &expected);                                                             \
    } while (0)
    ITEM("no-f16", f16, false);
    ITEM("no-bf16", bf16, false);
    ITEM("no-storage16", storage16, false);
    ITEM("no-timeline", timeline, false);
    ITEM("no-hostvisible", host_visible, false);
    ITEM("no-texel", texel, false);
    ITEM("no-subgroup", subgroup, 0);
    ITEM("subgroup=0", subgroup, 0);
    ITEM("subgroup=16", subgroup, 16);
    ITEM("range=64M", max_range, UINT64_C(64) << 20);
    ITEM("range=128M", max_range, UINT64_C(128) << 20);
    ITEM("range=1000", max_range, 768);
    ITEM("alloc=1G", max_alloc, UINT64_C(1) << 30);
    ITEM("shared=16K", shared_bytes, 16384);
    ITEM("group=128", max_group, 128);
    ITEM("speed=0.25", speed, 0.25);
    ITEM(" no-f16 ", f16, false);
#undef ITEM
}

static void several_items(void **state)
{
    (void)state;
    tv_caps caps = full;
    assert_int_equal(tv_mask_apply("no-f16, no-subgroup,range=1M,,speed=0.5", &caps), TV_OK);
    assert_false(caps.f16);
    assert_int_equal(caps.subgroup, 0);
    assert_int_equal(caps.max_range, 1 << 20);
    assert_true(caps.speed == 0.5);
    assert_true(caps.storage16);
}

static void refused(void **state)
{
    static const struct {
        const char *mask, *says;
    } cases[] = {
        {"no-f61", "did you mean 'no-f16'"},
        {"turbo", "no item 'turbo'"},
        {"no-f16=1", "takes no value"},
        {"no-subgroup=4", "takes no value"},
        {"range", "needs a value"},
        {"speed", "needs a value"},
        {"subgroup", "needs a value"},
        {"range=", "positive number"},
        {"range=0", "positive number"},
        {"range=-1", "positive number"},
        {"range=many", "positive number"},
        {"range=100", "too small"},
        {"range=129M", "more than the device has"},
        {"alloc=3G", "more than the device has"},
        {"shared=64K", "more than the device has"},
        {"group=2048", "more than the device has"},
        {"group=0", "positive number"},
        {"subgroup=8", "subgroup size is 16"},
        {"subgroup=4294967312", "subgroup size is 16"}, // 16 in the lower 32 bits
        {"subgroup=x", "number of lanes"},
        {"speed=0", "fraction"},
        {"speed=1.5", "fraction"},
        {"speed=nan", "fraction"},
        {"no-f16,group=9999", "more than the device has"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_caps caps = full;
        tv_err err = tv_mask_apply(cases[i].mask, &caps);
        if (err != TV_EUSAGE || !strstr(tv_error_message(), cases[i].says))
            fail_msg("%s: error %d, '%s'", cases[i].mask, err, tv_error_message());
        assert_same(&caps, &full);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_mask_changes_nothing),
        cmocka_unit_test(items),
        cmocka_unit_test(several_items),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
