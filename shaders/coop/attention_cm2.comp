// attention_cm2_*: attention.k through NV_cooperative_matrix2.
// Slots and arguments as attention.k; qkv and o of the 16-bit type. Constants: 1 D, a multiple of
// 16; 2 query rows of a group. Groups (T / rows, H, B), the longest first. Probabilities are
// rounded to the 16-bit type before they weigh the values, as in flash attention (Dao et al., arXiv
// 2205.14135).
#version 460
#include "attention_cm2.h"

SLOT(readonly, 0, T, qkv)
SLOT(, 1, T, o)
SLOT(, 2, float, lse)

float mask(const in uint i, const in uint j, const in float x, const in uint row, const in uint key)
{
    return key + j <= row + i ? x : -1.0e30;
}
float highest(const in float x, const in float y) { return max(x, y); }
float total(const in float x, const in float y) { return x + y; }
float higher(const in uint i, const in uint j, const in float x, const in float y)
{
    return max(x, y);
}
float power(const in uint i, const in uint j, const in float x, const in float high)
{
    return exp2(x - high);
}
float inverse(const in uint i, const in uint j, const in float x) { return 1.0 / x; }
float log_sum(const in uint i, const in uint j, const in float high, const in float sum)
{
    return (high + log2(sum)) / LOG2_E;
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
    coopMatLoadTensorNV(q, qkv, start + head * D, AT(pitch, row, ROWS));
    SUMS sum = SUMS(0.0), high = SUMS(-1.0e30), acc = SUMS(0.0);
    const uint end = min(row + ROWS, time);
    [[dont_unroll]] for (uint key = 0; key < end; key += D) {
        BLOCK(D, D) k;
        BLOCK(D, D) v;
        coopMatLoadTensorNV(k, qkv, k_at, AT(pitch, key, D), turned);
        coopMatLoadTensorNV(v, qkv, v_at, AT(pitch, key, D));
        SUMS s = coopMatMulAdd(q, k, SUMS(0.0)) * (p.f[0] * LOG2_E);
        if (key + D > row)
            coopMatPerElementNV(s, s, mask, row, key);
        SUMS top, shrink, more;
        coopMatReduceNV(top, s, gl_CooperativeMatrixReduceRowNV, highest);
        coopMatPerElementNV(top, top, higher, high);
        coopMatPerElementNV(shrink, high, power, top);
        coopMatPerElementNV(s, s, power, top);
        high = top;
        coopMatReduceNV(more, s, gl_CooperativeMatrixReduceRowNV, total);
        sum = sum * shrink + more;
        coopMatPerElementNV(s, s, nearest_each);
        acc = coopMatMulAdd(FRAGMENT(ROWS, D)(s), v, acc * shrink);
    }
    SUMS share;
    coopMatPerElementNV(share, sum, inverse);
    acc = acc * share;
    coopMatPerElementNV(acc, acc, nearest_each);
    coopmat<T, gl_ScopeWorkgroup, ROWS, D, gl_MatrixUseAccumulator> rounded =
        coopmat<T, gl_ScopeWorkgroup, ROWS, D, gl_MatrixUseAccumulator>(acc);
    coopMatStoreTensorNV(rounded, o, (batch * time * heads + head) * D, AT(heads * D, row, ROWS));
    coopMatPerElementNV(high, high, log_sum, sum);
    // Of the equal columns only the first lies inside of this layout.
    tensorLayoutNV<2, CLAMP> column = setTensorLayoutStrideNV(
        setTensorLayoutDimensionNV(createTensorLayoutNV(2, CLAMP), time, 1), 1, 1);
    coopMatStoreTensorNV(high, lse, (batch * heads + head) * time,
                         sliceTensorLayoutNV(column, row, ROWS, 0, D));
}
