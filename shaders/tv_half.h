// Conversion between float and the 16-bit storage types by bit operations, for GLSL and OpenCL C:
// to nearest even, with subnormals, infinities and NaN, whatever the device does with them. A NaN
// keeps its sign and the upper bits of its payload, and becomes a quiet one.

// The float of the half (IEEE binary16) in the low bits of h.
float tv_f16_decode(uint h)
{
    uint sign = (h & 0x8000u) << 16, magnitude = h & 0x7FFFu;
    uint bits = (magnitude << 13) + 0x38000000u;                  // exponent bias 15 -> 127
    uint tiny = TV_BITS(F32(magnitude) * 5.9604644775390625e-8f); // 2^-24: a subnormal's unit
    uint odd = 0x7F800000u | magnitude << 13 | (magnitude > 0x7C00u ? 0x400000u : 0u);
    bits = magnitude < 0x400u ? tiny : magnitude >= 0x7C00u ? odd : bits;
    return TV_FLOAT(sign | bits);
}

uint tv_f16_encode(float v)
{
    uint x = TV_BITS(v), sign = x >> 16 & 0x8000u, a = x & 0x7FFFFFFFu;
    uint normal = min((a + 0xFFFu + (a >> 13 & 1u) - 0x38000000u) >> 13, 0x7C00u);
    // Below 2^-14: the mantissa with its leading one, shifted right until its unit is 2^-24.
    uint shift = min(126u - min(a >> 23, 112u), 25u), mantissa = (a & 0x7FFFFFu) | 0x800000u;
    uint tiny = mantissa >> shift, middle = 1u << (shift - 1u);
    uint rest = mantissa & ((1u << shift) - 1u);
    tiny += rest > middle || (rest == middle && (tiny & 1u) != 0u) ? 1u : 0u;
    uint not_a_number = 0x7E00u | (a >> 13 & 0x3FFu);
    uint bits = a < 0x38800000u ? tiny : a > 0x7F800000u ? not_a_number : normal;
    return sign | bits;
}

uint tv_bf16_encode(float v)
{
    uint x = TV_BITS(v), rounded = (x + 0x7FFFu + (x >> 16 & 1u)) >> 16;
    return (x & 0x7FFFFFFFu) > 0x7F800000u ? x >> 16 | 0x40u : rounded;
}

// The value in the low bits of a word, and the words of four values.
float tv_decode(uint type, uint bits)
{
    return type == TV_TYPE_BF16 ? TV_FLOAT(bits << 16) : tv_f16_decode(bits & 0xFFFFu);
}

uint tv_encode(uint type, float v)
{
    return type == TV_TYPE_BF16 ? tv_bf16_encode(v) : tv_f16_encode(v);
}

float4 tv_decode4(uint type, uint2 words)
{
    return F4(tv_decode(type, words.x), tv_decode(type, words.x >> 16), tv_decode(type, words.y),
              tv_decode(type, words.y >> 16));
}

uint2 tv_encode4(uint type, float4 v)
{
    return U2(tv_encode(type, v.x) | tv_encode(type, v.y) << 16,
              tv_encode(type, v.z) | tv_encode(type, v.w) << 16);
}
