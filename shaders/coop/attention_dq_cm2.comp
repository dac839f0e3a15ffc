// attention_dq_cm2_*: attention_dq.k through NV_cooperative_matrix2.
// Slots and arguments as attention_dq.k; qkv, do and dqkv of the 16-bit type. Constants and groups
// as attention_cm2.comp.
#version 460
#include "attention_cm2.h"

SLOT(readonly, 0, T, qkv)
SLOT(readonly, 1, T, gradient)
SLOT(readonly, 2, float, lse)
SLOT(readonly, 3, float, delta)
SLOT(, 4, T, dqkv)

float weight(const in uint i, const in uint j, const in float s, const in float log_sum)
{
    return exp2((s * p.f[0] - log_sum) * LOG2_E);
}
float mask(const in uint i, const in uint j, const in float x, const in uint row, const in uint key)
{
    return key + j <= row + i ? x : 0.0;
}

void main()
{
    const uint time = p.u[1], heads = p.u[2], kv_heads = p.u[3];
    const uint head = gl_WorkGroupID.y, batch = gl_WorkGroupID.z;
    const uint row = (gl_NumWorkGroups.x - 1 - gl_WorkGroupID.x) * ROWS;
    const uint pitch = (heads + 2 * kv_heads) * D, start = batch * time * pitch;
    const uint k_at = start + (heads + head / (heads / kv_heads)) * D, v_at = k_at + kv_heads * D;

    tensorViewNV<2, false, 1, 0> turned = createTensorViewNV(2, false, 1, 0);
    FRAGMENT(ROWS, D) q;
    FRAGMENT(ROWS, D) g;
    SUMS log_sum, shift, dq = SUMS(0.0);
    coopMatLoadTensorNV(q, qkv, start + head * D, AT(pitch, row, ROWS));
    coopMatLoadTensorNV(g, gradient, (batch * time * heads + head) * D, AT(heads * D, row, ROWS));
    coopMatLoadTensorNV(log_sum, lse, (batch * heads + head) * time, DOWN(row));
    coopMatLoadTensorNV(shift, delta, (batch * heads + head) * time, DOWN(row));
    const uint end = min(row + ROWS, time);
    [[dont_unroll]] for (uint key = 0; key < end; key += D) {
        BLOCK(D, D) k;
        BLOCK(D, D) v;
        coopMatLoadTensorNV(k, qkv, k_at, AT(pitch, key, D), turned);
        coopMatLoadTensorNV(v, qkv, v_at, AT(pitch, key, D), turned);
        SUMS s = coopMatMulAdd(q, k, SUMS(0.0));
        SUMS ds = coopMatMulAdd(g, v, SUMS(0.0)) - shift;
        coopMatPerElementNV(s, s, weight, log_sum);
        if (key + D > row)
            coopMatPerElementNV(s, s, mask, row, key);
        ds = ds * s * p.f[0];
        coopMatPerElementNV(ds, ds, nearest_each);
        coopMatLoadTensorNV(k, qkv, k_at, AT(pitch, key, D));
        dq = coopMatMulAdd(FRAGMENT(ROWS, D)(ds), k, dq);
    }
    coopMatPerElementNV(dq, dq, nearest_each);
    coopmat<T, gl_ScopeWorkgroup, ROWS, D, gl_MatrixUseAccumulator> rounded =
        coopmat<T, gl_ScopeWorkgroup, ROWS, D, gl_MatrixUseAccumulator>(dq);
    coopMatStoreTensorNV(rounded, dqkv, start + head * D, AT(pitch, row, ROWS));
}
