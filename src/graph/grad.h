// Gradients: appends the backward pass of what was built so far, one rule per op (ops.def).
#ifndef TV_GRAPH_GRAD_H
#define TV_GRAPH_GRAD_H

#include "graph/graph.h"

// Appends the nodes that compute, for `output` with gradient `seed` (NULL where the op makes its
// own gradient, as the loss does), the gradients of everything that it depends on in the current
// phase: weights' gradients are added to weight->gradient, other float tensors get a new
// tensor->gradient.
void tv_graph_backward(tv_graph *graph, tv_tensor *output, tv_tensor *seed);

#endif
