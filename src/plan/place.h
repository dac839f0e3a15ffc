// Placement: where each tensor lies. Persistent tensors follow one another; activations of one
// pass share an arena, each from its first node to its last, and so do stand-ins. Those on the host
// are placed in the same way, in blocks of their own.
#ifndef TV_PLAN_PLACE_H
#define TV_PLAN_PLACE_H

#include "base/error.h"
#include "device/device.h"
#include "graph/graph.h"
#include "plan/plan.h"

#define TV_NOT_PLACED UINT32_MAX

typedef struct tv_spot {
    uint32_t block; // TV_NOT_PLACED: no node uses the tensor
    uint64_t offset;
} tv_spot;

typedef struct tv_block {
    tv_kind kind;
    bool on_host;
    uint64_t size;
} tv_block;

typedef struct tv_placement {
    tv_spot *spots; // one per tensor, by id, and one for a scratch tensor of a plan's own
    tv_block *blocks;
    size_t block_count, block_capacity;
    tv_plan_memory memory;
} tv_placement;

// Blocks are at most 1 GiB or max_alloc, whichever is less; a larger tensor gets its own block.
// TV_EMEMORY names a tensor that exceeds max_alloc.
tv_err tv_place(const tv_graph *graph, uint64_t max_alloc, tv_placement *placement);
// A block of its own for an activation that all phases use one after the other; its id is the
// number of the graph's tensors. Without rows it gets no place.
void tv_place_scratch(tv_placement *placement, const tv_tensor *scratch);
void tv_placement_finish(tv_placement *placement);

#endif
