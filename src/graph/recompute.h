// Recomputation, also known as activation checkpointing: the backward pass computes again what it
// would else have to find in memory. The same nodes on the same inputs give the same values.
#ifndef TV_GRAPH_RECOMPUTE_H
#define TV_GRAPH_RECOMPUTE_H

#include "graph/graph.h"

// What is computed again, of what was built before the last kept tensor (tv_tensor.kept). Kept
// tensors are not; what stands behind the last one is used at once.
typedef enum tv_recompute {
    TV_RECOMPUTE_NONE,
    TV_RECOMPUTE_SELECTIVE, // what costs next to nothing: norms and activation functions
    TV_RECOMPUTE_BLOCK,     // everything
    TV_RECOMPUTE_COUNT
} tv_recompute;

const char *tv_recompute_name(tv_recompute mode);
// "none", "selective" or "block"; NONE for any other name.
tv_recompute tv_recompute_parse(const char *name);

// Changes the backward pass of the current phase, nodes [backward, node_count) that nothing else
// was added to: in front of each node there come copies of those that its inputs depend on, with
// outputs of their own, which it then reads. So the tensors of the forward pass end with it.
void tv_graph_recompute(tv_graph *graph, size_t backward, tv_recompute mode);

#endif
