// Plans on the null device: graphs for them, and an independent check of where tensors are placed.
#ifndef TV_HARNESS_PLACEMENT_H
#define TV_HARNESS_PLACEMENT_H

#include "graph/graph.h"
#include "plan/plan.h"

// A group's setup: *state becomes the null device; tv_test_teardown closes it.
int tv_test_open_null(void **state);

tv_tensor *tv_test_feed(tv_graph *graph, tv_dtype dtype, uint32_t columns, const char *name);

// Plans and runs all phases; the null device finds missing barriers, the front windows out of
// bounds.
tv_err tv_test_programs(const tv_graph *graph, tv_device *device);

// Fails the test where two tensors share memory while both are alive, where placing twice differs,
// or where what a plan says of its memory is not what it takes.
void tv_test_placement(const tv_graph *graph, tv_device *device, uint64_t max_alloc);

#endif
