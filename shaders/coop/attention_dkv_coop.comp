// attention_dkv_coop_*: attention_dkv.k through KHR_cooperative_matrix.
// Slots and arguments as attention_dkv.k; qkv, do and dqkv of the 16-bit type. Constants:
// attention_coop.h; a subgroup's rows are keys. Groups (T / ROWS, Hk, B), the longest first.
#version 460
#include "attention_coop.h"

SLOT(readonly, 0, uvec4, qkv)
SLOT(readonly, 1, uvec4, gradient)
SLOT(readonly, 2, float, lse)
SLOT(readonly, 3, float, delta)
SLOT(, 4, uvec4, dqkv)

const uint NUMBER_LOADS = (BLOCK + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;
#define FETCH_STEP(step)                                                                           \
    {                                                                                              \
        const uint head_ = kv_head * shared_by + (step) / blocks;                                  \
        const uint row_ = (step) < steps ? first + (step) % blocks * BLOCK : time;                 \
        FETCH(next_q, qkv, start + head_ * UNITS, pitch, row_, time)                               \
        FETCH(next_g, gradient, (batch * time * heads + head_) * UNITS, heads * UNITS, row_, time) \
        [[unroll]] for (uint i = 0; i < NUMBER_LOADS; i++) {                                       \
            next_numbers[i] = vec2(0.0);                                                           \
            if (UNIT(i) < BLOCK && row_ + UNIT(i) < time) {                                        \
                const uint at_ = (batch * heads + head_) * time + row_ + UNIT(i);                  \
                next_numbers[i] = vec2(lse[at_] * LOG2_E, delta[at_]);                             \
            }                                                                                      \
        }                                                                                          \
    }

void main()
{
    const uint time = p.u[1], heads = p.u[2], kv_heads = p.u[3], shared_by = heads / kv_heads;
    const uint kv_head = gl_WorkGroupID.y, batch = gl_WorkGroupID.z;
    const uint row0 = gl_WorkGroupID.x * ROWS, mine = row0 + gl_SubgroupID * MINE;
    const uint pitch = (heads + 2 * kv_heads) * UNITS, start = batch * time * pitch;
    const uint k_at = start + (heads + kv_head) * UNITS, v_at = k_at + kv_heads * UNITS;
    const uint first = row0 / BLOCK * BLOCK, blocks = (time - first + BLOCK - 1) / BLOCK;
    const uint steps = shared_by * blocks;

    A_MATRIX own_k[PARTS * (D / FK)], own_v[PARTS * (D / FK)];
    LOAD_OWN(own_k, qkv, k_at, pitch, mine)
    LOAD_OWN(own_v, qkv, v_at, pitch, mine)
    SUMS dk[PARTS * (D / FN)], dv[PARTS * (D / FN)];
    [[unroll]] for (uint i = 0; i < PARTS * (D / FN); i++)
        dk[i] = dv[i] = SUMS(0.0);
    uvec4 next_q[LOADS], next_g[LOADS];
    vec2 next_numbers[NUMBER_LOADS];
    FETCH_STEP(0)
    for (uint step = 0; step < steps; step++) {
        const uint row = first + step % blocks * BLOCK;
        barrier();
        KEEP(next_q, 0)
        KEEP(next_g, TILE)
        [[unroll]] for (uint i = 0; i < NUMBER_LOADS; i++)
            if (UNIT(i) < BLOCK) {
                numbers[UNIT(i)] = next_numbers[i].x;
                numbers[BLOCK + UNIT(i)] = next_numbers[i].y;
            }
        FETCH_STEP(step + 1)
        barrier();
        if (row + BLOCK > mine) { // else none of these queries see the subgroup's keys
            SUMS ds[PARTS * (BLOCK / FN)];
            [[unroll]] for (uint j = 0; j < BLOCK / FN; j++) {
                SUMS s[PARTS], d[PARTS], log_sum, shift;
                [[unroll]] for (uint i = 0; i < PARTS; i++)
                    s[i] = d[i] = SUMS(0.0);
                MULTIPLY_TURNED(s, own_k, 0, j * FN)
                MULTIPLY_TURNED(d, own_v, TILE, j * FN)
                coopMatLoad(log_sum, numbers, j * FN, 0, BY_ROWS);
                coopMatLoad(shift, numbers, BLOCK + j * FN, 0, BY_ROWS);
                [[unroll]] for (uint i = 0; i < PARTS; i++) {
                    s[i] = s[i] * (p.f[0] * LOG2_E) - log_sum;
                    [[unroll]] for (uint e = 0; e < s[i].length(); e++)
                        s[i][e] = exp2(s[i][e]);
                    ds[i * (BLOCK / FN) + j] = (d[i] - shift) * s[i] * p.f[0];
                    PUT_OWN(s[i], i, j * FN);
                }
            }
            const int seen = int(mine) - int(row); // the query that sees the first key
            round_own(seen, int(BLOCK));
            ADD_PRODUCT(dv, TILE)
            [[unroll]] for (uint i = 0; i < PARTS * (BLOCK / FN); i++)
                PUT_OWN(ds[i], i / (BLOCK / FN), i % (BLOCK / FN) * FN);
            round_own(seen, int(BLOCK));
            ADD_PRODUCT(dk, 0)
        }
    }
    STORE_OWN(dk, dqkv, k_at, pitch, mine, 1.0)
    STORE_OWN(dv, dqkv, v_at, pitch, mine, 1.0)
}
