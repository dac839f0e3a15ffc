// 16-bit floats on the host.
#include "base/half.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t tv_f16_from_float(float value)
{
    uint32_t x = bits_of(value), sign = x >> 16 & 0x8000, a = x & 0x7FFFFFFF;
    if (a > 0x7F800000) // NaN
        return (uint16_t)(sign | 0x7E00 | (a >> 13 & 0x3FF));
    if (a >= 0x477FF000) // 65520 and above
        return (uint16_t)(sign | 0x7C00);
    if (a < 0x38800000) // below 2^-14: multiples of 2^-24, which nearbyint rounds to even
        return (uint16_t)(sign | (uint32_t)nearbyint(ldexp((double)float_of(a), 24)));
    return (uint16_t)(sign | (a + 0xFFF + (a >> 13 & 1) - 0x38000000) >> 13);
}

uint16_t tv_bf16_from_float(float value)
{
    uint32_t x = bits_of(value);
    if ((x & 0x7FFFFFFF) > 0x7F800000) // NaN
        return (uint16_t)(x >> 16 | 0x40);
    return (uint16_t)((x + 0x7FFF + (x >> 16 & 1)) >> 16);
}

float tv_float_from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7FFF;
    if (magnitude < 0x400)
        return float_of(sign | bits_of(ldexpf((float)magnitude, -24)));
    if (magnitude >= 0x7C00)
        return float_of(sign | 0x7F800000 | magnitude << 13 | (magnitude > 0x7C00 ? 0x400000 : 0));
    return float_of(sign | ((magnitude << 13) + 0x38000000));
}

float tv_float_from_bf16(uint16_t half)
{
    return float_of((uint32_t)half << 16);
}

void tv_halves_from_floats(bool bf16, const float *values, uint16_t *halves, size_t count)
{
    for (size_t i = 0; i < count; i++)
        halves[i] = bf16 ? tv_bf16_from_float(values[i]) : tv_f16_from_float(values[i]);
}

void tv_floats_from_halves(bool bf16, const uint16_t *halves, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = bf16 ? tv_float_from_bf16(halves[i]) : tv_float_from_f16(halves[i]);
}
