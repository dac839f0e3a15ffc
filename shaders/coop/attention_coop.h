// What the subgroup kernels of attention share. A group has ROWS rows of one side of a head
// (queries, or keys for attention_dkv), MINE for each subgroup; the other side passes by in blocks
// of BLOCK rows through shared memory. Nothing is known of how elements lie within a matrix: what
// goes by rows passes through the subgroup's scratch memory. Constants: 1 D; 2 BLOCK; 3 the
// device's matrix (M + 256 N + 65536 K) and from bit 24 on the subgroups of a group; 4 matrices
// that a subgroup has below each other. D and BLOCK are multiples of the matrix's sizes and of 8.
#pragma use_vulkan_memory_model
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "coop.h"

layout(constant_id = 1) const uint D = 64;
layout(constant_id = 2) const uint BLOCK = 32;
layout(constant_id = 3) const uint SHAPE = 0x04101010;
layout(constant_id = 4) const uint PARTS = 1;
const float LOG2_E = 1.44269504088896341;
const uint FM = SHAPE & 255, FN = SHAPE >> 8 & 255, FK = SHAPE >> 16 & 255, SUBGROUPS = SHAPE >> 24;
const uint LANES = gl_WorkGroupSize.x / SUBGROUPS; // of a subgroup
const uint MINE = PARTS * FM, ROWS = SUBGROUPS * MINE;

// Shared memory, in units of 16 bytes: two blocks, whose rows are one unit longer than they need,
// which spreads banks, and of each subgroup MINE rows of BLOCK floats, likewise. Two numbers for
// each row of the group or the block.
const uint UNITS = D / 8, PITCH = UNITS + 1, TILE = BLOCK * PITCH;
const uint OWN_PITCH = BLOCK / 4 + 1, OWN = MINE * OWN_PITCH;
shared uvec4 memory[2 * TILE + SUBGROUPS * OWN];
shared float numbers[2 * (ROWS > BLOCK ? ROWS : BLOCK)];

// Lanes share out the subgroup's rows: AT_ONCE rows at a time, each by SHARE lanes.
const uint AT_ONCE = LANES < MINE ? LANES : MINE, SHARE = LANES / AT_ONCE;
const uint TURNS = MINE / AT_ONCE, EIGHTS = BLOCK / 8 / SHARE; // of a row, for one lane

#define A_MATRIX coopmat<T, gl_ScopeSubgroup, FM, FK, gl_MatrixUseA>
#define B_MATRIX coopmat<T, gl_ScopeSubgroup, FK, FN, gl_MatrixUseB>
#define SUMS coopmat<float, gl_ScopeSubgroup, FM, FN, gl_MatrixUseAccumulator>
const int BY_ROWS = gl_CooperativeMatrixLayoutRowMajor;
const int BY_COLUMNS = gl_CooperativeMatrixLayoutColumnMajor;

// Floats of part i of the subgroup's rows, from column j on.
#define PUT_OWN(x, i, j)                                                                           \
    coopMatStore(x, memory, scratch() + (i) * FM * OWN_PITCH + (j) / 4, OWN_PITCH, BY_ROWS)

uint pack2(float x, float y)
{
#if BF16
    return floatBitsToUint(nearest(x)) >> 16 | (floatBitsToUint(nearest(y)) & 0xFFFF0000);
#else
    return packFloat2x16(f16vec2(x, y));
#endif
}
uvec4 pack8(vec4 a, vec4 b)
{
    return uvec4(pack2(a.x, a.y), pack2(a.z, a.w), pack2(b.x, b.y), pack2(b.z, b.w));
}

uint scratch() { return 2 * TILE + gl_SubgroupID * OWN; }
uint my_row(uint turn) { return gl_SubgroupInvocationID % AT_ONCE + turn * AT_ONCE; }
uint my_eight(uint i) { return gl_SubgroupInvocationID / AT_ONCE + i * SHARE; }
vec4 own4(uint row, uint four)
{
    return uintBitsToFloat(memory[scratch() + row * OWN_PITCH + four]);
}

// Rounds the floats in scratch memory to T, each row in its place. Of row i, columns first + i to
// last + i count; the others become 0.
void round_own(int first, int last)
{
    subgroupBarrier();
    [[unroll]] for (uint turn = 0; turn < TURNS; turn++) {
        const uint row = my_row(turn);
        uvec4 rounded[EIGHTS];
        [[unroll]] for (uint i = 0; i < EIGHTS; i++) {
            vec4 x[2] = {own4(row, my_eight(i) * 2), own4(row, my_eight(i) * 2 + 1)};
            [[unroll]] for (uint e = 0; e < 8; e++) {
                const int column = int(my_eight(i) * 8 + e) - int(row);
                x[e / 4][e % 4] = column >= first && column <= last ? x[e / 4][e % 4] : 0.0;
            }
            rounded[i] = pack8(x[0], x[1]);
        }
        subgroupBarrier();
        [[unroll]] for (uint i = 0; i < EIGHTS; i++)
            memory[scratch() + row * OWN_PITCH + my_eight(i)] = rounded[i];
    }
    subgroupBarrier();
}

// A block of a head's rows from `first` on, on its way in next[LOADS], and then at `at`; `from` and
// `pitch` in units. Rows from `end` on are 0.
const uint LOADS = (BLOCK * UNITS + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;
#define UNIT(i) (i * gl_WorkGroupSize.x + gl_LocalInvocationID.x)
#define FETCH(next, slot, from, pitch, first, end)                                                 \
    [[unroll]] for (uint i = 0; i < LOADS; i++) {                                                  \
        const uint row = first + UNIT(i) / UNITS;                                                  \
        next[i] = uvec4(0);                                                                        \
        if (UNIT(i) < BLOCK * UNITS && row < end)                                                  \
            next[i] = slot[from + row * (pitch) + UNIT(i) % UNITS];                                \
    }
#define KEEP(next, at)                                                                             \
    [[unroll]] for (uint i = 0; i < LOADS; i++)                                                    \
        if (UNIT(i) < BLOCK * UNITS)                                                               \
            memory[at + UNIT(i) / UNITS * PITCH + UNIT(i) % UNITS] = next[i];

// The subgroup's own rows, from `first` on, as A_MATRIX x[PARTS * D / FK]: of each part its D / FK.
const uint CHUNK = UNITS < BLOCK / 4 ? UNITS : BLOCK / 4;
#define LOAD_OWN(x, slot, from, pitch, first)                                                      \
    [[unroll]] for (uint c = 0; c < UNITS; c += CHUNK) {                                           \
        subgroupBarrier();                                                                         \
        for (uint e = gl_SubgroupInvocationID; e < MINE * CHUNK; e += LANES) {                     \
            const uint row = first + e / CHUNK, unit = c + e % CHUNK;                              \
            uvec4 v = uvec4(0);                                                                    \
            if (row < p.u[1] && unit < UNITS)                                                      \
                v = slot[from + row * (pitch) + unit];                                             \
            memory[scratch() + e / CHUNK * OWN_PITCH + e % CHUNK] = v;                             \
        }                                                                                          \
        subgroupBarrier();                                                                         \
        [[unroll]] for (uint k = c * 8; k < D && k < (c + CHUNK) * 8; k += FK)                     \
            [[unroll]] for (uint i = 0; i < PARTS; i++)                                            \
                coopMatLoad(x[i * (D / FK) + k / FK], memory,                                      \
                            scratch() + i * FM * OWN_PITCH + k / 8 - c, OWN_PITCH, BY_ROWS);       \
    }                                                                                              \
    subgroupBarrier();

// Writes SUMS x[PARTS * D / FN] to the subgroup's rows, from `first` on; row `turn` of a lane times
// `factor`.
#define STORE_OWN(x, slot, to, pitch, first, factor)                                               \
    [[unroll]] for (uint c = 0; c < D; c += BLOCK) {                                               \
        subgroupBarrier();                                                                         \
        [[unroll]] for (uint j = c; j < D && j < c + BLOCK; j += FN)                               \
            [[unroll]] for (uint i = 0; i < PARTS; i++)                                            \
                PUT_OWN(x[i * (D / FN) + j / FN], i, j - c);                                       \
        subgroupBarrier();                                                                         \
        [[unroll]] for (uint turn = 0; turn < TURNS; turn++)                                       \
            [[unroll]] for (uint i = 0; i < EIGHTS; i++) {                                         \
                const uint row = my_row(turn), unit = my_eight(i);                                 \
                if (first + row < p.u[1] && c / 8 + unit < UNITS)                                  \
                    slot[to + (first + row) * (pitch) + c / 8 + unit] =                            \
                        pack8(own4(row, unit * 2) * (factor), own4(row, unit * 2 + 1) * (factor)); \
            }                                                                                      \
    }

// out[PARTS] += x[PARTS * D / FK] times the block at `at`, turned, from its row j on: scores of the
// own rows with those.
#define MULTIPLY_TURNED(out, x, at, j)                                                             \
    [[unroll]] for (uint k = 0; k < D; k += FK) {                                                  \
        B_MATRIX y;                                                                                \
        coopMatLoad(y, memory, at + (j) * PITCH + k / 8, PITCH, BY_COLUMNS);                       \
        [[unroll]] for (uint i = 0; i < PARTS; i++)                                                \
            out[i] = coopMatMulAdd(x[i * (D / FK) + k / FK], y, out[i]);                           \
    }
// out[PARTS * D / FN] += the rounded matrix in scratch memory times the block at `at`.
#define ADD_PRODUCT(out, at)                                                                       \
    [[unroll]] for (uint k = 0; k < BLOCK; k += FK) {                                              \
        A_MATRIX w[PARTS];                                                                         \
        [[unroll]] for (uint i = 0; i < PARTS; i++)                                                \
            coopMatLoad(w[i], memory, scratch() + i * FM * OWN_PITCH + k / 8, OWN_PITCH, BY_ROWS); \
        [[unroll]] for (uint j = 0; j < D / FN; j++) {                                             \
            B_MATRIX y;                                                                            \
            coopMatLoad(y, memory, at + k * PITCH + j * FN / 8, PITCH, BY_ROWS);                   \
            [[unroll]] for (uint i = 0; i < PARTS; i++)                                            \
                out[i * (D / FN) + j] = coopMatMulAdd(w[i], y, out[i * (D / FN) + j]);             \
        }                                                                                          \
    }                                                                                              \
    subgroupBarrier();
