// Peaks of a device: matrix products, by the plan of a graph that holds nothing else.
#include "bench/peaks.h"

#include "base/clock.h"
#include "conformance/case.h"
#include "graph/ops.h"
#include "plan/plan.h"

#include <math.h>
#include <stdio.h>

enum { SAMPLES = 64, SEED_A = 11, SEED_B = 12 };

typedef struct product {
    tv_device *device;
    tv_dtype dtype;
    tv_layout layout;
    uint32_t batch, m, n, k, repeats;
    tv_graph *graph;
    tv_tensor *a, *b, *c;
    tv_plan *plan;
} product;

static void discard(product *p)
{
    tv_plan_destroy(&p->plan);
    tv_graph_destroy(&p->graph);
}

// The same product `repeats` times: each waits for the one before, as in a model.
static tv_err prepare(void *context)
{
    product *p = context;
    tv_attrs attrs = {.layout = (uint32_t)p->layout, .batch = p->batch};
    bool tn = p->layout == TV_TN, nt = p->layout == TV_NT;
    discard(p);
    p->graph = tv_graph_create();
    p->a = tv_graph_tensor(p->graph, TV_CONSTANT, p->dtype, p->batch * (tn ? p->k : p->m),
                           tn ? p->m : p->k, "a");
    p->b = tv_graph_tensor(p->graph, TV_CONSTANT, p->dtype, p->batch * (nt ? p->n : p->k),
                           nt ? p->k : p->n, "b");
    p->c =
        tv_graph_tensor(p->graph, TV_CONSTANT, tn ? TV_F32 : p->dtype, p->batch * p->m, p->n, "c");
    for (uint32_t i = 0; i < p->repeats; i++)
        tv_graph_add(p->graph, TV_OP_MATMUL, &attrs, (tv_tensor *[]){p->a, p->b, NULL}, &p->c);
    TV_TRY(tv_plan_create(p->graph, p->device, &p->plan));
    TV_TRY(tv_bench_fill(p->plan, p->a, SEED_A, 1));
    return tv_bench_fill(p->plan, p->b, SEED_B, 1);
}

static tv_err run_product(void *context, double *seconds)
{
    product *p = context;
    double start = tv_now_seconds();
    TV_TRY(tv_plan_execute(p->plan, 0));
    *seconds = (tv_now_seconds() - start) / p->repeats;
    return TV_OK;
}

// The wanted value of an element, and how far rounding may take it: a part of each term that grows
// with the root of their number, and the storage type's rounding of the result.
static double reference(const product *p, uint64_t row, uint64_t column, double *allowed)
{
    double sum = 0, terms = 0;
    uint64_t member = row / p->m, a_first = member * p->m * p->k, b_first = member * p->n * p->k;
    row %= p->m;
    for (uint64_t k = 0; k < p->k; k++) {
        uint64_t a = a_first + (p->layout == TV_TN ? k * p->m + row : row * p->k + k);
        uint64_t b = b_first + (p->layout == TV_NT ? column * p->k + k : k * p->n + column);
        double term =
            tv_bench_value_as(p->dtype, SEED_A, a) * tv_bench_value_as(p->dtype, SEED_B, b);
        sum += term;
        terms += fabs(term);
    }
    *allowed =
        (4 + sqrt(p->k)) * tv_rounding(TV_F32) * terms + 2 * tv_rounding(p->c->dtype) * fabs(sum);
    return sum;
}

// Elements all over C, its corners among them.
static tv_err judge(const product *p, tv_bench_peak *peak)
{
    double most = 0;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        uint64_t row = i * (p->batch * (uint64_t)p->m - 1) / (SAMPLES - 1);
        uint64_t allowed_columns = p->n - 1;
        uint64_t column = i < 2 ? i * allowed_columns : i * 7919 % p->n;
        double allowed, want = reference(p, row, column, &allowed);
        float got;
        TV_TRY(tv_plan_read(p->plan, p->c, row * p->n + column, 1, &got));
        double error = fabs((double)got - want) / allowed;
        most = isfinite(got) ? fmax(most, error) : INFINITY;
    }
    peak->good = most <= 1;
    snprintf(peak->check, sizeof peak->check,
             "%d elements against double precision: error at most %.3g of what rounding explains",
             SAMPLES, most);
    return TV_OK;
}

tv_err tv_bench_matmul(tv_device *device, const tv_bench_rule *rule, const tv_bench_product *wanted,
                       tv_bench_peak *peak)
{
    product p = {.device = device,
                 .dtype = wanted->dtype,
                 .layout = wanted->layout,
                 .batch = wanted->batch,
                 .m = wanted->m,
                 .n = wanted->n,
                 .k = wanted->k,
                 .repeats = 1};
    tv_bench_summary seconds = {0};
    tv_err err = prepare(&p);
    if (err == TV_OK)
        err = tv_bench_time(rule, run_product, prepare, &p, &p.repeats, &seconds);
    if (err == TV_OK)
        err = judge(&p, peak);
    if (err == TV_OK)
        peak->rate = tv_bench_rates(&seconds, 2e-9 * p.batch * p.m * p.n * p.k);
    discard(&p);
    return err;
}
