// Graphs: tensors, shapes of ops, the structure of gradients, phases.
#include "graph/grad.h"
#include "graph/graph.h"
#include "graph/ops.h"
#include "harness/harness.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static tv_tensor *feed(tv_graph *graph, uint32_t rows, uint32_t columns, const char *name)
{
    return tv_graph_tensor(graph, TV_FEED, TV_F32, rows, columns, name);
}

static tv_tensor *integers(tv_graph *graph, uint32_t count, const char *name)
{
    return tv_graph_tensor(graph, TV_FEED, TV_U32, 1, count, name);
}

static tv_tensor *weight(tv_graph *graph, uint32_t rows, uint32_t columns)
{
    tv_tensor *w = tv_graph_tensor(graph, TV_WEIGHT, TV_F32, rows, columns, "w");
    w->gradient = tv_graph_tensor(graph, TV_GRADIENT, TV_F32, rows, columns, "w.gradient");
    return w;
}

static int make_graph(void **state)
{
    *state = tv_graph_create();
    return 0;
}

static int destroy_graph(void **state)
{
    tv_graph *graph = *state;
    tv_graph_destroy(&graph);
    assert_null(graph);
    tv_graph_destroy(&graph);
    return 0;
}

static size_t count_nodes(const tv_graph *graph, tv_op op)
{
    size_t count = 0;
    for (size_t i = 0; i < graph->node_count; i++)
        count += graph->nodes[i]->op == op;
    return count;
}

static const tv_node *find_node(const tv_graph *graph, tv_op op)
{
    for (size_t i = 0; i < graph->node_count; i++)
        if (graph->nodes[i]->op == op)
            return graph->nodes[i];
    return NULL;
}

static void assert_shape(const tv_tensor *tensor, uint32_t rows, uint32_t columns)
{
    assert_non_null(tensor);
    assert_int_equal(tensor->rows, rows);
    assert_int_equal(tensor->columns, columns);
}

static void test_tensors(void **state)
{
    tv_graph *graph = *state;
    char name[] = "first";
    tv_tensor *first = tv_graph_tensor(graph, TV_WEIGHT, TV_F32, 3, 5, name);
    name[0] = 'x'; // the graph has its own copy
    for (int i = 0; i < 1000; i++)
        feed(graph, 1, 1, "filler");
    tv_tensor *last = tv_graph_tensor(graph, TV_FEED, TV_U32, 70000, 70000, "last");
    assert_ptr_equal(tv_graph_find(graph, "first"), first);
    assert_ptr_equal(tv_graph_find(graph, "last"), last);
    assert_null(tv_graph_find(graph, "xirst"));
    assert_int_equal(graph->tensor_count, 1002);
    for (size_t i = 0; i < graph->tensor_count; i++)
        assert_int_equal(graph->tensors[i]->id, i);
    assert_int_equal(tv_tensor_count(first), 15);
    assert_int_equal(tv_tensor_bytes(first), 60);
    assert_true(tv_tensor_bytes(last) == 4ull * 70000 * 70000);
    assert_null(first->gradient);
}

static void test_op_infos(void **state)
{
    (void)state;
    assert_string_equal(tv_op_get_info(TV_OP_ADD)->name, "ADD");
    assert_string_equal(tv_op_get_info(TV_OP_ADD)->kernel, "add");
    assert_string_equal(tv_op_get_info(TV_OP_ADD)->gradient, "add");
    assert_string_equal(tv_op_get_info(TV_OP_ADAMW)->gradient, "none");
    for (tv_op op = 0; op < TV_OP_COUNT; op++) {
        const tv_op_info *info = tv_op_get_info(op);
        assert_true(info->inputs <= TV_NODE_INPUTS);
        assert_true(info->outputs >= 1 && info->outputs <= TV_NODE_OUTPUTS);
    }
}

static void test_shapes(void **state)
{
    tv_graph *graph = *state;
    tv_tensor *x = feed(graph, 6, 8, "x"), *step = integers(graph, TV_STEP_WORDS, "step");
    tv_tensor *w = weight(graph, 5, 8), *bias = weight(graph, 1, 5), *vector = weight(graph, 1, 8);
    assert_shape(tv_add(graph, x, x), 6, 8);
    assert_shape(tv_gelu(graph, x), 6, 8);
    assert_shape(tv_swiglu(graph, x), 6, 4);
    assert_shape(tv_dropout(graph, x, step, integers(graph, 2, "samples"), 1, 0.5f), 6, 8);
    assert_shape(tv_rope(graph, x, feed(graph, 9, 4, "table"), step, 3, 1, 4), 6, 8);
    assert_shape(tv_posadd(graph, x, weight(graph, 9, 8), step, 3), 6, 8);
    assert_shape(tv_embed(graph, integers(graph, 7, "ids"), w, NULL), 7, 8);
    assert_shape(tv_layernorm(graph, x, vector, vector, 1e-5f), 6, 8);
    assert_shape(find_node(graph, TV_OP_LAYERNORM)->out[1], 6, 2);
    assert_shape(tv_rmsnorm(graph, x, vector, 1e-5f), 6, 8);
    assert_shape(find_node(graph, TV_OP_RMSNORM)->out[1], 6, 1);
    assert_shape(tv_linear(graph, x, w, bias, TV_NT), 6, 5);
    assert_shape(tv_linear(graph, x, weight(graph, 8, 3), NULL, TV_NN), 6, 3);
    tv_tensor *qkv = feed(graph, 6, 32, "qkv"); // 4 + 2 * 2 heads of size 4
    assert_shape(tv_attention(graph, qkv, 2, 4, 2, 4), 6, 16);
    const tv_node *attention = find_node(graph, TV_OP_ATTENTION);
    assert_shape(attention->out[1], 2, 12);
    assert_int_equal(attention->attrs.time, 3);
    assert_true(attention->attrs.scale == 0.5f);
    tv_tensor *k = tv_graph_tensor(graph, TV_CACHE, TV_F32, 9, 8, "k");
    tv_tensor *v = tv_graph_tensor(graph, TV_CACHE, TV_F32, 9, 8, "v");
    assert_shape(tv_attention_cached(graph, qkv, step, k, v, 4, 2, 4), 6, 16);
    assert_int_equal(count_nodes(graph, TV_OP_KV_APPEND), 1);
    for (size_t i = 0; i < graph->node_count; i++)
        for (uint32_t o = 0; o < tv_op_get_info(graph->nodes[i]->op)->outputs; o++)
            assert_non_null(graph->nodes[i]->out[o]);
}

static void test_loss_shapes(void **state)
{
    tv_graph *graph = *state;
    tv_tensor *x = feed(graph, 150, 8, "x"), *step = integers(graph, TV_STEP_WORDS, "step");
    tv_tensor *w = weight(graph, 1030, 8), *targets = integers(graph, 150, "targets");
    assert_shape(tv_linear_cross_entropy(graph, x, w, targets, step, 64, true), 1, 150);
    const tv_node *node = graph->nodes[0];
    assert_shape(node->out[1], 150, 8);
    assert_shape(node->out[2], 64, 1032); // logits for one chunk, padded to fours
    assert_shape(node->out[3], 64, 1032);
    assert_int_equal(node->attrs.valid, 1030);
    assert_shape(tv_linear_cross_entropy(graph, x, w, targets, step, 1000, false), 1, 150);
    node = graph->nodes[1];
    assert_null(node->out[1]);
    assert_shape(node->out[2], 150, 1032);
    assert_int_equal(node->attrs.block, 150);
}

// ----------------------------------------------------------------------------- wrong shapes abort

static void bad_add(tv_graph *g)
{
    tv_add(g, feed(g, 2, 3, "a"), feed(g, 3, 2, "b"));
}

static void bad_swiglu(tv_graph *g)
{
    tv_swiglu(g, feed(g, 2, 3, "x"));
}

static void bad_linear(tv_graph *g)
{
    tv_linear(g, feed(g, 2, 3, "x"), weight(g, 4, 5), NULL, TV_NT);
}

static void bad_bias(tv_graph *g)
{
    tv_linear(g, feed(g, 2, 5, "x"), weight(g, 4, 5), weight(g, 1, 5), TV_NT);
}

static void bad_heads(tv_graph *g)
{
    tv_attention(g, feed(g, 2, 7 * 4, "qkv"), 1, 3, 2, 4); // 3 heads cannot share 2
}

static void bad_rate(tv_graph *g)
{
    tv_dropout(g, feed(g, 2, 4, "x"), integers(g, 16, "step"), integers(g, 1, "samples"), 0, 1);
}

static void bad_tensor(tv_graph *g)
{
    feed(g, 0, 4, "empty");
}

static void test_wrong_shapes_abort(void **state)
{
    static void (*const bad[])(tv_graph *) = {bad_add,   bad_swiglu, bad_linear, bad_bias,
                                              bad_heads, bad_rate,   bad_tensor};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            if (!freopen("/dev/null", "w", stderr))
                _exit(2);
            bad[i](*state);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("case %zu did not abort", i);
    }
}

// -------------------------------------------------------------------------------------- gradients

static void test_gradients_of_a_tensor_used_twice_are_added(void **state)
{
    tv_graph *graph = *state;
    tv_tensor *x = feed(graph, 2, 4, "x"), *seed = feed(graph, 2, 4, "seed");
    tv_tensor *y = tv_add(graph, tv_gelu(graph, x), tv_gelu(graph, x));
    size_t forward = graph->node_count;
    tv_graph_backward(graph, y, seed);
    assert_int_equal(count_nodes(graph, TV_OP_GELU_GRAD), 2);
    const tv_node *last = graph->nodes[graph->node_count - 1];
    assert_int_equal(last->op, TV_OP_ADD);
    assert_ptr_equal(last->out[0], x->gradient);
    for (size_t i = forward; i < graph->node_count; i++)
        for (int o = 0; o < TV_NODE_OUTPUTS; o++)
            assert_ptr_not_equal(graph->nodes[i]->out[o], seed);
}

static void test_add_to_itself(void **state)
{
    tv_graph *graph = *state;
    tv_tensor *x = feed(graph, 2, 4, "x"), *seed = feed(graph, 2, 4, "seed");
    tv_graph_backward(graph, tv_add(graph, x, x), seed);
    const tv_node *sum = graph->nodes[graph->node_count - 1];
    assert_int_equal(graph->node_count, 2);
    assert_ptr_equal(sum->in[0], seed);
    assert_ptr_equal(sum->in[1], seed);
    assert_ptr_equal(sum->out[0], x->gradient);
}

static void test_weight_gradients_accumulate(void **state)
{
    tv_graph *graph = *state;
    tv_tensor *x = feed(graph, 3, 4, "x"), *w = weight(graph, 4, 4), *bias = weight(graph, 1, 4);
    tv_tensor *gradient = w->gradient;
    tv_tensor *y = tv_linear(graph, x, w, bias, TV_NT);
    y = tv_linear(graph, y, w, NULL, TV_NN); // the same weight, the other way around
    tv_graph_backward(graph, y, feed(graph, 3, 4, "seed"));
    assert_ptr_equal(w->gradient, gradient);
    size_t adding = 0;
    for (size_t i = 0; i < graph->node_count; i++) {
        const tv_node *node = graph->nodes[i];
        if (node->out[0]->kind != TV_GRADIENT)
            continue;
        assert_true(node->attrs.accumulate);
        adding++;
    }
    assert_int_equal(adding, 3);
    assert_shape(x->gradient, 3, 4);
}

static void test_rope_turns_back(void **state)
{
    tv_graph *graph = *state;
    tv_tensor *x = feed(graph, 2, 4, "x"), *step = integers(graph, TV_STEP_WORDS, "step");
    tv_tensor *y = tv_rope(graph, x, feed(graph, 2, 4, "table"), step, 2, 1, 4);
    tv_graph_backward(graph, y, feed(graph, 2, 4, "seed"));
    assert_false(graph->nodes[0]->attrs.backward);
    assert_int_equal(graph->nodes[1]->op, TV_OP_ROPE);
    assert_true(graph->nodes[1]->attrs.backward);
}

static void test_loss_makes_its_own_gradient(void **state)
{
    tv_graph *graph = *state;
    tv_tensor *x = feed(graph, 3, 4, "x"), *step = integers(graph, TV_STEP_WORDS, "step");
    tv_tensor *h = tv_gelu(graph, x);
    tv_tensor *loss = tv_linear_cross_entropy(graph, h, weight(graph, 5, 4),
                                              integers(graph, 3, "targets"), step, 64, true);
    tv_graph_backward(graph, loss, NULL);
    const tv_node *node = find_node(graph, TV_OP_LINEAR_CROSS_ENTROPY);
    assert_ptr_equal(h->gradient, node->out[1]);
    assert_shape(x->gradient, 3, 4);
}

static void test_nothing_flows_beside_the_path(void **state)
{
    tv_graph *graph = *state;
    tv_tensor *x = feed(graph, 2, 4, "x"), *aside = tv_gelu(graph, x);
    tv_tensor *y = tv_gelu(graph, x), *later = tv_gelu(graph, y);
    tv_graph_backward(graph, y, feed(graph, 2, 4, "seed"));
    assert_null(aside->gradient);
    assert_null(later->gradient);
    assert_int_equal(count_nodes(graph, TV_OP_GELU_GRAD), 1);
}

static void test_phases(void **state)
{
    tv_graph *graph = *state;
    tv_tensor *x = feed(graph, 2, 4, "x");
    assert_int_equal(graph->phase_count, 1);
    tv_tensor *first = tv_gelu(graph, x);
    assert_int_equal(tv_graph_new_phase(graph), 1);
    tv_tensor *second = tv_gelu(graph, x);
    tv_graph_backward(graph, second, feed(graph, 2, 4, "seed"));
    assert_int_equal(tv_graph_new_phase(graph), 2);
    assert_int_equal(graph->phase_count, 3);
    assert_int_equal(graph->nodes[0]->phase, 0);
    for (size_t i = 1; i < graph->node_count; i++)
        assert_int_equal(graph->nodes[i]->phase, 1);
    assert_null(first->gradient); // backward stays within its phase
    assert_int_equal(count_nodes(graph, TV_OP_GELU_GRAD), 1);
}

#define GRAPH_TEST(name) cmocka_unit_test_setup_teardown(name, make_graph, destroy_graph)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(test_tensors),
        GRAPH_TEST(test_op_infos),
        GRAPH_TEST(test_shapes),
        GRAPH_TEST(test_loss_shapes),
        GRAPH_TEST(test_wrong_shapes_abort),
        GRAPH_TEST(test_gradients_of_a_tensor_used_twice_are_added),
        GRAPH_TEST(test_add_to_itself),
        GRAPH_TEST(test_weight_gradients_accumulate),
        GRAPH_TEST(test_rope_turns_back),
        GRAPH_TEST(test_loss_makes_its_own_gradient),
        GRAPH_TEST(test_nothing_flows_beside_the_path),
        GRAPH_TEST(test_phases),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
