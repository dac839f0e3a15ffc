// matmul_cm2_*: C = A B through NV_cooperative_matrix2, whose matrices belong to a whole group.
// Layouts, slots and arguments as matmul.k; a and b are of the 16-bit type, c of that type or
// float. Constants: 1 to 3 the tile's size in M, N and K, 4 the layout (TV_NT, ...) plus 4 where
// pitches and first columns go in eights, and the epilogue. Groups (N / tile, M / tile), numbered
// so that those at work together share rows of A and columns of B.
#version 460
#pragma use_vulkan_memory_model
#extension GL_NV_cooperative_matrix2 : require
#include "product.h"

layout(constant_id = 3) const uint TILE_K = 64;

SLOT(readonly, 0, T, a)
SLOT(readonly, 1, T, b)

float add_bias(const in uint row, const in uint column, const in float x, const in uint n0)
{
    uint n = min(n0 + column, p.u[1] - 1);
    return x + bias32[n];
}

float add_c16(const in uint row, const in uint column, const in float x, const in uint m0,
              const in uint n0)
{
    uint m = min(m0 + row, p.u[0] - 1), n = min(n0 + column, p.u[1] - 1);
    return x + float(c16[m * p.u[5] + p.u[7] + n]);
}

float gelu(const in uint row, const in uint column, const in float x) { return GELU(x); }

float times_slope(const in uint row, const in uint column, const in float x, const in uint m0,
                  const in uint n0)
{
    uint m = min(m0 + row, p.u[0] - 1), n = min(n0 + column, p.u[1] - 1);
    float v = get_other(m * p.u[5] + p.u[7] + n), s = LOGISTIC(v);
    return x * SLOPE(v, s);
}

#define CLAMP gl_CooperativeMatrixClampModeConstantNV
#define MATRIX(clamp, rows, columns, pitch)                                                        \
    setTensorLayoutStrideNV(                                                                       \
        setTensorLayoutDimensionNV(createTensorLayoutNV(2, clamp), rows, columns), pitch, 1)

// Steps along K; `clamp` says what a tile finds beyond the matrix.
#define STEPS(clamp, from, to)                                                                     \
    {                                                                                              \
        tensorLayoutNV<2, clamp> at =                                                              \
            LAYOUT % 4 == TN ? MATRIX(clamp, K, M, pa) : MATRIX(clamp, M, K, pa);                  \
        tensorLayoutNV<2, clamp> bt =                                                              \
            LAYOUT % 4 == NT ? MATRIX(clamp, N, K, pb) : MATRIX(clamp, K, N, pb);                  \
        [[dont_unroll]] for (uint k = from; k < to; k += TILE_K) {                                 \
            coopmat<T, gl_ScopeWorkgroup, TILE_M, TILE_K, gl_MatrixUseA> x;                        \
            coopmat<T, gl_ScopeWorkgroup, TILE_K, TILE_N, gl_MatrixUseB> y;                        \
            if (LAYOUT % 4 == TN)                                                                  \
                coopMatLoadTensorNV(x, a, oa, sliceTensorLayoutNV(at, k, TILE_K, m0, TILE_M),      \
                                    turned);                                                       \
            else                                                                                   \
                coopMatLoadTensorNV(x, a, oa, sliceTensorLayoutNV(at, m0, TILE_M, k, TILE_K));     \
            if (LAYOUT % 4 == NT)                                                                  \
                coopMatLoadTensorNV(y, b, ob, sliceTensorLayoutNV(bt, n0, TILE_N, k, TILE_K),      \
                                    turned);                                                       \
            else                                                                                   \
                coopMatLoadTensorNV(y, b, ob, sliceTensorLayoutNV(bt, k, TILE_K, n0, TILE_N));     \
            sum = coopMatMulAdd(x, y, sum);                                                        \
        }                                                                                          \
    }

// Writes sum, rounded where it goes to 16 bits, to c or other.
#define STORE(type, to32, to16)                                                                    \
    if (type == TV_TYPE_F32) {                                                                     \
        coopMatStoreTensorNV(sum, to32, p.u[7], ct);                                               \
    } else {                                                                                       \
        coopMatPerElementNV(rounding, sum, nearest_each);                                          \
        coopmat<T, gl_ScopeWorkgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator> rounded =           \
            coopmat<T, gl_ScopeWorkgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator>(rounding);      \
        coopMatStoreTensorNV(rounded, to16, p.u[7], ct);                                           \
    }

void main()
{
    const uint M = p.u[0], N = p.u[1], K = p.u[2];
    const bool eights = (LAYOUT & 4) != 0; // lets the compiler load 16 bytes at a time
    const uint pa = eights ? p.u[3] & ~7u : p.u[3], pb = eights ? p.u[4] & ~7u : p.u[4];
    const uint oa = eights ? p.u[8] & ~7u : p.u[8], ob = eights ? p.u[9] & ~7u : p.u[9];
    const uvec2 first = first_of_tile();
    const uint m0 = first.x, n0 = first.y;

    tensorViewNV<2, false, 1, 0> turned = createTensorViewNV(2, false, 1, 0);
    coopmat<float, gl_ScopeWorkgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator> sum =
        coopmat<float, gl_ScopeWorkgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator>(0.0);
    const bool inside = m0 + TILE_M <= M && n0 + TILE_N <= N;
    const uint whole = inside ? K - K % TILE_K : 0;
    STEPS(gl_CooperativeMatrixClampModeUndefinedNV, 0, whole)
    STEPS(CLAMP, whole, K)

    if ((p.u[6] & TV_MATMUL_BIAS) != 0 && BIAS_TYPE == TV_TYPE_F32) {
        coopMatPerElementNV(sum, sum, add_bias, n0);
    } else if ((p.u[6] & TV_MATMUL_BIAS) != 0) {
        // A row of ones times a matrix whose first row is the bias, and the others 0.
        coopmat<T, gl_ScopeWorkgroup, TILE_M, 16, gl_MatrixUseA> x =
            coopmat<T, gl_ScopeWorkgroup, TILE_M, 16, gl_MatrixUseA>(T(1.0));
        coopmat<T, gl_ScopeWorkgroup, 16, TILE_N, gl_MatrixUseB> y;
        coopMatLoadTensorNV(y, bias16, 0,
                            sliceTensorLayoutNV(MATRIX(CLAMP, 1, N, N), 0, 16, n0, TILE_N));
        sum = coopMatMulAdd(x, y, sum);
    }
    tensorLayoutNV<2, CLAMP> ct =
        sliceTensorLayoutNV(MATRIX(CLAMP, M, N, p.u[5]), m0, TILE_M, n0, TILE_N);
    coopmat<float, gl_ScopeWorkgroup, TILE_M, TILE_N, gl_MatrixUseAccumulator> rounding;
    if ((p.u[6] & TV_MATMUL_ACCUMULATE) != 0 && C_TYPE == TV_TYPE_F32) {
        coopMatLoadTensorNV(rounding, c32, p.u[7], ct);
        sum += rounding;
    } else if ((p.u[6] & TV_MATMUL_ACCUMULATE) != 0) {
        coopMatPerElementNV(sum, sum, add_c16, m0, n0);
    }
    if (EPILOGUE == TV_EPILOGUE_GELU)
        coopMatPerElementNV(sum, sum, gelu);
    if (EPILOGUE == TV_EPILOGUE_GELU_GRAD)
        coopMatPerElementNV(sum, sum, times_slope, m0, n0);
    STORE(C_TYPE, c32, c16)
    if (EPILOGUE == TV_EPILOGUE_GELU_KEEP) {
        coopMatPerElementNV(sum, sum, gelu);
        STORE(OTHER_TYPE, other32, other16)
    }
}
