// A training step of a small model on made-up ids, for tests that compare graphs or plans.
#ifndef TV_TESTS_STEP_H
#define TV_TESTS_STEP_H

#include "harness/harness.h"

#include "plan/plan.h"
#include "train/step_graph.h"

enum { TV_SMALL_BATCH = 2, TV_SMALL_TIME = 33, TV_SMALL_ROWS = TV_SMALL_BATCH * TV_SMALL_TIME };

// Two layers of width 32, without dropout.
tv_model_config tv_small_model(tv_model_type type);

// Three layers whose sizes divide by little, and options for a micro-batch of 16 tokens of one of
// several ranks.
tv_model_config tv_uneven_model(tv_model_type type, uint32_t vocab_size);
tv_step_options tv_uneven_options(uint32_t ranks, uint64_t bucket_bytes);

// A plan of a graph of TV_SMALL_BATCH x TV_SMALL_TIME tokens, with fresh weights and all feeds.
tv_plan *tv_small_plan(const tv_step_graph *graph, tv_device *device);
// All gradients, one weight after the other, and behind them the sum of losses; the caller frees
// them.
float *tv_small_read(const tv_step_graph *graph, tv_plan *plan);
// The same of the first micro-batch, with a plan for it alone.
float *tv_small_step(const tv_step_graph *graph, tv_device *device);

#endif
