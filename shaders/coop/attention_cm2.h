// What the cooperative matrix kernels of attention share. A group has ROWS rows of one side of a
// head (queries, or keys for attention_dkv); the other side passes by in blocks of as many rows as
// the head has columns, so that scores and outputs have one shape.
#pragma use_vulkan_memory_model
#extension GL_NV_cooperative_matrix2 : require
#include "coop.h"

layout(constant_id = 1) const uint D = 64;
layout(constant_id = 2) const uint ROWS = 64;
const float LOG2_E = 1.44269504088896341;

#define CLAMP gl_CooperativeMatrixClampModeConstantNV
#define FRAGMENT(rows, columns) coopmat<T, gl_ScopeWorkgroup, rows, columns, gl_MatrixUseA>
#define BLOCK(rows, columns) coopmat<T, gl_ScopeWorkgroup, rows, columns, gl_MatrixUseB>
#define SUMS coopmat<float, gl_ScopeWorkgroup, ROWS, D, gl_MatrixUseAccumulator>
// Rows `row` on of a head, whose rows are `pitch` apart; beyond the sequence they are 0.
#define AT(pitch, row, rows)                                                                       \
    sliceTensorLayoutNV(                                                                           \
        setTensorLayoutStrideNV(                                                                   \
            setTensorLayoutDimensionNV(createTensorLayoutNV(2, CLAMP), p.u[1], D), (pitch), 1),    \
        row, rows, 0, D)
// A number for each row of the head as a matrix of equal columns (down) or of equal rows (across).
#define DOWN(row)                                                                                  \
    sliceTensorLayoutNV(                                                                           \
        setTensorLayoutStrideNV(                                                                   \
            setTensorLayoutDimensionNV(createTensorLayoutNV(2, CLAMP), p.u[1], D), 1, 0),          \
        row, ROWS, 0, D)
#define ACROSS(row)                                                                                \
    sliceTensorLayoutNV(                                                                           \
        setTensorLayoutStrideNV(                                                                   \
            setTensorLayoutDimensionNV(createTensorLayoutNV(2, CLAMP), ROWS, p.u[1]), 0, 1),       \
        0, ROWS, row, D)
