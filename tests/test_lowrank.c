// The products of a power iteration: what they keep of a matrix, and that they give the same bits
// on every machine.
#include "harness/harness.h"

#include "base/memory.h"
#include "dist/lowrank.h"

#include <math.h>
#include <string.h>

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

// A matrix that is left right^T, so that nothing is lost of it.
static tv_lowrank make_matrix(size_t rows, size_t columns, size_t true_rank, size_t rank)
{
    tv_lowrank m = {.rows = rows, .columns = columns, .rank = rank, .factor = 1};
    float *left = tv_alloc(rows * true_rank, sizeof *left);
    float *right = tv_alloc(columns * true_rank, sizeof *right);
    m.values = tv_alloc(rows * columns, sizeof *m.values);
    m.error = tv_alloc(rows * columns, sizeof *m.error);
    m.left = tv_alloc(rows * rank, sizeof *m.left);
    fill(1, left, rows * true_rank);
    fill(2, right, columns * true_rank);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            for (size_t k = 0; k < true_rank; k++)
                m.values[i * columns + j] += left[k * rows + i] * right[k * columns + j];
    tv_free(left);
    tv_free(right);
    return m;
}

static void free_matrix(tv_lowrank *m)
{
    tv_free(m->values);
    tv_free(m->error);
    tv_free(m->left);
}

// One step of a single rank, in one block of rows.
static void step_alone(tv_lowrank *m, float *q)
{
    float *own = tv_alloc(m->rank * m->columns, sizeof *own);
    m->right = q;
    tv_lowrank_project(m, 0, m->rows);
    assert_true(tv_lowrank_orthogonalize(m->left, m->rows, m->rank));
    tv_lowrank_project_back(m, 0, m->rows, own);
    m->right = own;
    tv_lowrank_replace(m, 0, m->rows, own);
    memcpy(q, own, m->rank * m->columns * sizeof *q);
    tv_free(own);
}

static const struct {
    size_t rows, columns, true_rank, rank;
} shapes[] = {{37, 53, 1, 1},  {37, 53, 2, 4},     {700, 1101, 4, 4}, {1023, 40, 5, 6},
              {64, 513, 3, 3}, {130, 1600, 7, 13}, {9, 8, 2, 2}};

static void test_low_rank_is_kept(void **state)
{
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        tv_lowrank m =
            make_matrix(shapes[s].rows, shapes[s].columns, shapes[s].true_rank, shapes[s].rank);
        size_t count = m.rows * m.columns;
        float *wanted = tv_alloc(count, sizeof *wanted), *q = tv_alloc(count, sizeof *q);
        memcpy(wanted, m.values, count * sizeof *wanted);
        fill(3, q, m.rank * m.columns);
        step_alone(&m, q);
        double size = norm(wanted, count);
        assert_true(norm(m.error, count) < 1e-5 * size);
        for (size_t i = 0; i < count; i++)
            wanted[i] -= m.values[i];
        assert_true(norm(wanted, count) < 1e-5 * size);
        free_matrix(&m);
        tv_free(wanted);
        tv_free(q);
    }
}

// A row does not depend on its block.
static void check_rows(tv_lowrank *m, const float *q)
{
    float *left = tv_alloc(m->rank * m->rows, sizeof *left);
    m->right = q;
    tv_lowrank_project(m, 0, m->rows);
    memcpy(left, m->left, m->rank * m->rows * sizeof *left);
    memset(m->left, 0, m->rank * m->rows * sizeof *left);
    for (size_t i = 0; i < m->rows; i++)
        tv_lowrank_project(m, i, i + 1);
    assert_memory_equal(left, m->left, m->rank * m->rows * sizeof *left);
    tv_free(left);
}

// Vectors of any width give the same bits.
static void test_same_bits(void **state)
{
    static const unsigned widths[] = {512, 256, 128};
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        float *first = NULL;
        for (size_t w = 0; w < 3; w++) {
            tv_lowrank m = make_matrix(shapes[s].rows, shapes[s].columns, 8, shapes[s].rank);
            size_t count = m.rows * m.columns;
            float *q = tv_alloc(m.rank * m.columns, sizeof *q);
            fill(3, q, m.rank * m.columns);
            fill(4, m.error, count);
            tv_lowrank_limit_vectors(widths[w]);
            check_rows(&m, q);
            step_alone(&m, q);
            if (first)
                assert_memory_equal(first, m.values, count * sizeof *first);
            else
                first = tv_alloc(count, sizeof *first);
            memcpy(first, m.values, count * sizeof *first);
            free_matrix(&m);
            tv_free(q);
        }
        tv_free(first);
    }
    tv_lowrank_limit_vectors(512);
}

static void check_orthonormal(const float *left, size_t rows, size_t rank)
{
    for (size_t a = 0; a < rank; a++)
        for (size_t b = 0; b <= a; b++) {
            double sum = 0;
            for (size_t i = 0; i < rows; i++)
                sum += (double)left[a * rows + i] * left[b * rows + i];
            assert_true(fabs(sum - (a == b)) < 1e-5 || (a == b && sum == 0));
        }
}

static void test_dependent_columns(void **state)
{
    enum { ROWS = 77, COLUMNS = 6 };
    float left[COLUMNS * ROWS];
    (void)state;
    fill(1, left, COLUMNS * ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        left[1 * ROWS + i] = -3 * left[i];                         // the same direction
        left[2 * ROWS + i] = 0;                                    // none
        left[3 * ROWS + i] *= 1e-38f;                              // hardly any
        left[4 * ROWS + i] = left[i] + 1e-4f * left[4 * ROWS + i]; // nearly the same
        left[5 * ROWS + i] *= 1e25f;
    }
    assert_true(tv_lowrank_orthogonalize(left, ROWS, COLUMNS));
    check_orthonormal(left, ROWS, COLUMNS);
    assert_true(norm(left + 2 * ROWS, ROWS) == 0);
    for (size_t c = 3; c < COLUMNS; c++)
        assert_true(fabs(norm(left + c * ROWS, ROWS) - 1) < 1e-5);
    for (size_t bad = 0; bad < 3; bad++) {
        fill(1, left, COLUMNS * ROWS);
        left[100] = bad == 0 ? NAN : bad == 1 ? -INFINITY : 2e30f;
        assert_false(tv_lowrank_orthogonalize(left, ROWS, COLUMNS));
        assert_true(left[99] < 10 && left[99] > -10);
    }
}

// A gradient that is the same in every step has all been sent after as many steps as it has ranks,
// and some: each finds what is largest in what the others left.
static void test_steady_gradient(void **state)
{
    (void)state;
    tv_lowrank m = make_matrix(60, 80, 6, 2);
    size_t count = m.rows * m.columns;
    float *wanted = tv_alloc(count, sizeof *wanted), *q = tv_alloc(count, sizeof *q);
    double *sent = tv_alloc(count, sizeof *sent);
    memcpy(wanted, m.values, count * sizeof *wanted);
    fill(3, q, m.rank * m.columns);
    for (size_t round = 1; round <= 60; round++) {
        memcpy(m.values, wanted, count * sizeof *wanted);
        step_alone(&m, q);
        for (size_t i = 0; i < count; i++)
            sent[i] += m.values[i];
    }
    for (size_t i = 0; i < count; i++)
        q[i] = (float)(sent[i] / 60 - wanted[i]);
    assert_true(norm(q, count) < 0.1 * norm(wanted, count));
    free_matrix(&m);
    tv_free(wanted);
    tv_free(sent);
    tv_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_low_rank_is_kept),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_steady_gradient),
        cmocka_unit_test(test_dependent_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
