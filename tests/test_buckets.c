// Buckets: every element of a model belongs to one parcel and one rank, whatever the sizes.
#include "harness/harness.h"
#include "harness/step.h"

#include "base/memory.h"
#include "plan/plan.h"
#include "train/step_graph.h"

#include <string.h>

static tv_step_graph *make_graph(uint32_t ranks, uint64_t bytes)
{
    tv_model_config config = tv_uneven_model(TV_MODEL_GPT2, 4099);
    tv_step_options options = tv_uneven_options(ranks, bytes);
    return tv_step_graph_create(&config, &options);
}

static void check_parcel(const tv_parcel *parcel, uint32_t ranks, uint8_t *const *seen)
{
    tv_piece *pieces = tv_alloc(parcel->count, sizeof *pieces);
    uint64_t sum = 0, elements = 0;
    for (size_t i = 0; i < parcel->count; i++)
        elements += tv_tensor_count(parcel->weights[i]);
    assert_int_equal(elements, parcel->elements);
    for (uint32_t r = 0; r < ranks; r++) {
        size_t count = tv_parcel_pieces(parcel, r, pieces);
        uint64_t owned = 0;
        for (size_t i = 0; i < count; i++) {
            const tv_piece *p = &pieces[i];
            assert_int_equal(p->first % TV_PIECE_UNIT, 0);
            assert_true(p->first + p->count <= tv_tensor_count(p->weight));
            for (uint64_t e = p->first; e < p->first + p->count; e++)
                assert_int_equal(seen[p->weight->id][e]++, 0);
            owned += p->count;
        }
        assert_int_equal(owned, parcel->owned[r]);
        sum += owned;
    }
    assert_int_equal(sum, elements);
    tv_free(pieces);
}

static void check_graph(const tv_step_graph *graph, uint32_t ranks)
{
    const tv_buckets *b = graph->buckets;
    const tv_model *model = graph->model;
    uint8_t **seen = tv_alloc(graph->graph->tensor_count, sizeof *seen);
    size_t parcels = 0;
    for (size_t i = 0; i < model->weight_count; i++)
        seen[model->weights[i]->id] = tv_alloc(tv_tensor_count(model->weights[i]), 1);
    for (size_t i = 0; i < b->bucket_count; i++)
        for (size_t p = 0; p < b->buckets[i].count; p++, parcels++)
            check_parcel(&b->buckets[i].parcels[p], ranks, seen);
    assert_int_equal(parcels, b->parcel_count);
    assert_int_equal(b->elements, tv_model_parameters(model));
    for (size_t i = 0; i < model->weight_count; i++) {
        const tv_tensor *w = model->weights[i];
        for (uint64_t e = 0; e < tv_tensor_count(w); e++)
            assert_int_equal(seen[w->id][e], 1);
        tv_free(seen[w->id]);
    }
    uint64_t most = 0, least = UINT64_MAX;
    for (uint32_t r = 0; r < ranks; r++) {
        uint64_t owned = 0;
        for (size_t i = 0; i < b->parcel_count; i++)
            owned += b->parcels[i].owned[r];
        most = owned > most ? owned : most;
        least = owned < least ? owned : least;
    }
    assert_true(most - least <= 2 * TV_PIECE_UNIT * b->parcel_count);
    tv_free(seen);
}

// However large buckets may be, the first and the last ones are not.
static void check_small_ends(const tv_buckets *b)
{
    uint64_t done = 0;
    assert_true(b->bucket_count > 2);
    for (size_t i = 0; i < b->bucket_count; i++) {
        const tv_bucket *bucket = &b->buckets[i];
        uint64_t elements = 0, last = 0;
        for (size_t p = 0; p < bucket->count; p++) {
            elements += bucket->parcels[p].elements;
            for (size_t w = 0; w < bucket->parcels[p].count; w++)
                last = tv_max_size(last, tv_tensor_count(bucket->parcels[p].weights[w]));
        }
        assert_true(elements <= last + tv_max_size(1 << 16, (b->elements - done) / 2));
        assert_true(i > 0 || elements <= last + (1 << 16));
        done += elements;
    }
}

static void test_every_element_has_one_owner(void **state)
{
    (void)state;
    static const struct {
        uint32_t ranks;
        uint64_t bytes;
    } cases[] = {{2, 1}, {2, 100000}, {3, 1000000}, {7, UINT64_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_step_graph *graph = make_graph(cases[i].ranks, cases[i].bytes);
        check_graph(graph, cases[i].ranks);
        if (i == 0)
            assert_int_equal(graph->buckets->bucket_count, graph->model->weight_count);
        if (i == 3)
            check_small_ends(graph->buckets);
        tv_step_graph_destroy(&graph);
    }
    tv_step_graph *units = make_graph(3, 1);
    tv_buckets_destroy(&units->buckets);
    units->buckets = tv_buckets_of_units(units->model->weights, units->model->weight_count,
                                         (double[]){1, 1, 1}, 3);
    check_graph(units, 3);
    assert_int_equal(units->buckets->bucket_count, 3 + 4); // layers; wte, wpe and the last norm
    tv_step_graph_destroy(&units);
    tv_step_graph *alone = make_graph(1, 1);
    assert_null(alone->buckets);
    tv_step_graph_destroy(&alone);
}

// The last layer's weights come first, the embedding, which the head shares, at the very end.
static void test_order_is_that_of_the_backward_pass(void **state)
{
    (void)state;
    tv_step_graph *graph = make_graph(2, 1);
    const tv_buckets *b = graph->buckets;
    size_t last_block = 0, first_block = 0;
    for (size_t i = 0; i < b->weight_count; i++) {
        if (strstr(b->weights[i]->name, "h.2.mlp.c_fc.weight"))
            last_block = i;
        if (strstr(b->weights[i]->name, "h.0.mlp.c_fc.weight"))
            first_block = i;
    }
    assert_true(last_block < first_block);
    assert_ptr_equal(b->weights[b->weight_count - 1], graph->model->embedding);
    tv_step_graph_destroy(&graph);
}

// On the null device every watch is reached, in the program of its phase.
static void test_watches(void **state)
{
    (void)state;
    tv_device *device;
    tv_plan *plan;
    tv_step_graph *graph = make_graph(2, 100000);
    assert_ok(tv_device_open("null", NULL, &device));
    assert_ok(tv_plan_create(graph->graph, device, &plan));
    const uint32_t phases[TV_PASSES] = {graph->first, graph->micro, graph->zero};
    for (size_t p = 0; p < TV_PASSES; p++) {
        assert_ok(tv_plan_run(plan, phases[p]));
        for (size_t i = 0; i < graph->buckets->bucket_count; i++)
            assert_ok(tv_plan_wait_watch(plan, graph->buckets->buckets[i].watches[p]));
        assert_ok(tv_plan_wait(plan, phases[p]));
    }
    tv_tensor *gradient = graph->model->weights[0]->gradient;
    float value = 7, seen = 0;
    assert_ok(tv_plan_write(plan, gradient, 3, 1, &value));
    assert_ok(tv_plan_peek(plan, gradient, 3, 1, &seen));
    assert_true(seen == 7 && ((float *)tv_plan_host(plan, gradient))[3] == 7);
    tv_plan_destroy(&plan);
    tv_device_close(&device);
    tv_step_graph_destroy(&graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_element_has_one_owner),
        cmocka_unit_test(test_order_is_that_of_the_backward_pass),
        cmocka_unit_test(test_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
