// References of ops in double precision, after the formulas in graph/ops.h and the kernels' first
// comments. Each reads the leaves in the order in which its build function (op_table.c) adds them.
#ifndef TV_TESTS_OP_REFERENCE_H
#define TV_TESTS_OP_REFERENCE_H

#include "harness/op_table.h"

typedef void op_reference(const op_subject *s, double *const *y);

op_reference ref_add, ref_gelu, ref_swiglu, ref_dropout, ref_rope, ref_posadd, ref_embed,
    ref_layernorm, ref_rmsnorm, ref_linear, ref_attention, ref_attention_cached, ref_loss;
// Ops without gradient.
op_reference ref_fill, ref_reduce_sum, ref_sumsq, ref_grad_norm, ref_adamw, ref_colsum,
    ref_layernorm_partial, ref_rmsnorm_partial, ref_posadd_grad, ref_embed_grad;

#endif
