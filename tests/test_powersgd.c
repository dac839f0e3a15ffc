// PowerSGD: the products, what is not sent, what a checkpoint keeps; alone, and on three ranks
// under mpirun, which run this very program with the argument "rank".
#include "harness/ranks.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "dist/powersgd.h"
#include "formats/safetensors.h"
#include "train/powersgd_state.h"
#include "train/step_graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS = 3, ROUNDS = 60 };

static char self[1024];

static void fill(uint64_t stream, float *values, size_t count)
{
    tv_rng_normals(7, stream, 0, 1, count, values);
}

static double norm(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * values[i];
    return sqrt(sum);
}

// ------------------------------------------------------------------------------- buckets by hand

// Two buckets: a matrix of its own; and small ones behind one another, of which two gain.
typedef struct model {
    tv_tensor weights[5], *list[5];
    tv_parcel parcels[2];
    tv_bucket buckets[2];
    tv_buckets all;
    float *values[2]; // of the parcels
    tv_powersgd *powersgd;
} model;

static const struct {
    const char *name;
    uint32_t rows, columns;
} sizes[5] = {
    {"big", 700, 400}, {"bias", 1, 300}, {"wide", 30, 90}, {"tiny", 6, 7}, {"tall", 60, 20}};

static void make_model(model *m, tv_comm *comm, size_t rank, uint64_t start_step)
{
    memset(m, 0, sizeof *m);
    for (size_t i = 0; i < 5; i++) {
        m->weights[i] =
            (tv_tensor){.name = sizes[i].name, .rows = sizes[i].rows, .columns = sizes[i].columns};
        m->list[i] = &m->weights[i];
    }
    m->all = (tv_buckets){.ranks = tv_comm_size(comm), .weights = m->list, .weight_count = 5};
    m->all.parcels = m->parcels;
    m->all.buckets = m->buckets;
    m->all.parcel_count = m->all.bucket_count = 2;
    for (size_t p = 0; p < 2; p++) {
        tv_parcel *parcel = &m->parcels[p];
        *parcel = (tv_parcel){.weights = m->list + p, .count = p == 0 ? 1 : 4};
        m->buckets[p] = (tv_bucket){.parcels = parcel, .count = 1};
        for (size_t i = 0; i < parcel->count; i++)
            parcel->elements += tv_tensor_count(parcel->weights[i]);
        m->values[p] = tv_alloc(parcel->elements, sizeof(float));
        m->all.elements += parcel->elements;
    }
    tv_powersgd_options options = {.rank = rank, .start_step = start_step, .seed = 3};
    m->powersgd = tv_powersgd_create(&m->all, tv_comm_behind(comm), &options);
    for (size_t p = 0; p < 2; p++)
        tv_powersgd_place(m->powersgd, p, m->values[p]);
}

static void free_model(model *m)
{
    for (size_t p = 0; p < 2; p++) {
        tv_free(m->values[p]);
    }
    tv_powersgd_destroy(&m->powersgd);
}

// Gradients of a rank in a round, which all ranks know: some that stay, and noise.
static void draw(model *m, uint32_t rank, uint64_t round)
{
    for (size_t p = 0; p < 2; p++) {
        float *steady = tv_alloc(m->parcels[p].elements, sizeof *steady);
        fill(10 + p, steady, m->parcels[p].elements);
        fill(1000 * (rank + 1) + 2 * round + p, m->values[p], m->parcels[p].elements);
        for (size_t i = 0; i < m->parcels[p].elements; i++)
            m->values[p][i] += steady[i];
        tv_free(steady);
    }
}

static void sum_all(model *m, uint64_t step, double scale)
{
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < m->parcels[p].elements; i++)
            m->values[p][i] *= (float)scale;
    tv_powersgd_begin(m->powersgd, step, scale);
    for (size_t b = 0; b < 2; b++)
        REQUIRE(tv_powersgd_sum(tv_powersgd_bucket(m->powersgd, b)) == TV_OK);
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < m->parcels[p].elements; i++)
            m->values[p][i] /= (float)scale;
}

static void test_what_is_compressed(void **state)
{
    model m;
    tv_text text = {0};
    (void)state;
    make_model(&m, NULL, 4, 5);
    assert_int_equal(tv_powersgd_count(m.powersgd), 3);
    assert_string_equal(tv_powersgd_get(m.powersgd, 0)->weight->name, "big");
    assert_string_equal(tv_powersgd_get(m.powersgd, 2)->weight->name, "tall");
    tv_powersgd_describe(m.powersgd, &text);
    assert_string_equal(text.data, "3 of 5 weights at rank 4, errors take 1.1 MiB of host memory");
    tv_powersgd_begin(m.powersgd, 4, 1);
    assert_false(tv_powersgd_is_active(m.powersgd));
    tv_powersgd_begin(m.powersgd, 5, 1);
    assert_true(tv_powersgd_is_active(m.powersgd));
    draw(&m, 0, 0);
    float bias = m.values[1][299], tiny = m.values[1][300 + 2700 + 41];
    sum_all(&m, 5, 1);
    assert_true(m.values[1][299] == bias && m.values[1][300 + 2700 + 41] == tiny);
    assert_true(norm(tv_powersgd_get(m.powersgd, 0)->error, 700 * 400) > 1);
    tv_text_finish(&text);
    free_model(&m);
}

// What was sent, and what was not, together are all gradients; and the second part stays small. The
// scale of the gradients changes all the time, which must not matter.
static void test_error_feedback(void **state)
{
    model m;
    (void)state;
    make_model(&m, NULL, 2, 0);
    double all = 0;
    float *rest = tv_alloc(m.parcels[0].elements, sizeof *rest);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        double scale = round % 3 ? 1024 : 0.25;
        draw(&m, 0, round);
        for (size_t i = 0; i < m.parcels[0].elements; i++)
            rest[i] += m.values[0][i];
        all += norm(m.values[0], m.parcels[0].elements);
        sum_all(&m, round, scale);
        for (size_t i = 0; i < m.parcels[0].elements; i++)
            rest[i] -= m.values[0][i];
        assert_true(tv_powersgd_scale(m.powersgd) == scale);
        const float *error = tv_powersgd_get(m.powersgd, 0)->error;
        for (size_t i = 0; i < m.parcels[0].elements; i++)
            assert_true(fabs(rest[i] - error[i] / scale) < 1e-3);
    }
    assert_true(norm(rest, m.parcels[0].elements) < 0.7 * all);
    tv_free(rest);
    free_model(&m);
}

// Nothing of it stays: neither in errors nor in Q, which are as if the step had not been.
static void test_not_finite(void **state)
{
    model m;
    (void)state;
    make_model(&m, NULL, 4, 0);
    draw(&m, 0, 0);
    sum_all(&m, 0, 2);
    const tv_powersgd_matrix *big = tv_powersgd_get(m.powersgd, 0);
    size_t count = 700 * 400;
    float *error = tv_alloc(count, sizeof *error), right[4 * 400];
    memcpy(error, big->error, count * sizeof *error);
    memcpy(right, big->right, sizeof right);
    for (size_t bad = 0; bad < 3; bad++) {
        draw(&m, 0, 1);
        m.values[0][1234] = bad == 0 ? INFINITY : bad == 1 ? NAN : 3e38f;
        sum_all(&m, 1, 1);
        assert_true(isnan(m.values[0][0]) && isnan(m.values[0][count - 1]));
        assert_true(isfinite(m.values[1][300]));
        for (size_t i = 0; i < count; i++)
            assert_true(big->error[i] == error[i] * 0.5f);
        assert_memory_equal(big->right, right, sizeof right);
    }
    draw(&m, 0, 2);
    sum_all(&m, 2, 1);
    assert_true(isfinite(norm(m.values[0], count)) && isfinite(norm(big->error, count)));
    tv_free(error);
    free_model(&m);
}

// Columns without anything in them start anew, and find what comes later.
static void test_empty_gradient(void **state)
{
    model m;
    (void)state;
    make_model(&m, NULL, 4, 0);
    sum_all(&m, 0, 1);
    assert_true(norm(m.values[0], m.parcels[0].elements) == 0);
    draw(&m, 0, 0);
    sum_all(&m, 1, 1);
    assert_true(norm(m.values[0], m.parcels[0].elements) > 10);
    for (size_t i = 0; i < m.parcels[0].elements; i++)
        assert_true(isfinite(m.values[0][i]));
    free_model(&m);
}

// ------------------------------------------------------------------------------------ checkpoints

static tv_err fetch_value(void *context, size_t index, size_t offset, void *out, size_t size)
{
    double number = *(const double *)context;
    (void)offset;
    for (size_t i = 0; i < size / sizeof(float) && index > 0; i++)
        ((float *)out)[i] = (float)number;
    if (index == 0)
        memcpy(out, &number, sizeof number);
    return TV_OK;
}

// A file whose every number is `number`, with an error of so many rows for `big`.
static tv_err restore_made(tv_collect *to, const char *folder, double number, size_t rows,
                           tv_st_dtype scale)
{
    char path[128];
    tv_safetensors_spec specs[] = {{"scale", scale, 1, {1}},
                                   {"rank.0.error.big", TV_ST_F32, 2, {rows, 400}}};
    snprintf(path, sizeof path, "%s/powersgd.safetensors", folder);
    assert_ok(tv_safetensors_write(path, specs, 2, NULL, 0, fetch_value, &number, NULL));
    return tv_powersgd_restore(to, folder);
}

static void test_checkpoints_of_one(void **state)
{
    model m, other;
    char folder[] = "/tmp/trivium-powersgd-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    make_model(&m, NULL, 4, 0);
    make_model(&other, NULL, 3, 0);
    tv_collect from = {.powersgd = m.powersgd}, to = {.powersgd = other.powersgd}, none = {0};
    assert_ok(tv_powersgd_save(&from, folder)); // there is nothing yet
    assert_ok(tv_powersgd_restore(&to, folder));
    assert_true(tv_powersgd_scale(other.powersgd) == 0);
    draw(&m, 0, 0);
    sum_all(&m, 0, 16);
    assert_ok(tv_powersgd_save(&none, folder));
    assert_ok(tv_powersgd_save(&from, folder));
    assert_ok(tv_powersgd_restore(&none, folder));
    assert_ok(tv_powersgd_restore(&to, folder)); // of another rank: errors alone
    const tv_powersgd_matrix *big = tv_powersgd_get(m.powersgd, 0);
    const tv_powersgd_matrix *restored = tv_powersgd_get(other.powersgd, 0);
    assert_true(tv_powersgd_scale(other.powersgd) == 16);
    assert_memory_equal(big->error, restored->error, 700 * 400 * sizeof(float));
    assert_true(big->right[0] != restored->right[0]);

    assert_error(restore_made(&to, folder, 1, 699, TV_ST_F64), TV_EFORMAT, "rank.0.error.big");
    assert_error(restore_made(&to, folder, 0.5, 700, TV_ST_F64), TV_EFORMAT, "scale is out of");
    assert_error(restore_made(&to, folder, NAN, 700, TV_ST_F64), TV_EFORMAT, "scale is out of");
    assert_error(restore_made(&to, folder, 1, 700, TV_ST_I64), TV_EFORMAT, "scale is no number");
    assert_error(restore_made(&to, folder, 5e30, 700, TV_ST_F64), TV_EFORMAT, "not finite");
    assert_ok(restore_made(&to, folder, 2, 700, TV_ST_F64));
    assert_ok(tv_remove_tree(folder));
    free_model(&m);
    free_model(&other);
}

// ------------------------------------------------------------------------------------ three ranks

static void require_same(tv_comm *comm, const float *values, size_t count)
{
    float *all = tv_alloc(RANKS * count, sizeof *all);
    REQUIRE(tv_comm_gather(comm, values, count * sizeof *values, all) == TV_OK);
    for (uint32_t r = 1; r < RANKS; r++)
        REQUIRE(memcmp(all, all + r * count, count * sizeof *all) == 0);
    tv_free(all);
}

static void check_sums(tv_comm *comm, model *m)
{
    size_t count = m->parcels[0].elements;
    float *rest = tv_alloc(count, sizeof *rest), *error = tv_alloc(count, sizeof *error);
    double formula = tv_powersgd_bytes(m->powersgd);
    REQUIRE(fabs(formula - 2.0 * 2 / 3 * 4 * (4 * (1100 + 120 + 80) + 342)) < 1e-6);
    for (uint64_t round = 0; round < 10; round++) {
        for (uint32_t r = 0; r < RANKS; r++) {
            draw(m, r, round);
            for (size_t i = 0; i < count; i++)
                rest[i] += m->values[0][i];
        }
        draw(m, tv_comm_rank(comm), round);
        uint64_t sent = tv_comm_sent_bytes(comm);
        sum_all(m, round, 4);
        sent = tv_comm_sent_bytes(comm) - sent;
        REQUIRE(fabs((double)sent - formula) < 0.01 * formula);
        require_same(comm, m->values[0], count);
        require_same(comm, m->values[1], m->parcels[1].elements);
        require_same(comm, tv_powersgd_get(m->powersgd, 0)->right, 4 * 400);
        for (size_t i = 0; i < count; i++)
            rest[i] -= m->values[0][i];
        memcpy(error, tv_powersgd_get(m->powersgd, 0)->error, count * sizeof *error);
        REQUIRE(tv_comm_sum_f32(comm, error, count) == TV_OK);
        for (size_t i = 0; i < count; i++)
            REQUIRE(fabs(rest[i] - error[i] / 4) < 1e-3);
    }
    tv_free(rest);
    tv_free(error);
}

static void check_saving(tv_comm *comm, model *m, const char *folder)
{
    model same, alone;
    size_t count = m->parcels[0].elements;
    float *sum = tv_alloc(count, sizeof *sum);
    uint32_t rank = tv_comm_rank(comm);
    tv_collect from = {.comm = comm, .powersgd = m->powersgd};
    REQUIRE(rank ? tv_collect_serve(&from) == TV_OK
                 : tv_powersgd_save(&from, folder) == TV_OK && tv_collect_end(&from) == TV_OK);
    REQUIRE(tv_comm_barrier(comm) == TV_OK);
    make_model(&same, comm, 4, 0);
    make_model(&alone, NULL, 4, 0);
    tv_collect to = {.comm = comm, .powersgd = same.powersgd}, one = {.powersgd = alone.powersgd};
    REQUIRE(tv_powersgd_restore(&to, folder) == TV_OK);
    REQUIRE(tv_powersgd_restore(&one, folder) == TV_OK);
    for (size_t i = 0; i < tv_powersgd_count(m->powersgd); i++) {
        const tv_powersgd_matrix *a = tv_powersgd_get(m->powersgd, i);
        const tv_powersgd_matrix *b = tv_powersgd_get(same.powersgd, i);
        REQUIRE(memcmp(a->right, b->right, 4 * a->columns * sizeof(float)) == 0);
        REQUIRE(memcmp(a->error, b->error, a->rows * a->columns * sizeof(float)) == 0);
    }
    memcpy(sum, tv_powersgd_get(m->powersgd, 0)->error, count * sizeof *sum);
    REQUIRE(tv_comm_sum_f32(comm, sum, count) == TV_OK);
    for (size_t i = 0; i < count; i++)
        REQUIRE(fabsf(sum[i] - tv_powersgd_get(alone.powersgd, 0)->error[i]) < 1e-3f);
    free_model(&same);
    free_model(&alone);
    tv_free(sum);
}

static void check_refusal(tv_comm *comm, model *m)
{
    draw(m, 0, 0);
    if (tv_comm_rank(comm) == 1)
        m->values[0][77] = INFINITY;
    sum_all(m, 11, 2);
    REQUIRE(isnan(m->values[0][0]));
    REQUIRE(isfinite(norm(tv_powersgd_get(m->powersgd, 0)->error, m->parcels[0].elements)));
    require_same(comm, m->values[1], m->parcels[1].elements);
}

static int run_rank(const char *folder)
{
    tv_comm *comm;
    model m;
    REQUIRE(tv_comm_open(&comm) == TV_OK);
    REQUIRE(tv_comm_size(comm) == RANKS);
    make_model(&m, comm, 4, 0);
    check_sums(comm, &m);
    check_saving(comm, &m, folder);
    check_refusal(comm, &m);
    free_model(&m);
    tv_comm_close(&comm);
    return 0;
}

static void test_three_ranks(void **state)
{
    char folder[] = "/tmp/trivium-powersgd-XXXXXX", what[64];
    (void)state;
    tv_test_require_mpirun();
    assert_non_null(mkdtemp(folder));
    snprintf(what, sizeof what, "rank %s", folder);
    assert_int_equal(tv_test_mpirun(RANKS, self, what), 0);
    assert_ok(tv_remove_tree(folder));
}

// ------------------------------------------------------------------------------------------ speed

static tv_step_graph *make_gpt2(void)
{
    tv_model_config config = {.type = TV_MODEL_GPT2,
                              .vocab_size = 50257,
                              .layers = 12,
                              .heads = 12,
                              .kv_heads = 12,
                              .width = 768,
                              .inner = 3072,
                              .positions = 1024,
                              .head_size = 64,
                              .norm_epsilon = 1e-5,
                              .tie_embeddings = true};
    tv_step_options options = {.batch = 1,
                               .time = 64,
                               .precision = TV_PRECISION_32_TRUE,
                               .moments = TV_F32,
                               .update = true,
                               .ranks = 2,
                               .bucket_bytes = 25 << 20};
    return tv_step_graph_create(&config, &options);
}

// Seconds of the sums of all buckets, or of all gradients as floats.
static double time_sums(tv_comm *comm, tv_powersgd *p, const tv_buckets *b, float *const *values)
{
    double start = tv_now_seconds();
    if (p)
        tv_powersgd_begin(p, 0, 1);
    for (size_t i = 0; i < b->bucket_count && p; i++)
        REQUIRE(tv_powersgd_sum(tv_powersgd_bucket(p, i)) == TV_OK);
    for (size_t i = 0; i < b->parcel_count && !p; i++)
        REQUIRE(tv_comm_sum_f32(comm, values[i], b->parcels[i].elements) == TV_OK);
    return tv_now_seconds() - start;
}

// Not a test. Under mpirun, or alone.
// The first round fetches pages. `floats`: also as they are.
static int tell_speed(size_t rank, bool floats)
{
    enum { TIMES = 6 };
    tv_comm *comm;
    double seconds[TIMES + 1], mean = 0;
    REQUIRE(tv_comm_open(&comm) == TV_OK);
    tv_step_graph *graph = make_gpt2();
    const tv_buckets *b = graph->buckets;
    tv_powersgd_options options = {.rank = rank, .seed = 1};
    tv_powersgd *p = tv_powersgd_create(b, tv_comm_behind(comm), &options);
    float **values = tv_alloc(b->parcel_count, sizeof *values);
    for (size_t i = 0; i < b->parcel_count; i++) {
        values[i] = tv_alloc(b->parcels[i].elements, sizeof **values);
        fill(i, values[i], b->parcels[i].elements);
        tv_powersgd_place(p, i, values[i]);
    }
    for (size_t i = 0; i <= TIMES; i++) {
        seconds[i] = time_sums(comm, p, b, values);
        mean += i ? seconds[i] / TIMES : 0;
    }
    double bytes = (double)b->elements * sizeof(float), plain = 0;
    if (floats)
        plain = time_sums(comm, NULL, b, values);
    if (tv_comm_rank(comm) == 0)
        printf("%u ranks, rank %zu: %.1f MB of gradients, %.3f MB sent, %.3f s, %.2f GB/s; as they "
               "are %.1f MB, %.3f s\n",
               tv_comm_size(comm), rank, bytes / 1e6, tv_powersgd_bytes(p) / 1e6, mean,
               bytes / 1e9 / mean, 2 * bytes / 1e6 * (1 - 1.0 / tv_comm_size(comm)), plain);
    for (size_t i = 0; i < b->parcel_count; i++)
        tv_free(values[i]);
    tv_free(values);
    tv_powersgd_destroy(&p);
    tv_step_graph_destroy(&graph);
    tv_comm_close(&comm);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "speed") == 0)
        return tell_speed((size_t)atoi(argv[2]), argc > 3);
    if (argc == 3 && strcmp(argv[1], "rank") == 0)
        return run_rank(argv[2]);
    snprintf(self, sizeof self, "%s", argv[0]);
    const struct CMUnitTest tests[] = {

        cmocka_unit_test(test_what_is_compressed), cmocka_unit_test(test_error_feedback),
        cmocka_unit_test(test_not_finite),         cmocka_unit_test(test_empty_gradient),
        cmocka_unit_test(test_checkpoints_of_one), cmocka_unit_test(test_three_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
