// What a backward pass computes again, what survives for it, and what that saves.
#include "graph/grad.h"
#include "graph/ops.h"
#include "graph/recompute.h"
#include "harness/step.h"

#include <string.h>

static tv_step_graph *make_any(tv_model_type type, tv_recompute mode, bool offload)
{
    tv_model_config config = tv_small_model(type);
    const tv_step_options options = {.batch = TV_SMALL_BATCH,
                                     .time = TV_SMALL_TIME,
                                     .recompute = mode,
                                     .offload_activations = offload,
                                     .single = true,
                                     .update = true};
    config.layers = 6;
    config.embd_pdrop = config.resid_pdrop = 0.1;
    return tv_step_graph_create(&config, &options);
}

static tv_step_graph *make(tv_model_type type, tv_recompute mode)
{
    return make_any(type, mode, false);
}

static size_t find_loss(const tv_step_graph *g)
{
    for (size_t n = 0; n < g->graph->node_count; n++)
        if (g->graph->nodes[n]->phase == g->first &&
            g->graph->nodes[n]->op == TV_OP_LINEAR_CROSS_ENTROPY)
            return n;
    fail_msg("no loss");
    return 0;
}

static bool reads(const tv_node *node, const tv_tensor *tensor)
{
    for (size_t i = 0; i < TV_NODE_INPUTS; i++)
        if (node->in[i] == tensor)
            return true;
    return false;
}

static bool is_read_after(const tv_graph *graph, const tv_tensor *tensor, size_t node)
{
    for (size_t n = node + 1; n < graph->node_count; n++)
        if (reads(graph->nodes[n], tensor))
            return true;
    return false;
}

// Counts, by what wrote them, the activations of the forward pass that the backward pass reads.
static uint32_t count_survivors(const tv_step_graph *g, uint32_t counts[TV_OP_COUNT])
{
    size_t loss = find_loss(g);
    uint32_t total = 0;
    memset(counts, 0, TV_OP_COUNT * sizeof *counts);
    for (size_t n = 0; n < loss; n++) {
        const tv_node *node = g->graph->nodes[n];
        for (size_t i = 0; i < TV_NODE_OUTPUTS && node->phase == g->first; i++)
            if (node->out[i] && node->out[i]->kind == TV_ACTIVATION &&
                is_read_after(g->graph, node->out[i], loss)) {
                counts[node->op]++;
                total++;
            }
    }
    return total;
}

static void test_survivors_of_gpt2(void **state)
{
    uint32_t counts[TV_OP_COUNT];
    (void)state;
    tv_step_graph *g = make(TV_MODEL_GPT2, TV_RECOMPUTE_BLOCK);
    // The first block's input is an embedding with dropout, the others' are sums in front of norms.
    assert_int_equal(count_survivors(g, counts), 6 + 2);
    assert_int_equal(counts[TV_OP_DROPOUT], 1);
    assert_int_equal(counts[TV_OP_ADD_LAYERNORM], 5 + 2); // with sum and statistics of the last
    tv_step_graph_destroy(&g);
    g = make(TV_MODEL_GPT2, TV_RECOMPUTE_SELECTIVE);
    count_survivors(g, counts);
    assert_int_equal(counts[TV_OP_MATMUL], 2 * 6);    // of query, key and value; of GELU's input
    assert_int_equal(counts[TV_OP_ATTENTION], 2 * 6); // and its statistics
    assert_int_equal(counts[TV_OP_ADD_LAYERNORM], 2 * 6 - 1 + 2);
    assert_int_equal(counts[TV_OP_LAYERNORM] + counts[TV_OP_GELU], 0);
    tv_step_graph_destroy(&g);
}

static void test_survivors_of_llama(void **state)
{
    uint32_t counts[TV_OP_COUNT];
    (void)state;
    tv_step_graph *g = make(TV_MODEL_LLAMA, TV_RECOMPUTE_BLOCK);
    assert_int_equal(count_survivors(g, counts), 6 + 2);
    assert_int_equal(counts[TV_OP_EMBED], 1);
    assert_int_equal(counts[TV_OP_ADD_RMSNORM], 5 + 2);
    tv_step_graph_destroy(&g);
    g = make(TV_MODEL_LLAMA, TV_RECOMPUTE_SELECTIVE);
    count_survivors(g, counts);
    assert_int_equal(counts[TV_OP_ROPE], 6);
    assert_int_equal(counts[TV_OP_MATMUL], 6); // SwiGLU's input
    assert_int_equal(counts[TV_OP_ATTENTION], 2 * 6);
    assert_int_equal(counts[TV_OP_RMSNORM] + counts[TV_OP_SWIGLU], 0);
    tv_step_graph_destroy(&g);
}

static size_t count_nodes(const tv_step_graph *g, tv_op op)
{
    size_t count = 0;
    for (size_t n = 0; n < g->graph->node_count; n++)
        count += g->graph->nodes[n]->phase == g->first && g->graph->nodes[n]->op == op;
    return count;
}

// Each node once more, but for the last product of a block, whose result no gradient needs.
static void test_work_of_a_block(void **state)
{
    (void)state;
    tv_step_graph *none = make(TV_MODEL_GPT2, TV_RECOMPUTE_NONE);
    tv_step_graph *block = make(TV_MODEL_GPT2, TV_RECOMPUTE_BLOCK);
    assert_int_equal(count_nodes(none, TV_OP_MATMUL), 6 * 4 * 3);
    assert_int_equal(count_nodes(block, TV_OP_MATMUL), 6 * (4 * 3 + 3));
    assert_int_equal(count_nodes(none, TV_OP_ATTENTION), 6);
    assert_int_equal(count_nodes(block, TV_OP_ATTENTION), 6 * 2);
    assert_int_equal(count_nodes(none, TV_OP_GELU), 6);
    assert_int_equal(count_nodes(block, TV_OP_GELU), 6 * 2);
    tv_step_graph_destroy(&none);
    tv_step_graph_destroy(&block);
}

static uint64_t activations(tv_model_type type, tv_recompute mode, const tv_caps *caps)
{
    tv_plan_memory memory;
    tv_step_graph *g = make(type, mode);
    assert_ok(tv_plan_measure(g->graph, caps, &memory));
    tv_step_graph_destroy(&g);
    return memory.bytes[TV_ACTIVATION];
}

static void test_memory(void **state)
{
    const tv_caps *caps = &tv_device_get_info(*state)->caps;
    for (tv_model_type type = 0; type < TV_MODEL_TYPE_COUNT; type++) {
        uint64_t none = activations(type, TV_RECOMPUTE_NONE, caps);
        uint64_t selective = activations(type, TV_RECOMPUTE_SELECTIVE, caps);
        uint64_t block = activations(type, TV_RECOMPUTE_BLOCK, caps);
        assert_true(none > selective && selective > block);
        assert_true(10 * selective <= 8 * none && 10 * block <= 5 * none);
    }
}

// Each block's input goes to the host and comes back; behind the loss the backward pass finds on
// the device what the last norm left.
static void test_offloading(void **state)
{
    const tv_caps *caps = &tv_device_get_info(*state)->caps;
    for (tv_model_type type = 0; type < TV_MODEL_TYPE_COUNT; type++) {
        uint32_t counts[TV_OP_COUNT];
        tv_plan_memory here, there;
        tv_step_graph *g = make_any(type, TV_RECOMPUTE_BLOCK, false);
        assert_ok(tv_plan_measure(g->graph, caps, &here));
        tv_step_graph_destroy(&g);
        g = make_any(type, TV_RECOMPUTE_BLOCK, true);
        assert_ok(tv_plan_measure(g->graph, caps, &there));
        assert_int_equal(count_survivors(g, counts), 6 + 2);
        assert_int_equal(counts[TV_OP_COPY], 6);
        assert_int_equal(count_nodes(g, TV_OP_COPY), 2 * 6);
        tv_step_graph_destroy(&g);
        assert_int_equal(here.host, 0);
        // Padded: 66 rows of 32 floats take 8448 bytes.
        assert_int_equal(there.host, 6 * 8448);
        assert_true(there.bytes[TV_ACTIVATION] < here.bytes[TV_ACTIVATION]);
    }
}

// Weights' gradients are finished in the order in which they were.
static void test_order_of_gradients(void **state)
{
    (void)state;
    tv_step_graph *none = make(TV_MODEL_LLAMA, TV_RECOMPUTE_NONE);
    tv_step_graph *block = make(TV_MODEL_LLAMA, TV_RECOMPUTE_BLOCK);
    size_t at = 0;
    for (size_t n = 0; n < none->graph->node_count; n++) {
        const tv_node *node = none->graph->nodes[n];
        if (node->phase != none->first || node->out[0]->kind != TV_GRADIENT)
            continue;
        const tv_node *other = block->graph->nodes[at];
        while (other->phase != block->first || other->out[0]->kind != TV_GRADIENT)
            other = block->graph->nodes[++at];
        at++;
        assert_string_equal(other->out[0]->name, node->out[0]->name);
    }
    tv_step_graph_destroy(&none);
    tv_step_graph_destroy(&block);
}

// Without a kept tensor nothing is computed again.
static void test_nothing_is_kept(void **state)
{
    tv_graph *graph = tv_graph_create();
    tv_tensor *x = tv_graph_tensor(graph, TV_FEED, TV_F32, 2, 4, "x");
    tv_tensor *seed = tv_graph_tensor(graph, TV_FEED, TV_F32, 2, 4, "seed");
    tv_tensor *inner = tv_gelu(graph, x), *y = tv_gelu(graph, inner);
    (void)state;
    tv_graph_backward(graph, y, seed);
    tv_graph_recompute(graph, 2, TV_RECOMPUTE_BLOCK);
    assert_int_equal(graph->node_count, 4);
    assert_ptr_equal(graph->nodes[2]->in[0], inner);
    tv_graph_destroy(&graph);
}

static void test_names(void **state)
{
    (void)state;
    for (tv_recompute mode = 0; mode < TV_RECOMPUTE_COUNT; mode++)
        assert_int_equal(tv_recompute_parse(tv_recompute_name(mode)), mode);
    assert_int_equal(tv_recompute_parse("all"), TV_RECOMPUTE_NONE);
}

static int open_null(void **state)
{
    return tv_device_open("null", NULL, (tv_device **)state) == TV_OK ? 0 : -1;
}

static int close_null(void **state)
{
    tv_device_close((tv_device **)state);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_survivors_of_gpt2), cmocka_unit_test(test_survivors_of_llama),
        cmocka_unit_test(test_work_of_a_block),   cmocka_unit_test(test_memory),
        cmocka_unit_test(test_offloading),        cmocka_unit_test(test_order_of_gradients),
        cmocka_unit_test(test_nothing_is_kept),   cmocka_unit_test(test_names),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, open_null, close_null);
}
