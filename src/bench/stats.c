// Statistics of a benchmark.
#include "bench/stats.h"

#include "base/clock.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

static const double TAIL = 0.025; // of the interval's probability, on each side

tv_bench_rule tv_bench_rule_of(double seconds)
{
    return (tv_bench_rule){
        .seconds = seconds, .tolerance = 0.02, .warm_up = 2, .fewest = 3, .most = 200};
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// How many values at either end lie outside of the median's interval: the largest k for which
// `count` fair coins show at most k heads with a probability of at most TAIL. -1: there is none.
static int outside(size_t count)
{
    double term = pow(0.5, (double)count), sum = term; // P(heads = k), P(heads <= k)
    int k = 0;
    while (sum <= TAIL) {
        term *= (double)(count - (size_t)k) / (k + 1);
        sum += term;
        k++;
    }
    return k - 1;
}

tv_bench_summary tv_bench_summarize(double *values, size_t count, double tolerance)
{
    TV_CHECK(count > 0, "no values");
    qsort(values, count, sizeof *values, compare_doubles);
    int cut = outside(count);
    size_t first = cut < 0 ? 0 : (size_t)cut;
    tv_bench_summary s = {.count = count,
                          .min = values[0],
                          .median = (values[(count - 1) / 2] + values[count / 2]) / 2,
                          .max = values[count - 1],
                          .low = values[first],
                          .high = values[count - 1 - first]};
    s.stable = cut >= 0 && (s.high - s.low) / 2 <= tolerance * s.median;
    return s;
}

tv_bench_summary tv_bench_rates(const tv_bench_summary *seconds, double amount)
{
    return (tv_bench_summary){.count = seconds->count,
                              .min = amount / seconds->max,
                              .median = amount / seconds->median,
                              .max = amount / seconds->min,
                              .low = amount / seconds->high,
                              .high = amount / seconds->low,
                              .stable = seconds->stable};
}

static tv_err warm_up(const tv_bench_rule *rule, tv_bench_once *once, void *context)
{
    double start = tv_now_seconds(), ignored;
    for (size_t i = 0; i < rule->warm_up; i++)
        TV_TRY(once(context, &ignored));
    while (rule->warm_up > 0 && tv_now_seconds() - start < rule->seconds / 10)
        TV_TRY(once(context, &ignored));
    return TV_OK;
}

tv_err tv_bench_repeat(const tv_bench_rule *rule, tv_bench_once *once, void *context,
                       tv_bench_summary *summary)
{
    TV_CHECK(rule->fewest > 0 && rule->most >= rule->fewest, "a rule that ends nowhere");
    TV_TRY(warm_up(rule, once, context));
    double *values = tv_alloc(rule->most, sizeof *values), start = tv_now_seconds();
    tv_err err = TV_OK;
    for (size_t count = 0; count < rule->most && err == TV_OK;) {
        err = once(context, &values[count]);
        if (err != TV_OK)
            break;
        count++;
        *summary = tv_bench_summarize(values, count, rule->tolerance);
        double passed = tv_now_seconds() - start;
        if (summary->stable && passed >= rule->seconds / 4)
            break;
        if (passed >= rule->seconds && count >= rule->fewest)
            break;
    }
    tv_free(values);
    return err;
}
