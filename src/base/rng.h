// Random numbers: counter-based, so that a number depends on what it is for and not on who asks.
// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11.
#ifndef TV_BASE_RNG_H
#define TV_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

// Four random words for a counter under a key. The kernels compute the same function (tv_philox).
// Inline, for loops that become vectors.
static inline void tv_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

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

// values[i] is what the (first+i)-th tv_rng_normal of a stream gives, times `std`, as a float.
void tv_rng_normals(uint64_t seed, uint64_t stream, uint64_t first, double std, size_t count,
                    float *values);
// For tests: computes them by vectors of at most so many bits, of those that the machine has.
void tv_rng_limit_vectors(unsigned bits);

// A pseudo-random permutation of [0, count) computed pointwise (Feistel network with cycle
// walking): shuffles data of any size without a table. index < count.
uint64_t tv_permute(uint64_t index, uint64_t count, uint64_t key);

#endif
