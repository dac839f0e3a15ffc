// Peaks of a device: attention, forward and with its gradient.
#include "bench/peaks.h"

#include "base/clock.h"
#include "base/memory.h"
#include "conformance/case.h"
#include "graph/grad.h"
#include "graph/ops.h"
#include "plan/plan.h"

#include <math.h>
#include <stdio.h>

enum { SEED_QKV = 21, SEED_DY = 22, POSITIONS = 3 };
static const float QKV_SCALE = 2; // so that scores differ enough to matter

typedef struct attention {
    tv_bench_heads heads;
    tv_dtype dtype;
    uint32_t runs;
    tv_graph *graph;
    tv_tensor *qkv, *y, *dy, *dqkv; // y is NULL where its gradient is what is looked at
    tv_plan *plan;
} attention;

static void build(attention *a, bool backward)
{
    const tv_bench_heads *h = &a->heads;
    uint32_t rows = h->batch * h->time, width = h->heads * h->size;
    a->graph = tv_graph_create();
    a->graph->storage = a->dtype;
    a->qkv = tv_graph_tensor(a->graph, TV_CONSTANT, a->dtype, rows, 3 * width, "qkv");
    a->y = tv_attention(a->graph, a->qkv, h->batch, h->heads, h->heads, h->size);
    if (!backward) {
        a->y->kind = TV_CONSTANT; // outlives the program
        return;
    }
    a->dy = tv_graph_tensor(a->graph, TV_CONSTANT, a->dtype, rows, width, "dy");
    tv_graph_backward(a->graph, a->y, a->dy);
    a->dqkv = a->qkv->gradient;
    a->dqkv->kind = TV_CONSTANT;
}

static tv_err run_attention(void *context, double *seconds)
{
    attention *a = context;
    double start = tv_now_seconds();
    for (uint32_t i = 0; i < a->runs; i++)
        TV_TRY(tv_plan_execute(a->plan, 0));
    *seconds = (tv_now_seconds() - start) / a->runs;
    return TV_OK;
}

// ------------------------------------------------------------------------------------- reference

// The last head of the last sequence, in double precision.
typedef struct head {
    uint32_t time, size;
    double *q, *k, *v, *dy;   // [T, D]
    double *y, *dq, *dk, *dv; // [T, D]
    double *p, *dp;           // of one row [T]
} head;

static void load_head(const attention *a, head *h)
{
    const tv_bench_heads *s = &a->heads;
    uint64_t width = (uint64_t)s->heads * s->size, first = (uint64_t)(s->batch - 1) * s->time;
    for (uint64_t t = 0; t < h->time; t++)
        for (uint64_t d = 0; d < h->size; d++) {
            uint64_t at = t * h->size + d, column = width - h->size + d;
            uint64_t row = (first + t) * 3 * width + column;
            double *const to[] = {&h->q[at], &h->k[at], &h->v[at]};
            for (uint64_t part = 0; part < 3; part++)
                *to[part] = (double)tv_round_to(
                    a->dtype, QKV_SCALE * tv_bench_value(SEED_QKV, row + part * width));
            h->dy[at] = tv_bench_value_as(a->dtype, SEED_DY, (first + t) * width + column);
        }
}

static double dot(const double *a, const double *b, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add(double *to, double factor, const double *x, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] += factor * x[i];
}

// One query's output, and what it adds to the gradients.
static void add_row(head *h, uint32_t t)
{
    uint32_t size = h->size;
    const double *q = h->q + (size_t)t * size, *dy = h->dy + (size_t)t * size;
    double scale = 1 / sqrt(size), highest = -INFINITY, sum = 0, delta = 0;
    for (uint32_t s = 0; s <= t; s++) {
        h->p[s] = scale * dot(q, h->k + (size_t)s * size, size);
        highest = fmax(highest, h->p[s]);
    }
    for (uint32_t s = 0; s <= t; s++)
        sum += h->p[s] = exp(h->p[s] - highest);
    for (uint32_t s = 0; s <= t; s++) {
        h->p[s] /= sum;
        add(h->y + (size_t)t * size, h->p[s], h->v + (size_t)s * size, size);
        h->dp[s] = dot(dy, h->v + (size_t)s * size, size);
        delta += h->p[s] * h->dp[s];
    }
    for (uint32_t s = 0; s <= t; s++) {
        double ds = scale * h->p[s] * (h->dp[s] - delta);
        add(h->dv + (size_t)s * size, h->p[s], dy, size);
        add(h->dk + (size_t)s * size, ds, q, size);
        add(h->dq + (size_t)t * size, ds, h->k + (size_t)s * size, size);
    }
}

// ----------------------------------------------------------------------------------------- judging

// The largest difference at some positions of the head, in `columns` from there on, over the root
// of the mean square of what is wanted.
static tv_err compare(const attention *a, const tv_tensor *tensor, uint64_t column,
                      const double *want, double *worst)
{
    uint32_t time = a->heads.time, size = a->heads.size;
    uint32_t positions[POSITIONS] = {0, time / 2, time - 1};
    uint64_t first = (uint64_t)(a->heads.batch - 1) * time;
    float got[256];
    TV_CHECK(size <= 256, "a head that is too large");
    for (int i = 0; i < POSITIONS; i++) {
        const double *row = want + (size_t)positions[i] * size;
        uint64_t at = (first + positions[i]) * tensor->columns + column;
        double most = 0, scale = sqrt(dot(want, want, time * size) / (time * size));
        TV_TRY(tv_plan_read(a->plan, tensor, at, size, got));
        for (uint32_t d = 0; d < size; d++)
            most = fmax(most, isfinite(got[d]) ? fabs((double)got[d] - row[d]) : INFINITY);
        // Early positions see few others and have larger values than most.
        scale = fmax(scale, sqrt(dot(row, row, size) / size));
        *worst = fmax(*worst, most / scale);
    }
    return TV_OK;
}

static tv_err judge(const attention *a, bool backward, tv_bench_peak *peak)
{
    uint32_t time = a->heads.time, size = a->heads.size;
    uint64_t width = (uint64_t)a->heads.heads * size, column = width - size;
    double worst = 0, allowed = 8 * tv_rounding(a->dtype) + 1e-4;
    tv_arena arena = {0};
    head h = {.time = time, .size = size};
    double **const arrays[] = {&h.q, &h.k, &h.v, &h.dy, &h.y, &h.dq, &h.dk, &h.dv};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *arrays[i] = tv_arena_alloc(&arena, (size_t)time * size, sizeof(double));
    h.p = tv_arena_alloc(&arena, time, sizeof(double));
    h.dp = tv_arena_alloc(&arena, time, sizeof(double));
    load_head(a, &h);
    for (uint32_t t = 0; t < time; t++)
        add_row(&h, t);
    tv_err err = TV_OK;
    if (!backward)
        err = compare(a, a->y, column, h.y, &worst);
    const double *gradients[] = {h.dq, h.dk, h.dv};
    for (uint64_t part = 0; part < 3 && backward && err == TV_OK; part++)
        err = compare(a, a->dqkv, part * width + column, gradients[part], &worst);
    tv_arena_finish(&arena);
    peak->good = worst <= allowed;
    snprintf(
        peak->check, sizeof peak->check,
        "%d rows of a head against double precision: error at most %.3g of the rms, allowed %.3g",
        backward ? 3 * POSITIONS : POSITIONS, worst, allowed);
    return err;
}

// ----------------------------------------------------------------------------------------- the run

static tv_err measure(tv_device *device, const tv_bench_rule *rule, attention *a, bool backward,
                      tv_bench_peak *peak)
{
    const tv_bench_heads *h = &a->heads;
    tv_bench_summary seconds = {0};
    TV_TRY(tv_plan_create(a->graph, device, &a->plan));
    TV_TRY(tv_bench_fill(a->plan, a->qkv, SEED_QKV, QKV_SCALE));
    if (backward)
        TV_TRY(tv_bench_fill(a->plan, a->dy, SEED_DY, 1));
    TV_TRY(tv_bench_time(rule, run_attention, NULL, a, &a->runs, &seconds));
    TV_TRY(judge(a, backward, peak));
    double unit = (double)h->batch * h->heads * h->time * h->time * h->size;
    peak->rate = tv_bench_rates(&seconds, (backward ? 7e-9 : 2e-9) * unit);
    return TV_OK;
}

tv_err tv_bench_attention(tv_device *device, const tv_bench_rule *rule, tv_dtype dtype,
                          const tv_bench_heads *heads, bool backward, tv_bench_peak *peak)
{
    attention a = {.heads = *heads, .dtype = dtype};
    build(&a, backward);
    tv_err err = measure(device, rule, &a, backward, peak);
    tv_plan_destroy(&a.plan);
    tv_graph_destroy(&a.graph);
    return err;
}
