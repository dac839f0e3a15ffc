// Placement without a device that computes: models, what lies in one place, the host's memory.
#include "graph/grad.h"
#include "graph/ops.h"
#include "graph/recompute.h"
#include "harness/harness.h"
#include "harness/placement.h"
#include "harness/step.h"
#include "model/model.h"
#include "plan/place.h"
#include "plan/plan.h"

#include <string.h>

// ----------------------------------------------------------------------------------------- models

typedef struct built_model {
    tv_graph *graph;
    tv_model *model;
} built_model;

// A forward and backward pass in phase 0, a forward pass alone in phase 1.
static built_model build_model(tv_model_type type, uint32_t layers, bool tied, tv_recompute mode)
{
    tv_model_config config = tv_small_model(type);
    config.layers = layers;
    config.tie_embeddings = tied;
    config.resid_pdrop = config.embd_pdrop = 0.1;
    built_model s = {.graph = tv_graph_create()};
    tv_graph *g = s.graph;
    uint32_t batch = 5, time = 33, rows = batch * time;
    s.model = tv_model_create(g, &config, true);
    tv_tensor *step = tv_test_feed(g, TV_U32, TV_STEP_WORDS, "step");
    tv_tensor *targets = tv_test_feed(g, TV_U32, rows, "targets");
    tv_model_inputs in = {.batch = batch,
                          .time = time,
                          .ids = tv_test_feed(g, TV_U32, rows, "ids"),
                          .order = tv_test_feed(g, TV_U32, rows, "order"),
                          .step = step,
                          .samples = tv_test_feed(g, TV_U32, batch, "samples")};
    tv_tensor *sum = tv_graph_tensor(g, TV_RESULT, TV_F32, 1, 1, "sum");
    for (int backward = 1; backward >= 0; backward--) {
        tv_tensor *hidden = tv_model_forward(s.model, &in);
        tv_tensor *loss =
            tv_linear_cross_entropy(g, hidden, s.model->head, targets, step, 64, backward);
        tv_reduce_sum_into(g, loss, sum, true);
        if (!backward)
            break;
        size_t first = g->node_count;
        tv_graph_backward(g, loss, NULL);
        tv_graph_recompute(g, first, mode);
        tv_graph_new_phase(g);
        in.samples = NULL;
    }
    return s;
}

static void destroy_model(built_model *s)
{
    tv_model_destroy(&s->model);
    tv_graph_destroy(&s->graph);
}

static void check_model(tv_model_type type, bool tied, tv_recompute mode, tv_device *device)
{
    built_model s = build_model(type, 2, tied, mode);
    for (size_t i = 0; i < s.model->weight_count; i++)
        assert_non_null(s.model->weights[i]->gradient);
    assert_ok(tv_test_programs(s.graph, device));
    tv_test_placement(s.graph, device, 1u << 30);
    tv_test_placement(s.graph, device, 256 << 10); // many blocks
    destroy_model(&s);
}

static void test_models(void **state)
{
    for (tv_model_type type = 0; type < TV_MODEL_TYPE_COUNT; type++)
        for (tv_recompute mode = 0; mode < TV_RECOMPUTE_COUNT; mode++) {
            check_model(type, false, mode, *state);
            check_model(type, true, mode, *state);
        }
}

static void test_packing_saves_memory(void **state)
{
    tv_caps caps = tv_device_get_info(*state)->caps;
    for (tv_model_type type = 0; type < TV_MODEL_TYPE_COUNT; type++) {
        tv_plan_memory memory;
        built_model s = build_model(type, 6, true, TV_RECOMPUTE_NONE);
        assert_ok(tv_plan_measure(s.graph, &caps, &memory));
        // Backward passes reuse at least what evaluation and the later layers' gradients take.
        if (memory.bytes[TV_ACTIVATION] > memory.unshared * 6 / 10)
            fail_msg("activations take %llu of %llu bytes",
                     (unsigned long long)memory.bytes[TV_ACTIVATION],
                     (unsigned long long)memory.unshared);
        destroy_model(&s);
    }
}

static bool in_one_place(const tv_graph *graph, const tv_tensor *a, const tv_tensor *b)
{
    tv_placement p;
    assert_ok(tv_place(graph, 1u << 30, &p));
    bool one = p.spots[a->id].block == p.spots[b->id].block &&
               p.spots[a->id].offset == p.spots[b->id].offset;
    tv_placement_finish(&p);
    return one;
}

// An output takes over the memory of an input that is an activation of its own type which nobody
// uses afterwards.
static void test_rope_in_place(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_tensor *x = tv_graph_tensor(graph, TV_FEED, TV_F32, 6, 8, "x");
    tv_tensor *table = tv_graph_tensor(graph, TV_CONSTANT, TV_F32, 3, 4, "table");
    tv_tensor *step = tv_test_feed(graph, TV_U32, TV_STEP_WORDS, "step"),
              *y[4] = {tv_gelu(graph, x)};
    for (int i = 1; i < 4; i++)
        y[i] = tv_rope(graph, y[i - 1], table, step, 3, 1, 4);
    tv_gelu(graph, y[3]);
    for (int i = 1; i < 4; i++)
        assert_true(in_one_place(graph, y[i - 1], y[i]));
    tv_test_placement(graph, *state, 1u << 30);
    assert_ok(tv_test_programs(graph, *state));
    tv_gelu(graph, y[1]); // is used later now
    assert_true(in_one_place(graph, y[0], y[1]) && in_one_place(graph, y[2], y[3]));
    assert_false(in_one_place(graph, y[1], y[2]));
    tv_test_placement(graph, *state, 1u << 30);
    assert_ok(tv_test_programs(graph, *state));
    y[0]->kind = TV_RESULT; // is read by the host
    assert_false(in_one_place(graph, y[0], y[1]));
    graph->storage = TV_BF16; // of half the size
    assert_false(in_one_place(graph, y[3], tv_rope(graph, y[3], table, step, 3, 1, 4)));
    tv_test_placement(graph, *state, 1u << 30);
    tv_graph_destroy(&graph);
}

// ------------------------------------------------------------------------------ the host's memory

// Moves every third activation, and all gradients, to the host.
static void move_to_host(const tv_graph *graph)
{
    for (size_t i = 0; i < graph->tensor_count; i++) {
        tv_tensor *tensor = graph->tensors[i];
        tensor->on_host =
            tensor->kind == TV_GRADIENT || (tensor->kind == TV_ACTIVATION && tensor->id % 3 == 0);
    }
}

static void test_host_memory(void **state)
{
    tv_caps caps = tv_device_get_info(*state)->caps;
    for (tv_model_type type = 0; type < TV_MODEL_TYPE_COUNT; type++) {
        built_model s = build_model(type, 2, true, TV_RECOMPUTE_NONE);
        tv_plan_memory before, after;
        assert_ok(tv_plan_measure(s.graph, &caps, &before));
        assert_true(before.host == 0);
        move_to_host(s.graph);
        assert_ok(tv_test_programs(s.graph, *state));
        tv_test_placement(s.graph, *state, 1u << 30);
        tv_test_placement(s.graph, *state, 256 << 10); // many blocks
        assert_ok(tv_plan_measure(s.graph, &caps, &after));
        assert_true(after.bytes[TV_GRADIENT] == 0);
        assert_true(after.bytes[TV_ACTIVATION] < before.bytes[TV_ACTIVATION]);
        assert_true(after.bytes[TV_WEIGHT] == before.bytes[TV_WEIGHT]);
        assert_true(after.host > before.bytes[TV_GRADIENT]);
        // Their arena is shared, too.
        assert_true(after.host <
                    before.bytes[TV_GRADIENT] + (before.unshared - after.unshared) * 6 / 10);
        destroy_model(&s);
    }
}

static void test_too_little_host_memory(void **state)
{
    built_model s = build_model(TV_MODEL_GPT2, 2, true, TV_RECOMPUTE_NONE);
    tv_device *poor;
    tv_plan *plan = NULL;
    (void)state;
    assert_ok(tv_device_open("null", "host=64K", &poor));
    assert_ok(tv_plan_create(s.graph, poor, &plan));
    tv_plan_destroy(&plan);
    move_to_host(s.graph);
    assert_error(tv_plan_create(s.graph, poor, &plan), TV_EMEMORY,
                 "of the host's memory, the host has 64.0 KiB");
    assert_null(plan);
    destroy_model(&s);
    tv_device_close(&poor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_packing_saves_memory),
        cmocka_unit_test(test_rope_in_place),
        cmocka_unit_test(test_host_memory),
        cmocka_unit_test(test_too_little_host_memory),
    };
    return cmocka_run_group_tests(tests, tv_test_open_null, tv_test_teardown);
}
