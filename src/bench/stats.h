// Statistics of a benchmark: repeats until the median is stable, and how far values spread.
#ifndef TV_BENCH_STATS_H
#define TV_BENCH_STATS_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

// When to stop. After a warm-up of `warm_up` runs and a tenth of `seconds`, whichever is later,
// runs are timed until a quarter of `seconds` has passed and the median is stable: half the width
// of its 95 % confidence interval is at most `tolerance` of it. Without that, until `seconds` have
// passed and there are `fewest` values, or until there are `most`.
typedef struct tv_bench_rule {
    double seconds, tolerance;
    size_t warm_up, fewest, most;
} tv_bench_rule;

// The rule of all suites: 2 runs to warm up, at least 3 values, at most 200, 2 %.
tv_bench_rule tv_bench_rule_of(double seconds);

// The interval comes from the ranks of the sorted values (binomial, exact), so it assumes nothing
// of their distribution. Fewer than 6 values have none: it is then from the least to the largest,
// and they are not stable.
typedef struct tv_bench_summary {
    size_t count;
    double min, median, max;
    double low, high; // the median's interval
    bool stable;
} tv_bench_summary;

// Of at least one value; sorts them.
tv_bench_summary tv_bench_summarize(double *values, size_t count, double tolerance);

// The summary of amount / value: rates, from seconds.
tv_bench_summary tv_bench_rates(const tv_bench_summary *seconds, double amount);

// Runs once and says how many seconds of that count.
typedef tv_err tv_bench_once(void *context, double *seconds);

// Repeats by the rule; *summary is of the seconds.
tv_err tv_bench_repeat(const tv_bench_rule *rule, tv_bench_once *once, void *context,
                       tv_bench_summary *summary);

#endif
