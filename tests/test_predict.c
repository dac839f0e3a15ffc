// Lines through measured costs, and predictions of step times: cases that are computed by hand.
#include "bench/line.h"
#include "bench/predict.h"
#include "harness/harness.h"

#include <math.h>
#include <string.h>

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-9 * (1 + fabs(expected))))
        fail_msg("%.17g is not %.17g", value, expected);
}

// ------------------------------------------------------------------------------------------ lines

static void test_exact_points_give_their_line(void **state)
{
    (void)state;
    const double x[] = {4096, 65536, 1 << 20, 64 << 20};
    double y[4];
    tv_line line;
    for (int i = 0; i < 4; i++)
        y[i] = 2e-4 + 8.5e-9 * x[i];
    assert_true(tv_line_fit(x, y, 4, &line));
    assert_true(fabs(line.fixed / 2e-4 - 1) < 1e-9 && fabs(line.slope / 8.5e-9 - 1) < 1e-9);
    assert_true(line.worst < 1e-9);
    assert_true(tv_line_fit_cost(x, y, 4, &line) && fabs(line.fixed / 2e-4 - 1) < 1e-9);
    assert_near(tv_line_at(&line, 1000), 2e-4 + 8.5e-6);
    y[2] *= 1.5;
    assert_true(tv_line_fit(x, y, 4, &line) && line.at == 2 && line.worst > 0.1);
}

static void test_a_cost_is_never_below_nothing(void **state)
{
    (void)state;
    const double x[] = {1, 2, 4}, y[] = {0.5, 1.5, 3.5}; // x - 0.5
    tv_line line;
    assert_true(tv_line_fit(x, y, 3, &line));
    assert_near(line.fixed, -0.5);
    assert_true(tv_line_fit_cost(x, y, 3, &line) && line.fixed == 0);
    assert_near(line.slope, 5.5 / 7);
}

// Small messages that a buffer takes do not spoil the line of large ones.
static void test_a_cost_is_that_of_large_ones(void **state)
{
    (void)state;
    const double x[] = {4096, 65536, 1 << 20, 16 << 20}, slope = 8e-8;
    double y[4];
    tv_line line;
    for (int i = 0; i < 4; i++)
        y[i] = (i < 2 ? 0.01 : 1) * slope * x[i];
    assert_true(tv_line_fit_cost(x, y, 4, &line) && fabs(line.slope / slope - 1) < 0.1);
    assert_true(tv_line_fit(x, y, 4, &line) && line.slope < 0.1 * slope);
}

static void test_points_that_make_no_line(void **state)
{
    (void)state;
    const double x[] = {3, 3}, y[] = {1, 2};
    tv_line line;
    assert_false(tv_line_fit(x, y, 2, &line));
    assert_false(tv_line_fit_cost(x, y, 1, &line));
}

// ------------------------------------------------------------------------------------ predictions

static const double done[] = {0.5, 1};
static const tv_predict_bucket buckets[] = {{100, 1}, {50, 2}};

typedef struct room {
    tv_predict_rank ranks[2];
    tv_predict_job job;
} room;

// Two ranks, alike: two micro-batches of 1 s, an update of 0.2 s.
static void make_room(room *r)
{
    const tv_predict_rank rank = {
        .micro = 1, .update = 0.2, .batches = 2, .share = 4, .apart = {2, 4}, .done = done};
    r->ranks[0] = r->ranks[1] = rank;
    r->job = (tv_predict_job){.ranks = r->ranks,
                              .rank_count = 2,
                              .seq_len = 10,
                              .buckets = buckets,
                              .bucket_count = 2,
                              .elements = 150,
                              .weight_bytes = 4,
                              .sum = {.fixed = 0.1, .slope = 1e-3},
                              .scatter = {.fixed = 0.05, .slope = 5e-4},
                              .gather = {.fixed = 0.02, .slope = 2e-4},
                              .outer = {.fixed = 1, .slope = 1e-2},
                              .meeting = 0.01,
                              .diloco = {.interval = 5, .fragments = 1, .overlap = 1, .bits = 8}};
}

static size_t row_of(const char *name)
{
    size_t i = 0;
    while (strcmp(tv_predict_strategy_at(i)->name, name) != 0)
        i++;
    return i;
}

static tv_prediction predict(const room *r, const char *name)
{
    tv_prediction p;
    tv_predict_strategy_at(row_of(name))->predict(&r->job, &p);
    return p;
}

// The first bucket is there at 1.5 s and takes 0.1 + 0.4 s; the second one, of two calls, is there
// at 2 s and takes 0.2 + 0.2 s; so 0.4 of 0.9 s are waited for.
static void test_ddp(void **state)
{
    (void)state;
    room r;
    make_room(&r);
    tv_prediction p = predict(&r, "ddp");
    assert_near(p.computing, 2.2);
    assert_near(p.hidden, 0.5);
    assert_near(p.network, 0.9 + 0.02);
    assert_near(p.seconds, 2 + 0.4 + 0.2 + 0.02);
    assert_near(p.tokens, 80);
    assert_near(p.sent, 0.5 * 150 * 8);
    assert_near(tv_predict_rate(&p), 80 / 2.62);
    assert_near(tv_predict_use(&p), 2.2 / 2.62);
    p = predict(&r, "ddp bf16"); // 0.1 + 0.2 s and 0.2 + 0.1 s
    assert_near(p.seconds, 2 + 0.3 + 0.2 + 0.02);
    assert_near(p.sent, 0.5 * 150 * 4);
}

// A bucket travels when the last rank has it, and behind the one before it.
static void test_ddp_with_a_slow_rank_and_network(void **state)
{
    (void)state;
    room r;
    make_room(&r);
    r.ranks[1].micro = 3;
    r.ranks[1].batches = 1;
    r.ranks[1].copy = 0.5;
    r.job.sum.slope = 1e-2;
    tv_prediction p = predict(&r, "ddp");
    // There at max(1.5, 1.5) s, for 4.1 s; then 2.2 s: until 7.8 s, where 3 s were computing.
    assert_near(p.seconds, 7.8 + 0.2 + 0.5 + 0.02);
    assert_near(p.computing, 3.2);
    assert_near(p.hidden, 1.5);
}

// Halves of the update; gradients go one way, then weights: 0.1 and 0.08 s.
static void test_zero1(void **state)
{
    (void)state;
    room r;
    make_room(&r);
    tv_prediction p = predict(&r, "zero1"); // 0.25 s from 1.5 s on, 0.2 s from 2 s on
    assert_near(p.seconds, 2 + 0.2 + 0.1 + 0.18 + 0.02);
    assert_near(p.computing, 2.1);
    assert_near(p.network, 0.45 + 0.18 + 0.02);
    assert_near(p.hidden, 0.25);
    assert_near(p.sent, 0.5 * 150 * 8);
    r.job.weight_bytes = 2;
    p = predict(&r, "zero1 bf16"); // 0.15 s; 0.15 s; gathering 0.06 + 0.06 s
    assert_near(p.seconds, 2 + 0.15 + 0.1 + 0.12 + 0.02);
    assert_near(p.sent, 0.5 * 150 * 4);
}

// Two rounds of a micro-batch each.
static void test_sections(void **state)
{
    (void)state;
    room r;
    make_room(&r);
    r.job.scatter.slope = 1e-3; // 0.45 s and 0.3 s
    tv_prediction p = predict(&r, "zero2");
    assert_near(p.seconds,
                2 * (1 + 0.3) + 0.1 + 0.18 + 0.02); // the last 0.3 s have nothing to hide
    assert_near(p.computing, 2.1);
    assert_near(p.network, 2 * 0.75 + 0.18 + 0.02);
    assert_near(p.hidden, 2 * 0.45);
    assert_near(p.sent, 0.5 * 150 * (2 * 4 + 4));
    r.job.gather.slope = 1e-3; // 0.42 s and 0.24 s: longer than a forward pass of 1/3 s
    p = predict(&r, "fsdp");
    double round = 0.66 + (0.66 + 0.45) + 0.3 + 0.66 / 2;
    assert_near(p.seconds, 2 * round + 0.1 + 0.02);
    assert_near(p.network, 2 * (2 * 0.66 + 0.75) + 0.02);
    assert_near(p.hidden, p.network - 0.02 - 2 * (round - 1));
    assert_near(p.sent, 0.5 * 150 * (2 * 4 + 4 * 4));
    r.ranks[1].batches = 5; // the other one takes part in all of them
    p = predict(&r, "fsdp");
    assert_near(p.seconds, 5 * round + 0.1 + 0.02);
}

// An exchange takes 1 + 1.5 s, of which one step of 2.2 s hides the most.
static void test_diloco(void **state)
{
    (void)state;
    room r;
    make_room(&r);
    tv_prediction p = predict(&r, "diloco");
    assert_near(p.computing, 2.2);
    assert_near(p.seconds, 2.2 + 0.3 / 5);
    assert_near(p.network, 0.5);
    assert_near(p.hidden, 0.44);
    assert_near(p.tokens, 80);
    assert_near(p.sent, 2 * 0.5 * 150 / 5);
    r.job.diloco.fragments = 2; // 1.75 s each, all of it hidden
    r.ranks[0].copy = 0.5;
    p = predict(&r, "diloco");
    assert_near(p.seconds, 2.2 + 2 * 0.5 / 5);
    assert_near(p.network, 2 * 1.75 / 5);
    assert_near(p.hidden, 2 * 1.75 / 5);
}

// Rank 1 takes 4.4 s for a step, so it takes 3 (2.5 rounded) of 5.
static void test_diloco_with_a_slow_rank(void **state)
{
    (void)state;
    room r;
    make_room(&r);
    r.ranks[1].micro = 2.1;
    r.job.diloco.overlap = 0;
    tv_prediction p = predict(&r, "diloco");
    assert_near(p.computing, 3.0 / 5 * 4.4);
    assert_near(p.seconds, 3.0 / 5 * 4.4 + 2.5 / 5);
    assert_near(p.tokens, 40 + 3.0 / 5 * 40);
    r.job.diloco.equal = true;
    p = predict(&r, "diloco");
    assert_near(p.computing, 4.4);
    assert_near(p.tokens, 80);
    r.ranks[1].apart[0] = r.ranks[1].apart[1] = 0;
    p = predict(&r, "diloco");
    assert_true(tv_predict_rate(&p) == 0); // a rank without work is refused
}

// ------------------------------------------------------------------------------------- the advice

static void expect_advice(const room *r, const char *name, const char *reason)
{
    tv_prediction all[16];
    tv_text why = {0};
    for (size_t i = 0; tv_predict_strategy_at(i); i++)
        tv_predict_strategy_at(i)->predict(&r->job, &all[i]);
    size_t best = tv_predict_choose(&r->job, all, &why);
    assert_string_equal(tv_predict_strategy_at(best)->name, name);
    assert_non_null(strstr(why.data, reason));
    tv_text_finish(&why);
}

static void test_advice(void **state)
{
    (void)state;
    room r;
    make_room(&r);
    r.job.sum = r.job.scatter = r.job.gather = (tv_line){.fixed = 1e-4, .slope = 1e-9};
    r.ranks[0].update = r.ranks[1].update = 0.01;
    expect_advice(&r, "ddp", "that of one rank but for rounding");
    r.job.mixed = true;
    expect_advice(&r, "zero1", "replicas would drift apart");
    r.job.mixed = false;
    r.job.sum.slope = 1e-3; // a sum of 0.4 s, of which bf16 saves half
    r.job.scatter.slope = r.job.gather.slope = 2e-3;
    r.ranks[0].micro = r.ranks[1].micro = 0.3;
    expect_advice(&r, "ddp bf16", "trainer.gradient_compression=bf16");
    r.job.sum.slope = r.job.scatter.slope = r.job.gather.slope = 0.1;
    expect_advice(&r, "diloco", "its losses are close to those of one rank, not equal");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_points_give_their_line),
        cmocka_unit_test(test_a_cost_is_never_below_nothing),
        cmocka_unit_test(test_a_cost_is_that_of_large_ones),
        cmocka_unit_test(test_points_that_make_no_line),
        cmocka_unit_test(test_ddp),
        cmocka_unit_test(test_ddp_with_a_slow_rank_and_network),
        cmocka_unit_test(test_zero1),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_diloco),
        cmocka_unit_test(test_diloco_with_a_slow_rank),
        cmocka_unit_test(test_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
