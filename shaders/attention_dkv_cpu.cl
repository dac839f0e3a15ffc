// attention_dkv_cpu: attention_dkv.k for CPUs: a lane has 32 keys of a head, along vectors.
// Slots and arguments as attention_dkv.k. Groups (T / 32, Hk, B).
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
    uint start = batch * length, last = start + length - 1u, shared_by = heads / kv_heads;
    uint k4 = (heads + head) * QUADS, v4 = k4 + kv_heads * QUADS;

    float16 k[HEAD_SIZE * VECTORS], v[HEAD_SIZE * VECTORS];
    float16 dk[PITCH * VECTORS], dv[PITCH * VECTORS], s[BLOCK * VECTORS], ds[BLOCK * VECTORS];
    float queries[BLOCK * PITCH], gradients[BLOCK * PITCH];
    take_own(k, qkv, TV_TYPE_OF(qkv), start + first, last, pitch4, k4, p.f[0]);
    take_own(v, qkv, TV_TYPE_OF(qkv), start + first, last, pitch4, v4, 1.0f);
    for (uint i = 0u; i < PITCH * VECTORS; i++)
        dk[i] = dv[i] = F16S(0.0f);
    for (uint h = head * shared_by; h < (head + 1u) * shared_by; h++) {
        uint at = (batch * heads + h) * length;
        for (uint t = first; t < length; t += BLOCK) {
            take_block(queries, qkv, TV_TYPE_OF(qkv), start + t, last, pitch4, h * QUADS);
            take_block(gradients, gradient, TV_TYPE_OF(gradient), start + t, last, heads * QUADS,
                       h * QUADS);
            SCORES(s, queries, k)
            SCORES(ds, gradients, v)
            for (uint i = 0u; i < BLOCK * VECTORS; i++) {
                uint row = t + i / VECTORS, known = min(row, length - 1u);
                float16 weight = exp(s[i] - LD(lse, at + known));
                int16 seen = row >= rows_of(first, i % VECTORS) && (int16)(row < length ? -1 : 0);
                weight = select(F16S(0.0f), weight, seen);
                s[i] = weight;
                ds[i] = weight * (ds[i] - LD(delta, at + known)) * p.f[0];
            }
            GATHER(dv, F16S(1.0f), gradients, s)
            GATHER(dk, F16S(1.0f), queries, ds)
        }
    }
    give_own(dk, dqkv, TV_TYPE_OF(dqkv), start + first, last, pitch4, k4);
    give_own(dv, dqkv, TV_TYPE_OF(dqkv), start + first, last, pitch4, v4);
}
TV_END
