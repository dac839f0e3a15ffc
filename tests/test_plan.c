// Plans without a device that computes: barriers, bounds, placement, memory.
#include "base/memory.h"
#include "conformance/case.h"
#include "graph/grad.h"
#include "graph/ops.h"
#include "graph/recompute.h"
#include "harness/harness.h"
#include "model/model.h"
#include "plan/place.h"
#include "plan/plan.h"
#include "train/step_graph.h"

#include <stdio.h>
#include <string.h>

static int open_null(void **state)
{
    tv_device *device;
    if (tv_device_open("null", NULL, &device) != TV_OK) {
        print_error("%s\n", tv_error_message());
        return -1;
    }
    *state = device;
    return 0;
}

static tv_tensor *feed(tv_graph *graph, tv_dtype dtype, uint32_t columns, const char *name)
{
    return tv_graph_tensor(graph, TV_FEED, dtype, 1, columns, name);
}

// Plans and runs all phases; the null device finds missing barriers, the front windows out of
// bounds.
static tv_err run_all(const tv_graph *graph, tv_device *device)
{
    tv_plan *plan = NULL;
    tv_err err;
    TV_GOTO(done, tv_plan_create(graph, device, &plan));
    TV_GOTO(done, tv_plan_upload(plan));
    for (uint32_t phase = 0; phase < graph->phase_count; phase++) {
        TV_GOTO(done, tv_plan_run(plan, phase));
        TV_GOTO(done, tv_plan_wait(plan, phase));
    }
    err = tv_plan_download(plan);
done:
    tv_plan_destroy(&plan);
    return err;
}

// ---------------------------------------------------------------------------- independent check

static bool uses(const tv_node *node, const tv_tensor *tensor)
{
    for (int i = 0; i < TV_NODE_INPUTS; i++)
        if (node->in[i] == tensor)
            return true;
    for (int i = 0; i < TV_NODE_OUTPUTS; i++)
        if (node->out[i] == tensor)
            return true;
    return false;
}

// The first and last node that uses a tensor; false if none does.
static bool life_of(const tv_graph *graph, const tv_tensor *tensor, size_t *first, size_t *last)
{
    bool used = false;
    for (size_t n = 0; n < graph->node_count; n++)
        if (uses(graph->nodes[n], tensor)) {
            *first = used ? *first : n;
            *last = n;
            used = true;
        }
    return used;
}

// Whether both hold values at some time: all but activations do so always.
static bool meet(const tv_graph *graph, const tv_tensor *a, const tv_tensor *b)
{
    size_t a_first = 0, a_last = 0, b_first = 0, b_last = 0;
    if (a->kind != TV_ACTIVATION || b->kind != TV_ACTIVATION)
        return true;
    return life_of(graph, a, &a_first, &a_last) && life_of(graph, b, &b_first, &b_last) &&
           a_first <= b_last && b_first <= a_last;
}

// Whether b is written where a lies, by the node that reads a last, and may be.
static bool passes_on(const tv_graph *graph, const tv_placement *p, const tv_tensor *a,
                      const tv_tensor *b)
{
    const tv_spot *s = &p->spots[a->id], *t = &p->spots[b->id];
    size_t first, last, b_first = 0, b_last;
    if (!life_of(graph, a, &first, &last) || !life_of(graph, b, &b_first, &b_last))
        return false;
    const tv_node *node = graph->nodes[last];
    return (node->op == TV_OP_ROPE || node->op == TV_OP_SWIGLU_GRAD) && last == b_first &&
           node->in[0] == a && node->out[0] == b && a->dtype == b->dtype && a->rows == b->rows &&
           a->columns == b->columns && s->block == t->block && s->offset == t->offset;
}

static void check_placement(const tv_graph *graph, const tv_placement *p)
{
    for (size_t i = 0; i < graph->tensor_count; i++) {
        const tv_tensor *a = graph->tensors[i];
        const tv_spot *s = &p->spots[a->id];
        size_t first, last;
        if (s->block == TV_NOT_PLACED) {
            assert_int_equal(a->kind, TV_ACTIVATION);
            assert_false(life_of(graph, a, &first, &last));
            continue;
        }
        assert_true(s->block < p->block_count);
        assert_int_equal(p->blocks[s->block].kind, a->kind);
        assert_int_equal(p->blocks[s->block].on_host, a->on_host);
        assert_int_equal(s->offset % TV_BINDING_ALIGNMENT, 0);
        assert_true(s->offset + tv_tensor_bytes(a) <= p->blocks[s->block].size);
        for (size_t j = 0; j < i; j++) {
            const tv_tensor *b = graph->tensors[j];
            const tv_spot *t = &p->spots[b->id];
            bool apart = s->block != t->block || s->offset + tv_tensor_bytes(a) <= t->offset ||
                         t->offset + tv_tensor_bytes(b) <= s->offset;
            if (!apart && meet(graph, a, b) && !passes_on(graph, p, a, b) &&
                !passes_on(graph, p, b, a))
                fail_msg("%s and %s share memory while both are alive", a->name, b->name);
        }
    }
}

static void check_graph(const tv_graph *graph, tv_device *device, uint64_t max_alloc)
{
    tv_placement one, two;
    tv_plan_memory memory;
    tv_plan *plan;
    tv_caps caps = tv_device_get_info(device)->caps;
    assert_ok(tv_place(graph, max_alloc, &one));
    check_placement(graph, &one);
    assert_ok(tv_place(graph, max_alloc, &two));
    assert_int_equal(one.block_count, two.block_count);
    for (size_t i = 0; i < graph->tensor_count; i++) {
        assert_int_equal(one.spots[i].block, two.spots[i].block);
        assert_int_equal(one.spots[i].offset, two.spots[i].offset);
    }
    tv_placement_finish(&one);
    tv_placement_finish(&two);
    assert_ok(tv_plan_measure(graph, &caps, &memory));
    assert_ok(tv_plan_create(graph, device, &plan));
    assert_memory_equal(&memory, tv_plan_get_memory(plan), sizeof memory);
    tv_plan_destroy(&plan);
    uint64_t total = 0;
    for (tv_kind kind = 0; kind < TV_KIND_COUNT; kind++)
        total += memory.bytes[kind];
    assert_true(total == memory.total);
    assert_true(memory.bytes[TV_ACTIVATION] <= memory.unshared);
}

// ----------------------------------------------------------------------------------------- models

typedef struct built_model {
    tv_graph *graph;
    tv_model *model;
} built_model;

// A forward and backward pass in phase 0, a forward pass alone in phase 1.
static built_model build_model(tv_model_type type, uint32_t layers, bool tied, tv_recompute mode)
{
    const tv_model_config config = {.type = type,
                                    .vocab_size = 131,
                                    .layers = layers,
                                    .heads = 4,
                                    .kv_heads = type == TV_MODEL_LLAMA ? 2 : 4,
                                    .head_size = 8,
                                    .width = 32,
                                    .inner = 88,
                                    .positions = 64,
                                    .norm_epsilon = 1e-5,
                                    .rope_theta = 10000,
                                    .tie_embeddings = tied,
                                    .initializer_range = 0.02,
                                    .resid_pdrop = 0.1,
                                    .embd_pdrop = 0.1};
    built_model s = {.graph = tv_graph_create()};
    tv_graph *g = s.graph;
    uint32_t batch = 5, time = 33, rows = batch * time;
    s.model = tv_model_create(g, &config, true);
    tv_tensor *step = feed(g, TV_U32, TV_STEP_WORDS, "step");
    tv_tensor *targets = feed(g, TV_U32, rows, "targets");
    tv_model_inputs in = {.batch = batch,
                          .time = time,
                          .ids = feed(g, TV_U32, rows, "ids"),
                          .order = feed(g, TV_U32, rows, "order"),
                          .step = step,
                          .samples = feed(g, TV_U32, batch, "samples")};
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
    assert_ok(run_all(s.graph, device));
    check_graph(s.graph, device, 1u << 30);
    check_graph(s.graph, device, 256 << 10); // many blocks
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
    tv_tensor *step = feed(graph, TV_U32, TV_STEP_WORDS, "step"), *y[4] = {tv_gelu(graph, x)};
    for (int i = 1; i < 4; i++)
        y[i] = tv_rope(graph, y[i - 1], table, step, 3, 1, 4);
    tv_gelu(graph, y[3]);
    for (int i = 1; i < 4; i++)
        assert_true(in_one_place(graph, y[i - 1], y[i]));
    check_graph(graph, *state, 1u << 30);
    assert_ok(run_all(graph, *state));
    tv_gelu(graph, y[1]); // is used later now
    assert_true(in_one_place(graph, y[0], y[1]) && in_one_place(graph, y[2], y[3]));
    assert_false(in_one_place(graph, y[1], y[2]));
    check_graph(graph, *state, 1u << 30);
    assert_ok(run_all(graph, *state));
    y[0]->kind = TV_RESULT; // is read by the host
    assert_false(in_one_place(graph, y[0], y[1]));
    graph->storage = TV_BF16; // of half the size
    assert_false(in_one_place(graph, y[3], tv_rope(graph, y[3], table, step, 3, 1, 4)));
    check_graph(graph, *state, 1u << 30);
    tv_graph_destroy(&graph);
}

// All ops as the table builds them, and on a device so poor that launches are split.
static void test_table(void **state)
{
    tv_device *poor;
    assert_ok(tv_device_open("null", "range=304K", &poor));
    for (size_t i = 0; i < TV_STORAGE_COUNT * tv_case_count; i++) {
        const tv_case *row = &tv_cases[i / TV_STORAGE_COUNT];
        tv_trial trial;
        char name[128];
        tv_case_name(row, name);
        tv_trial_init(&trial, row, tv_storages[i % TV_STORAGE_COUNT]);
        if (run_all(trial.graph, *state) != TV_OK || run_all(trial.graph, poor) != TV_OK)
            fail_msg("%s: %s", name, tv_error_message());
        check_graph(trial.graph, *state, 1u << 30);
        tv_trial_finish(&trial);
    }
    tv_device_close(&poor);
}

// --------------------------------------------------------------------------------------- barriers

static void count_barriers(const tv_graph *graph, tv_device *device, size_t dispatches,
                           size_t barriers)
{
    tv_plan *plan;
    size_t got_dispatches, got_barriers;
    double work;
    assert_ok(tv_plan_create(graph, device, &plan));
    tv_plan_count(plan, 0, &got_dispatches, &got_barriers, &work);
    assert_int_equal(got_dispatches, dispatches);
    assert_int_equal(got_barriers, barriers);
    assert_true(work > 0);
    tv_plan_destroy(&plan);
}

static void test_barriers_stand_only_where_needed(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_tensor *x = feed(graph, TV_F32, 100, "x"), *y[4];
    for (int i = 0; i < 4; i++) { // independent, also of each other's memory
        y[i] = tv_gelu(graph, x);
        y[i]->kind = TV_RESULT;
    }
    count_barriers(graph, *state, 4, 0);
    tv_tensor *a = tv_add(graph, y[0], y[1]), *b = tv_add(graph, y[2], y[3]); // one for both
    a->kind = b->kind = TV_RESULT;
    count_barriers(graph, *state, 6, 1);
    tv_gelu(graph, tv_add(graph, a, b));
    count_barriers(graph, *state, 8, 3);
    tv_graph_destroy(&graph);
}

// What depends on nothing new comes forward: two chains need no more barriers than one.
static void test_chains_run_side_by_side(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_tensor *x = feed(graph, TV_F32, 100, "x");
    for (int chain = 0; chain < 2; chain++) {
        tv_tensor *y = x;
        for (int i = 0; i < 3; i++) {
            y = tv_gelu(graph, y);
            y->kind = TV_RESULT;
        }
    }
    count_barriers(graph, *state, 6, 2);
    tv_graph_destroy(&graph);
}

static void test_barriers_before_overwriting(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_tensor *x = tv_graph_tensor(graph, TV_RESULT, TV_F32, 1, 100, "x");
    tv_fill(graph, x, 1);
    tv_fill(graph, x, 2); // write after write
    tv_gelu(graph, x);    // read after write
    tv_fill(graph, x, 3); // write after read
    count_barriers(graph, *state, 4, 3);
    tv_graph_destroy(&graph);
}

// ------------------------------------------------------------------------------------- dispatches

// A step of a model whose weights leave no gaps clears and updates all of them at once.
static void test_a_step_takes_few_dispatches(void **state)
{
    const tv_model_config config = {.type = TV_MODEL_GPT2,
                                    .vocab_size = 128,
                                    .layers = 3,
                                    .heads = 4,
                                    .kv_heads = 4,
                                    .head_size = 32,
                                    .width = 128,
                                    .inner = 512,
                                    .positions = 32,
                                    .norm_epsilon = 1e-5,
                                    .initializer_range = 0.02};
    tv_step_options options = {
        .batch = 2, .time = 32, .beta1 = 0.9, .beta2 = 0.999, .weight_decay = 0.1f, .update = true};
    for (tv_precision p = 0; p < TV_PRECISION_COUNT; p++) {
        tv_plan *plan;
        size_t dispatches, barriers;
        double work;
        options.precision = p;
        tv_step_graph *g = tv_step_graph_create(&config, &options);
        assert_ok(tv_plan_create(g->graph, *state, &plan));
        tv_plan_count(plan, g->zero, &dispatches, &barriers, &work);
        assert_int_equal(dispatches, 2); // and the sum of losses
        assert_int_equal(barriers, 0);
        tv_plan_count(plan, g->update, &dispatches, &barriers, &work);
        // Two for the norm, one each for the weights that decay and for those that do not.
        assert_int_equal(dispatches, 4);
        assert_int_equal(barriers, 2);
        tv_plan_destroy(&plan);
        tv_step_graph_destroy(&g);
    }
}

static void test_dispatches_are_described(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan;
    size_t count;
    graph->storage = TV_BF16;
    tv_tensor *x = tv_graph_tensor(graph, TV_CONSTANT, TV_BF16, 70, 24, "x");
    tv_tensor *w = tv_graph_tensor(graph, TV_WEIGHT, TV_BF16, 96, 24, "w");
    tv_tensor *qkv = tv_linear(graph, x, w, NULL, TV_NT);
    tv_gelu(graph, tv_attention(graph, qkv, 2, 4, 4, 8));
    assert_ok(tv_plan_create(graph, *state, &plan));
    const tv_plan_dispatch *d = tv_plan_dispatches(plan, 0, &count);
    assert_int_equal(count, 3);
    assert_int_equal(d[0].op, TV_OP_MATMUL);
    assert_string_equal(d[0].shape, "70x96x24");
    assert_true(d[0].flop == 2 * 70 * 96 * 24);
    assert_true(d[0].bytes == 2 * (70 * 24 + 96 * 24 + 70 * 96)); // no bias, and so none is read
    assert_int_equal(d[0].storage, TV_BF16);
    assert_false(d[0].barrier);
    assert_string_equal(d[1].shape, "2x4x35x8");
    assert_true(d[1].flop > 0 && d[1].barrier);
    assert_string_equal(d[2].kernel, "gelu");
    assert_string_equal(d[2].shape, "70x32");
    assert_true(d[2].flop == 0 && d[2].bytes == 2 * 2 * 70 * 32);
    assert_ok(tv_plan_profile(plan, 0));
    assert_true(d[2].seconds == 0); // the null device does not tell the time
    assert_ok(tv_plan_execute(plan, 0));
    tv_plan_destroy(&plan);
    tv_graph_destroy(&graph);
}

// A batch takes one launch, or as many as the device's windows ask for; all of them at once.
static void test_a_batch_is_one_launch(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan;
    tv_device *poor;
    size_t count;
    tv_tensor *a = tv_graph_tensor(graph, TV_CONSTANT, TV_F32, 96 * 64, 64, "a");
    tv_tensor *b = tv_graph_tensor(graph, TV_CONSTANT, TV_F32, 96 * 64, 64, "b");
    tv_gelu(graph, tv_matmul(graph, a, b, 96, TV_NN)); // which no product of a batch takes over
    assert_ok(tv_plan_create(graph, *state, &plan));
    const tv_plan_dispatch *d = tv_plan_dispatches(plan, 0, &count);
    assert_int_equal(count, 2);
    assert_string_equal(d[0].shape, "96x64x64x64");
    assert_true(d[0].flop == 2.0 * 96 * 64 * 64 * 64);
    assert_string_equal(d[1].kernel, "gelu");
    tv_plan_destroy(&plan);

    assert_ok(tv_device_open("null", "range=300K", &poor)); // 18 of 16 KiB, so six times 16
    count_barriers(graph, poor, 6 + 6, 1);
    tv_device_close(&poor);
    tv_graph_destroy(&graph);
}

// -------------------------------------------------------------------------------------- transfers

static void test_feeds_results_and_parts(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan;
    float values[100], got[100] = {0};
    tv_tensor *x = feed(graph, TV_F32, 100, "x"), *y = tv_gelu(graph, x);
    tv_tensor *w = tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 4, 25, "w");
    y->kind = TV_RESULT;
    assert_ok(tv_plan_create(graph, *state, &plan));
    for (int i = 0; i < 100; i++)
        values[i] = (float)i;
    memcpy(tv_plan_feed(plan, x), values, sizeof values);
    assert_ok(tv_plan_upload(plan));
    assert_ok(tv_plan_read(plan, x, 0, 100, got));
    assert_memory_equal(got, values, sizeof got);
    assert_ok(tv_plan_write(plan, w, 0, 100, values));
    assert_ok(tv_plan_write(plan, w, 25, 3, values));
    assert_ok(tv_plan_read(plan, w, 24, 5, got));
    assert_true(got[0] == 24 && got[1] == 0 && got[2] == 1 && got[3] == 2 && got[4] == 28);
    assert_ok(tv_plan_write(plan, y, 0, 100, values)); // the null device computes nothing
    assert_ok(tv_plan_run(plan, 0));
    assert_ok(tv_plan_wait(plan, 0));
    const float *result = tv_plan_result(plan, y);
    assert_true(result[99] == 0);
    assert_ok(tv_plan_download(plan));
    assert_memory_equal(result, values, sizeof values);
    tv_plan_destroy(&plan);
    assert_null(plan);
    tv_plan_destroy(&plan);
    tv_graph_destroy(&graph);
}

// ----------------------------------------------------------------------------------------- limits

static void test_a_tensor_too_large(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan = NULL;
    tv_plan_memory memory;
    tv_device *poor;
    (void)state;
    assert_ok(tv_device_open("null", "alloc=1M", &poor));
    tv_caps caps = tv_device_get_info(poor)->caps;
    tv_tensor *x = tv_graph_tensor(graph, TV_FEED, TV_F32, 1024, 256, "just fits");
    assert_ok(tv_plan_measure(graph, &caps, &memory));
    tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 1024, 257, "large");
    assert_error(tv_plan_measure(graph, &caps, &memory), TV_EMEMORY, "large [1024, 257]");
    assert_error(tv_plan_create(graph, poor, &plan), TV_EMEMORY, "1.0 MiB");
    assert_null(plan);
    tv_graph_destroy(&graph);

    graph = tv_graph_create(); // and an activation
    x = tv_graph_tensor(graph, TV_FEED, TV_F32, 1024, 200, "x");
    tv_linear(graph, x, tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 300, 200, "w"), NULL, TV_NT);
    assert_error(tv_plan_measure(graph, &caps, &memory), TV_EMEMORY, "[1024, 300]");
    tv_graph_destroy(&graph);
    tv_device_close(&poor);
}

static void test_too_little_memory(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan = NULL;
    tv_device *device = *state;
    uint64_t have = tv_device_get_info(device)->caps.memory;
    for (uint64_t taken = 0; taken <= have; taken += 1u << 30)
        tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 1 << 14, 1 << 14, "w");
    tv_err err = tv_plan_create(graph, device, &plan);
    assert_error(err, TV_EMEMORY, "8.0 GiB");
    assert_error(err, TV_EMEMORY, "9.0 GiB");
    assert_null(plan);
    tv_graph_destroy(&graph);
}

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
        assert_ok(run_all(s.graph, *state));
        check_graph(s.graph, *state, 1u << 30);
        check_graph(s.graph, *state, 256 << 10); // many blocks
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

static void test_a_row_too_long(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_plan *plan = NULL;
    tv_device *poor;
    (void)state;
    assert_ok(tv_device_open("null", "range=4K", &poor));
    tv_tensor *x = tv_graph_tensor(graph, TV_FEED, TV_F32, 4, 4096, "wide");
    tv_rmsnorm(graph, x, tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 1, 4096, "w"), 1e-5f);
    assert_error(tv_plan_create(graph, poor, &plan), TV_EMEMORY, "wide [4, 4096]");
    assert_null(plan);
    tv_graph_destroy(&graph);
    tv_device_close(&poor);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_packing_saves_memory),
        cmocka_unit_test(test_rope_in_place),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_barriers_stand_only_where_needed),
        cmocka_unit_test(test_chains_run_side_by_side),
        cmocka_unit_test(test_barriers_before_overwriting),
        cmocka_unit_test(test_a_step_takes_few_dispatches),
        cmocka_unit_test(test_dispatches_are_described),
        cmocka_unit_test(test_a_batch_is_one_launch),
        cmocka_unit_test(test_feeds_results_and_parts),
        cmocka_unit_test(test_a_tensor_too_large),
        cmocka_unit_test(test_too_little_memory),
        cmocka_unit_test(test_host_memory),
        cmocka_unit_test(test_too_little_host_memory),
        cmocka_unit_test(test_a_row_too_long),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, open_null, tv_test_teardown);
}
