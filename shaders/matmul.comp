// matmul_s8, matmul_s16: C = A B for software drivers whose subgroups have 8 or 16 lanes.
// variant s8: W=8 TILE=32
// variant s16: W=16 TILE=64
// Slots and arguments as matmul.k; operand.h and constants 1 and 3 say how A and B lie in memory.
// Groups (N / TILE, M / TILE, members) of exactly one subgroup, which has a tile in registers: no
// shared memory, no barrier. A lane has four columns of the tile; values of A, which all lanes
// need, are shuffled from a constant lane. Arrays are registers: every loop over them has constant
// bounds and is unrolled, but that of the store. Sums are single floats: lavapipe keeps vectors of
// them twice. It computes what is behind an `if`, too, unless a constant decides, and leaves only
// loops.
#extension GL_KHR_shader_subgroup_shuffle : require
#define TV_TEXEL
#include "tv.h"

TV_CONSTANT(1, ODD, 0)
TV_CONSTANT(3, LIES, 0)

TV_KERNEL(W)
    TV_IN4(0, a)
    TV_IN4(1, b)
    TV_INOUT(2, c)
    TV_IN4(3, bias)
TV_ARGS

#include "operand.h"
OPERAND(a, LIES % 4u, TV_ODD_A)
OPERAND(b, LIES / 4u, TV_ODD_B)
FOUR(c, TV_ODD_C)

// Where C of the group's member of a batch begins.
int c_first() { return int(p.u[7] + gl_WorkGroupID.z * p.u[0] * p.u[5]); }

// Columns n to n + 3 of row m of C. Only the last four columns can be fewer.
void store(int m, int n, vec4 v)
{
    const int M = int(p.u[0]), N = int(p.u[1]), to = m * int(p.u[5]) + c_first() + n;
    if ((ODD & TV_ODD_C) == 0u) {
        if (m < M && n < N)
            ST4(c, to / 4, v);
    } else {
        [[unroll]] for (int j = 0; j < 4; j++)
            if (m < M && n + j < N)
                ST(c, to + j, v[j]);
    }
}

void main()
{
    const int m0 = int(gl_WorkGroupID.y) * TILE, n0 = int(gl_WorkGroupID.x) * TILE;
    int a_at[4], b_at[4];
    float acc[4][TILE];
    const uint a_rows = LIES % 4u == TV_ACROSS_K ? p.u[2] : p.u[0];
    const uint b_rows = LIES / 4u == TV_ACROSS_K ? p.u[2] : p.u[1];
    find_a(m0, int(p.u[0]), int(p.u[3]), int(p.u[8] + gl_WorkGroupID.z * a_rows * p.u[3]), a_at);
    find_b(n0, int(p.u[1]), int(p.u[4]), int(p.u[9] + gl_WorkGroupID.z * b_rows * p.u[4]), b_at);
    [[unroll]] for (int i = 0; i < 4; i++)
        [[unroll]] for (int m = 0; m < TILE; m++)
            acc[i][m] = 0.0;
    for (int k = 0; k < int(p.u[2]); k += 4) {
        vec4 a[4], b[4];
        load_a(a_at, k, int(p.u[3]), a);
        load_b(b_at, k, int(p.u[4]), b);
        [[unroll]] for (int m = 0; m < TILE; m++) {
            const float x = subgroupShuffle(a[m % 4].x, m / 4);
            const float y = subgroupShuffle(a[m % 4].y, m / 4);
            const float z = subgroupShuffle(a[m % 4].z, m / 4);
            const float w = subgroupShuffle(a[m % 4].w, m / 4);
            [[unroll]] for (int i = 0; i < 4; i++) {
                acc[i][m] += b[i].x * x;
                acc[i][m] += b[i].y * y;
                acc[i][m] += b[i].z * z;
                acc[i][m] += b[i].w * w;
            }
        }
    }
    const int n = n0 + 4 * int(gl_LocalInvocationID.x), c_at = m0 * int(p.u[5]) + c_first() + n;
    const vec4 more = (p.u[6] & TV_MATMUL_BIAS) != 0u ? LD4(bias, n / 4) : vec4(0.0);
    // One copy of what stores a row: 64 of them take lavapipe most of a second for each pipeline.
    vec4 rows[TILE];
    [[unroll]] for (int m = 0; m < TILE; m++)
        rows[m] = vec4(acc[0][m], acc[1][m], acc[2][m], acc[3][m]);
    [[dont_unroll]] for (int m = 0; m < TILE; m++) {
        vec4 v = rows[m];
        [[dont_unroll]] for (uint once = 0u; once < (p.u[6] & TV_MATMUL_ACCUMULATE); once++)
            v += four_c(c_at + m * int(p.u[5]));
        store(m0 + m, n, v + more);
    }
}
