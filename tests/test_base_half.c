// 16-bit floats on the host, against what the compiler makes of them.
#include "base/half.h"
#include "harness/harness.h"

#include <math.h>
#include <string.h>

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// The nearest half by search over all finite ones: no rule of the conversion is used.
static double half_value(uint32_t magnitude)
{
    uint32_t exponent = magnitude >> 10, mantissa = magnitude & 1023;
    return exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024.0, (int)exponent - 25);
}

static uint16_t nearest_half(double value)
{
    uint32_t low = 0, high = 0x7C00; // half_value(0x7C00) is 65536, whose lower half is infinite
    double magnitude = fabs(value);
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        *(half_value(middle) <= magnitude ? &low : &high) = middle;
    }
    double down = magnitude - half_value(low), up = half_value(high) - magnitude;
    bool upward = up < down || (up == down && high % 2 == 0);
    return (uint16_t)((signbit(value) ? 0x8000 : 0) | (upward ? high : low));
}

static void test_halves_are_exact(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7C00; h++) {
        assert_true(tv_float_from_f16((uint16_t)h) == half_value(h));
        assert_true(tv_float_from_f16((uint16_t)(h | 0x8000)) == -half_value(h));
        assert_int_equal(tv_f16_from_float((float)half_value(h)), h);
    }
    assert_true(signbit(tv_float_from_f16(0x8000)));
    assert_true(tv_float_from_f16(0x7C00) == INFINITY && tv_float_from_f16(0xFC00) == -INFINITY);
    for (uint32_t h = 0x7C01; h < 0x8000; h++)
        assert_true(isnan(tv_float_from_f16((uint16_t)h)));
    for (uint32_t h = 0; h < 0x10000; h++)
        assert_int_equal(bits_of(tv_float_from_bf16((uint16_t)h)), h << 16);
}

static void test_rounding_is_to_nearest_even(void **state)
{
    (void)state;
    static const uint32_t mantissas[] = {0,      1,      0xFFF,    0x1000,   0x1001,   0x2FFF,
                                         0x3000, 0x3001, 0x7FFFFF, 0x400000, 0x3FFFFF, 0x555555};
    for (uint32_t exponent = 0; exponent < 255; exponent++)
        for (size_t i = 0; i < sizeof mantissas / sizeof *mantissas; i++)
            for (uint32_t sign = 0; sign < 2; sign++) {
                float value = float_of(sign << 31 | exponent << 23 | mantissas[i]);
                double limit = 65520;
                uint16_t want =
                    fabs(value) >= limit ? (uint16_t)(sign << 15 | 0x7C00) : nearest_half(value);
                assert_int_equal(tv_f16_from_float(value), want);
            }
    assert_int_equal(tv_f16_from_float(65519.996f), 0x7BFF);
    assert_int_equal(tv_f16_from_float(INFINITY), 0x7C00);
    assert_int_equal(tv_f16_from_float(float_of(0x33000000)), 0); // 2^-25 is half way: to even
    assert_int_equal(tv_f16_from_float(float_of(0x33000001)), 1);
}

static void test_bfloat_rounding(void **state)
{
    (void)state;
    static const struct {
        uint32_t from;
        uint16_t to;
    } rows[] = {{0x3F800000, 0x3F80}, {0x3F808000, 0x3F80}, {0x3F818000, 0x3F82},
                {0x3F808001, 0x3F81}, {0x7F7FFFFF, 0x7F80}, {0x00008000, 0x0000},
                {0x00018000, 0x0002}, {0x80000001, 0x8000}, {0xFF800000, 0xFF80},
                {0x7F800001, 0x7FC0}, {0xFFC12345, 0xFFC1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(tv_bf16_from_float(float_of(rows[i].from)), rows[i].to);
}

static void test_arrays(void **state)
{
    (void)state;
    float values[] = {1, -2.5f, 0}, back[3];
    uint16_t halves[3];
    for (int bf16 = 0; bf16 < 2; bf16++) {
        tv_halves_from_floats(bf16, values, halves, 3);
        assert_int_equal(halves[0], bf16 ? 0x3F80 : 0x3C00);
        tv_floats_from_halves(bf16, halves, back, 3);
        assert_memory_equal(back, values, sizeof values);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves_are_exact),
        cmocka_unit_test(test_rounding_is_to_nearest_even),
        cmocka_unit_test(test_bfloat_rounding),
        cmocka_unit_test(test_arrays),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
