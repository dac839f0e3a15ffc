// attention_cpu: attention.k for CPUs: a lane has 32 queries of a head, along vectors.
// Slots and arguments as attention.k. Groups (T / 32, H, B).
#define TV_WIDE
#include "tv.h"
#include "attention_cpu.h"

TV_KERNEL(1)
    TV_IN4(0, qkv)
    TV_OUT(1, o)
    TV_OUT(2, lse)
TV_ARGS

TV_MAIN
{
    uint length = p.u[1], heads = p.u[2], kv_heads = p.u[3], head = TV_GROUP_Y, batch = TV_GROUP_Z;
    uint first = TV_GROUP_X * OWN, pitch4 = (heads + 2u * kv_heads) * QUADS;
    uint start = batch * length, last = start + length - 1u, end = min(first + OWN, length);
    uint k4 = (heads + head / (heads / kv_heads)) * QUADS, v4 = k4 + kv_heads * QUADS;

    float16 q[HEAD_SIZE * VECTORS], acc[PITCH * VECTORS], s[BLOCK * VECTORS];
    float16 high[VECTORS], sum[VECTORS], keep[VECTORS];
    float block[BLOCK * PITCH];
    take_own(q, qkv, TV_TYPE_OF(qkv), start + first, last, pitch4, head * QUADS, p.f[0]);
    for (uint i = 0u; i < PITCH * VECTORS; i++)
        acc[i] = F16S(0.0f);
    for (uint v = 0u; v < VECTORS; v++) {
        high[v] = F16S(-1.0e30f);
        sum[v] = F16S(0.0f);
    }
    for (uint k = 0u; k < end; k += BLOCK) {
        take_block(block, qkv, TV_TYPE_OF(qkv), start + k, last, pitch4, k4);
        SCORES(s, block, q)
        TV_UNROLL for (uint v = 0u; v < VECTORS; v++) {
            float16 top = high[v], total = F16S(0.0f);
            for (uint j = 0u; j < BLOCK; j++) {
                float16 x = select(F16S(-1.0e30f), s[j * VECTORS + v], k + j <= rows_of(first, v));
                s[j * VECTORS + v] = x;
                top = max(top, x);
            }
            for (uint j = 0u; j < BLOCK; j++) {
                float16 weight = exp(s[j * VECTORS + v] - top);
                s[j * VECTORS + v] = weight;
                total += weight;
            }
            keep[v] = exp(high[v] - top);
            sum[v] = sum[v] * keep[v] + total;
            high[v] = top;
        }
        take_block(block, qkv, TV_TYPE_OF(qkv), start + k, last, pitch4, v4);
        GATHER(acc, keep[i_ % VECTORS], block, s)
    }
    for (uint d = 0u; d < HEAD_SIZE; d++)
        for (uint v = 0u; v < VECTORS; v++)
            acc[d * VECTORS + v] /= sum[v];
    give_own(acc, o, TV_TYPE_OF(o), start + first, last, heads * QUADS, head * QUADS);
    for (uint v = 0u; v < VECTORS; v++)
        high[v] += log(sum[v]);
    for (uint lane = 0u; lane < OWN && first + lane < length; lane++)
        ST(lse, (batch * heads + head) * length + first + lane, ((float *)high)[lane]);
}
TV_END
