// Cases: one table of ops, each row a graph built with the functions of graph/ops.h and a short
// double-precision reference of its forward pass. A trial is a row in one storage type. What is
// derived from a row (judge.h): the forward result is compared with the reference, every input's
// gradient with central differences of the reference, and a second run with the first one bit by
// bit.
#ifndef TV_CONFORMANCE_CASE_H
#define TV_CONFORMANCE_CASE_H

#include "base/error.h"
#include "base/rng.h"
#include "device/device.h"
#include "graph/graph.h"

enum { TV_CASE_LEAVES = 8, TV_CASE_OUTPUTS = 4, TV_CASE_SIZES = 8 };

// A tensor that the trial fills. Floats of kind TV_FEED and TV_WEIGHT are differentiated, but for
// statistics (TV_F32 where the trial's storage type is another).
typedef struct tv_leaf {
    tv_tensor *tensor;
    size_t count;
    uint32_t *words; // of unsigned integers, else NULL
    double *x;       // of floats: values of the tensor's type; what differences move. Else NULL
    float *prefill;  // of a weight: what its gradient starts from
} tv_leaf;

typedef enum tv_case_check {
    TV_CASE_FORWARD,  // the op has no gradient
    TV_CASE_GRADIENT, // for a random cotangent of the first output
    TV_CASE_LOSS,     // the op makes its own gradient, of its sum times TV_CASE_LOSS_SCALE
    TV_CASE_FINITE,   // as GRADIENT, but gradients need only be finite: differences would not do
    TV_CASE_LOSS_FINITE,
} tv_case_check;

#define TV_CASE_LOSS_SCALE 0.5f

typedef struct tv_trial tv_trial;

typedef struct tv_case {
    tv_op op; // what the row is about
    tv_case_check check;
    void (*build)(tv_trial *t);
    void (*reference)(const tv_trial *t, double *const *y); // writes every output
    uint32_t size[TV_CASE_SIZES];                           // meaning: see the build function
    float spread;    // 0: inputs are normal; else their magnitudes range from 1e-3 to this
    float magnitude; // rms of the terms that cancel in results; 0: results are as large as terms
    bool exact;      // splitting launches does not change bits of the outputs
} tv_case;

extern const tv_case tv_cases[];
extern const size_t tv_case_count;

// "ADD 3 17": the row's op and sizes.
void tv_case_name(const tv_case *row, char name[128]);

// The storage types that every row runs in, and their names in reports: "f32", "f16", "bf16".
enum { TV_STORAGE_COUNT = 3 };
extern const tv_dtype tv_storages[TV_STORAGE_COUNT];
const char *tv_dtype_name(tv_dtype dtype);

// Half the distance between 1 and the next value of the type: what rounding to nearest may lose.
double tv_rounding(tv_dtype dtype);
// The value of the type that is nearest to `value` (ties to even).
float tv_round_to(tv_dtype dtype, float value);
// The distance between values of the type that are as large as `value`: one unit in the last place.
// Never less than that of subnormal values.
double tv_ulp(tv_dtype dtype, double value);

struct tv_trial {
    const tv_case *row;
    tv_dtype storage;
    tv_graph *graph;
    tv_rng rng;
    tv_leaf leaves[TV_CASE_LEAVES];
    uint32_t leaf_count;
    tv_tensor *outputs[TV_CASE_OUTPUTS];
    uint32_t output_count;
    tv_tensor *cotangent; // TV_FEED [as outputs[0]], NULL where there is none
    float *seed;          // its values, of outputs[0]'s type
};

// Builds the row's graph with random leaves, and its backward pass where it has one.
void tv_trial_init(tv_trial *t, const tv_case *row, tv_dtype storage);
void tv_trial_finish(tv_trial *t);
bool tv_trial_differentiates(const tv_trial *t, uint32_t leaf);

// For build functions: adds a leaf with normal random values (spread as the row says; rounded to
// dtype) or zeros (TV_U32, to be filled by the caller). A weight gets a float gradient with random
// values.
tv_leaf *tv_trial_leaf(tv_trial *t, tv_kind kind, tv_dtype dtype, uint32_t rows, uint32_t columns);
// The step block: seed, step 7, this position, TV_CASE_LOSS_SCALE, clip norm, 3/8 to unscale.
tv_tensor *tv_trial_step(tv_trial *t, uint32_t position, float clip);
// Replaces a value of a float leaf; it is rounded to the leaf's type.
void tv_leaf_set(tv_leaf *leaf, size_t i, float value);

// What a run left in outputs and gradients. Gradients of leaves that have none are NULL.
typedef struct tv_trial_result {
    float *outputs[TV_CASE_OUTPUTS];
    float *gradients[TV_CASE_LEAVES];
    size_t dispatches; // that the plan took
    bool matrix_units; // where attention rounds what it multiplies: see stored.c
} tv_trial_result;

// Plans and runs the trial twice. TV_EDATA if the two runs differ in any bit. *result needs
// tv_trial_result_finish, also on failure.
tv_err tv_trial_run(const tv_trial *t, tv_device *device, tv_trial_result *result);
void tv_trial_result_finish(tv_trial_result *result);

// Whether outputs, or gradients, of two runs are the same, bit by bit.
bool tv_trial_same_outputs(const tv_trial *t, const tv_trial_result *a, const tv_trial_result *b);
bool tv_trial_same_gradients(const tv_trial *t, const tv_trial_result *a, const tv_trial_result *b);

#endif
