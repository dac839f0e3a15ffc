// What a device can do at most: copying, multiply-adds, matrix products, attention. Each is timed
// by a rule and its results are compared with a reference in the same run.
#ifndef TV_BENCH_PEAKS_H
#define TV_BENCH_PEAKS_H

#include "bench/stats.h"
#include "device/device.h"
#include "graph/graph.h"

typedef struct tv_bench_peak {
    tv_bench_summary rate; // GB/s or GFLOP/s: 1e9 bytes, or FLOP
    bool good;
    char check[160]; // what was compared, or what is wrong
} tv_bench_peak;

// The most that is copied at a time, at most `wanted` bytes: limits of windows, buffers and memory.
uint64_t tv_bench_copy_size(const tv_device *device, uint64_t wanted);

// Copies a buffer of `bytes` (tv_bench_copy_size) to another one on the device; every byte counts
// twice, read and written. All elements are compared.
tv_err tv_bench_copy(tv_device *device, const tv_bench_rule *rule, uint64_t bytes,
                     tv_bench_peak *peak);

// Multiply-adds of floats in registers (shaders/fma_peak.k): two FLOP each. Every lane's result is
// compared.
tv_err tv_bench_fma(tv_device *device, const tv_bench_rule *rule, tv_bench_peak *peak);

typedef struct tv_bench_product {
    tv_dtype dtype;
    tv_layout layout;
    uint32_t batch, m, n, k;
} tv_bench_product;

// C [m,n] = A B in a storage type, for each member of a batch, by the kernels that a plan of
// training would choose: 2 m n k FLOP. C is of the storage type, but float in TV_TN, the layout of
// weights' gradients. Samples of C are compared with dot products in double precision.
tv_err tv_bench_matmul(tv_device *device, const tv_bench_rule *rule,
                       const tv_bench_product *product, tv_bench_peak *peak);

typedef struct tv_bench_heads {
    uint32_t batch, heads, time, size;
} tv_bench_heads;

// Causal attention of `heads` alike heads: 2 B H T^2 D FLOP forward (two products over half of
// T x T), and 5 B H T^2 D more with `backward` (five). Samples of the output, or of the gradient of
// queries, keys and values, are compared with double precision.
tv_err tv_bench_attention(tv_device *device, const tv_bench_rule *rule, tv_dtype dtype,
                          const tv_bench_heads *heads, bool backward, tv_bench_peak *peak);

// ----------------------------------------------------------------------------- inside this room

// Numbers in [-1, 1), a pure function of (seed, index), and the same rounded to a type.
float tv_bench_value(uint64_t seed, uint64_t index);
double tv_bench_value_as(tv_dtype dtype, uint64_t seed, uint64_t index);

struct tv_plan;
// Writes such numbers to all of a tensor, times `scale`.
tv_err tv_bench_fill(struct tv_plan *plan, const tv_tensor *tensor, uint64_t seed, float scale);

// Times `once`, which repeats its work `*repeats` times and says how long one took. With 1 it is
// tried first; then *repeats becomes what fills a fiftieth of a second, and `prepare` (may be NULL)
// is called.
tv_err tv_bench_time(const tv_bench_rule *rule, tv_bench_once *once,
                     tv_err (*prepare)(void *context), void *context, uint32_t *repeats,
                     tv_bench_summary *seconds);

#endif
