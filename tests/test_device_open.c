// Opening devices: the list, every way to name one, and what is refused.
#include "device/device.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECKED(call)                                                                              \
    do {                                                                                           \
        if ((call) != TV_OK)                                                                       \
            fail_msg("%s: %s", #call, tv_error_message());                                         \
    } while (0)

static tv_device *open_device(const char *mask)
{
    tv_device *device = NULL;
    CHECKED(tv_device_open(getenv("TRIVIUM_TEST_DEVICE"), mask, &device));
    return device;
}

static void list_is_sorted(void **state)
{
    tv_device_info *infos;
    size_t count;
    (void)state;
    CHECKED(tv_device_list(&infos, &count));
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        assert_string_not_equal(infos[i].backend, "null");
        assert_true(infos[i].name[0] && infos[i].vendor[0] && infos[i].driver[0]);
        assert_true(i == 0 || infos[i - 1].device_class <= infos[i].device_class);
        if (infos[i].problem[0])
            continue;
        const tv_caps *caps = &infos[i].caps;
        assert_true(caps->max_group >= 128 && caps->shared_bytes >= 16384);
        assert_true(caps->max_range >= 1 << 27 && caps->max_range % TV_BINDING_ALIGNMENT == 0);
        assert_true(caps->max_alloc >= 1 << 30 && caps->memory > 0 && caps->speed == 1);
    }
    tv_free(infos);
}

static void every_name_of_a_device_opens_it(void **state)
{
    static const char *const best[] = {NULL, "", "auto"};
    tv_device *device = open_device("");
    tv_device_info info = *tv_device_get_info(device), first;
    char uuid[33], dashed[64], place[32];
    (void)state;
    tv_device_close(&device);
    for (int i = 0; i < 16; i++)
        snprintf(uuid + 2 * i, 3, "%02X", info.uuid[i]);
    snprintf(dashed, sizeof dashed, "%.8s-%.4s-%.4s-%.4s-%.12s", uuid, uuid + 8, uuid + 12,
             uuid + 16, uuid + 20);
    snprintf(place, sizeof place, "%s:%u", info.backend, info.index);
    const char *const names[] = {place, uuid, dashed, "null"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CHECKED(tv_device_open(names[i], "", &device));
        bool null = strcmp(names[i], "null") == 0;
        assert_string_equal(tv_device_get_info(device)->name, null ? "null" : info.name);
        tv_device_close(&device);
    }
    for (size_t i = 0; i < sizeof best / sizeof *best; i++) {
        CHECKED(tv_device_open(best[i], "", &device));
        if (i == 0)
            first = *tv_device_get_info(device);
        assert_memory_equal(tv_device_get_info(device)->uuid, first.uuid, sizeof first.uuid);
        tv_device_close(&device);
    }
}

static void every_device_opens_by_index(void **state)
{
    tv_device_info *infos;
    size_t count, alike;
    (void)state;
    CHECKED(tv_device_list(&infos, &count));
    for (size_t i = 0; i < count; i++) {
        tv_device *device = NULL;
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        tv_err err = tv_device_open(index, "", &device);
        assert_int_equal(err, infos[i].problem[0] ? TV_ENODEVICE : TV_OK);
        if (err == TV_OK) {
            assert_memory_equal(tv_device_get_info(device)->uuid, infos[i].uuid, 16);
            tv_device_close(&device);
        }
        alike = 0;
        for (size_t j = 0; j < count; j++)
            alike += strstr(infos[j].name, infos[i].name) != NULL;
        if (infos[i].problem[0])
            continue;
        err = tv_device_open(infos[i].name, "", &device);
        assert_int_equal(err, alike > 1 ? TV_EUSAGE : TV_OK);
        if (err == TV_OK)
            tv_device_close(&device);
    }
    tv_free(infos);
}

static void bad_names_and_settings(void **state)
{
    static const struct { // which NULL: the device that the tests run on
        const char *which, *mask, *fault;
        tv_err err;
        const char *says;
    } cases[] = {
        {"99", "", "", TV_ENODEVICE, "trivium devices"},
        {"vulkan:99", "", "", TV_ENODEVICE, "vulkan:99"},
        {"vulkan:x", "", "", TV_ENODEVICE, "vulkan:x"},
        {"no such gpu", "", "", TV_ENODEVICE, "no such gpu"},
        {"0123456789abcdef0123456789abcdef", "", "", TV_ENODEVICE, "no device"},
        {NULL, "no-such-thing", "", TV_EUSAGE, "no-such-thing"},
        {NULL, "range=1T", "", TV_EUSAGE, "more than the device has"},
        {NULL, "", "lost", TV_EUSAGE, "lost:N"},
        {NULL, "", "lost:0", TV_EUSAGE, "lost:N"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_device *device = NULL;
        setenv("TRIVIUM_FAULT", cases[i].fault, 1);
        const char *which = cases[i].which ? cases[i].which : getenv("TRIVIUM_TEST_DEVICE");
        assert_int_equal(tv_device_open(which, cases[i].mask, &device), cases[i].err);
        unsetenv("TRIVIUM_FAULT");
        assert_null(device);
        assert_non_null(strstr(tv_error_message(), cases[i].says));
    }
}

static void mask_from_the_environment(void **state)
{
    (void)state;
    setenv("TRIVIUM_MASK", "no-timeline", 1);
    tv_device *masked = open_device(NULL), *whole = open_device("");
    unsetenv("TRIVIUM_MASK");
    assert_false(tv_device_get_info(masked)->caps.timeline);
    assert_int_equal(tv_device_get_info(whole)->caps.max_range,
                     tv_device_get_info(masked)->caps.max_range);
    tv_device_close(&masked);
    tv_device_close(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_is_sorted),
        cmocka_unit_test(every_name_of_a_device_opens_it),
        cmocka_unit_test(every_device_opens_by_index),
        cmocka_unit_test(bad_names_and_settings),
        cmocka_unit_test(mask_from_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
