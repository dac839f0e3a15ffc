// Products of a power iteration, in one order on every machine: floats in lanes, rows in fours.
#include "dist/lowrank.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

// Into each of the functions that differ in their vectors only.
#define ALWAYS_INLINE static inline __attribute__((always_inline))

// Columns that are worked on at a time, of so many rows: they stay in a core's first cache.
enum { TILE = 512, ROWS = 4, LANES = 16 };

// GCC and clang make what the machine has of them.
typedef float float_lanes __attribute__((vector_size(LANES * sizeof(float))));

static const float LARGEST = 1e30f;

// out = M at some columns of a row.
ALWAYS_INLINE void load(const tv_lowrank *m, size_t row, size_t column, size_t count, float *out)
{
    const float *values = m->values + row * m->columns + column;
    const float *error = m->error + row * m->columns + column;
    float factor = m->factor;
    for (size_t j = 0; j < count; j++)
        out[j] = values[j] + factor * error[j];
}

// --------------------------------------------------------------------------------------- project

ALWAYS_INLINE void dot(const float *a, const float *b, size_t count, float *sum)
{
    float_lanes sums[2] = {{0}, {0}}, x, y;
    float tail = 0;
    size_t j = 0;
    for (; j + 2 * LANES <= count; j += 2 * LANES)
        for (size_t k = 0; k < 2; k++) {
            memcpy(&x, a + j + k * LANES, sizeof x);
            memcpy(&y, b + j + k * LANES, sizeof y);
            sums[k] += x * y;
        }
    for (; j < count; j++)
        tail += a[j] * b[j];
    sums[0] += sums[1];
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t k = 0; k < half; k++)
            sums[0][k] += sums[0][k + half];
    *sum += sums[0][0] + tail;
}

ALWAYS_INLINE void project(const tv_lowrank *m, size_t first, size_t end)
{
    float part[TILE];
    for (size_t i = first; i < end; i++) {
        for (size_t c = 0; c < m->rank; c++)
            m->left[c * m->rows + i] = 0;
        for (size_t j = 0; j < m->columns; j += TILE) {
            size_t count = tv_min_size(m->columns - j, TILE);
            load(m, i, j, count, part);
            for (size_t c = 0; c < m->rank; c++)
                dot(part, m->right + c * m->columns + j, count, &m->left[c * m->rows + i]);
        }
    }
}

// ---------------------------------------------------------------------------------- project back

// sums += rows^T left, of ROWS rows.
ALWAYS_INLINE void add_rows(float part[ROWS][TILE], const float *left, size_t count, float *sums)
{
    float a = left[0], b = left[1], c = left[2], d = left[3];
    for (size_t j = 0; j < count; j++)
        sums[j] += part[0][j] * a + part[1][j] * b + (part[2][j] * c + part[3][j] * d);
}

ALWAYS_INLINE void project_back(const tv_lowrank *m, size_t first, size_t end, float *sums)
{
    float part[ROWS][TILE], left[ROWS];
    memset(sums, 0, m->rank * m->columns * sizeof *sums);
    for (size_t i = first; i < end; i += ROWS)
        for (size_t j = 0; j < m->columns; j += TILE) {
            size_t count = tv_min_size(m->columns - j, TILE), rows = tv_min_size(end - i, ROWS);
            memset(part, 0, rows < ROWS ? sizeof part : 0);
            for (size_t k = 0; k < rows; k++)
                load(m, i + k, j, count, part[k]);
            for (size_t c = 0; c < m->rank; c++) {
                for (size_t k = 0; k < ROWS; k++)
                    left[k] = k < rows ? m->left[c * m->rows + i + k] : 0;
                add_rows(part, left, count, sums + c * m->columns + j);
            }
        }
}

// --------------------------------------------------------------------------------------- replace

// out = or += left right^T, of up to four columns of `left`, as many as is known when compiling.
ALWAYS_INLINE void add_some(const float *left, const float *right, size_t stride, size_t columns,
                            bool fresh, size_t count, float *out)
{
    float a = left[0], b = columns > 1 ? left[1] : 0, c = columns > 2 ? left[2] : 0,
          d = columns > 3 ? left[3] : 0;
    for (size_t j = 0; j < count; j++) {
        float sum = a * right[j];
        if (columns > 1)
            sum += b * right[j + stride];
        if (columns > 2)
            sum += c * right[j + 2 * stride];
        if (columns > 3)
            sum += d * right[j + 3 * stride];
        out[j] = fresh ? sum : out[j] + sum;
    }
}

ALWAYS_INLINE void expand(const float *left, const float *right, size_t stride, size_t rank,
                          size_t count, float *out)
{
    for (size_t c = 0; c < rank; c += 4) {
        const float *from = right + c * stride;
        if (rank - c >= 4)
            add_some(left + c, from, stride, 4, c == 0, count, out);
        else if (rank - c == 3)
            add_some(left + c, from, stride, 3, c == 0, count, out);
        else if (rank - c == 2)
            add_some(left + c, from, stride, 2, c == 0, count, out);
        else
            add_some(left + c, from, stride, 1, c == 0, count, out);
    }
}

ALWAYS_INLINE void replace(const tv_lowrank *m, size_t first, size_t end, const float *own,
                           float *left)
{
    float part[TILE], sent[TILE];
    for (size_t i = first; i < end; i++) {
        for (size_t c = 0; c < m->rank; c++)
            left[c] = m->left[c * m->rows + i];
        for (size_t j = 0; j < m->columns; j += TILE) {
            size_t count = tv_min_size(m->columns - j, TILE);
            float *error = m->error + i * m->columns + j;
            load(m, i, j, count, part);
            expand(left, own + j, m->columns, m->rank, count, sent);
            for (size_t k = 0; k < count; k++) {
                float rest = part[k] - sent[k];
                error[k] = rest - rest == 0 ? rest : 0;
            }
            expand(left, m->right + j, m->columns, m->rank, count, m->values + i * m->columns + j);
        }
    }
}

// -------------------------------------------------------------------------- the machine's vectors

typedef struct variant {
    void (*project)(const tv_lowrank *, size_t, size_t);
    void (*project_back)(const tv_lowrank *, size_t, size_t, float *);
    void (*replace)(const tv_lowrank *, size_t, size_t, const float *, float *);
} variant;

#define VARIANT(name, attribute)                                                                   \
    attribute static void project_##name(const tv_lowrank *m, size_t first, size_t end)            \
    {                                                                                              \
        project(m, first, end);                                                                    \
    }                                                                                              \
    attribute static void project_back_##name(const tv_lowrank *m, size_t first, size_t end,       \
                                              float *sums)                                         \
    {                                                                                              \
        project_back(m, first, end, sums);                                                         \
    }                                                                                              \
    attribute static void replace_##name(const tv_lowrank *m, size_t first, size_t end,            \
                                         const float *own, float *left)                            \
    {                                                                                              \
        replace(m, first, end, own, left);                                                         \
    }                                                                                              \
    static const variant name = {project_##name, project_back_##name, replace_##name};

VARIANT(plain, )
#ifdef __x86_64__
#ifdef __clang__ // takes 512 bits only where it is told to by an option
#define AVX512 "avx512f,avx512dq,avx512vl"
#else
#define AVX512 "avx512f,avx512dq,avx512vl,prefer-vector-width=512"
#endif
VARIANT(avx2, __attribute__((target("avx2"))))
VARIANT(avx512, __attribute__((target(AVX512))))
#endif

static unsigned widest = 512;

void tv_lowrank_limit_vectors(unsigned bits)
{
    widest = bits;
}

static const variant *choose(void)
{
#ifdef __x86_64__
    if (widest >= 512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return &avx512;
    if (widest >= 256 && __builtin_cpu_supports("avx2"))
        return &avx2;
#endif
    return &plain;
}

void tv_lowrank_project(const tv_lowrank *matrix, size_t first, size_t end)
{
    choose()->project(matrix, first, end);
}

void tv_lowrank_project_back(const tv_lowrank *matrix, size_t first, size_t end, float *sums)
{
    choose()->project_back(matrix, first, end, sums);
}

void tv_lowrank_replace(const tv_lowrank *matrix, size_t first, size_t end, const float *own)
{
    float *left = tv_alloc(matrix->rank, sizeof *left);
    choose()->replace(matrix, first, end, own, left);
    tv_free(left);
}

// -------------------------------------------------------------------------------- orthogonalizing

bool tv_lowrank_is_sound(const float *values, size_t count)
{
    bool sound = true;
    for (size_t i = 0; i < count; i++)
        sound = sound & (fabsf(values[i]) <= LARGEST);
    return sound;
}

// In lanes, which is an order that vectors keep.
static double inner(const double *a, const double *b, size_t count)
{
    double sums[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t k = 0; k < LANES; k++)
            sums[k] += a[i + k] * b[i + k];
    for (; i < count; i++)
        sum += a[i] * b[i];
    for (size_t k = 0; k < LANES; k++)
        sum += sums[k];
    return sum;
}

// What is left of a column that depends on others, beside its length, is how floats were rounded.
static const double DEPENDENT = 1e-6;

// Twice (Gram and Schmidt lose some of it the first time); then column `c` has length 1, or 0.
static void orthogonalize_column(double *columns, size_t rows, size_t c)
{
    double *column = columns + c * rows, before = sqrt(inner(column, column, rows));
    for (size_t round = 0; round < 2; round++)
        for (size_t k = 0; k < c; k++) {
            const double *other = columns + k * rows;
            double share = inner(column, other, rows);
            for (size_t i = 0; i < rows; i++)
                column[i] -= share * other[i];
        }
    double length = sqrt(inner(column, column, rows));
    double inverse = length > before * DEPENDENT ? 1 / length : 0;
    for (size_t i = 0; i < rows; i++)
        column[i] *= inverse;
}

bool tv_lowrank_orthogonalize(float *left, size_t rows, size_t rank)
{
    if (!tv_lowrank_is_sound(left, rows * rank))
        return false;
    double *columns = tv_alloc(rows * rank, sizeof *columns);
    for (size_t i = 0; i < rows * rank; i++)
        columns[i] = left[i];
    for (size_t c = 0; c < rank; c++)
        orthogonalize_column(columns, rows, c);
    for (size_t i = 0; i < rows * rank; i++)
        left[i] = (float)columns[i];
    tv_free(columns);
    return true;
}
