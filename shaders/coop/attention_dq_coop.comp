// attention_dq_coop_*: attention_dq.k through KHR_cooperative_matrix.
// Slots and arguments as attention_dq.k; qkv, do and dqkv of the 16-bit type. Constants:
// attention_coop.h. Groups (T / ROWS, H, B), the longest first.
#version 460
#include "attention_coop.h"

SLOT(readonly, 0, uvec4, qkv)
SLOT(readonly, 1, uvec4, gradient)
SLOT(readonly, 2, float, lse)
SLOT(readonly, 3, float, delta)
SLOT(, 4, uvec4, dqkv)

void main()
{
    const uint time = p.u[1], heads = p.u[2], kv_heads = p.u[3];
    const uint head = gl_WorkGroupID.y, batch = gl_WorkGroupID.z;
    const uint row0 = (gl_NumWorkGroups.x - 1 - gl_WorkGroupID.x) * ROWS;
    const uint mine = row0 + gl_SubgroupID * MINE, my_numbers = gl_SubgroupID * MINE * 2;
    const uint pitch = (heads + 2 * kv_heads) * UNITS, start = batch * time * pitch;
    const uint k_at = start + (heads + head / (heads / kv_heads)) * UNITS;
    const uint v_at = k_at + kv_heads * UNITS, at = (batch * heads + head) * time;

    A_MATRIX q[PARTS * (D / FK)], g[PARTS * (D / FK)];
    LOAD_OWN(q, qkv, start + head * UNITS, pitch, mine)
    LOAD_OWN(g, gradient, (batch * time * heads + head) * UNITS, heads * UNITS, mine)
    for (uint i = gl_SubgroupInvocationID; i < MINE; i += LANES) {
        const bool inside = mine + i < time;
        numbers[my_numbers + i] = inside ? lse[at + min(mine + i, time - 1)] * LOG2_E : 0.0;
        numbers[my_numbers + MINE + i] = inside ? delta[at + min(mine + i, time - 1)] : 0.0;
    }
    subgroupBarrier();
    SUMS log_sum[PARTS], shift[PARTS], dq[PARTS * (D / FN)];
    [[unroll]] for (uint i = 0; i < PARTS; i++) {
        coopMatLoad(log_sum[i], numbers, my_numbers + i * FM, 0, BY_COLUMNS);
        coopMatLoad(shift[i], numbers, my_numbers + MINE + i * FM, 0, BY_COLUMNS);
    }
    [[unroll]] for (uint i = 0; i < PARTS * (D / FN); i++)
        dq[i] = SUMS(0.0);
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
                SUMS s[PARTS], ds[PARTS];
                [[unroll]] for (uint i = 0; i < PARTS; i++)
                    s[i] = ds[i] = SUMS(0.0);
                MULTIPLY_TURNED(s, q, 0, j)
                MULTIPLY_TURNED(ds, g, TILE, j)
                [[unroll]] for (uint i = 0; i < PARTS; i++) {
                    s[i] = s[i] * (p.f[0] * LOG2_E) - log_sum[i];
                    [[unroll]] for (uint e = 0; e < s[i].length(); e++)
                        s[i][e] = exp2(s[i][e]);
                    ds[i] = (ds[i] - shift[i]) * s[i] * p.f[0];
                    PUT_OWN(ds[i], i, j);
                }
            }
            round_own(-int(ROWS), int(mine) - int(key));
            ADD_PRODUCT(dq, 0)
        }
    }
    STORE_OWN(dq, dqkv, start + head * UNITS, pitch, mine, 1.0)
}
