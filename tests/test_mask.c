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
    .copy_queue = true,
    .texel = true,
    .cpu_kernels = true,
    .subgroup = 16,
    .max_group = 1024,
    .shared_bytes = 32768,
    .max_groups = {65535, 65535, 65535},
    .max_range = UINT64_C(128) << 20,
    .max_alloc = UINT64_C(2) << 30,
    .memory = UINT64_C(8) << 30,
    .host_memory = UINT64_C(16) << 30,
    .speed = 1,
};

static void assert_same(const tv_caps *a, const tv_caps *b)
{
    assert_int_equal(a->storage16, b->storage16);
    assert_int_equal(a->f16, b->f16);
    assert_int_equal(a->bf16, b->bf16);
    assert_int_equal(a->timeline, b->timeline);
    assert_int_equal(a->host_visible, b->host_visible);
    assert_int_equal(a->copy_queue, b->copy_queue);
    assert_int_equal(a->texel, b->texel);
    assert_int_equal(a->cpu_kernels, b->cpu_kernels);
    assert_int_equal(a->subgroup, b->subgroup);
    assert_int_equal(a->max_group, b->max_group);
    assert_int_equal(a->shared_bytes, b->shared_bytes);
    assert_memory_equal(a->max_groups, b->max_groups, sizeof a->max_groups);
    assert_int_equal(a->max_range, b->max_range);
    assert_int_equal(a->max_alloc, b->max_alloc);
    assert_int_equal(a->memory, b->memory);
    assert_int_equal(a->host_memory, b->host_memory);
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
    ITEM("no-copy-queue", copy_queue, false);
    ITEM("no-texel", texel, false);
    ITEM("no-cpu-kernels", cpu_kernels, false);
    ITEM("no-subgroup", subgroup, 0);
    ITEM("subgroup=0", subgroup, 0);
    ITEM("subgroup=16", subgroup, 16);
    ITEM("range=64M", max_range, UINT64_C(64) << 20);
    ITEM("range=128M", max_range, UINT64_C(128) << 20);
    ITEM("range=1000", max_range, 768);
    ITEM("alloc=1G", max_alloc, UINT64_C(1) << 30);
    ITEM("host=1G", host_memory, UINT64_C(1) << 30);
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

// Rows of profiles.def: what is left of `full`, which has more of everything, and of `poor`.
static void profiles(void **state)
{
    static const struct {
        const char *mask;
        bool storage16, f16, timeline, host_visible;
        uint32_t subgroup, max_group, shared_bytes, max_groups_x;
        uint64_t max_range, max_alloc;
    } cases[] = {
        {"profile=spec-minimum", false, false, false, false, 0, 128, 16384, 65535, 134217728,
         1073741824},
        {"profile=gtx960", true, false, true, false, 16, 1536, 49152, 2147483647, 2147483392,
         4292870144},
        {"profile=rx580", true, false, true, true, 16, 1024, 65536, 65535, 4294967040, 4294967040},
        {"profile=uhd620", true, true, true, true, 16, 1024, 65536, 65535, 4294967040, 15538538496},
        {"profile=v3d", true, false, true, true, 0, 256, 16384, 65535, 1073741824, 1073741824},
    };
    tv_caps rich = full;
    (void)state;
    rich.max_group = rich.max_groups[0] = rich.shared_bytes = UINT32_MAX;
    rich.max_range = rich.max_alloc = UINT64_C(1) << 40;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_caps caps = rich, expected = rich;
        assert_int_equal(tv_mask_apply(cases[i].mask, &caps), TV_OK);
        expected.storage16 = cases[i].storage16;
        expected.f16 = cases[i].f16;
        expected.bf16 = expected.copy_queue = expected.texel = expected.cpu_kernels = false;
        expected.timeline = cases[i].timeline;
        expected.host_visible = cases[i].host_visible;
        expected.subgroup = cases[i].subgroup;
        expected.max_group = cases[i].max_group;
        expected.shared_bytes = cases[i].shared_bytes;
        expected.max_groups[0] = cases[i].max_groups_x;
        expected.max_range = cases[i].max_range;
        expected.max_alloc = cases[i].max_alloc;
        assert_same(&caps, &expected);
    }
}

// A profile is no demand: what the device has less of stays as it is.
static void profiles_never_raise(void **state)
{
    static const char *const masks[] = {"profile=spec-minimum", "profile=gtx960", "profile=rx580",
                                        "profile=uhd620", "profile=v3d"};
    const tv_caps poor = {.max_group = 64,
                          .shared_bytes = 8192,
                          .max_groups = {1024, 1024, 64},
                          .max_range = UINT64_C(1) << 20,
                          .max_alloc = UINT64_C(1) << 21,
                          .memory = UINT64_C(1) << 30,
                          .speed = 0.5};
    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        tv_caps caps = poor;
        assert_int_equal(tv_mask_apply(masks[i], &caps), TV_OK);
        assert_same(&caps, &poor);
    }
}

static void items_lower_a_profile(void **state)
{
    tv_caps caps = full;
    (void)state;
    assert_int_equal(tv_mask_apply("profile=rx580,no-storage16,group=64,speed=0.5", &caps), TV_OK);
    assert_false(caps.storage16 || caps.f16);
    assert_int_equal(caps.max_group, 64);
    assert_int_equal(caps.subgroup, 16);
    assert_true(caps.speed == 0.5);
    assert_int_equal(tv_mask_apply("profile=v3d,group=257", &caps), TV_EUSAGE);
}

static void refused(void **state)
{
    static const struct {
        const char *mask, *says;
    } cases[] = {
        {"no-f61", "did you mean 'no-f16'"},
        {"shraed=16K", "no item 'shraed'; did you mean 'shared'"},
        {"profile", "needs a value"},
        {"profile=", "no profile ''"},
        {"profile=rx480", "no profile 'rx480'; did you mean 'rx580'"},
        {"profile=uhd-620", "did you mean 'uhd620'"},
        {"profile=toaster", "there are spec-minimum, gtx960, rx580, uhd620, v3d"},
        {"profile=v3d,group=300", "more than the device has (256)"},
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
        {"host=17G", "more than the device has"},
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
        cmocka_unit_test(profiles),
        cmocka_unit_test(profiles_never_raise),
        cmocka_unit_test(items_lower_a_profile),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
