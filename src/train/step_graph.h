// The graph of training: what runs for each micro-batch, for each optimizer step and for
// validation, over one set of weights.
#ifndef TV_TRAIN_STEP_GRAPH_H
#define TV_TRAIN_STEP_GRAPH_H

#include "device/device.h"
#include "dist/buckets.h"
#include "formats/model_config.h"
#include "graph/graph.h"
#include "graph/recompute.h"
#include "graph/sections.h"
#include "model/model.h"
#include "train/precision.h"

// What each rank has only its own part of: each level that and what those before it have.
typedef enum tv_sharded {
    TV_SHARDED_NONE,
    TV_SHARDED_OPTIMIZER, // moments, and masters: a rank updates what it owns
    TV_SHARDED_GRADIENTS, // whole only behind the section that makes them
    TV_SHARDED_WEIGHTS,   // whole only around the sections that use them
} tv_sharded;

typedef struct tv_step_options {
    uint32_t batch, time; // of a micro-batch, and of a validation batch
    double beta1, beta2;
    float epsilon, weight_decay;
    tv_precision precision;
    tv_recompute recompute; // what the backward pass computes again instead of keeping it
    uint64_t logit_bytes;   // that may exist at a time: tv_logit_bytes; 0: 64 MiB
    tv_dtype moments;       // TV_F32 or TV_BF16: how the optimizer's state is stored
    bool single;            // every step has one micro-batch: there is no phase `micro`
    bool update; // false: a graph for validation only, without gradients and optimizer state
    uint32_t ranks, rank;  // of a run; 0 or 1: no gradients travel
    uint64_t bucket_bytes; // of gradients that travel together
    const double *shares;  // [ranks] see tv_buckets_create; NULL: equal ones
    tv_sharded sharded;
    bool offload_optimizer;   // the optimizer's state, masters included, lies in the host's memory
    bool offload_activations; // so do inputs of blocks until the backward pass reads them
} tv_step_options;

// After which program gradients travel.
typedef enum tv_pass { TV_PASS_FIRST, TV_PASS_MICRO, TV_PASS_ZERO, TV_PASSES } tv_pass;

typedef struct tv_step_graph {
    tv_graph *graph;
    tv_model *model;
    tv_step_options options;
    // Phases, to be run in this order: first for the first micro-batch, micro for each further one,
    // or zero where there is none; update. Eval stands by itself. All sum up losses, but for first,
    // zero and eval, which start anew.
    uint32_t zero, first, micro, update, eval;
    // Where gradients are sharded: zero, then the sections for every micro-batch, instead of first
    // and micro. Where weights are, too, validation runs in sections instead of eval.
    tv_sections training, validation;
    // Where the optimizer is sharded, norm comes before update: each rank finds the sum of squares
    // of its gradients, and the host feeds the total.
    uint32_t norm;
    // Feeds: see tv_model_inputs; targets [1,R].
    tv_tensor *ids, *targets, *order, *samples, *step;
    // Results: the sum of losses [1,1]; the gradient norm's statistics.
    tv_tensor *loss_sum, *stat;
    tv_tensor *square_sum,
        *square_total; // a result and a feed [1,1]; NULL where nothing is sharded
    tv_tensor **first_moments, **second_moments; // one per weight of the model
    tv_buckets *buckets; // of several ranks' gradients; NULL for one. Passes: enum tv_pass; where
                         // gradients are sharded, of units
    // Weights have a master (tensor->master) where the precision keeps them.
} tv_step_graph;

tv_step_graph *tv_step_graph_create(const tv_model_config *config, const tv_step_options *options);
void tv_step_graph_destroy(tv_step_graph **graph);

// Bytes of logits that may exist at a time on that device, for tv_step_options: 64 MiB, and on a
// GPU with much memory up to 1 GiB.
uint64_t tv_logit_bytes(const tv_device_info *info);

#endif
