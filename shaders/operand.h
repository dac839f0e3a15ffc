// An input of the subgroup kernels (matmul.comp, pack.comp): how a lane reads its part of a tile.
//
// A tile has TILE = 4 W rows (of A) or columns (of B), and lane l has those at 4 l to 4 l + 3. Four
// elements along K are read at a time: HOW says how they lie in memory (TV_ALONG_K ...
// in args.h). The kernel has the constant ODD, bits TV_ODD_*, and p.u[2] is K.

// v at k to k + 3, with 0 beyond K.
vec4 within(vec4 v, int k)
{
    const bvec4 inside = lessThan(k + ivec4(0, 1, 2, 3), ivec4(int(p.u[2])));
    return (ODD & TV_ODD_K) == 0u ? v : mix(vec4(0.0), v, inside);
}

// Elements at to at + 3: a texel, or parts of two.
#define FOUR(slot, odd)                                                                            \
    vec4 four_##slot(int at)                                                                       \
    {                                                                                              \
        uint i = uint(at) / 4u, skip = uint(at) % 4u;                                              \
        vec4 v = LD4(slot, i);                                                                     \
        if ((ODD & odd) == 0u)                                                                     \
            return v;                                                                              \
        vec4 w = LD4(slot, i + 1u), v1 = vec4(v.yzw, w.x), v3 = vec4(v.w, w.xyz);                  \
        return skip == 0u ? v : skip == 1u ? v1 : skip == 2u ? vec4(v.zw, w.xy) : v3;              \
    }

// Where a lane's part begins, whose first row or column is `first` of `count`.
#define OPERAND(slot, HOW, odd)                                                                   \
    FOUR(slot, odd)                                                                                \
    void find_##slot(int first, int count, int pitch, int column, out int at[4])                   \
    {                                                                                              \
        const int lane = int(gl_LocalInvocationID.x), fours = (int(p.u[2]) + 3) / 4;               \
        [[unroll]] for (int i = 0; i < 4; i++)                                                     \
            if (HOW == TV_PACKED)                                                                 \
                at[i] = first * fours + lane + W * i;                                              \
            else if (HOW == TV_ALONG_K)                                                           \
                at[i] = min(first + 4 * lane + i, count - 1) * pitch + column;                     \
            else                                                                                   \
                at[i] = min(first + 4 * lane, count - 1) + column;                                 \
    }                                                                                              \
    void load_##slot(int at[4], int k, int pitch, out vec4 v[4])                                   \
    {                                                                                              \
        vec4 rows[4];                                                                              \
        [[unroll]] for (int i = 0; i < 4; i++)                                                     \
            if (HOW == TV_PACKED)                                                                 \
                v[i] = LD4(slot, at[i] + k * W);                                                   \
            else if (HOW == TV_ALONG_K)                                                           \
                v[i] = within(four_##slot(at[i] + k), k);                                          \
            else                                                                                   \
                rows[i] = four_##slot(at[i] + (k + i) * pitch);                                    \
        [[unroll]] for (int i = 0; i < 4; i++)                                                     \
            if (HOW == TV_ACROSS_K)                                                               \
                v[i] = within(vec4(rows[0][i], rows[1][i], rows[2][i], rows[3][i]), k);            \
    }
