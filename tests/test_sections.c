// Sections: where passes are cut, what stands in for weights and gradients, and that no two that
// are alive share memory.
#include "harness/harness.h"
#include "harness/step.h"

#include "base/memory.h"
#include "plan/place.h"
#include "plan/plan.h"
#include "train/step_graph.h"

enum { LAYERS = 3 };

static tv_step_graph *make_graph(tv_model_type type, bool tied, tv_sharded sharded, uint32_t ranks)
{
    tv_model_config config = tv_uneven_model(type, 211);
    tv_step_options options = tv_uneven_options(ranks, 100000);
    config.tie_embeddings = tied;
    options.rank = ranks - 1;
    options.sharded = sharded;
    return tv_step_graph_create(&config, &options);
}

static bool is_of_weights(const tv_tensor *t)
{
    return t && (t->kind == TV_WEIGHT || t->kind == TV_GRADIENT);
}

// All weights that the nodes of a section touch are of one unit, and none has no memory.
static void check_node(const tv_node *node, int64_t *unit)
{
    for (size_t i = 0; i < TV_NODE_INPUTS + TV_NODE_OUTPUTS; i++) {
        const tv_tensor *t =
            i < TV_NODE_INPUTS ? node->in[i] : node->out[i - (size_t)TV_NODE_INPUTS];
        if (t)
            assert_null(t->sharding);
        if (!is_of_weights(t))
            continue;
        assert_true(*unit == -1 || *unit == t->unit);
        *unit = t->unit;
        if (t->span)
            assert_true(t->span->first <= node->phase && node->phase <= t->span->last);
    }
}

static void check_sections(const tv_step_graph *g, const tv_sections *sections, size_t count)
{
    assert_int_equal(sections->count, count);
    for (size_t i = 0; i < count; i++) {
        const tv_section *s = &sections->all[i];
        int64_t unit = -1;
        assert_int_equal(s->phase, sections->all[0].phase + i);
        assert_int_equal(g->graph->passes[s->phase], sections->all[0].phase);
        for (size_t n = 0; n < g->graph->node_count; n++)
            if (g->graph->nodes[n]->phase == s->phase)
                check_node(g->graph->nodes[n], &unit);
        for (size_t k = 0; k < s->weight_count; k++)
            assert_int_equal(s->weights[k].whole->unit, unit);
        for (size_t k = 0; k < s->gradient_count; k++)
            assert_int_equal(s->gradients[k].whole->unit, unit);
    }
}

// Every weight's gradient is made in some section, and every weight is read in some.
static void check_complete(const tv_step_graph *g, bool weights)
{
    for (size_t w = 0; w < g->model->weight_count; w++) {
        const tv_tensor *weight = g->model->weights[w];
        size_t read = 0, made = 0;
        for (size_t i = 0; i < g->training.count; i++) {
            const tv_section *s = &g->training.all[i];
            for (size_t k = 0; k < s->weight_count; k++)
                read += s->weights[k].whole == weight;
            for (size_t k = 0; k < s->gradient_count; k++)
                made += s->gradients[k].whole == weight->gradient;
        }
        assert_true(made > 0);
        assert_int_equal(read > 0, weights);
    }
}

// Forward through embedding, layers and head, and back.
static void test_cuts(void **state)
{
    (void)state;
    for (int type = 0; type < TV_MODEL_TYPE_COUNT; type++)
        for (int tied = 0; tied < 2; tied++) {
            tv_step_graph *g = make_graph((tv_model_type)type, tied, TV_SHARDED_WEIGHTS, 2);
            check_sections(g, &g->training, 2 * LAYERS + 3);
            check_sections(g, &g->validation, LAYERS + 2);
            check_complete(g, true);
            tv_step_graph_destroy(&g);
            g = make_graph((tv_model_type)type, tied, TV_SHARDED_GRADIENTS, 2);
            check_sections(g, &g->training, 2 * LAYERS + 3);
            assert_int_equal(g->validation.count, 0);
            check_complete(g, false);
            tv_step_graph_destroy(&g);
        }
}

// When a tensor of a pass holds values, as numbers of nodes.
static bool life_of(const tv_graph *graph, const tv_tensor *tensor, size_t *first, size_t *last)
{
    bool alive = false;
    for (size_t n = 0; n < graph->node_count; n++) {
        const tv_node *node = graph->nodes[n];
        bool here =
            tensor->span && tensor->span->first <= node->phase && node->phase <= tensor->span->last;
        for (size_t i = 0; i < TV_NODE_INPUTS && !tensor->span; i++)
            here |= node->in[i] == tensor;
        for (size_t i = 0; i < TV_NODE_OUTPUTS && !tensor->span; i++)
            here |= node->out[i] == tensor;
        if (!here)
            continue;
        *first = alive ? *first : n;
        *last = n;
        alive = true;
    }
    return alive;
}

static bool overlap(const tv_placement *p, const tv_tensor *a, const tv_tensor *b)
{
    const tv_spot *s = &p->spots[a->id], *t = &p->spots[b->id];
    return s->block == t->block && s->offset < t->offset + tv_tensor_bytes(b) &&
           t->offset < s->offset + tv_tensor_bytes(a);
}

static void test_memory_is_shared_by_turns(void **state)
{
    (void)state;
    tv_step_graph *g = make_graph(TV_MODEL_GPT2, true, TV_SHARDED_WEIGHTS, 2);
    const tv_graph *graph = g->graph;
    tv_placement p;
    size_t shared = 0;
    assert_ok(tv_place(graph, UINT32_MAX, &p));
    for (size_t i = 0; i < graph->tensor_count; i++) {
        const tv_tensor *a = graph->tensors[i];
        size_t first, last, other_first, other_last;
        if (!a->span)
            continue;
        assert_true(life_of(graph, a, &first, &last));
        for (size_t k = 0; k < graph->tensor_count; k++) {
            const tv_tensor *b = graph->tensors[k];
            if (a == b || p.spots[b->id].block == TV_NOT_PLACED || !overlap(&p, a, b))
                continue;
            assert_true(life_of(graph, b, &other_first, &other_last));
            assert_true(last < other_first || other_last < first);
            shared++;
        }
    }
    assert_true(shared > 0);
    tv_placement_finish(&p);
    tv_step_graph_destroy(&g);
}

// Of weights, gradients and moments a rank holds one part in `ranks`, but for uneven ends.
static void test_every_level_divides_more(void **state)
{
    (void)state;
    static const tv_kind kinds[] = {TV_OPTIMIZER, TV_GRADIENT, TV_WEIGHT};
    tv_caps caps = {.max_alloc = UINT32_MAX};
    for (uint32_t ranks = 2; ranks <= 4; ranks += 2)
        for (int level = TV_SHARDED_NONE; level <= TV_SHARDED_WEIGHTS; level++) {
            tv_step_graph *whole = make_graph(TV_MODEL_GPT2, true, TV_SHARDED_NONE, ranks);
            tv_step_graph *g = make_graph(TV_MODEL_GPT2, true, (tv_sharded)level, ranks);
            tv_plan_memory all, part;
            assert_ok(tv_plan_measure(whole->graph, &caps, &all));
            assert_ok(tv_plan_measure(g->graph, &caps, &part));
            for (int k = 0; k < 3; k++) {
                double expected = (double)all.bytes[kinds[k]] / (level > k ? ranks : 1);
                assert_true((double)part.bytes[kinds[k]] > 0.95 * expected);
                assert_true((double)part.bytes[kinds[k]] < 1.05 * expected);
            }
            tv_step_graph_destroy(&whole);
            tv_step_graph_destroy(&g);
        }
}

// The null device finds missing barriers and windows out of bounds.
static void test_programs(void **state)
{
    (void)state;
    tv_device *device;
    assert_ok(tv_device_open("null", NULL, &device));
    for (int type = 0; type < TV_MODEL_TYPE_COUNT; type++)
        for (int level = TV_SHARDED_GRADIENTS; level <= TV_SHARDED_WEIGHTS; level++) {
            tv_step_graph *g = make_graph((tv_model_type)type, type, (tv_sharded)level, 3);
            tv_plan *plan;
            assert_ok(tv_plan_create(g->graph, device, &plan));
            assert_ok(tv_plan_upload(plan));
            for (uint32_t phase = 0; phase < g->graph->phase_count; phase++)
                assert_ok(tv_plan_execute(plan, phase));
            tv_plan_destroy(&plan);
            tv_step_graph_destroy(&g);
        }
    tv_device_close(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_memory_is_shared_by_turns),
        cmocka_unit_test(test_every_level_divides_more),
        cmocka_unit_test(test_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
