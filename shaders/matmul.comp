// matmul_*_s8, matmul_*_s16: C = A B for software drivers whose subgroups have 8 or 16 lanes.
// variant nt_s8: NT=1 W=8 TILE=32
// variant nn_s8: NT=0 TN=0 W=8 TILE=32 ROWS=32
// variant tn_s8: NT=0 TN=1 W=8 TILE=32 ROWS=32
// variant nt_s16: NT=1 W=16 TILE=64
// variant nn_s16: NT=0 TN=0 W=16 TILE=64 ROWS=32
// variant tn_s16: NT=0 TN=1 W=16 TILE=64 ROWS=64
// Layouts, slots and arguments as matmul.k. Constant 1 says which rows do not go in fours: TV_ODD_*
// in args.h. Groups (N / TILE, M / TILE) of exactly one subgroup, which has a tile in registers, of
// TILE x TILE or ROWS x TILE at a time: no shared memory, no barrier. Each lane reads its part
// through texel buffers, and values that all lanes need are shuffled from a constant lane. Arrays
// are registers: every loop over them has constant bounds and is unrolled.
#extension GL_KHR_shader_subgroup_shuffle : require
#define TV_TEXEL
#include "tv.h"

TV_CONSTANT(1, ODD, 0)

TV_KERNEL(W)
    TV_IN4(0, a)
    TV_IN4(1, b)
    TV_INOUT(2, c)
    TV_IN4(3, bias)
TV_ARGS

const int PARTS = TILE / W; // rows or columns of a lane along one side of the tile

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
FOUR(a, TV_ODD_A)
FOUR(b, TV_ODD_B)
FOUR(c, TV_ODD_C)

// v at k to k + 3, with 0 beyond K.
vec4 within(vec4 v, int k)
{
    const bvec4 inside = lessThan(k + ivec4(0, 1, 2, 3), ivec4(int(p.u[2])));
    return (ODD & TV_ODD_K) == 0u ? v : mix(vec4(0.0), v, inside);
}

// Columns n to n + 3 of row m of C. Only the last four columns can be fewer.
void store(int m, int n, vec4 v)
{
    const int M = int(p.u[0]), N = int(p.u[1]), to = m * int(p.u[5]) + int(p.u[7]) + n;
    const bool fours = (ODD & TV_ODD_C) == 0u && n + 3 < N;
    if ((p.u[6] & TV_MATMUL_BIAS) != 0)
        v += LD4(bias, n / 4);
    if ((p.u[6] & TV_MATMUL_ACCUMULATE) != 0)
        v += four_c(to);
    if (m < M && fours)
        ST4(c, to / 4, v);
    [[unroll]] for (int j = 0; j < 4; j++)
        if (m < M && !fours && n + j < N)
            ST(c, to + j, v[j]);
}

#if NT
// A lane has rows of the tile, and all of its columns. Values of B come from the lane with its row.
void main()
{
    const int lane = int(gl_LocalInvocationID.x);
    const int m0 = int(gl_WorkGroupID.y) * TILE + lane, n0 = int(gl_WorkGroupID.x) * TILE;
    int a_at[PARTS], b_at[PARTS];
    float acc[PARTS][TILE];
    [[unroll]] for (int i = 0; i < PARTS; i++) {
        a_at[i] = min(m0 + W * i, int(p.u[0]) - 1) * int(p.u[3]) + int(p.u[8]);
        b_at[i] = min(n0 + lane + W * i, int(p.u[1]) - 1) * int(p.u[4]) + int(p.u[9]);
        [[unroll]] for (int n = 0; n < TILE; n++)
            acc[i][n] = 0.0;
    }
    for (int k = 0; k < int(p.u[2]); k += 4) {
        vec4 a[PARTS], b[PARTS];
        [[unroll]] for (int i = 0; i < PARTS; i++) {
            a[i] = within(four_a(a_at[i] + k), k);
            b[i] = within(four_b(b_at[i] + k), k);
        }
        [[unroll]] for (int n = 0; n < TILE; n++) {
            const float x = subgroupShuffle(b[n / W].x, n % W);
            const float y = subgroupShuffle(b[n / W].y, n % W);
            const float z = subgroupShuffle(b[n / W].z, n % W);
            const float w = subgroupShuffle(b[n / W].w, n % W);
            [[unroll]] for (int i = 0; i < PARTS; i++) {
                acc[i][n] += a[i].x * x;
                acc[i][n] += a[i].y * y;
                acc[i][n] += a[i].z * z;
                acc[i][n] += a[i].w * w;
            }
        }
    }
    [[unroll]] for (int i = 0; i < PARTS; i++)
        [[unroll]] for (int n = 0; n < TILE; n += 4)
            store(m0 + W * i, n0 + n, vec4(acc[i][n], acc[i][n + 1], acc[i][n + 2], acc[i][n + 3]));
}
#else
// A lane has four columns of the tile, ROWS rows at a time. Values of A come from the lane with
// that row (nn) or with those four rows (tn). Beyond K, A counts as 0 and B repeats its last row.
#if TN
#define SHARED_A(m, j) subgroupShuffle(a[j][m % 4], m / 4)
#else
#define SHARED_A(m, j) subgroupShuffle(a[m / W][j], m % W)
#endif
void multiply(int m0)
{
    const int lane = int(gl_LocalInvocationID.x), K = int(p.u[2]), b_pitch = int(p.u[4]);
    const int n0 = int(gl_WorkGroupID.x) * TILE + 4 * lane;
    const int b_at = min(n0, int(p.u[1]) - 1) + int(p.u[9]);
    int a_at[ROWS / W]; // tn: only the first
    [[unroll]] for (int i = 0; i < ROWS / W; i++)
        a_at[i] = int(p.u[8]) + (TN != 0 ? min(m0 + 4 * lane, int(p.u[0]) - 1)
                                         : min(m0 + W * i + lane, int(p.u[0]) - 1) * int(p.u[3]));
    vec4 acc[ROWS];
    [[unroll]] for (int m = 0; m < ROWS; m++)
        acc[m] = vec4(0.0);
    for (int k = 0; k < K; k += 4) {
        vec4 a[4], b[4];
        [[unroll]] for (int j = 0; j < 4; j++) {
            const int row = (ODD & TV_ODD_K) == 0u ? k + j : min(k + j, K - 1);
            b[j] = four_b(b_at + row * b_pitch);
#if TN
            a[j] = four_a(a_at[0] + row * int(p.u[3]));
            a[j] = row == k + j ? a[j] : vec4(0.0);
#else
            if (j < ROWS / W)
                a[j] = within(four_a(a_at[min(j, ROWS / W - 1)] + k), k);
#endif
        }
        [[unroll]] for (int m = 0; m < ROWS; m++)
            [[unroll]] for (int j = 0; j < 4; j++)
                acc[m] += SHARED_A(m, j) * b[j];
    }
    [[unroll]] for (int m = 0; m < ROWS; m++)
        store(m0 + m, n0, acc[m]);
}

void main()
{
    [[dont_unroll]] for (int m = 0; m < TILE; m += ROWS)
        multiply(int(gl_WorkGroupID.y) * TILE + m);
}
#endif
