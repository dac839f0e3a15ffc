// matmul_*_v16: C = A B for CPUs through OpenCL, whose compilers keep float16 in vector registers.
// variant nt_v16: NT=1
// variant nn_v16: NT=0 TN=0
// variant tn_v16: NT=0 TN=1
// Layouts, slots and arguments as matmul.k. Groups (N / 48, M / 64) of exactly 8 lanes; each has 8
// rows and 48 columns of the tile: no local memory, no barrier. Where B's rows run along N (nn, tn)
// a vector is 16 columns of C; else (nt) it is 16 steps of K, added up at the end.
#include "tv.h"

#define ROWS 8u
#define COLUMNS 48u

uint16 decode16(uint type, uint16 h)
{
    uint16 sign = (h & 0x8000u) << 16, magnitude = h & 0x7FFFu;
    uint16 bits = (magnitude << 13) + 0x38000000u;
    uint16 tiny = as_uint16(convert_float16(magnitude) * 5.9604644775390625e-8f);
    uint16 quiet = select((uint16)(0u), (uint16)(0x400000u), magnitude > 0x7C00u);
    bits = select(bits, tiny, magnitude < 0x400u);
    bits = select(bits, 0x7F800000u | (magnitude << 13) | quiet, magnitude >= 0x7C00u);
    return type == TV_TYPE_BF16 ? h << 16 : sign | bits;
}

// Sixteen elements from element i on, which may have any alignment.
float16 ld16(__global const void *x, uint type, uint i)
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
    return as_float16(decode16(type, convert_uint16(h)));
}

// Of row r of the lane; rows beyond the last one repeat it, and are not stored.
#define ROW(r) min(m + (r), rows - 1u)
#define A_AT(r, k) ((TN != 0 ? (k) * p.u[3] + ROW(r) : ROW(r) * p.u[3] + (k)) + p.u[8])
#define PUT(i, value, n)                                                                           \
    {                                                                                              \
        float sum_ = (value) + (biased ? LD(bias, n) : 0.0f);                                      \
        ST(c, i, accumulate ? LD(c, i) + sum_ : sum_);                                             \
    }

// All rows of the lane times `vectors` vectors of columns from n on.
#define PANEL(vectors)                                                                             \
    {                                                                                              \
        float16 s[ROWS * vectors];                                                                 \
        TV_UNROLL for (uint i = 0u; i < ROWS * vectors; i++)                                       \
            s[i] = (float16)(0.0f);                                                                \
        for (uint k = 0u; k < depth; k++) {                                                        \
            float16 v[vectors];                                                                    \
            TV_UNROLL for (uint j = 0u; j < vectors; j++)                                          \
                v[j] = ld16(b, TV_TYPE_OF(b), k * p.u[4] + p.u[9] + n + 16u * j);                  \
            TV_UNROLL for (uint r = 0u; r < ROWS; r++) {                                           \
                float16 x = (float16)(LD(a, A_AT(r, k)));                                          \
                TV_UNROLL for (uint j = 0u; j < vectors; j++)                                      \
                    s[r * vectors + j] = fma(x, v[j], s[r * vectors + j]);                         \
            }                                                                                      \
        }                                                                                          \
        for (uint r = 0u; r < ROWS && m + r < rows; r++) {                                         \
            for (uint j = 0u; j < vectors; j++) {                                                  \
                float16 sum = s[r * vectors + j];                                                  \
                uint to = (m + r) * p.u[5] + p.u[7] + n + 16u * j;                                 \
                if (TV_TYPE_OF(c) == TV_TYPE_F32) {                                                \
                    if (biased)                                                                    \
                        sum += ld16(bias, TV_TYPE_OF(bias), n + 16u * j);                          \
                    if (accumulate)                                                                \
                        sum += vload16(0, (__global float *)c + to);                               \
                    vstore16(sum, 0, (__global float *)c + to);                                    \
                } else {                                                                           \
                    float each[16];                                                                \
                    vstore16(sum, 0, each);                                                        \
                    for (uint i = 0u; i < 16u; i++)                                                \
                        PUT(to + i, each[i], n + 16u * j + i)                                      \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

TV_KERNEL(8)
    TV_IN4(0, a)
    TV_IN4(1, b)
    TV_INOUT(2, c)
    TV_IN(3, bias)
TV_ARGS

TV_MAIN
{
    uint rows = p.u[0], columns = p.u[1], depth = p.u[2];
    uint m = TV_GROUP_Y * 64u + TV_LANE * ROWS, n = TV_GROUP_X * COLUMNS;
    uint end = min(n + COLUMNS, columns);
    bool accumulate = (p.u[6] & TV_MATMUL_ACCUMULATE) != 0u;
    bool biased = (p.u[6] & TV_MATMUL_BIAS) != 0u;
    if (m >= rows)
        return;
#if NT
    for (; n < end; n += 6u)
        for (uint r0 = m; r0 < min(m + ROWS, rows); r0 += 4u) {
            float16 s[24];
            float rest[24];
            TV_UNROLL for (uint i = 0u; i < 24u; i++) {
                s[i] = (float16)(0.0f);
                rest[i] = 0.0f;
            }
            uint k = 0u;
            for (; k + 16u <= depth; k += 16u) {
                float16 x[4];
                TV_UNROLL for (uint r = 0u; r < 4u; r++)
                    x[r] = ld16(a, TV_TYPE_OF(a), min(r0 + r, rows - 1u) * p.u[3] + p.u[8] + k);
                TV_UNROLL for (uint j = 0u; j < 6u; j++) {
                    uint column = min(n + j, columns - 1u);
                    float16 v = ld16(b, TV_TYPE_OF(b), column * p.u[4] + p.u[9] + k);
                    TV_UNROLL for (uint r = 0u; r < 4u; r++)
                        s[r * 6u + j] = fma(x[r], v, s[r * 6u + j]);
                }
            }
            for (; k < depth; k++)
                TV_UNROLL for (uint i = 0u; i < 24u; i++)
                    rest[i] += LD(a, min(r0 + i / 6u, rows - 1u) * p.u[3] + p.u[8] + k) *
                               LD(b, min(n + i % 6u, columns - 1u) * p.u[4] + p.u[9] + k);
            for (uint i = 0u; i < 24u; i++) {
                uint y = r0 + i / 6u, x = n + i % 6u;
                float8 eight = s[i].lo + s[i].hi;
                float sum = dot(eight.lo + eight.hi, F4S(1.0f)) + rest[i];
                if (y < rows && x < end)
                    PUT(y * p.u[5] + p.u[7] + x, sum, x)
            }
        }
#else
    for (; n + COLUMNS <= columns && n < end; n += COLUMNS)
        PANEL(3u)
    for (; n + 16u <= end; n += 16u)
        PANEL(1u)
    for (; n < end; n++)
        for (uint r = 0u; r < ROWS && m + r < rows; r++) {
            float sum = 0.0f;
            for (uint k = 0u; k < depth; k++)
                sum = fma(LD(a, A_AT(r, k)), LD(b, k * p.u[4] + p.u[9] + n), sum);
            PUT((m + r) * p.u[5] + p.u[7] + n, sum, n)
        }
#endif
}
TV_END
