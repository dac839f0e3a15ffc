// Ops: one function per op that a model is written with. Each checks shapes, appends a node and
// returns its (first) output, a new activation. Shapes of wrong size are our own bug and abort.
#ifndef TV_GRAPH_OPS_H
#define TV_GRAPH_OPS_H

#include "graph/graph.h"

// x elsewhere, as an activation of its type. No gradient flows through it.
tv_tensor *tv_copy(tv_graph *graph, tv_tensor *x, const char *name);
// a + b, same shape.
tv_tensor *tv_add(tv_graph *graph, tv_tensor *a, tv_tensor *b);
// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): GELU in the form of GPT-2.
tv_tensor *tv_gelu(tv_graph *graph, tv_tensor *x);
// x [R,2F] = gate | up -> silu(gate) * up [R,F] (Shazeer, arXiv 2002.05202).
tv_tensor *tv_swiglu(tv_graph *graph, tv_tensor *x);
// Keeps each element with probability 1 - rate and scales it by 1 / (1 - rate). Which ones depends
// on the step block (seed, step), `samples` [1,B] (the number of each sequence) and `site` alone.
tv_tensor *tv_dropout(tv_graph *graph, tv_tensor *x, tv_tensor *step, tv_tensor *samples,
                      uint32_t site, float rate);
// Rotary positions on the first `rotated` heads of x [R, heads*D], half-split as in Hugging Face's
// Llama (Su et al., arXiv 2104.09864). table [positions, D]: cosines | sines.
tv_tensor *tv_rope(tv_graph *graph, tv_tensor *x, tv_tensor *table, tv_tensor *step, uint32_t time,
                   uint32_t rotated, uint32_t head_size);
// x [R,C] + table row of its position (row % time + position of the step block).
tv_tensor *tv_posadd(tv_graph *graph, tv_tensor *x, tv_tensor *table, tv_tensor *step,
                     uint32_t time);
// Rows of table [V,C] for ids [1,R] (u32, each below V). order [1,R]: row numbers sorted by id, for
// the gradient; NULL where none is wanted.
tv_tensor *tv_embed(tv_graph *graph, tv_tensor *ids, tv_tensor *table, tv_tensor *order);
// (x - mean) / sqrt(var + epsilon) * w + b over each row (Ba et al., arXiv 1607.06450).
tv_tensor *tv_layernorm(tv_graph *graph, tv_tensor *x, tv_tensor *w, tv_tensor *b, float epsilon);
// x / sqrt(mean(x^2) + epsilon) * w over each row (Zhang and Sennrich, arXiv 1910.07467).
tv_tensor *tv_rmsnorm(tv_graph *graph, tv_tensor *x, tv_tensor *w, float epsilon);
// The same of *x + h, which *x becomes: a residual connection and the norm behind it.
tv_tensor *tv_add_layernorm(tv_graph *graph, tv_tensor **x, tv_tensor *h, tv_tensor *w,
                            tv_tensor *b, float epsilon);
tv_tensor *tv_add_rmsnorm(tv_graph *graph, tv_tensor **x, tv_tensor *h, tv_tensor *w,
                          float epsilon);
// The node of one of these two as the norm alone, of a sum that is there.
tv_node tv_norm_of_sum(const tv_node *node);
// x [R,K] times w: TV_NT with w [N,K] (Linear) or TV_NN with w [K,N] (GPT-2's Conv1D), plus
// bias [1,N] unless NULL.
tv_tensor *tv_linear(tv_graph *graph, tv_tensor *x, tv_tensor *w, tv_tensor *bias,
                     tv_layout layout);
// C = A B for each of `batch` pairs of matrices, which follow one another along the rows of a and
// b, as their results do: TV_NT a [batch*M,K], b [batch*N,K]; TV_NN a [batch*M,K], b [batch*K,N];
// TV_TN a [batch*K,M], b [batch*K,N] -> [batch*M,N]. (Matrices that share one b are one tv_linear.)
tv_tensor *tv_matmul(tv_graph *graph, tv_tensor *a, tv_tensor *b, uint32_t batch, tv_layout layout);
// Causal attention. qkv [B*T, (H+2Hk)*D] = query | key | value heads -> [B*T, H*D]; the query head
// h reads key/value head h / (H/Hk). D must be a multiple of 4, at most 256. Scores are scaled by
// 1/sqrt(D).
tv_tensor *tv_attention(tv_graph *graph, tv_tensor *qkv, uint32_t batch, uint32_t heads,
                        uint32_t kv_heads, uint32_t head_size);
// The same for rows that follow what the caches hold: appends their keys and values at the position
// of the step block to k_cache and v_cache [positions, Hk*D], then attends to all up to their own.
tv_tensor *tv_attention_cached(tv_graph *graph, tv_tensor *qkv, tv_tensor *step, tv_tensor *k_cache,
                               tv_tensor *v_cache, uint32_t heads, uint32_t kv_heads,
                               uint32_t head_size);
// Negative log-likelihood of targets [1,R] (TV_IGNORE_TARGET: none) under softmax(x w^T), x [R,C],
// w [V,C] -> loss [1,R]. Logits exist for at most `chunk` rows at a time. With `backward` the
// gradient for x and w, times the loss scale of the step block, is made on the way.
tv_tensor *tv_linear_cross_entropy(tv_graph *graph, tv_tensor *x, tv_tensor *w, tv_tensor *targets,
                                   tv_tensor *step, uint32_t chunk, bool backward);
// sum [1,1] += all elements of x, in a fixed order. `sum` is a result or weight-like tensor.
void tv_reduce_sum_into(tv_graph *graph, tv_tensor *x, tv_tensor *sum, bool accumulate);
// Every element of x becomes value.
void tv_fill(tv_graph *graph, tv_tensor *x, float value);

// The global norm over gradients, with what AdamW needs to clip and to skip: stat
// [1,TV_STAT_WORDS].
void tv_grad_norm(tv_graph *graph, tv_tensor *const *gradients, size_t count, tv_tensor *step,
                  tv_tensor *stat);
// The same in two parts, for a norm over what several ranks hold: sum [1,1] becomes the sum of
// squares of what is held of each gradient as `like` [count] are sharded, or of all of it; and stat
// follows from the total of these sums.
void tv_grad_sumsq(tv_graph *graph, tv_tensor *const *gradients, tv_tensor *const *like,
                   size_t count, tv_tensor *sum);
void tv_grad_norm_of(tv_graph *graph, tv_tensor *total, tv_tensor *step, tv_tensor *stat);
// One AdamW update of w (Loshchilov and Hutter, arXiv 1711.05101); beta1, beta2, epsilon and
// weight_decay are taken from attrs, the learning rate from the step block. Where w has a master,
// that is updated and w becomes its rounded copy. Where m is sharded, so are v and the master, and
// what is held is updated. Weights without a master and moments that are
// TV_BF16 are rounded at random (shaders/adamw.k), keyed by the step block and attrs' site.
void tv_adamw(tv_graph *graph, tv_tensor *w, tv_tensor *m, tv_tensor *v, tv_tensor *stat,
              tv_tensor *step, const tv_attrs *attrs);

// A new activation in the graph, named after the op: in the graph's storage type, or as floats for
// statistics and sums.
tv_tensor *tv_activation(tv_graph *graph, uint32_t rows, uint32_t columns, const char *name);
tv_tensor *tv_statistic(tv_graph *graph, uint32_t rows, uint32_t columns, const char *name);

#endif
