// Balance: shares for known speeds, how they follow what is measured, and what is said about them.
#include "harness/harness.h"

#include "dist/balance.h"

#include <math.h>
#include <string.h>

enum { RANKS_MOST = 4 };

// Ranks whose costs are known.
static tv_balance balance_of(uint32_t count, uint32_t global_batch, const uint32_t *micro_batches,
                             const tv_balance_cost *costs)
{
    tv_balance b;
    tv_balance_create(&b, count, global_batch, micro_batches);
    for (uint32_t r = 0; r < count; r++)
        b.ranks[r].cost = costs[r];
    tv_balance_deal(&b);
    return b;
}

static uint32_t total_of(const tv_balance *b)
{
    uint32_t total = 0;
    for (uint32_t r = 0; r < b->count; r++)
        total += b->ranks[r].share;
    return total;
}

// ---------------------------------------------------------------------------------------- shares

static void test_shares(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, global_batch, micro_batches[RANKS_MOST];
        tv_balance_cost costs[RANKS_MOST];
        uint32_t shares[RANKS_MOST];
    } cases[] = {
        {1, 7, {4}, {{0, 0}}, {7}},
        {2, 8, {1, 1}, {{0, 0}, {0, 0}}, {4, 4}},
        {3, 4, {1, 1, 1}, {{0, 0}, {0, 0}, {0, 0}}, {2, 1, 1}},
        {4, 2, {1, 1, 1, 1}, {{0, 0}, {0, 0}, {0, 0}, {0, 0}}, {1, 1, 0, 0}},
        {2, 64, {4, 4}, {{1, 0}, {3, 0}}, {48, 16}},
        {2, 64, {16, 16}, {{1, 0}, {3, 0}}, {48, 16}},
        {2, 4, {1, 1}, {{1, 0}, {3, 0}}, {3, 1}},
        {2, 64, {32, 32}, {{1, 0}, {3, 0}}, {64, 0}},    // whole micro-batches only
        {2, 64, {4, 4}, {{1, 0}, {1000, 0}}, {64, 0}},   // too slow for a single one
        {2, 64, {16, 4}, {{1, 0}, {0.25, 0}}, {32, 32}}, // as fast, with less memory
        {2, 10, {4, 4}, {{1, 0}, {1, 0}}, {6, 4}},       // the last one is filled up
        {2, 10, {4, 3}, {{1, 0}, {1, 0}}, {7, 3}},
        {2, 8, {1, 1}, {{1, 0}, {1, 4}}, {6, 2}},                // a longer update
        {3, 12, {1, 1, 1}, {{1, 0}, {0, 0}, {3, 0}}, {6, 4, 2}}, // 1: the mean of the others
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_balance b = balance_of(cases[i].count, cases[i].global_batch, cases[i].micro_batches,
                                  cases[i].costs);
        assert_int_equal(total_of(&b), cases[i].global_batch);
        for (uint32_t r = 0; r < b.count; r++)
            if (b.ranks[r].share != cases[i].shares[r])
                fail_msg("case %zu: rank %u has %u sequences", i, r, b.ranks[r].share);
        tv_balance_destroy(&b);
        assert_null(b.ranks);
    }
}

static void test_weights(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, global_batch;
        double weights[RANKS_MOST];
        uint32_t shares[RANKS_MOST];
    } cases[] = {
        {1, 9, {0.5}, {9}},
        {2, 4, {3, 1}, {3, 1}},
        {2, 64, {0, 1e-9}, {0, 64}},
        {3, 10, {1, 0, 1}, {5, 0, 5}},
        {3, 10, {1, 1, 1}, {3, 4, 3}},
        {4, 1, {1, 1, 1, 1}, {0, 1, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const uint32_t micro_batches[RANKS_MOST] = {2, 2, 2, 2};
        tv_balance b;
        tv_balance_create(&b, cases[i].count, cases[i].global_batch, micro_batches);
        tv_balance_divide(&b, cases[i].weights);
        assert_int_equal(total_of(&b), cases[i].global_batch);
        for (uint32_t r = 0; r < b.count; r++)
            if (b.ranks[r].share != cases[i].shares[r])
                fail_msg("case %zu: rank %u has %u sequences", i, r, b.ranks[r].share);
        tv_balance_destroy(&b);
    }
}

// Smallest time of any way to deal, by trying all.
static double best_time(const tv_balance *b, uint32_t rank, uint32_t left, double longest)
{
    const tv_balance_rank *r = &b->ranks[rank];
    double best = INFINITY;
    if (rank == b->count)
        return left ? INFINITY : longest;
    for (uint32_t n = 0;; n++) {
        uint32_t taken = n * r->micro_batch < left ? n * r->micro_batch : left;
        double end = r->cost.fixed + n * r->cost.batch;
        best = fmin(best, best_time(b, rank + 1, left - taken, fmax(longest, end)));
        if (taken == left)
            return best;
    }
}

static void test_no_way_is_faster(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 500; i++) {
        uint32_t sizes[3] = {1 + i % 3, 1 + i / 3 % 4, 1 + i / 12 % 5};
        tv_balance_cost costs[3];
        for (uint32_t r = 0; r < 3; r++)
            costs[r] = (tv_balance_cost){1 + (i * 7919 + r * 104729) % 97 / 10.0,
                                         (i * 31 + r * 17) % 13 / 3.0};
        tv_balance b = balance_of(3, 5 + i % 11, sizes, costs);
        assert_true(tv_balance_longest(&b) == best_time(&b, 0, b.global_batch, 0));
        assert_int_equal(total_of(&b), b.global_batch);
        tv_balance_destroy(&b);
    }
}

static void test_ranges(void **state)
{
    (void)state;
    tv_balance b = {0};
    uint64_t first, end, next = 0;
    tv_balance_range(&b, 0, 5, &first, &end); // no balance: one rank
    assert_true(first == 0 && end == 5);
    b = balance_of(4, 8, (uint32_t[]){1, 1, 1, 1},
                   (tv_balance_cost[]){{1, 0}, {3, 0}, {99, 0}, {1, 0}});
    for (uint64_t total = 0; total < 100; total++, next = 0) {
        for (uint32_t r = 0; r < b.count; r++) {
            tv_balance_range(&b, r, total, &first, &end);
            assert_true(first == next && end >= first);
            assert_true(total != 8 || end - first == b.ranks[r].share);
            assert_true(r != 2 || end == first);
            next = end;
        }
        assert_true(next == total);
    }
    tv_balance_destroy(&b);
}

// ------------------------------------------------------------------------------------- measuring

// A step in which a sequence took each rank so long; true where the shares changed.
static bool step(tv_balance *b, const double *per_sequence)
{
    tv_balance_cost taken[RANKS_MOST] = {{0, 0}};
    for (uint32_t r = 0; r < b->count; r++) {
        uint32_t size = b->ranks[r].micro_batch;
        taken[r].batch = (b->ranks[r].share + size - 1) / size * size * per_sequence[r];
        taken[r].fixed = 0.25;
    }
    return tv_balance_step(b, taken);
}

static uint32_t steps_until_change(tv_balance *b, const double *per_sequence, uint32_t most)
{
    for (uint32_t i = 1; i <= most; i++)
        if (step(b, per_sequence))
            return i;
    return 0;
}

static void test_shares_follow_speeds(void **state)
{
    (void)state;
    static const double fast[] = {1, 3}, equal[] = {1, 1}, close[] = {1, 1.02}, odd[] = {99, 1};
    tv_balance b;
    tv_balance_create(&b, 2, 64, (uint32_t[]){4, 4});
    assert_int_equal(steps_until_change(&b, fast, 100), 0); // it does not follow
    b.follows = true;
    assert_false(step(&b, odd)); // compiles
    assert_false(step(&b, odd));
    assert_int_equal(steps_until_change(&b, fast, 100), 5);
    assert_true(b.ranks[0].share == 48 && b.ranks[1].share == 16);
    assert_true(b.ranks[0].cost.batch == 4 && b.ranks[1].cost.batch == 12);
    assert_true(b.ranks[1].cost.fixed == 0.25 && tv_balance_longest(&b) == 48.25);
    assert_int_equal(steps_until_change(&b, fast, 100), 0);
    uint32_t steps = steps_until_change(&b, equal, 100);
    assert_true(steps > 1 && steps < 20); // at once, but for the mean
    steps = steps_until_change(&b, equal, 100);
    assert_true(steps > 20); // not so soon again
    while (steps_until_change(&b, equal, 100))
        ;
    assert_true(b.ranks[0].share == 32 && b.ranks[1].share == 32);
    assert_int_equal(steps_until_change(&b, close, 500), 0); // not worth it
    for (int i = 0; i < 100; i++)
        assert_false(step(&b, i % 10 ? equal : odd)); // a disturbance now and then
    tv_balance_destroy(&b);
}

// A rank that was slow for a while gets work again.
static void test_an_idle_rank_is_tried_again(void **state)
{
    (void)state;
    static const double slow[] = {1, 500}, again[] = {1, 1};
    tv_balance b;
    tv_balance_create(&b, 2, 8, (uint32_t[]){1, 1});
    b.follows = true;
    assert_int_equal(steps_until_change(&b, slow, 100), 7);
    assert_true(b.ranks[0].share == 8 && b.ranks[1].share == 0);
    assert_true(steps_until_change(&b, again, 10000) > 1000);
    assert_true(b.ranks[0].share == 7 && b.ranks[1].share == 1);
    assert_int_equal(steps_until_change(&b, again, 100), 21);
    assert_true(b.ranks[0].share == 4 && b.ranks[1].share == 4);
    tv_balance_destroy(&b);
}

// One rank alone, and ranks that never had work, change nothing.
static void test_nothing_to_balance(void **state)
{
    (void)state;
    static const double any[] = {1, 1, 1};
    tv_balance b;
    tv_balance_create(&b, 1, 8, (uint32_t[]){2});
    b.follows = true;
    assert_int_equal(steps_until_change(&b, any, 100), 0);
    tv_balance_destroy(&b);
    tv_balance_create(&b, 3, 2, (uint32_t[]){1, 1, 1});
    b.follows = true;
    assert_int_equal(steps_until_change(&b, any, 1000), 0);
    assert_int_equal(b.ranks[2].share, 0);
    tv_balance_destroy(&b);
}

// ---------------------------------------------------------------------------------------- report

static void test_report(void **state)
{
    (void)state;
    tv_text text = {0};
    tv_balance b =
        balance_of(2, 64, (uint32_t[]){4, 4}, (tv_balance_cost[]){{0.125, 0}, {0.375, 0}});
    tv_balance_describe(&b, 256, &text);
    assert_string_equal(text.data, "rank 0 48 sequences, rank 1 16");
    tv_text_clear(&text);
    b.follows = true;
    tv_balance_describe(&b, 256, &text);
    assert_string_equal(text.data, "rank 0 48 sequences (8.2k tokens/s), rank 1 16 (2.7k)");
    tv_text_clear(&text);
    b.ranks[0].cost.batch = 2e-6;
    b.ranks[1].cost.batch = 10;
    tv_balance_describe(&b, 256, &text);
    assert_string_equal(text.data, "rank 0 48 sequences (512M tokens/s), rank 1 16 (102)");
    tv_text_finish(&text);
    tv_balance_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_no_way_is_faster),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_shares_follow_speeds),
        cmocka_unit_test(test_an_idle_rank_is_tried_again),
        cmocka_unit_test(test_nothing_to_balance),
        cmocka_unit_test(test_report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
