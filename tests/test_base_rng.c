// Tests of base/rng: known answers of Philox, ranges, moments, and the pointwise permutation.
#include "base/memory.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

// philox4x32-10 in kat_vectors of the Random123 distribution (D. E. Shaw Research).
static void test_philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t out[4];
        tv_philox(cases[i].key, cases[i].counter, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

static void test_stream_is_philox_over_its_counter(void **state)
{
    (void)state;
    const uint64_t seed = 0x299f31d0a4093822, stream = 0x0370734413198a2e;
    const uint32_t key[2] = {0xa4093822, 0x299f31d0};
    tv_rng rng = tv_rng_init(seed, stream);
    for (uint32_t block = 0; block < 3; block++) {
        uint32_t counter[4] = {block, 0, 0x13198a2e, 0x03707344}, expected[4];
        tv_philox(key, counter, expected);
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(tv_rng_u32(&rng), expected[i]);
    }
    tv_rng other = tv_rng_init(seed, stream + 1), again = tv_rng_init(seed, stream);
    assert_int_not_equal(tv_rng_u32(&other), tv_rng_u32(&again));
}

// Windows of a stream that start anywhere; enough numbers to meet those that are computed anew.
static void check_many_normals(void)
{
    enum { COUNT_MOST = 300001 };
    static const struct {
        uint64_t seed, stream, first;
        size_t count;
        double std;
    } cases[] = {{1, 0, 0, COUNT_MOST, 1},
                 {77, 1ull << 40, 3, 1000, 0.02},
                 {0, 5, 0xFFFFFFFEu, 5, 1e-3},
                 {9, 2, 1, 0, 1},
                 {~0ull, ~0ull, 1000, 70000, 1e-42}};
    float *values = tv_alloc(COUNT_MOST + 1, sizeof *values);
    for (size_t i = 0; i < COUNT(cases); i++) {
        tv_rng rng = tv_rng_init(cases[i].seed, cases[i].stream);
        rng.block = cases[i].first;
        values[cases[i].count] = 7;
        tv_rng_normals(cases[i].seed, cases[i].stream, cases[i].first, cases[i].std, cases[i].count,
                       values);
        for (size_t j = 0; j < cases[i].count; j++) {
            float expected = (float)(cases[i].std * tv_rng_normal(&rng));
            assert_memory_equal(&values[j], &expected, sizeof expected);
        }
        assert_true(values[cases[i].count] == 7);
    }
    tv_free(values);
}

static void test_many_normals_have_the_bits_of_single_ones(void **state)
{
    (void)state;
    for (unsigned bits = 512; bits >= 128; bits /= 2) {
        tv_rng_limit_vectors(bits);
        check_many_normals();
    }
    tv_rng_limit_vectors(512);
}

// Chi-square over the values; the bounds lie 6 standard deviations out, and the seed is fixed.
static void test_below_is_uniform(void **state)
{
    (void)state;
    enum { DRAWS = 200000, MOST = 1000 };
    static const uint32_t limits[] = {1, 2, 3, 7, 10, 256, MOST};
    for (size_t l = 0; l < COUNT(limits); l++) {
        uint32_t limit = limits[l], seen[MOST] = {0};
        tv_rng rng = tv_rng_init(5, limit);
        for (int i = 0; i < DRAWS; i++) {
            uint32_t value = tv_rng_below(&rng, limit);
            assert_true(value < limit);
            seen[value]++;
        }
        double expected = (double)DRAWS / limit, chi = 0;
        for (uint32_t v = 0; v < limit; v++)
            chi += (seen[v] - expected) * (seen[v] - expected) / expected;
        double freedom = limit - 1.0;
        if (fabs(chi - freedom) > 6 * sqrt(2 * freedom))
            fail_msg("limit %u: chi-square %.1f with %.0f degrees of freedom", limit, chi, freedom);
    }
}

// With the limit 3 x 2^30, a plain multiply-shift would draw every third value twice as often.
static void test_below_has_no_bias_at_large_limits(void **state)
{
    (void)state;
    enum { DRAWS = 300000 };
    tv_rng rng = tv_rng_init(6, 0);
    int thirds[3] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint32_t value = tv_rng_below(&rng, 3u << 30);
        assert_true(value < 3u << 30);
        thirds[value % 3]++;
    }
    for (int i = 0; i < 3; i++)
        assert_true(fabs(thirds[i] - DRAWS / 3.0) < 6 * sqrt(DRAWS * 2 / 9.0));
    for (int i = 0; i < 1000; i++)
        assert_true(tv_rng_below(&rng, UINT32_MAX) < UINT32_MAX);
}

static void test_uniform_and_normal_moments(void **state)
{
    (void)state;
    enum { DRAWS = 200000 };
    tv_rng rng = tv_rng_init(7, 1);
    double mean = 0, square = 0, fourth = 0, uniform = 0;
    for (int i = 0; i < DRAWS; i++) {
        double u = tv_rng_uniform(&rng), n = tv_rng_normal(&rng);
        assert_true(u >= 0 && u < 1 && isfinite(n));
        uniform += u;
        mean += n;
        square += n * n;
        fourth += n * n * n * n;
    }
    // Six standard errors each; the moments of a normal variable are 0, 1 and 3.
    assert_true(fabs(uniform / DRAWS - 0.5) < 6 * sqrt(1.0 / 12 / DRAWS));
    assert_true(fabs(mean / DRAWS) < 6 * sqrt(1.0 / DRAWS));
    assert_true(fabs(square / DRAWS - 1) < 6 * sqrt(2.0 / DRAWS));
    assert_true(fabs(fourth / DRAWS - 3) < 6 * sqrt(96.0 / DRAWS));
}

static void test_permutation_is_a_bijection(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4096, 4097, 70000};
    for (size_t c = 0; c < COUNT(counts); c++) {
        for (uint64_t key = 0; key < 3; key++) {
            unsigned char *seen = tv_alloc(counts[c], 1);
            for (uint64_t i = 0; i < counts[c]; i++) {
                uint64_t place = tv_permute(i, counts[c], key << 33 | key);
                assert_true(place < counts[c]);
                assert_int_equal(seen[place], 0);
                seen[place] = 1;
            }
            tv_free(seen);
        }
    }
}

static void test_permutation_depends_on_its_key_and_mixes(void **state)
{
    (void)state;
    enum { N = 10000 };
    size_t same = 0, fixed = 0, neighbours = 0;
    for (uint64_t i = 0; i < N; i++) {
        uint64_t place = tv_permute(i, N, 1);
        same += place == tv_permute(i, N, 1ull << 32 | 1); // the key's high half counts
        fixed += place == i;
        neighbours += tv_permute((i + 1) % N, N, 1) == place + 1;
        assert_true(place == tv_permute(i, N, 1));
    }
    // Each is about 1 on average for random permutations.
    assert_true(same < 12);
    assert_true(fixed < 12);
    assert_true(neighbours < 12);
}

static void test_permutation_of_large_ranges(void **state)
{
    (void)state;
    static const uint64_t counts[] = {1ull << 32, (1ull << 40) + 7, 1ull << 62, UINT64_MAX};
    for (size_t c = 0; c < COUNT(counts); c++) {
        uint64_t first = tv_permute(0, counts[c], 9),
                 last = tv_permute(counts[c] - 1, counts[c], 9);
        assert_true(first < counts[c] && last < counts[c] && first != last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_stream_is_philox_over_its_counter),
        cmocka_unit_test(test_many_normals_have_the_bits_of_single_ones),
        cmocka_unit_test(test_below_is_uniform),
        cmocka_unit_test(test_below_has_no_bias_at_large_limits),
        cmocka_unit_test(test_uniform_and_normal_moments),
        cmocka_unit_test(test_permutation_is_a_bijection),
        cmocka_unit_test(test_permutation_depends_on_its_key_and_mixes),
        cmocka_unit_test(test_permutation_of_large_ranges),
    };
    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
