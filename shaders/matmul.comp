// matmul_*_s8, matmul_*_s16: C = A B for software drivers whose subgroups have 8 or 16 lanes.
// variant nt_s8: NT=1 W=8 TILE=32
// variant nn_s8: NT=0 TN=0 W=8 TILE=32
// variant tn_s8: NT=0 TN=1 W=8 TILE=32
// variant nt_s16: NT=1 W=16 TILE=64
// variant nn_s16: NT=0 TN=0 W=16 TILE=64
// variant tn_s16: NT=0 TN=1 W=16 TILE=64
// Layouts, slots and arguments as matmul.k. Pitches and first columns must be multiples of 4, and
// for nt also K. Groups (N / TILE, M / TILE) of exactly one subgroup, which has a TILE x TILE tile
// in registers: no shared memory, no barrier. Each lane reads its part through texel buffers, and
// values that all lanes need are shuffled from a constant lane. Arrays are registers: every loop
// over them has constant bounds and is unrolled.
#extension GL_KHR_shader_subgroup_shuffle : require
#define TV_TEXEL
#include "tv.h"

TV_KERNEL(W)
    TV_IN4(0, a)
    TV_IN4(1, b)
    TV_INOUT(2, c)
    TV_IN4(3, bias)
TV_ARGS

const int PARTS = TILE / W; // rows or columns of a lane along one side of the tile

// Columns n to n + 3 of row m of C. Only the last four columns can be fewer.
void store(int m, int n, vec4 v)
{
    const int M = int(p.u[0]), N = int(p.u[1]), to = m * int(p.u[5]) + int(p.u[7]) + n;
    if ((p.u[6] & TV_MATMUL_BIAS) != 0)
        v += LD4(bias, n / 4);
    if ((p.u[6] & TV_MATMUL_ACCUMULATE) != 0)
        v += LD4(c, to / 4);
    if (m < M && n + 3 < N)
        ST4(c, to / 4, v);
    if (m < M && n + 3 >= N) {
        [[unroll]] for (int j = 0; j < 3; j++)
            if (n + j < N)
                ST(c, to + j, v[j]);
    }
}

#if NT
// A lane has rows of the tile, and all of its columns. Values of B come from the lane with that row
// of B. `at` values are texel indices.
void main()
{
    const int lane = int(gl_LocalInvocationID.x);
    const int m0 = int(gl_WorkGroupID.y) * TILE + lane, n0 = int(gl_WorkGroupID.x) * TILE;
    int a_at[PARTS], b_at[PARTS];
    float acc[PARTS][TILE];
    [[unroll]] for (int i = 0; i < PARTS; i++) {
        a_at[i] = (min(m0 + W * i, int(p.u[0]) - 1) * int(p.u[3]) + int(p.u[8])) / 4;
        b_at[i] = (min(n0 + lane + W * i, int(p.u[1]) - 1) * int(p.u[4]) + int(p.u[9])) / 4;
        [[unroll]] for (int n = 0; n < TILE; n++)
            acc[i][n] = 0.0;
    }
    for (int k = 0; k < int(p.u[2]) / 4; k++) {
        vec4 a[PARTS], b[PARTS];
        [[unroll]] for (int i = 0; i < PARTS; i++) {
            a[i] = LD4(a, a_at[i] + k);
            b[i] = LD4(b, b_at[i] + k);
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
// A lane has four columns of the tile, and all of its rows. Values of A come from the lane with
// that row (nn) or with those four rows (tn). Beyond K, A counts as 0 and B repeats its last row.
#if TILE != 4 * W
#error "a lane has four columns"
#endif
void main()
{
    const int lane = int(gl_LocalInvocationID.x), K = int(p.u[2]), b_pitch = int(p.u[4] / 4);
    const int m0 = int(gl_WorkGroupID.y) * TILE, n0 = int(gl_WorkGroupID.x) * TILE + 4 * lane;
    const int b_at = (min(n0, int(p.u[1]) - 1) + int(p.u[9])) / 4;
#if TN
    const int a_at = (min(m0 + 4 * lane, int(p.u[0]) - 1) + int(p.u[8])) / 4;
    const int a_pitch = int(p.u[3] / 4);
#else
    int a_at[4];
    [[unroll]] for (int i = 0; i < 4; i++)
        a_at[i] = (min(m0 + W * i + lane, int(p.u[0]) - 1) * int(p.u[3]) + int(p.u[8])) / 4;
#endif
    vec4 acc[TILE];
    [[unroll]] for (int m = 0; m < TILE; m++)
        acc[m] = vec4(0.0);
    for (int k = 0; k < K; k += 4) {
        vec4 a[4], b[4];
        [[unroll]] for (int j = 0; j < 4; j++) {
            b[j] = LD4(b, b_at + min(k + j, K - 1) * b_pitch);
#if TN
            a[j] = LD4(a, a_at + min(k + j, K - 1) * a_pitch);
            a[j] = k + j < K ? a[j] : vec4(0.0);
#else
            a[j] = LD4(a, a_at[j] + k / 4);
            a[j] = mix(vec4(0.0), a[j], lessThan(k + ivec4(0, 1, 2, 3), ivec4(K)));
#endif
        }
        [[unroll]] for (int m = 0; m < TILE; m++)
            [[unroll]] for (int j = 0; j < 4; j++) {
#if TN
                acc[m] += subgroupShuffle(a[j][m % 4], m / 4) * b[j];
#else
                acc[m] += subgroupShuffle(a[m / W][j], m % W) * b[j];
#endif
            }
    }
    [[unroll]] for (int m = 0; m < TILE; m++)
        store(m0 + m, n0, acc[m]);
}
#endif
