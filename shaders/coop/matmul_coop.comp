// matmul_coop_*: C = A B through KHR_cooperative_matrix and tiles in shared memory.
// Layouts, slots and arguments as matmul.k; a and b are of the 16-bit type, c of that type or
// float. Constants: 1 and 2 the tile's size in M and N; 3 the device's matrix (M + 256 N + 65536 K)
// and, from bits 24 and 28 on, the subgroups of a group along M and N; 4 the layout (TV_NT, ...), 4
// where pitches and first columns go in eights, the step along K (a multiple of 16) and from bit 8
// on how many steps are on their way in registers; then the epilogue. Groups (N / tile, M / tile),
// numbered so that those at work together share rows of A and columns of B.
#version 460
#pragma use_vulkan_memory_model
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#include "product.h"

layout(constant_id = 3) const uint SHAPE = 0x22101010;
const uint FM = SHAPE & 255, FN = SHAPE >> 8 & 255, FK = SHAPE >> 16 & 255;
const uint SUBGROUPS_M = SHAPE >> 24 & 15, SUBGROUPS_N = SHAPE >> 28;
const uint MY_M = TILE_M / SUBGROUPS_M, MY_N = TILE_N / SUBGROUPS_N; // of a subgroup
const uint PARTS_M = MY_M / FM, PARTS_N = MY_N / FN;
const uint TILE_K = LAYOUT & 0xF0, DEPTH = LAYOUT >> 8 & 0xF;
const bool A_BY_K = LAYOUT % 4 == TN, B_BY_K = LAYOUT % 4 != NT, EIGHTS = (LAYOUT & 4) != 0;

#include "tiles.h"
shared float out_tile[SUBGROUPS_M * SUBGROUPS_N * FM * FN];

#define SUM coopmat<float, gl_ScopeSubgroup, FM, FN, gl_MatrixUseAccumulator>
const int BY_ROWS = gl_CooperativeMatrixLayoutRowMajor;
const int BY_COLUMNS = gl_CooperativeMatrixLayoutColumnMajor;
#define PLACE(by_k, row, k, pitch) (by_k ? (k) * pitch + (row) / 8 : (row) * pitch + (k) / 8)

// Adds the products of one step's tiles.
#define MULTIPLY                                                                                   \
    [[unroll]] for (uint k = 0; k < TILE_K; k += FK) {                                             \
        coopmat<T, gl_ScopeSubgroup, FM, FK, gl_MatrixUseA> x[PARTS_M];                            \
        [[unroll]] for (uint i = 0; i < PARTS_M; i++)                                              \
            coopMatLoad(x[i], tile_a, PLACE(A_BY_K, my_m + i * FM, k, A_PITCH), A_PITCH,           \
                        A_BY_K ? BY_COLUMNS : BY_ROWS);                                            \
        [[unroll]] for (uint j = 0; j < PARTS_N; j++) {                                            \
            coopmat<T, gl_ScopeSubgroup, FK, FN, gl_MatrixUseB> y;                                 \
            coopMatLoad(y, tile_b, PLACE(B_BY_K, my_n + j * FN, k, B_PITCH), B_PITCH,              \
                        B_BY_K ? BY_ROWS : BY_COLUMNS);                                            \
            [[unroll]] for (uint i = 0; i < PARTS_M; i++)                                          \
                sum[i * PARTS_N + j] = coopMatMulAdd(x[i], y, sum[i * PARTS_N + j]);               \
        }                                                                                          \
    }

void main()
{
    const uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x, part = gl_SubgroupID;
    const uint M = p.u[0], N = p.u[1], K = p.u[2], pa = p.u[3], pb = p.u[4];
    const uvec2 first = first_of_tile();
    const uint m0 = first.x, n0 = first.y;
    const uint my_m = part / SUBGROUPS_N * MY_M, my_n = part % SUBGROUPS_N * MY_N;
    SUM sum[PARTS_M * PARTS_N];
    [[unroll]] for (uint i = 0; i < PARTS_M * PARTS_N; i++)
        sum[i] = SUM(0.0);

    uvec4 next_a[DEPTH][A_MINE], next_b[DEPTH][B_MINE]; // steps on their way
    uint at_a[A_MINE], at_b[B_MINE];
    [[unroll]] for (uint i = 0; i < A_MINE; i++)
        at_a[i] = place(i * lanes + lane, A_UNITS, A_BY_K, m0, M, pa, p.u[8]);
    [[unroll]] for (uint i = 0; i < B_MINE; i++)
        at_b[i] = place(i * lanes + lane, B_UNITS, B_BY_K, n0, N, pb, p.u[9]);
    [[unroll]] for (uint f = 0; f < DEPTH; f++) {
        const uint k = f * TILE_K;
        FETCH_BOTH(f)
    }
    for (uint step = 0; step < K; step += DEPTH * TILE_K)
        [[unroll]] for (uint f = 0; f < DEPTH; f++) {
            const uint k = step + (f + DEPTH) * TILE_K;
            if (step + f * TILE_K < K) {
                barrier();
                PUT_DOWN(tile_a, next_a[f], A_MINE, A_UNITS, A_PITCH)
                PUT_DOWN(tile_b, next_b[f], B_MINE, B_UNITS, B_PITCH)
                FETCH_BOTH(f)
                barrier();
                MULTIPLY
            }
        }
    const bool whole = m0 + TILE_M <= p.u[0] && n0 + TILE_N <= p.u[1] && p.u[6] == 0 &&
                       EPILOGUE == TV_EPILOGUE_NONE;
    const uint at = part * FM * FN;
    [[unroll]] for (uint i = 0; i < PARTS_M * PARTS_N; i++) {
        const uint m = m0 + my_m + i / PARTS_N * FM, n = n0 + my_n + i % PARTS_N * FN;
        if (whole && C_TYPE == TV_TYPE_F32) {
            coopMatStore(sum[i], c32, m * p.u[5] + p.u[7] + n, p.u[5], BY_ROWS);
        } else {
            subgroupBarrier();
            coopMatStore(sum[i], out_tile, at, FN, BY_ROWS);
            subgroupBarrier();
            for (uint e = gl_SubgroupInvocationID; e < FM * FN; e += gl_SubgroupSize)
                put(m + e / FN, n + e % FN, out_tile[at + e]);
        }
    }
}
