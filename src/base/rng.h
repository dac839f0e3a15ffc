// Random numbers: counter-based, so that a number depends on what it is for and not on who asks.
// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11.
#ifndef TV_BASE_RNG_H
#define TV_BASE_RNG_H

#include <stdint.h>

// Four random words for a counter under a key. The kernels compute the same function (tv_philox).
void tv_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

// A stream of numbers for the host: key = seed, the counter's high half = stream.
typedef struct tv_rng {
    uint64_t seed, stream, block;
    uint32_t words[4], used;
} tv_rng;

tv_rng tv_rng_init(uint64_t seed, uint64_t stream);
uint32_t tv_rng_u32(tv_rng *rng);
uint32_t tv_rng_below(tv_rng *rng,
                      uint32_t limit); // uniform in [0, limit), without bias; limit > 0
double tv_rng_uniform(tv_rng *rng);    // [0, 1), 53 bits
double tv_rng_normal(tv_rng *rng);     // mean 0, variance 1 (Box and Muller)

// A pseudo-random permutation of [0, count) computed pointwise (Feistel network with cycle
// walking): shuffles data of any size without a table. index < count.
uint64_t tv_permute(uint64_t index, uint64_t count, uint64_t key);

#endif
