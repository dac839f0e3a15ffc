// PowerSGD: a bucket's matrices on their way between ranks, all of them in two sums.
#include "dist/powersgd.h"

#include "base/memory.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "dist/lowrank.h"

#include <math.h>
#include <string.h>

// Rows of about so many elements are one piece of work.
enum { BLOCK_ELEMENTS = 1 << 18 };

static const uint64_t STREAM = (uint64_t)1 << 40; // of random numbers, beyond those of weights

typedef struct matrix {
    tv_powersgd_matrix state;
    uint64_t stream;
    float *values; // the gradient
    // Within the group's arrays, while it is summed.
    float *left, *sum; // [rank, rows], [rank, columns]
    float *own;        // [rank, columns] this rank's part of `sum`
    bool sound;
} matrix;

// A weight that travels as it is.
typedef struct plain {
    float *values;
    size_t count;
} plain;

typedef struct block {
    matrix *matrix;
    size_t first, end; // rows
    float *part;       // [rank, columns] of the sum over rows
} block;

// A bucket: runs of the arrays of all.
typedef struct group {
    tv_powersgd *owner;
    matrix *matrices;
    plain *plains;
    block *blocks;
    size_t matrix_count, plain_count, block_count;
    size_t left_count, right_count, part_count; // floats of all P and plains, of all Q, of parts
} group;

struct tv_powersgd {
    const tv_buckets *buckets;
    tv_comm *comm;
    tv_powersgd_options options;
    matrix *matrices;
    plain *plains;
    block *blocks;
    group *groups; // one per bucket
    size_t matrix_count, plain_count, block_count;
    float *errors, *rights;         // of all matrices
    float *left, *sum, *own, *part; // of the group that is summed
    double scale;
    float factor; // of errors, to be of this step's scale
    bool active;
};

// --------------------------------------------------------------------------------------- creation

static bool gains(const tv_powersgd *p, const tv_tensor *weight)
{
    uint64_t narrow = p->options.rank * ((uint64_t)weight->rows + weight->columns);
    return 2 * narrow <= tv_tensor_count(weight);
}

static void first_right(const tv_powersgd *p, const matrix *m, size_t column)
{
    size_t count = m->state.columns;
    tv_rng_normals(p->options.seed, m->stream, column * count, 1, count,
                   m->state.right + column * count);
}

static size_t rows_of_block(const tv_tensor *weight)
{
    return tv_max_size(BLOCK_ELEMENTS / weight->columns, 1);
}

static void add_weight(tv_powersgd *p, group *g, const tv_tensor *weight, uint64_t stream)
{
    size_t rank = p->options.rank, rows = weight->rows, columns = weight->columns;
    if (!gains(p, weight)) {
        p->plains[p->plain_count++] = (plain){.count = (size_t)tv_tensor_count(weight)};
        g->plain_count++;
        g->left_count += (size_t)tv_tensor_count(weight);
        return;
    }
    matrix *m = &p->matrices[p->matrix_count++];
    *m = (matrix){.state = {.weight = weight, .rows = rows, .columns = columns},
                  .stream = STREAM + stream};
    for (size_t row = 0; row < rows; row += rows_of_block(weight)) {
        size_t end = tv_min_size(rows, row + rows_of_block(weight));
        p->blocks[p->block_count++] = (block){.matrix = m, .first = row, .end = end};
        g->block_count++;
        g->part_count += rank * columns;
    }
    g->matrix_count++;
    g->left_count += rank * rows;
    g->right_count += rank * columns;
}

static void add_weights(tv_powersgd *p)
{
    const tv_buckets *b = p->buckets;
    size_t blocks = 0;
    uint64_t stream = 0;
    for (size_t i = 0; i < b->weight_count; i++)
        blocks += tv_div_up(b->weights[i]->rows, rows_of_block(b->weights[i]));
    p->groups = tv_alloc(b->bucket_count, sizeof *p->groups);
    p->matrices = tv_alloc(b->weight_count, sizeof *p->matrices);
    p->plains = tv_alloc(b->weight_count, sizeof *p->plains);
    p->blocks = tv_alloc(blocks, sizeof *p->blocks);
    for (size_t i = 0; i < b->bucket_count; i++) {
        const tv_bucket *bucket = &b->buckets[i];
        group *g = &p->groups[i];
        *g = (group){.owner = p,
                     .matrices = p->matrices + p->matrix_count,
                     .plains = p->plains + p->plain_count,
                     .blocks = p->blocks + p->block_count};
        for (size_t k = 0; k < bucket->count; k++)
            for (size_t w = 0; w < bucket->parcels[k].count; w++)
                add_weight(p, g, bucket->parcels[k].weights[w], stream++);
    }
}

// Room for what is kept of all matrices, and for the largest group.
static void make_room(tv_powersgd *p)
{
    size_t errors = 0, rights = 0, left = 0, right = 0, part = 0;
    for (size_t i = 0; i < p->matrix_count; i++) {
        errors += p->matrices[i].state.rows * p->matrices[i].state.columns;
        rights += p->options.rank * p->matrices[i].state.columns;
    }
    for (size_t i = 0; i < p->buckets->bucket_count; i++) {
        left = tv_max_size(left, p->groups[i].left_count);
        right = tv_max_size(right, p->groups[i].right_count);
        part = tv_max_size(part, p->groups[i].part_count);
    }
    p->errors = tv_alloc(errors, sizeof *p->errors);
    p->rights = tv_alloc(rights, sizeof *p->rights);
    p->left = tv_alloc(left, sizeof *p->left);
    p->sum = tv_alloc(right, sizeof *p->sum);
    p->own = tv_alloc(right, sizeof *p->own);
    p->part = tv_alloc(part, sizeof *p->part);
    errors = rights = 0;
    for (size_t i = 0; i < p->matrix_count; i++) {
        tv_powersgd_matrix *state = &p->matrices[i].state;
        state->error = p->errors + errors;
        state->right = p->rights + rights;
        errors += state->rows * state->columns;
        rights += p->options.rank * state->columns;
        for (size_t c = 0; c < p->options.rank; c++)
            first_right(p, &p->matrices[i], c);
    }
}

tv_powersgd *tv_powersgd_create(const tv_buckets *buckets, tv_comm *comm,
                                const tv_powersgd_options *options)
{
    tv_powersgd *p = tv_alloc(1, sizeof *p);
    *p = (tv_powersgd){.buckets = buckets, .comm = comm, .options = *options};
    add_weights(p);
    make_room(p);
    return p;
}

void tv_powersgd_destroy(tv_powersgd **powersgd)
{
    tv_powersgd *p = *powersgd;
    if (!p)
        return;
    tv_free(p->groups);
    tv_free(p->matrices);
    tv_free(p->plains);
    tv_free(p->blocks);
    tv_free(p->errors);
    tv_free(p->rights);
    tv_free(p->left);
    tv_free(p->sum);
    tv_free(p->own);
    tv_free(p->part);
    tv_free(p);
    *powersgd = NULL;
}

void tv_powersgd_place(tv_powersgd *p, size_t parcel, float *gradients)
{
    size_t m = 0, q = 0;
    for (size_t i = 0; i < p->buckets->bucket_count; i++)
        for (size_t k = 0; k < p->buckets->buckets[i].count; k++) {
            const tv_parcel *at = &p->buckets->buckets[i].parcels[k];
            for (size_t w = 0; w < at->count; w++) {
                float **place =
                    gains(p, at->weights[w]) ? &p->matrices[m++].values : &p->plains[q++].values;
                if (at != &p->buckets->parcels[parcel])
                    continue;
                *place = gradients;
                gradients += tv_tensor_count(at->weights[w]);
            }
        }
}

// ----------------------------------------------------------------------------------------- a step

void tv_powersgd_begin(tv_powersgd *p, uint64_t step, double scale)
{
    p->active = step >= p->options.start_step;
    if (!p->active)
        return;
    p->factor = p->scale > 0 ? (float)(scale / p->scale) : 1;
    p->scale = scale;
}

bool tv_powersgd_is_active(const tv_powersgd *p)
{
    return p->active;
}

// Places within the arrays of the group.
static void lay_out(const group *g)
{
    const tv_powersgd *p = g->owner;
    size_t left = 0, right = 0, part = 0, rank = p->options.rank;
    for (size_t i = 0; i < g->matrix_count; i++) {
        matrix *m = &g->matrices[i];
        m->left = p->left + left;
        m->sum = p->sum + right;
        m->own = p->own + right;
        left += rank * m->state.rows;
        right += rank * m->state.columns;
    }
    for (size_t i = 0; i < g->block_count; i++) {
        g->blocks[i].part = p->part + part;
        part += rank * g->blocks[i].matrix->state.columns;
    }
}

// Between the weights that travel as they are and their place behind all P.
static void copy_plains(const group *g, bool back)
{
    float *at = g->owner->left + g->left_count;
    for (size_t i = g->plain_count; i-- > 0;) {
        const plain *own = &g->plains[i];
        at -= own->count;
        memcpy(back ? own->values : at, back ? at : own->values, own->count * sizeof *at);
    }
}

static tv_lowrank lowrank_of(const group *g, const matrix *m, const float *right)
{
    return (tv_lowrank){.rows = m->state.rows,
                        .columns = m->state.columns,
                        .rank = g->owner->options.rank,
                        .values = m->values,
                        .error = m->state.error,
                        .factor = g->owner->factor,
                        .left = m->left,
                        .right = right};
}

static void project(void *context, size_t index)
{
    const group *g = context;
    const block *b = &g->blocks[index];
    tv_lowrank lowrank = lowrank_of(g, b->matrix, b->matrix->state.right);
    tv_lowrank_project(&lowrank, b->first, b->end);
}

static void orthogonalize(void *context, size_t index)
{
    const group *g = context;
    matrix *m = &g->matrices[index];
    m->sound = tv_lowrank_orthogonalize(m->left, m->state.rows, g->owner->options.rank);
}

static void project_back(void *context, size_t index)
{
    const group *g = context;
    const block *b = &g->blocks[index];
    tv_lowrank lowrank = lowrank_of(g, b->matrix, NULL);
    if (b->matrix->sound)
        tv_lowrank_project_back(&lowrank, b->first, b->end, b->part);
}

// The blocks' parts, in the order of their rows.
static void add_parts(const group *g)
{
    const tv_powersgd *p = g->owner;
    memset(p->own, 0, g->right_count * sizeof *p->own);
    for (size_t i = 0; i < g->block_count; i++) {
        const block *b = &g->blocks[i];
        size_t count = b->matrix->sound ? p->options.rank * b->matrix->state.columns : 0;
        for (size_t k = 0; k < count; k++)
            b->matrix->own[k] += b->part[k];
    }
    memcpy(p->sum, p->own, g->right_count * sizeof *p->sum);
}

// A step that is not finite is left out: as if it had not been, but that errors take its scale.
static void refuse(const matrix *m, size_t first, size_t end, float factor)
{
    for (size_t i = first * m->state.columns; i < end * m->state.columns; i++) {
        m->values[i] = NAN;
        m->state.error[i] *= factor;
    }
}

static void replace(void *context, size_t index)
{
    const group *g = context;
    const block *b = &g->blocks[index];
    tv_lowrank lowrank = lowrank_of(g, b->matrix, b->matrix->sum);
    if (b->matrix->sound)
        tv_lowrank_replace(&lowrank, b->first, b->end, b->matrix->own);
    else
        refuse(b->matrix, b->first, b->end, lowrank.factor);
}

// The next step starts from this one's Q. A column without anything in it would stay so: it starts
// anew.
static void keep_right(const group *g, const matrix *m)
{
    size_t columns = m->state.columns;
    if (!m->sound)
        return;
    memcpy(m->state.right, m->sum, g->owner->options.rank * columns * sizeof *m->sum);
    for (size_t c = 0; c < g->owner->options.rank; c++) {
        bool empty = true;
        for (size_t i = 0; i < columns && empty; i++)
            empty = m->sum[c * columns + i] == 0;
        if (empty)
            first_right(g->owner, m, c);
    }
}

void *tv_powersgd_bucket(tv_powersgd *p, size_t bucket)
{
    return &p->groups[bucket];
}

tv_err tv_powersgd_sum(void *bucket)
{
    group *g = bucket;
    const tv_powersgd *p = g->owner;
    lay_out(g);
    copy_plains(g, false);
    tv_parallel_each(g->block_count, project, NULL, g);
    TV_TRY(tv_comm_sum_f32(p->comm, p->left, g->left_count));
    copy_plains(g, true);
    tv_parallel_each(g->matrix_count, orthogonalize, NULL, g);
    tv_parallel_each(g->block_count, project_back, NULL, g);
    add_parts(g);
    TV_TRY(tv_comm_sum_f32(p->comm, p->sum, g->right_count));
    for (size_t i = 0; i < g->matrix_count; i++) {
        matrix *m = &g->matrices[i];
        m->sound = m->sound && tv_lowrank_is_sound(m->sum, p->options.rank * m->state.columns);
    }
    tv_parallel_each(g->block_count, replace, NULL, g);
    for (size_t i = 0; i < g->matrix_count; i++)
        keep_right(g, &g->matrices[i]);
    return TV_OK;
}

// --------------------------------------------------------------------------------------- its state

double tv_powersgd_bytes(const tv_powersgd *p)
{
    size_t count = 0;
    uint32_t ranks = tv_comm_size(p->comm);
    for (size_t i = 0; i < p->buckets->bucket_count; i++)
        count += p->groups[i].left_count + p->groups[i].right_count;
    return 2.0 * (ranks - 1) / ranks * (double)(count * sizeof(float));
}

void tv_powersgd_describe(const tv_powersgd *p, tv_text *out)
{
    size_t errors = 0;
    char bytes[32];
    for (size_t i = 0; i < p->matrix_count; i++)
        errors += p->matrices[i].state.rows * p->matrices[i].state.columns;
    tv_format_bytes(errors * sizeof *p->errors, bytes);
    tv_text_printf(out, "%zu of %zu weights at rank %zu, errors take %s of host memory",
                   p->matrix_count, p->matrix_count + p->plain_count, p->options.rank, bytes);
}

size_t tv_powersgd_count(const tv_powersgd *p)
{
    return p->matrix_count;
}

const tv_powersgd_matrix *tv_powersgd_get(const tv_powersgd *p, size_t index)
{
    return &p->matrices[index].state;
}

size_t tv_powersgd_rank(const tv_powersgd *p)
{
    return p->options.rank;
}

double tv_powersgd_scale(const tv_powersgd *p)
{
    return p->scale;
}

void tv_powersgd_set_scale(tv_powersgd *p, double scale)
{
    p->scale = scale;
}
