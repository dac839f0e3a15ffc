// Cases: one table of ops, each row a graph built with the functions of graph/ops.h and a short
// double-precision reference of its forward pass. What is derived from a row: the forward result is
// compared with the reference, every input's gradient with central differences of the reference,
// and a second run with the first one bit by bit.
#ifndef TV_TESTS_OP_TABLE_H
#define TV_TESTS_OP_TABLE_H

#include "graph/graph.h"
#include "harness/harness.h"

enum { OP_LEAVES = 8, OP_OUTPUTS = 4, OP_SIZES = 8 };

// A tensor that the test fills. Floats of kind TV_FEED and TV_WEIGHT are differentiated.
typedef struct op_leaf {
    tv_tensor *tensor;
    size_t count;
    uint32_t *words;   // what is written to the device: unsigned integers or the bits of floats
    double *x;         // the floats' values: what references read and differences move
    uint32_t *prefill; // of a weight: what its gradient starts from
} op_leaf;

typedef enum op_check {
    OP_FORWARD,  // the op has no gradient
    OP_GRADIENT, // for a random cotangent of the first output
    OP_LOSS,     // the op makes its own gradient, of its sum times OP_LOSS_SCALE
    OP_FINITE,   // as OP_GRADIENT, but gradients need only be finite: differences would not do
    OP_LOSS_FINITE,
} op_check;

#define OP_LOSS_SCALE 0.5f

typedef struct op_case op_case;

typedef struct op_subject {
    const op_case *row;
    tv_graph *graph;
    tv_rng rng;
    op_leaf leaves[OP_LEAVES];
    uint32_t leaf_count;
    tv_tensor *outputs[OP_OUTPUTS];
    uint32_t output_count;
    tv_tensor *cotangent; // TV_FEED [as outputs[0]], NULL where there is none
    float *seed;          // its values
} op_subject;

struct op_case {
    tv_op op; // what the row is about
    op_check check;
    void (*build)(op_subject *s);
    void (*reference)(const op_subject *s, double *const *y); // writes every output
    uint32_t size[OP_SIZES];                                  // meaning: see the build function
    float spread;    // 0: inputs are normal; else their magnitudes range from 1e-3 to this
    float magnitude; // rms of the terms that cancel in results; 0: results are as large as terms
    bool exact;      // splitting launches does not change bits of the outputs
};

extern const op_case op_table[];
extern const size_t op_table_count;

// "ADD 3 17": the row's op and sizes.
void op_case_name(const op_case *row, char name[128]);

// Builds the row's graph with random leaves, and its backward pass where it has one.
void op_subject_init(op_subject *s, const op_case *row);
void op_subject_finish(op_subject *s);

// For build functions: adds a leaf with normal random values (TV_F32; spread as the row says) or
// zeros (TV_U32, to be filled by the caller). A weight gets a gradient with random values.
op_leaf *op_leaf_add(op_subject *s, tv_kind kind, tv_dtype dtype, uint32_t rows, uint32_t columns);
// The step block: seed, step 7, this position, OP_LOSS_SCALE, clip norm.
tv_tensor *op_step(op_subject *s, uint32_t position, float clip);
// Replaces values of a float leaf.
void op_leaf_set(op_leaf *leaf, size_t i, float value);

// What a run left in outputs and gradients. Gradients of leaves that have none are NULL.
typedef struct op_result {
    float *outputs[OP_OUTPUTS];
    float *gradients[OP_LEAVES];
    size_t dispatches; // that the plan took
} op_result;

// Plans and runs the subject twice. TV_EDATA if the two runs differ in any bit.
tv_err op_run(const op_subject *s, tv_device *device, op_result *result);
void op_result_finish(op_result *result);

// Compares a result with the reference and its differences. False after a line that says where.
bool op_result_check(const op_subject *s, const op_result *result);
// Whether the outputs are the same, bit by bit.
bool op_result_same(const op_subject *s, const op_result *a, const op_result *b);

#endif
