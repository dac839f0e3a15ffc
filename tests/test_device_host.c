// Memory of the host on a real driver: buffers, and tensors that a plan has there.
#include "harness/raw.h"

#include "base/memory.h"
#include "base/rng.h"
#include "graph/grad.h"
#include "graph/ops.h"
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

// Kernels read and write both memories in one dispatch, again and again.
static void kernels_reach_both_memories(void **state)
{
    enum { N = 100003, TIMES = 20 };
    (void)state;
    for (size_t m = 0; m < RAW_MASK_COUNT; m++) {
        tv_device *device = raw_open_device(raw_masks[m]);
        tv_buffer *x = raw_make_buffer_in(device, TV_ON_HOST, N * sizeof(float));
        tv_buffer *y = raw_make_buffer(device, N * sizeof(float));
        tv_program *program = raw_make_program(device);
        float *ones = tv_alloc(N, sizeof *ones);
        for (int i = 0; i < TIMES; i++) {
            raw_record(program, raw_add(device, i % 2 ? y : x, i % 2 ? y : x, i % 2 ? x : y, N));
            tv_program_barrier(program);
        }
        CHECKED(tv_program_finish(program));
        for (int i = 0; i < N; i++)
            ones[i] = 1;
        for (int i = 0; i < 3; i++) {
            CHECKED(tv_buffer_write(x, 0, ones, N * sizeof *ones));
            raw_run_to_end(program);
            raw_assert_filled(x, N, 1 << TIMES);
        }
        tv_free(ones);
        tv_program_destroy(&program);
        tv_buffer_destroy(&x);
        tv_buffer_destroy(&y);
        raw_close_device(device);
    }
}

static void both_memories_are_counted_apart(void **state)
{
    tv_device *device = raw_open_device("host=1M");
    tv_buffer *none = NULL, *ours = raw_make_buffer_in(device, TV_ON_HOST, (1 << 20) - 500);
    (void)state;
    assert_int_equal(device->allocated, 0);
    assert_int_equal(device->host_allocated, (1 << 20) - 500);
    assert_int_equal(tv_buffer_create_in(device, TV_ON_HOST, 501, &none), TV_EMEMORY);
    assert_non_null(strstr(tv_error_message(), "in the host's memory"));
    assert_non_null(strstr(tv_error_message(), "500 B are free"));
    assert_null(none);
    tv_buffer *other = raw_make_buffer(device, 501);
    assert_int_equal(device->allocated, 501);
    tv_buffer_destroy(&ours);
    tv_buffer_destroy(&other);
    assert_int_equal(device->host_allocated, 0);
    assert_int_equal(device->allocated, 0);
    raw_close_device(device);
}

// ------------------------------------------------------------------------------------------ plans

enum { ROWS = 70, WIDTH = 96 };

static tv_tensor *filled(tv_graph *g, tv_kind kind, uint32_t rows, const char *name)
{
    tv_tensor *tensor = tv_graph_tensor(g, kind, TV_F32, rows, WIDTH, name);
    if (kind == TV_WEIGHT)
        tensor->gradient = tv_graph_tensor(g, TV_GRADIENT, TV_F32, rows, WIDTH, "gradient");
    return tensor;
}

static void write_normals(tv_plan *plan, const tv_tensor *tensor, uint64_t stream)
{
    float values[WIDTH * WIDTH];
    size_t count = (size_t)tv_tensor_count(tensor);
    tv_rng_normals(11, stream, 0, 0.5, count, values);
    CHECKED(tv_plan_write(plan, tensor, 0, count, values));
}

// The gradients of two layers with a GELU between them. On the host lie all of their activations,
// the second one's weights and both ones' gradients, or nothing.
static void find_gradients(tv_device *device, bool on_host, float *gradients)
{
    tv_graph *g = tv_graph_create();
    tv_plan *plan = NULL;
    tv_tensor *x = filled(g, TV_CONSTANT, ROWS, "x"), *dz = filled(g, TV_CONSTANT, ROWS, "dz");
    tv_tensor *w[] = {filled(g, TV_WEIGHT, WIDTH, "w0"), filled(g, TV_WEIGHT, WIDTH, "w1")};
    tv_graph_fresh_gradients(g);
    tv_tensor *z = tv_linear(g, tv_gelu(g, tv_linear(g, x, w[0], NULL, TV_NT)), w[1], NULL, TV_NT);
    tv_graph_backward(g, z, dz);
    for (size_t i = 0; i < g->tensor_count; i++)
        g->tensors[i]->on_host =
            on_host && g->tensors[i]->kind != TV_CONSTANT && g->tensors[i] != w[0];
    CHECKED(tv_plan_create(g, device, &plan));
    assert_int_equal(tv_plan_get_memory(plan)->bytes[TV_ACTIVATION] == 0, on_host);
    assert_int_equal(device->host_allocated == tv_plan_get_memory(plan)->host, true);
    assert_int_equal(device->host_allocated > 0, on_host);
    write_normals(plan, x, 0);
    write_normals(plan, dz, 1);
    for (uint32_t i = 0; i < 2; i++)
        write_normals(plan, w[i], 2 + i);
    CHECKED(tv_plan_execute(plan, 0));
    for (uint32_t i = 0; i < 2; i++)
        CHECKED(tv_plan_read(plan, w[i]->gradient, 0, WIDTH * WIDTH,
                             gradients + (size_t)i * WIDTH * WIDTH));
    tv_plan_destroy(&plan);
    tv_graph_destroy(&g);
}

static void where_tensors_lie_changes_no_bit(void **state)
{
    float here[2 * WIDTH * WIDTH], there[2 * WIDTH * WIDTH];
    (void)state;
    for (size_t m = 0; m < RAW_MASK_COUNT; m++) {
        tv_device *device = raw_open_device(raw_masks[m]);
        find_gradients(device, false, here);
        find_gradients(device, true, there);
        assert_memory_equal(here, there, sizeof here);
        assert_true(here[0] != 0 && here[2 * WIDTH * WIDTH - 1] != 0);
        raw_close_device(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_reach_both_memories),
        cmocka_unit_test(both_memories_are_counted_apart),
        cmocka_unit_test(where_tensors_lie_changes_no_bit),
    };
    setenv("TRIVIUM_SELFTEST", "0", 1); // many devices are opened; test_device_selftest has it
    return cmocka_run_group_tests(tests, raw_choose_validation, NULL);
}
