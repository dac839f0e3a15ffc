// attention_coop_*: attention.k through KHR_cooperative_matrix.
// Slots and arguments as attention.k; qkv and o of the 16-bit type. Constants: attention_coop.h.
// Groups (T / ROWS, H, B), the longest first. Probabilities are rounded to the 16-bit type before
// they weigh the values. What they are relative to need not be the row's highest score: while that
// exceeds it by less than SLACK, outputs stay as they are, which saves most of the scaling.
#version 460
#include "attention_coop.h"

SLOT(readonly, 0, uvec4, qkv)
SLOT(, 1, uvec4, o)
SLOT(, 2, float, lse)
const float SLACK = 6.0; // of the logarithm to base 2

void main()
{
    const uint time = p.u[1], heads = p.u[2], kv_heads = p.u[3];
    const uint head = gl_WorkGroupID.y, batch = gl_WorkGroupID.z;
    const uint row0 = (gl_NumWorkGroups.x - 1 - gl_WorkGroupID.x) * ROWS;
    const uint mine = row0 + gl_SubgroupID * MINE, my_numbers = gl_SubgroupID * MINE;
    const uint pitch = (heads + 2 * kv_heads) * UNITS, start = batch * time * pitch;
    const uint k_at = start + (heads + head / (heads / kv_heads)) * UNITS;
    const uint v_at = k_at + kv_heads * UNITS;

    A_MATRIX q[PARTS * (D / FK)];
    LOAD_OWN(q, qkv, start + head * UNITS, pitch, mine)
    SUMS acc[PARTS * (D / FN)];
    [[unroll]] for (uint i = 0; i < PARTS * (D / FN); i++)
        acc[i] = SUMS(0.0);
    float high[TURNS], sum[TURNS];
    [[unroll]] for (uint turn = 0; turn < TURNS; turn++) {
        high[turn] = -1.0e30;
        sum[turn] = 0.0;
    }
    const uint end = min(row0 + ROWS, time);
    uvec4 next_k[LOADS], next_v[LOADS];
    FETCH(next_k, qkv, k_at, pitch, 0, end)
    FETCH(next_v, qkv, v_at, pitch, 0, end)
    for (uint key = 0; key < end; key += BLOCK) {
        barrier();
        KEEP(next_k, 0)
        KEEP(next_v, TILE)
        FETCH(next_k, qkv, k_at, pitch, key + BLOCK, end)
        FETCH(next_v, qkv, v_at, pitch, key + BLOCK, end)
        barrier();
        if (key < mine + MINE) { // else the subgroup's rows see none of these keys
            [[unroll]] for (uint j = 0; j < BLOCK; j += FN) {
                SUMS s[PARTS];
                [[unroll]] for (uint i = 0; i < PARTS; i++)
                    s[i] = SUMS(0.0);
                MULTIPLY_TURNED(s, q, 0, j)
                [[unroll]] for (uint i = 0; i < PARTS; i++)
                    PUT_OWN(s[i], i, j);
            }
            subgroupBarrier();
            uint grown = 0;
            [[unroll]] for (uint turn = 0; turn < TURNS; turn++) {
                const uint row = my_row(turn);
                const int last = int(mine + row) - int(key); // that the row sees of the block
                vec4 s[EIGHTS * 2];
                float top = -1.0e30;
                [[unroll]] for (uint i = 0; i < EIGHTS * 2; i++) {
                    const uint four = my_eight(i / 2) * 2 + i % 2;
                    s[i] = own4(row, four) * (p.f[0] * LOG2_E);
                    [[unroll]] for (uint e = 0; e < 4; e++) {
                        s[i][e] = int(four * 4 + e) <= last ? s[i][e] : -1.0e30;
                        top = max(top, s[i][e]);
                    }
                }
                [[unroll]] for (uint step = AT_ONCE; step < LANES; step *= 2)
                    top = max(top, subgroupShuffleXor(top, step));
                const bool grows = top > high[turn] + SLACK;
                const float shrink = grows ? exp2(high[turn] - top) : 1.0;
                grown |= uint(grows);
                high[turn] = grows ? top : high[turn];
                sum[turn] *= shrink;
                if (gl_SubgroupInvocationID < AT_ONCE)
                    numbers[my_numbers + row] = shrink;
                [[unroll]] for (uint i = 0; i < EIGHTS * 2; i++) {
                    s[i] = exp2(s[i] - high[turn]);
                    sum[turn] += s[i].x + s[i].y + s[i].z + s[i].w;
                }
                subgroupBarrier();
                [[unroll]] for (uint i = 0; i < EIGHTS; i++)
                    memory[scratch() + row * OWN_PITCH + my_eight(i)] =
                        pack8(s[i * 2], s[i * 2 + 1]);
            }
            subgroupBarrier();
            if (subgroupMax(grown) != 0 && key != 0) {
                [[unroll]] for (uint i = 0; i < PARTS; i++) {
                    SUMS shrink;
                    coopMatLoad(shrink, numbers, my_numbers + i * FM, 0, BY_COLUMNS);
                    [[unroll]] for (uint j = 0; j < D / FN; j++)
                        acc[i * (D / FN) + j] = acc[i * (D / FN) + j] * shrink;
                }
            }
            ADD_PRODUCT(acc, TILE)
        }
    }
    [[unroll]] for (uint turn = 0; turn < TURNS; turn++) {
        [[unroll]] for (uint step = AT_ONCE; step < LANES; step *= 2)
            sum[turn] += subgroupShuffleXor(sum[turn], step);
        const uint row = mine + my_row(turn);
        if (gl_SubgroupInvocationID < AT_ONCE && row < time)
            lse[(batch * heads + head) * time + row] = (high[turn] + log2(sum[turn])) / LOG2_E;
    }
    STORE_OWN(acc, o, (batch * time * heads + head) * UNITS, heads * UNITS, mine, 1.0 / sum[turn])
}
