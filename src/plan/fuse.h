// Fusing: the graph as it is computed, whose products take over what would be done to their results
// next. An epilogue (TV_EPILOGUE_* in args.h) is attrs.epilogue of a MATMUL; it has a fourth input
// or a second output of the shape of its first. A DROPOUT has a fourth input, to which it adds.
//
// Environment: TRIVIUM_FUSE=0 leaves every node as it is, for tests and comparisons.
#ifndef TV_PLAN_FUSE_H
#define TV_PLAN_FUSE_H

#include "device/device.h"
#include "graph/graph.h"

typedef struct tv_fused {
    tv_graph graph; // of the nodes below; its tensors are those of the graph that was fused
    tv_node *nodes;
} tv_fused;

// What the graph becomes on a device of these capabilities. The graph must outlive it.
void tv_fuse(const tv_graph *graph, const tv_caps *caps, tv_fused *fused);
void tv_fused_finish(tv_fused *fused);

#endif
