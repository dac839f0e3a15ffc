// Graphs: the static description of what a device computes. A graph is a list of nodes in execution
// order over tensors; gradients are appended to it (grad.h), and a plan (plan/plan.h) turns it into
// memory and recorded programs. Nothing here touches a device.
//
// Legend for shapes: B batch, T time, R = B*T rows, C channels, H query heads, Hk key/value heads,
// D head size, F feed-forward width, V vocabulary.
#ifndef TV_GRAPH_GRAPH_H
#define TV_GRAPH_GRAPH_H

#include "base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Elements in device memory. Kernels compute in float, whatever the storage type.
typedef enum tv_dtype { TV_F32, TV_U32, TV_F16, TV_BF16 } tv_dtype;

// What a tensor is for; decides where it lives and how its bytes are reported.
typedef enum tv_kind {
    TV_WEIGHT,
    TV_MASTER,     // float copy of a 16-bit weight, which the optimizer updates
    TV_GRADIENT,   // of a weight; accumulates over the nodes that add to it
    TV_OPTIMIZER,  // moments
    TV_CONSTANT,   // written once by the host
    TV_CACHE,      // keys and values of generation
    TV_FEED,       // written by the host before a run
    TV_RESULT,     // small, read by the host after a run
    TV_ACTIVATION, // lives from its first to its last node; shares memory with others
    TV_KIND_COUNT
} tv_kind;

typedef struct tv_tensor tv_tensor;
typedef struct tv_node tv_node;

// Programs one after the other, both included.
typedef struct tv_span {
    uint32_t first, last; // phases
} tv_span;

// A tensor of which each rank of a run holds other elements, in rank order.
typedef struct tv_sharding {
    uint32_t ranks;
    const uint64_t *cuts; // [ranks + 1] rank r holds elements [cuts[r], cuts[r + 1])
    uint64_t first;       // of those that are held here
    tv_tensor *held;      // [1, their number]; NULL: none
} tv_sharding;

// A row-major matrix; a vector is one row.
struct tv_tensor {
    const char *name;
    uint32_t id; // index in the graph
    tv_dtype dtype;
    tv_kind kind;
    uint32_t rows, columns;
    uint32_t rank; // of tensors of a kind that persist: lower ones are placed first, 0 at first
    bool on_host;  // it lies in the host's memory, which kernels reach over the bus
    bool kept;     // of an activation: the backward pass finds it, and computes others again from
                   // it (recompute.h)
    uint32_t unit; // of a weight and its gradient: the part of the model that they belong to,
                   // whose weights are used together; 0: no such part
    const tv_span *span;         // of a stand-in (sections.h): it has memory then only. Else NULL
    tv_tensor *gradient;         // of a weight, or the gradient built so far by tv_graph_backward
    tv_tensor *master;           // of a weight: its float copy, NULL where the weight is its own
    const tv_sharding *sharding; // the tensor itself has then no memory and stands in no node
    const struct tv_weight *weight; // how a weight is named and initialised, else NULL
};

typedef enum tv_op {
#define OP(name, kernel, inputs, outputs, lower, gradient) TV_OP_##name,
#include "graph/ops.def"
#undef OP
    TV_OP_COUNT
} tv_op;

// Attributes of a node; an op uses those that its line in ops.def names.
typedef struct tv_attrs {
    uint32_t batch, time;              // B, T
    uint32_t heads, kv_heads;          // H, Hk
    uint32_t head_size;                // D
    uint32_t rotated;                  // heads that ROPE rotates
    uint32_t site;                     // which dropout in the model; AdamW: the number of the
                                       // weight's first four elements among those of all weights
    uint32_t layout;                   // of a matmul: tv_layout
    uint32_t epilogue;                 // of a matmul that a plan has fused: plan/fuse.h
    uint32_t valid;                    // columns that count (V of padded logits)
    uint32_t offset;                   // first column, or first element of a result
    uint32_t block;                    // rows that one row of partial sums covers
    uint64_t first, count;             // SUMSQ, ADAMW: elements of the gradient; 0, 0: all
    bool accumulate;                   // the output is added to
    bool backward;                     // ROPE: rotate back; LINEAR_CROSS_ENTROPY: gradients too
    float epsilon, scale, rate, value; // norm epsilon, attention scale, dropout rate, fill value
    float weight_decay;
    double beta1, beta2; // AdamW
} tv_attrs;

// C = A B with A [M,K] or transposed, B [K,N] or transposed.
typedef enum tv_layout {
    TV_NT, // B is stored [N,K]
    TV_NN,
    TV_TN, // A is stored [K,M]
} tv_layout;

enum { TV_NODE_INPUTS = 7, TV_NODE_OUTPUTS = 5 };

struct tv_node {
    tv_op op;
    uint32_t phase; // the program it belongs to
    tv_attrs attrs;
    tv_tensor *in[TV_NODE_INPUTS]; // NULL where an optional input is absent
    tv_tensor *out[TV_NODE_OUTPUTS];
};

// Tensors that the host waits for while a program runs on: see tv_graph_watch.
typedef struct tv_watch {
    uint32_t phase;
    tv_tensor **tensors;
    size_t count;
} tv_watch;

typedef struct tv_graph {
    tv_arena arena;
    tv_tensor **tensors;
    size_t tensor_count, tensor_capacity;
    tv_node **nodes;
    size_t node_count, node_capacity;
    tv_watch *watches;
    size_t watch_count, watch_capacity;
    uint32_t phase; // of nodes added next
    uint32_t phase_count;
    uint32_t *passes; // by phase: the first one of its pass
    size_t pass_capacity;
    uint32_t fresh;   // the phase whose gradients start afresh, counted from 1; 0: none
    tv_dtype storage; // of weights and of activations, except small statistics; TV_F32 at first
} tv_graph;

typedef struct tv_op_info {
    const char *name;   // as in ops.def
    const char *kernel; // "" where lowering chooses
    uint32_t inputs, outputs;
    const char *gradient; // its rule, "none" if its outputs carry no gradient
} tv_op_info;

tv_graph *tv_graph_create(void);
void tv_graph_destroy(tv_graph **graph); // and its nodes and tensors

// Nodes added from now on form another program. Activations do not survive from one program to the
// next; all other tensors do. It is a pass of its own. Returns its number, counted from 0; a new
// graph is in phase 0.
uint32_t tv_graph_new_phase(tv_graph *graph);

// The same, but of the same pass: its program runs right behind that of the current phase, whose
// activations survive.
uint32_t tv_graph_new_section(tv_graph *graph);

// Nodes of the current phase find the gradients of all weights to be 0, whatever they were before:
// nothing need clear them. For one phase. Those of sections always do.
void tv_graph_fresh_gradients(tv_graph *graph);

// The program of `phase` shall tell when it has written the last of these tensors, which persist.
// Returns the number of the watch, from 0, for tv_plan_wait_watch. The list is copied.
uint32_t tv_graph_watch(tv_graph *graph, uint32_t phase, tv_tensor *const *tensors, size_t count);

// A tensor that the host or a node fills. The name is copied.
tv_tensor *tv_graph_tensor(tv_graph *graph, tv_kind kind, tv_dtype dtype, uint32_t rows,
                           uint32_t columns, const char *name);
// NULL if there is none of that name.
tv_tensor *tv_graph_find(const tv_graph *graph, const char *name);

// Appends a node. `in` and `out` have as many entries as the op's line says.
tv_node *tv_graph_add(tv_graph *graph, tv_op op, const tv_attrs *attrs, tv_tensor *const *in,
                      tv_tensor *const *out);

// Takes the nodes from number `first` on out of the graph, for the caller to append them again, as
// they were or otherwise. Returns their list, which is the caller's to free; they stay the graph's.
tv_node **tv_graph_take(tv_graph *graph, size_t first, size_t *count);

const tv_op_info *tv_op_get_info(tv_op op);
uint32_t tv_dtype_bytes(tv_dtype dtype);
uint64_t tv_tensor_count(const tv_tensor *tensor); // elements
uint64_t tv_tensor_bytes(const tv_tensor *tensor);

#endif
