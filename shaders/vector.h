// Vectors of 16 floats, for kernels in OpenCL C on CPUs, whose compilers keep them in registers.
#define F16S(a) ((float16)(a))
#define LD16(x, i) tv_ld16(x, TV_TYPE_OF(x), i)
#define ST16(x, i, v) tv_st16(x, TV_TYPE_OF(x), i, v)

// The conversions of tv_half.h, for sixteen values.
float16 tv_decode16(uint type, uint16 h)
{
    uint16 sign = (h & 0x8000u) << 16, magnitude = h & 0x7FFFu;
    uint16 bits = (magnitude << 13) + 0x38000000u;
    uint16 tiny = as_uint16(convert_float16(magnitude) * 5.9604644775390625e-8f);
    uint16 quiet = select((uint16)(0u), (uint16)(0x400000u), magnitude > 0x7C00u);
    bits = select(bits, tiny, magnitude < 0x400u);
    bits = select(bits, 0x7F800000u | (magnitude << 13) | quiet, magnitude >= 0x7C00u);
    return as_float16(type == TV_TYPE_BF16 ? h << 16 : sign | bits);
}

uint16 tv_encode16(uint type, float16 v)
{
    uint16 x = as_uint16(v), a = x & 0x7FFFFFFFu;
    if (type == TV_TYPE_BF16)
        return select((x + 0x7FFFu + (x >> 16 & 1u)) >> 16, x >> 16 | 0x40u, a > 0x7F800000u);
    uint16 normal = min((a + 0xFFFu + (a >> 13 & 1u) - 0x38000000u) >> 13, 0x7C00u);
    uint16 shift = min(126u - min(a >> 23, 112u), 25u), mantissa = (a & 0x7FFFFFu) | 0x800000u;
    uint16 tiny = mantissa >> shift, middle = (uint16)(1u) << (shift - 1u);
    uint16 rest = mantissa & (((uint16)(1u) << shift) - 1u);
    tiny -= as_uint16(rest > middle || (rest == middle && (tiny & 1u) != 0u)); // true is -1
    uint16 bits = select(normal, 0x7E00u | (a >> 13 & 0x3FFu), a > 0x7F800000u);
    return (x >> 16 & 0x8000u) | select(bits, tiny, a < 0x38800000u);
}

// Sixteen elements from element i on, which may have any alignment.
float16 tv_ld16(__global const void *x, uint type, uint i)
{
    if (type == TV_TYPE_F32)
        return vload16(0, (__global const float *)x + i);
    if (tv_native(type))
        return vload_half16(0, (__global const half *)x + i);
#ifdef TV_STORAGE16
    ushort16 h = vload16(0, (__global const ushort *)x + i);
#else
    __global const uint *words = (__global const uint *)x + i / 2u;
    ushort16 h = as_ushort16(vload8(0, words)); // little endian
    if (i % 2u != 0u)
        h = (ushort16)(h.s1234, h.s5678, h.s9abc, h.sdef, (ushort)words[8]);
#endif
    return tv_decode16(type, convert_uint16(h));
}

void tv_st16(__global void *x, uint type, uint i, float16 v)
{
    if (type == TV_TYPE_F32) {
        vstore16(v, 0, (__global float *)x + i);
        return;
    }
    ushort16 h = convert_ushort16(tv_encode16(type, v));
#ifdef TV_STORAGE16
    vstore16(h, 0, (__global ushort *)x + i);
#else
    if (i % 2u == 0u)
        vstore8(as_uint8(h), 0, (__global uint *)x + i / 2u);
    for (uint j = 0u; j < 16u && i % 2u != 0u; j++)
        tv_st(x, type, i + j, ((const float *)&v)[j]);
#endif
}

float tv_sum16(float16 v)
{
    float8 x = v.lo + v.hi;
    return dot(x.lo + x.hi, F4S(1.0f));
}

float tv_max16(float16 v)
{
    float8 x = max(v.lo, v.hi);
    float4 y = max(x.lo, x.hi);
    return max(max(y.x, y.y), max(y.z, y.w));
}

// Rows become columns: four times, element i of the lower half of the rows goes before element i of
// the upper half.
void tv_transpose16(float16 *x)
{
    TV_UNROLL for (uint round = 0u; round < 4u; round++) {
        float16 y[16];
        TV_UNROLL for (uint i = 0u; i < 8u; i++) {
            y[2u * i].even = x[i].lo;
            y[2u * i].odd = x[i + 8u].lo;
            y[2u * i + 1u].even = x[i].hi;
            y[2u * i + 1u].odd = x[i + 8u].hi;
        }
        TV_UNROLL for (uint i = 0u; i < 16u; i++)
            x[i] = y[i];
    }
}
