// attention_dkv_cm2_*: attention_dkv.k through NV_cooperative_matrix2.
// Slots and arguments as attention_dkv.k; qkv, do and dqkv of the 16-bit type. Constants: 1 D, a
// multiple of 16; 2 key rows of a group. Groups (T / rows, Hk, B), the longest first.
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
float mask(const in uint i, const in uint j, const in float x, const in uint key, const in uint row)
{
    return key + i <= row + j ? x : 0.0;
}

void main()
{
    const uint time = p.u[1], heads = p.u[2], kv_heads = p.u[3], shared_by = heads / kv_heads;
    const uint kv_head = gl_WorkGroupID.y, batch = gl_WorkGroupID.z, key = gl_WorkGroupID.x * ROWS;
    const uint pitch = (heads + 2 * kv_heads) * D, start = batch * time * pitch;
    const uint k_at = start + (heads + kv_head) * D, v_at = k_at + kv_heads * D;

    tensorViewNV<2, false, 1, 0> turned = createTensorViewNV(2, false, 1, 0);
    FRAGMENT(ROWS, D) k;
    FRAGMENT(ROWS, D) v;
    SUMS dk = SUMS(0.0), dv = SUMS(0.0);
    coopMatLoadTensorNV(k, qkv, k_at, AT(pitch, key, ROWS));
    coopMatLoadTensorNV(v, qkv, v_at, AT(pitch, key, ROWS));
    const uint first = key / D * D;
    for (uint head = kv_head * shared_by; head < (kv_head + 1) * shared_by; head++) {
        const uint q_at = start + head * D, g_at = (batch * time * heads + head) * D;
        const uint at = (batch * heads + head) * time;
        [[dont_unroll]] for (uint row = first; row < time; row += D) {
            BLOCK(D, D) q;
            BLOCK(D, D) g;
            SUMS log_sum, shift;
            coopMatLoadTensorNV(log_sum, lse, at, ACROSS(row));
            coopMatLoadTensorNV(shift, delta, at, ACROSS(row));
            coopMatLoadTensorNV(q, qkv, q_at, AT(pitch, row, D), turned);
            coopMatLoadTensorNV(g, gradient, g_at, AT(heads * D, row, D), turned);
            SUMS s = coopMatMulAdd(k, q, SUMS(0.0));
            SUMS ds = coopMatMulAdd(v, g, SUMS(0.0)) - shift;
            coopMatPerElementNV(s, s, weight, log_sum);
            if (row < key + ROWS)
                coopMatPerElementNV(s, s, mask, key, row);
            ds = ds * s * p.f[0];
            coopMatPerElementNV(s, s, nearest_each);
            coopMatPerElementNV(ds, ds, nearest_each);
            coopMatLoadTensorNV(g, gradient, g_at, AT(heads * D, row, D));
            dv = coopMatMulAdd(FRAGMENT(ROWS, D)(s), g, dv);
            coopMatLoadTensorNV(q, qkv, q_at, AT(pitch, row, D));
            dk = coopMatMulAdd(FRAGMENT(ROWS, D)(ds), q, dk);
        }
    }
    coopMatPerElementNV(dk, dk, nearest_each);
    coopMatPerElementNV(dv, dv, nearest_each);
    coopmat<T, gl_ScopeWorkgroup, ROWS, D, gl_MatrixUseAccumulator> rounded =
        coopmat<T, gl_ScopeWorkgroup, ROWS, D, gl_MatrixUseAccumulator>(dk);
    coopMatStoreTensorNV(rounded, dqkv, k_at, AT(pitch, key, ROWS));
    rounded = coopmat<T, gl_ScopeWorkgroup, ROWS, D, gl_MatrixUseAccumulator>(dv);
    coopMatStoreTensorNV(rounded, dqkv, v_at, AT(pitch, key, ROWS));
}
