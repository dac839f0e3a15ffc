// attention_dq_cpu: attention_dq.k for CPUs: a lane has 32 queries of a head, along vectors.
// Slots and arguments as attention_dq.k. Groups (T / 32, H, B).
#define TV_WIDE
#include "tv.h"
#include "attention_cpu.h"

TV_KERNEL(1)
    TV_IN4(0, qkv)
    TV_IN4(1, gradient)
    TV_IN(2, lse)
    TV_IN(3, delta)
    TV_OUT(4, dqkv)
TV_ARGS

TV_MAIN
{
    uint length = p.u[1], heads = p.u[2], kv_heads = p.u[3], head = TV_GROUP_Y, batch = TV_GROUP_Z;
    uint first = TV_GROUP_X * OWN, pitch4 = (heads + 2u * kv_heads) * QUADS;
    uint start = batch * length, last = start + length - 1u, end = min(first + OWN, length);
    uint k4 = (heads + head / (heads / kv_heads)) * QUADS, v4 = k4 + kv_heads * QUADS;
    uint at = (batch * heads + head) * length;

    float16 q[HEAD_SIZE * VECTORS], g[HEAD_SIZE * VECTORS], dq[PITCH * VECTORS];
    float16 s[BLOCK * VECTORS], ds[BLOCK * VECTORS], log_sum[VECTORS], shift[VECTORS];
    float keys[BLOCK * PITCH], values[BLOCK * PITCH];
    take_own(q, qkv, TV_TYPE_OF(qkv), start + first, last, pitch4, head * QUADS, p.f[0]);
    take_own(g, gradient, TV_TYPE_OF(gradient), start + first, last, heads * QUADS, head * QUADS,
             1.0f);
    take_statistic(log_sum, lse, TV_TYPE_OF(lse), at + first, at + length - 1u);
    take_statistic(shift, delta, TV_TYPE_OF(delta), at + first, at + length - 1u);
    for (uint i = 0u; i < PITCH * VECTORS; i++)
        dq[i] = F16S(0.0f);
    for (uint k = 0u; k < end; k += BLOCK) {
        take_block(keys, qkv, TV_TYPE_OF(qkv), start + k, last, pitch4, k4);
        take_block(values, qkv, TV_TYPE_OF(qkv), start + k, last, pitch4, v4);
        SCORES(s, keys, q)
        SCORES(ds, values, g)
        for (uint i = 0u; i < BLOCK * VECTORS; i++) {
            uint v = i % VECTORS;
            float16 weight = exp(s[i] - log_sum[v]);
            weight = select(F16S(0.0f), weight, k + i / VECTORS <= rows_of(first, v));
            ds[i] = weight * (ds[i] - shift[v]) * p.f[0];
        }
        GATHER(dq, F16S(1.0f), keys, ds)
    }
    give_own(dq, dqkv, TV_TYPE_OF(dqkv), start + first, last, pitch4, head * QUADS);
}
TV_END
