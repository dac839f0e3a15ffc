// The device list and finding a device in it, on invented devices: what is the same GPU twice, the
// order, and every way to name one.
#include "device/front.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 8 };

// One letter stands for a UUID or a PCI address, 0 for an unknown one.
typedef struct row {
    const char *backend;
    unsigned index;
    const char *name;
    tv_device_class device_class;
    char uuid, pci;
    bool broken;
} row;

static size_t make_infos(const row *rows, tv_device_info *infos)
{
    size_t count = 0;
    for (; count < MAX && rows[count].backend; count++) {
        const row *r = &rows[count];
        tv_device_info *info = &infos[count];
        *info = (tv_device_info){.index = r->index, .device_class = r->device_class};
        snprintf(info->backend, sizeof info->backend, "%s", r->backend);
        snprintf(info->name, sizeof info->name, "%s", r->name);
        memset(info->uuid, r->uuid, sizeof info->uuid);
        if (r->pci)
            snprintf(info->pci, sizeof info->pci, "0000:0%c:00.0", r->pci);
        if (r->broken)
            snprintf(info->problem, sizeof info->problem, "it is broken");
    }
    return count;
}

#define GPU TV_CLASS_DISCRETE
#define CPU TV_CLASS_CPU

// Rows in the order of backends.def, and the names of the list, best first, then of the rest.
static void once_and_in_order(void **state)
{
    static const struct {
        row rows[MAX + 1];
        const char *listed, *rest;
    } cases[] = {
        {{{0}}, "", ""},
        {{{"vulkan", 0, "a", CPU, 'a', 0, false},
          {"vulkan", 1, "b", TV_CLASS_INTEGRATED, 'b', '2', false},
          {"vulkan", 2, "c", GPU, 'c', '1', false},
          {"vulkan", 3, "d", GPU, 'd', '3', false},
          {"vulkan", 4, "e", TV_CLASS_VIRTUAL, 'e', '4', false}},
         "cdbea",
         ""},
        // One GPU under two APIs, by UUID and by PCI address; the PCI address has the last word.
        {{{"vulkan", 0, "a", GPU, 'a', 0, false}, {"opencl", 0, "b", GPU, 'a', 0, false}},
         "a",
         "b"},
        {{{"vulkan", 0, "a", GPU, 'a', '1', false}, {"opencl", 0, "b", GPU, 'b', '1', false}},
         "a",
         "b"},
        {{{"vulkan", 0, "a", GPU, 'a', '1', false}, {"opencl", 0, "b", GPU, 'a', 0, false}},
         "a",
         "b"},
        {{{"vulkan", 0, "a", GPU, 'a', '1', false}, {"opencl", 0, "b", GPU, 'a', '2', false}},
         "ab",
         ""},
        {{{"vulkan", 0, "a", GPU, 'a', 0, false}, {"opencl", 0, "b", GPU, 'b', 0, false}},
         "ab",
         ""},
        {{{"vulkan", 0, "a", GPU, 0, 0, false}, {"opencl", 0, "b", GPU, 0, 0, false}}, "ab", ""},
        // Two drivers of one API: by PCI address only.
        {{{"vulkan", 0, "a", GPU, 'a', '1', false}, {"vulkan", 1, "b", GPU, 'b', '1', false}},
         "a",
         "b"},
        {{{"vulkan", 0, "a", GPU, 'a', 0, false}, {"vulkan", 1, "b", GPU, 'a', 0, false}},
         "ab",
         ""},
        // The classes may differ: Vulkan is preferred nevertheless.
        {{{"vulkan", 0, "a", TV_CLASS_INTEGRATED, 'a', '1', false},
          {"opencl", 0, "b", GPU, 'a', '1', false},
          {"opencl", 1, "c", GPU, 'c', '2', false}},
         "ca",
         "b"},
        // What cannot be used does not hide what can.
        {{{"vulkan", 0, "a", GPU, 'a', '1', true}, {"opencl", 0, "b", GPU, 'a', '1', false}},
         "b",
         "a"},
        {{{"vulkan", 0, "a", GPU, 'a', '1', true}, {"opencl", 0, "b", GPU, 'a', '1', true}},
         "a",
         "b"},
        // Software devices are never the same, whatever they say.
        {{{"vulkan", 0, "a", CPU, 'a', '1', false}, {"opencl", 0, "b", CPU, 'a', '1', false}},
         "ab",
         ""},
        // Three ways to one GPU.
        {{{"vulkan", 0, "a", GPU, 'a', '1', false},
          {"vulkan", 1, "b", GPU, 'b', '1', false},
          {"opencl", 0, "c", GPU, 'b', 0, false},
          {"opencl", 1, "d", CPU, 'd', 0, false}},
         "ad",
         "bc"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_device_info infos[MAX];
        char names[MAX + 1] = "", expected[2 * MAX];
        size_t count = make_infos(cases[i].rows, infos);
        size_t listed = tv_device_arrange(infos, count);
        for (size_t j = 0; j < count; j++)
            names[j] = infos[j].name[0];
        names[count] = 0;
        snprintf(expected, sizeof expected, "%s%s", cases[i].listed, cases[i].rest);
        if (listed != strlen(cases[i].listed) || strcmp(names, expected) != 0)
            fail_msg("case %zu: %zu of '%s' are listed, expected '%s' and '%s'", i, listed, names,
                     cases[i].listed, cases[i].rest);
    }
}

static const row room[] = {
    {"vulkan", 0, "llvmpipe", CPU, 'l', 0, false},
    {"vulkan", 1, "Radeon RX 580 (RADV)", GPU, 'r', '1', false},
    {"vulkan", 2, "Radeon RX 580 (AMDVLK)", GPU, 's', '1', false},
    {"vulkan", 3, "Old card", GPU, 'o', '3', true},
    {"opencl", 0, "gfx803", GPU, 'r', '1', false},
    {"opencl", 1, "pthread", CPU, 'p', 0, false},
    {0},
};

static void every_way_to_name_one(void **state)
{
    static const struct {
        const char *which;
        tv_err err;
        const char *expected; // a name, or a part of the error line
    } cases[] = {
        {NULL, TV_OK, "Radeon RX 580 (RADV)"},
        {"", TV_OK, "Radeon RX 580 (RADV)"},
        {"auto", TV_OK, "Radeon RX 580 (RADV)"},
        {"0", TV_OK, "Radeon RX 580 (RADV)"},
        {"2", TV_OK, "llvmpipe"},
        {"3", TV_OK, "pthread"},
        {"4", TV_ENODEVICE, "no device 4: 4 found"}, // what is not listed has no index
        {"1", TV_ENODEVICE, "it is broken"},
        {"radeon", TV_OK, "Radeon RX 580 (RADV)"}, // the list comes first
        {"amdvlk", TV_OK, "Radeon RX 580 (AMDVLK)"},
        {"gfx", TV_OK, "gfx803"},
        {"p", TV_EUSAGE, "vulkan:0 (llvmpipe), opencl:1 (pthread)"},
        {"old", TV_ENODEVICE, "it is broken"},
        {"geforce", TV_ENODEVICE, "no device 'geforce'"},
        {"vulkan", TV_OK, "Radeon RX 580 (RADV)"},
        {"opencl", TV_OK, "gfx803"}, // the best, though it is not listed
        {"vulkan:0", TV_OK, "llvmpipe"},
        {"vulkan:2", TV_OK, "Radeon RX 580 (AMDVLK)"},
        {"opencl:0", TV_OK, "gfx803"},
        {"opencl:2", TV_ENODEVICE, "opencl:2"},
        {"opencl:x", TV_ENODEVICE, "opencl:x"},
        {"cuda:0", TV_ENODEVICE, "cuda:0"},
        {"73737373-7373-7373-7373-737373737373", TV_OK, "Radeon RX 580 (AMDVLK)"},
        {"72727272727272727272727272727272", TV_OK, "Radeon RX 580 (RADV)"},
        {"78787878787878787878787878787878", TV_ENODEVICE, "no device"},
    };
    tv_device_info infos[MAX];
    size_t count = make_infos(room, infos), listed = tv_device_arrange(infos, count);
    (void)state;
    assert_int_equal(listed, 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const tv_device_info *found = NULL;
        tv_err err = tv_device_find(cases[i].which, infos, count, listed, &found);
        const char *said = err == TV_OK ? found->name : tv_error_message();
        if (err != cases[i].err || !strstr(said, cases[i].expected))
            fail_msg("'%s': error %d, '%s', expected '%s'", cases[i].which, err, said,
                     cases[i].expected);
    }
}

static void nothing_to_find(void **state)
{
    static const char *const names[] = {NULL, "vulkan", "vulkan:0", "0", "any"};
    const tv_device_info *found = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(tv_device_find(names[i], NULL, 0, 0, &found), TV_ENODEVICE);
    assert_null(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once_and_in_order),
        cmocka_unit_test(every_way_to_name_one),
        cmocka_unit_test(nothing_to_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
