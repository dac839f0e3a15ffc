// Plans: a graph on a device. A plan places every tensor in device memory, turns nodes into
// dispatches, sets barriers and records one program per phase, once; programs are then replayed.
#ifndef TV_PLAN_PLAN_H
#define TV_PLAN_PLAN_H

#include "base/error.h"
#include "device/device.h"
#include "graph/graph.h"

typedef struct tv_plan tv_plan;

// Bytes of device memory by kind of tensor. Activations count what their shared arena takes.
typedef struct tv_plan_memory {
    uint64_t bytes[TV_KIND_COUNT];
    uint64_t total;
    uint64_t unshared; // what activations would take without sharing memory
    uint64_t host;     // of the host's memory, counted nowhere else
} tv_plan_memory;

// What a plan of this graph would take on a device with these limits. TV_EMEMORY if a single tensor
// exceeds what the device can hold in one piece. Where products are packed (lower_pack.c), a plan
// takes up to 32 MiB more, or the largest input of a 16-bit product.
tv_err tv_plan_measure(const tv_graph *graph, const tv_caps *caps, tv_plan_memory *memory);

// Allocates, lowers and records. The graph and the device must outlive the plan. TV_EMEMORY says
// what is needed and what there is. New memory is not cleared, except feeds and results.
tv_err tv_plan_create(const tv_graph *graph, tv_device *device, tv_plan **plan);
// The same, and says what it is at: memory, kernels.
tv_err tv_plan_create_in_stages(const tv_graph *graph, tv_device *device, const tv_stages *stages,
                                tv_plan **plan);
void tv_plan_destroy(tv_plan **plan);
const tv_plan_memory *tv_plan_get_memory(const tv_plan *plan);
// Dispatches and barriers of a phase's program; FLOP as counted for its submissions.
void tv_plan_count(const tv_plan *plan, uint32_t phase, size_t *dispatches, size_t *barriers,
                   double *work);

// One dispatch of a phase's program.
typedef struct tv_plan_dispatch {
    tv_op op;
    const char *kernel, *label; // label: the node's first output
    char shape[48];   // MxNxK of products, BxHxTxD of attention, else of its largest window
    tv_dtype storage; // the narrowest floats that it touches
    bool barrier;     // there is one before it
    double flop;      // 0: moving bytes is what it costs
    double bytes;     // read and written
    double seconds;   // in the latest tv_plan_profile; 0: unknown
} tv_plan_dispatch;
const tv_plan_dispatch *tv_plan_dispatches(const tv_plan *plan, uint32_t phase, size_t *count);

// Runs a phase with each dispatch timed by itself, and waits. The first run on a device, in which
// drivers compile, says little.
tv_err tv_plan_profile(tv_plan *plan, uint32_t phase);

// Host memory behind a TV_FEED tensor: write here, then tv_plan_upload sends all feeds at once.
void *tv_plan_feed(tv_plan *plan, const tv_tensor *tensor);
tv_err tv_plan_upload(tv_plan *plan);
// Host copies of TV_RESULT tensors, as of the last tv_plan_download.
const void *tv_plan_result(const tv_plan *plan, const tv_tensor *tensor);
tv_err tv_plan_download(tv_plan *plan);

// `count` elements of a tensor of any kind from element `first` on (of activations: only where the
// phase has just run). The host's elements are uint32_t for TV_U32 and float for all other types:
// 16-bit ones are converted, to nearest even. Blocks. Feeds and results, in contrast, are seen as
// they lie in memory.
// Of a sharded tensor, only the elements that are held are written and read.
tv_err tv_plan_write(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                     const void *data);
tv_err tv_plan_read(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                    void *data);

// The same, as elements lie in memory, of tensors that are not sharded.
tv_err tv_plan_write_bytes(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                           const void *data);
tv_err tv_plan_read_bytes(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                          void *data);

// Runs a phase's program and returns at once; wait before reading what it wrote.
tv_err tv_plan_run(tv_plan *plan, uint32_t phase);
tv_err tv_plan_wait(tv_plan *plan, uint32_t phase);
tv_err tv_plan_execute(tv_plan *plan, uint32_t phase); // runs it and waits
// Device seconds of the phase's latest run that was waited for; 0 where unknown.
double tv_plan_seconds(const tv_plan *plan, uint32_t phase);

// Waits until the running program has written what is watched (tv_graph_watch), while it may run
// on: then tv_plan_peek reads it.
tv_err tv_plan_wait_watch(tv_plan *plan, uint32_t watch);
// The same as tv_plan_read of a float tensor, without waiting for what runs.
tv_err tv_plan_peek(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                    float *data);
// The same as tv_plan_write_bytes, without waiting for what runs, which does not use the window.
tv_err tv_plan_poke_bytes(tv_plan *plan, const tv_tensor *tensor, uint64_t first, uint64_t count,
                          const void *data);
// The elements themselves, where the host sees the device's memory as its own; else NULL. The same
// rules hold as for tv_buffer_host.
void *tv_plan_host(tv_plan *plan, const tv_tensor *tensor);

#endif
