// Models: each is its weights and a graph, nothing else. Models know nothing of ranks, precision or
// kernels. Weights carry the names of Hugging Face's checkpoints.
#ifndef TV_MODEL_MODEL_H
#define TV_MODEL_MODEL_H

#include "formats/model_config.h"
#include "graph/graph.h"

// Weights are placed with those that decay (rank 0) before those that do not, and so are their
// gradients, masters and moments.
enum { TV_WEIGHT_PARTS = 3, TV_WEIGHT_RANKS = 2 };

typedef enum tv_weight_init { TV_INIT_NORMAL, TV_INIT_ZEROS, TV_INIT_ONES } tv_weight_init;

// One tensor of a Hugging Face checkpoint: rows [first, first+rows) of a weight. Projections that
// are always computed together (query, key and value; gate and up) are one weight of several parts.
typedef struct tv_weight_part {
    const char *name;
    uint32_t first, rows;
} tv_weight_part;

struct tv_weight {
    tv_weight_part parts[TV_WEIGHT_PARTS];
    uint32_t part_count;
    tv_weight_init init;
    double std;  // of TV_INIT_NORMAL
    bool matrix; // a matrix in the checkpoint (rank 2), and subject to weight decay
    bool table;  // a matrix of which rows are looked up
};
typedef struct tv_weight tv_weight;

typedef struct tv_model {
    tv_model_config config;
    tv_graph *graph; // not owned
    bool training;   // weights have gradients
    tv_tensor **weights;
    size_t weight_count, weight_capacity;
    tv_tensor *embedding;  // [V,C]
    tv_tensor *head;       // [V,C], the embedding where tied
    tv_tensor *rope_table; // [positions, D] for models that rotate, else NULL
} tv_model;

// What a forward pass reads. R = batch * time.
typedef struct tv_model_inputs {
    uint32_t batch, time;
    tv_tensor *ids;     // [1,R]
    tv_tensor *order;   // [1,R] row numbers sorted by id; NULL without backward pass
    tv_tensor *step;    // [1,TV_STEP_WORDS]
    tv_tensor *samples; // [1,B]; NULL: no dropout
    uint32_t
        cache_rows; // positions that the key/value caches hold, 0: no caches (batch 1 with them)
} tv_model_inputs;

// Declares the weights in the graph, in its storage type, with float gradients if `training`. The
// configuration has been checked (tv_model_config_check) and knows its vocabulary.
tv_model *tv_model_create(tv_graph *graph, const tv_model_config *config, bool training);
void tv_model_destroy(tv_model **model);

// Appends a forward pass to the graph's current phase: the hidden states [R,C] before the head.
tv_tensor *tv_model_forward(tv_model *model, const tv_model_inputs *inputs);

// Parameters in all, a tied head counted once.
uint64_t tv_model_parameters(const tv_model *model);
// FLOP that training takes for each token at this sequence length: 6 for each weight of a matrix
// that multiplies, and 6 T C for causal attention (PaLM, arXiv 2204.02311, appendix B, halved for
// causality). Recomputation and the embedding lookup count nothing.
double tv_model_flops_per_token(const tv_model *model, uint32_t time);

// Fresh values of elements [first, first+count) of a weight: each is a pure function of (seed, the
// weight's place in the model, the element's in the weight).
void tv_model_init_weight(const tv_model *model, size_t index, uint64_t seed, uint64_t first,
                          size_t count, float *values);
// Values of the rope table.
void tv_model_fill_rope(const tv_model *model, float *values);

#endif
