// Kernels made several at once: each once, on all cores, with a count of those that are done.
#include "harness/harness.h"

#include "base/memory.h"

#include <string.h>

enum { N = 1000 };

typedef struct heard {
    size_t calls, done, total;
    bool in_order;
} heard;

static void hear(void *context, const char *what, size_t done, size_t total)
{
    heard *h = context;
    assert_string_equal(what, TV_STAGE_KERNELS);
    h->in_order = (h->calls == 0 ? done == 0 : done > h->done) && done <= total;
    h->calls++;
    h->done = done;
    h->total = total;
}

static tv_err make(tv_device *device, const tv_kernel_choice *choices, size_t count, heard *h)
{
    *h = (heard){0};
    return tv_device_kernels(device, choices, count, &(tv_stages){hear, h});
}

// The last constant is one that these kernels do not have: so none was made when the device opened.
#define MARKED(n) .constants = {0, 0, 0, n}
static const tv_kernel_choice many[] = {
    {.name = "fill", MARKED(1)},
    {.name = "add", MARKED(1)},
    {.name = "fill", MARKED(1)},
    {.name = "add", MARKED(2)},
    {.name = "gelu", MARKED(1)},
    {.name = "convert", .storage = {TV_TYPE_F16}, MARKED(1)},
    {.name = "convert", MARKED(1)},
    {.name = "convert", .storage = {TV_TYPE_F32, TV_TYPE_BF16}, MARKED(1)},
    {.name = "sumsq", MARKED(1)},
    {.name = "matmul_nn", MARKED(1)},
    {.name = "adamw", MARKED(1)},
    {.name = "embed", MARKED(1)},
};
enum { MANY = sizeof many / sizeof *many, DIFFERENT = MANY - 1 };

static void each_is_made_once(void **state)
{
    tv_device *device = *state;
    const tv_kernel *before, *after;
    heard h;
    assert_ok(tv_device_kernel(device, &many[1], &before));
    assert_ok(make(device, many, MANY, &h));
    assert_true(h.in_order);
    assert_int_equal(h.total, DIFFERENT - 1);
    assert_ok(tv_device_kernel(device, &many[1], &after));
    assert_ptr_equal(before, after);
    assert_ok(make(device, many, MANY, &h));
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.total, 0);
    assert_ok(tv_device_kernels(device, many, MANY, NULL));
    assert_ok(tv_device_kernels(device, NULL, 0, NULL));
}

// One that was compiled by any of the threads computes.
static void they_compute(void **state)
{
    tv_device *device = *state;
    tv_buffer *buffer = NULL;
    tv_program *program = NULL;
    float y[N];
    tv_dispatch dispatch = {
        .binding_count = 1, .groups = {N, 1, 1}, .args = {.u = {N}, .f = {2.5f}}, .label = "fill"};
    assert_ok(tv_device_kernels(device, many, MANY, NULL));
    assert_ok(tv_device_kernel(device, &many[0], &dispatch.kernel));
    assert_ok(tv_buffer_create(device, sizeof y, &buffer));
    assert_ok(tv_program_create(device, &program));
    dispatch.bindings[0] = (tv_binding){buffer, 0, sizeof y, TV_WRITE};
    tv_program_dispatch(program, &dispatch);
    assert_ok(tv_program_finish(program));
    assert_ok(tv_program_run(program));
    assert_ok(tv_buffer_read(buffer, 0, y, sizeof y));
    for (size_t i = 0; i < N; i++)
        assert_true(y[i] == 2.5f);
    tv_program_destroy(&program);
    tv_buffer_destroy(&buffer);
}

static void failures_name_the_kernel(void **state)
{
    tv_device *device = *state;
    tv_kernel_choice bad[] = {
        {.name = "gelu_grad"}, {.name = "add", .group = 1u << 20}, {.name = "fill"}};
    heard h;
    assert_error(make(device, bad, 3, &h), TV_EDEVICE, "'add'");
    assert_true(h.in_order); // the others are made
    bad[1].group = 0;
    assert_ok(make(device, bad, 3, &h));
    bad[1].name = "no_such_kernel";
    assert_error(make(device, bad, 3, &h), TV_EDEVICE, "'no_such_kernel'");
    assert_int_equal(h.calls, 0);
}

int main(int argc, char **argv)
{
    TV_TEST_FILTER(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_made_once),
        cmocka_unit_test(they_compute),
        cmocka_unit_test(failures_name_the_kernel),
    };
    return cmocka_run_group_tests(tests, tv_test_setup, tv_test_teardown);
}
