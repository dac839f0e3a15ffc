// Offloading of activations: what the backward pass reads of a block's input waits for it in the
// host's memory.
#ifndef TV_GRAPH_OFFLOAD_H
#define TV_GRAPH_OFFLOAD_H

#include "graph/graph.h"

// Changes the current phase, whose backward pass starts with node `backward`: kept tensors
// (tv_tensor.kept) but the last one, which is used at once, are copied to the host's memory where
// they are made, and back in front of the first node of the backward pass that reads them. So each
// crosses the bus once in each direction, however often it is read.
void tv_graph_offload(tv_graph *graph, size_t backward);

#endif
