// References of ops in double precision, after the formulas in graph/ops.h and the kernels' first
// comments. Each reads the leaves in the order in which its build function (case_table.c) adds
// them.
#ifndef TV_CONFORMANCE_REFERENCE_H
#define TV_CONFORMANCE_REFERENCE_H

#include "conformance/case.h"

typedef void tv_reference(const tv_trial *t, double *const *y);

tv_reference tv_ref_add, tv_ref_gelu, tv_ref_swiglu, tv_ref_dropout, tv_ref_dropout_add,
    tv_ref_rope, tv_ref_posadd, tv_ref_embed, tv_ref_layernorm, tv_ref_rmsnorm, tv_ref_linear,
    tv_ref_batched, tv_ref_mlp, tv_ref_attention, tv_ref_attention_cached, tv_ref_loss,
    tv_ref_add_layernorm, tv_ref_add_rmsnorm;
// Ops without gradient.
tv_reference tv_ref_fill, tv_ref_copy, tv_ref_reduce_sum, tv_ref_sumsq, tv_ref_grad_norm,
    tv_ref_adamw, tv_ref_colsum, tv_ref_layernorm_partial, tv_ref_rmsnorm_partial,
    tv_ref_posadd_grad, tv_ref_embed_grad, tv_ref_norm_grad_add;

// One query of attention, over keys and values 0 to `last`, each `pitch` apart.
typedef struct tv_ref_query {
    const double *q, *k, *v;
    size_t pitch;
    uint32_t last, size;
} tv_ref_query;

// Of a row of ATTENTION's input, and a head.
tv_ref_query tv_ref_query_of(const tv_trial *t, uint32_t row, uint32_t head);
// p [last + 1] = the keys' probabilities. Returns the scores' logsumexp.
double tv_ref_probabilities(const tv_ref_query *query, double *p);

// The logits [V] of one row of LINEAR_CROSS_ENTROPY.
void tv_ref_logits(const tv_trial *t, uint32_t row, double *logits);

#endif
