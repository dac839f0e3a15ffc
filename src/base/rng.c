// Random numbers: host streams, and a pointwise permutation.
#include "base/rng.h"

#include <math.h>

tv_rng tv_rng_init(uint64_t seed, uint64_t stream)
{
    return (tv_rng){.seed = seed, .stream = stream, .used = 4};
}

uint32_t tv_rng_u32(tv_rng *rng)
{
    if (rng->used == 4) {
        uint32_t key[2] = {(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)};
        uint32_t counter[4] = {(uint32_t)rng->block, (uint32_t)(rng->block >> 32),
                               (uint32_t)rng->stream, (uint32_t)(rng->stream >> 32)};
        tv_philox(key, counter, rng->words);
        rng->block++;
        rng->used = 0;
    }
    return rng->words[rng->used++];
}

uint32_t tv_rng_below(tv_rng *rng, uint32_t limit)
{
    uint32_t threshold = -limit % limit; // 2^32 mod limit: the biased remainder is drawn again
    for (;;) {
        uint64_t product = (uint64_t)tv_rng_u32(rng) * limit;
        if ((uint32_t)product >= threshold)
            return (uint32_t)(product >> 32);
    }
}

double tv_rng_uniform(tv_rng *rng)
{
    uint64_t high = tv_rng_u32(rng), low = tv_rng_u32(rng);
    return (double)(high << 21 | low >> 11) * 0x1p-53;
}

double tv_rng_normal(tv_rng *rng)
{
    double radius = sqrt(-2 * log(1 - tv_rng_uniform(rng)));
    return radius * cos(6.283185307179586 * tv_rng_uniform(rng));
}

uint64_t tv_permute(uint64_t index, uint64_t count, uint64_t key)
{
    unsigned half = 1;
    while (half < 32 && (1ull << (2 * half)) < count)
        half++;
    uint64_t mask = (1ull << half) - 1;
    uint32_t words[4], keys[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    do { // a bijection on [0, 4^half); walking until it lands inside keeps it one on [0, count)
        uint64_t left = index >> half, right = index & mask;
        for (uint32_t round = 0; round < 4; round++) {
            uint32_t counter[4] = {(uint32_t)right, (uint32_t)(right >> 32), round, half};
            tv_philox(keys, counter, words);
            uint64_t mixed = (left ^ words[0]) & mask;
            left = right;
            right = mixed;
        }
        index = left << half | right;
    } while (index >= count);
    return index;
}
