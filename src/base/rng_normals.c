// Many normal numbers at once, with the bits that tv_rng_normal gives.
//
// Logarithm and cosine are approximated in loops that compilers turn into vectors, to a relative
// error far below SURE. Where all numbers that near round to the same float, that float is the
// answer; the others, one in thousands, are computed anew by tv_rng_normal.
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { BATCH = 256 };

// Into each of the functions that differ in their vectors only.
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static const double SURE = 0x1p-38;
static const double COSINE_LEAST = 0.01; // nearer to 0 the library's own rounding weighs more

// Uniform numbers in [0, 1) of two words each, as tv_rng_uniform makes them.
typedef struct uniforms {
    double first[BATCH], second[BATCH];
} uniforms;

// Conversions from signed 32-bit words are what all vector units have.
ALWAYS_INLINE double double_of(uint32_t word)
{
    return (double)(int32_t)(word ^ 0x80000000u) + 0x1p31;
}

ALWAYS_INLINE double uniform(uint32_t high, uint32_t low)
{
    return (double_of(high) * 0x1p21 + double_of(low >> 11)) * 0x1p-53;
}

ALWAYS_INLINE void draw_uniforms(uint64_t seed, uint64_t stream, uint64_t first, uniforms *u)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (size_t i = 0; i < BATCH; i++) {
        uint64_t block = first + i;
        const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                                     (uint32_t)(stream >> 32)};
        uint32_t words[4];
        tv_philox(key, counter, words);
        u->first[i] = uniform(words[0], words[1]);
        u->second[i] = uniform(words[2], words[3]);
    }
}

ALWAYS_INLINE uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

ALWAYS_INLINE double of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// log x, for normal x: x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m = 2 artanh((m-1)/(m+1)).
ALWAYS_INLINE double quick_log(double x)
{
    const uint64_t root_half = 0x3FE6A09E667F3BCD, bias = 1024;
    uint64_t biased = (bits_of(x) - root_half + (bias << 52)) >> 52;
    double m = of_bits(bits_of(x) - ((biased - bias) << 52));
    double e = of_bits(biased | 0x4330000000000000) - (0x1p52 + 1024); // biased as a double
    double s = (m - 1) / (m + 1), z = s * s;
    double sum = 1.0 / 17;
    sum = sum * z + 1.0 / 15;
    sum = sum * z + 1.0 / 13;
    sum = sum * z + 1.0 / 11;
    sum = sum * z + 1.0 / 9;
    sum = sum * z + 1.0 / 7;
    sum = sum * z + 1.0 / 5;
    sum = sum * z + 1.0 / 3;
    return e * 0.6931471805599453 + 2 * s * (sum * z + 1);
}

// cos(2 pi u), for u in [0, 1]: quarter turns, and at most half a quarter by Taylor's series.
ALWAYS_INLINE double quick_cosine(double u)
{
    double quarter = (4 * u + 0x1.8p52) - 0x1.8p52; // the nearest
    double x = (4 * u - quarter) * 1.5707963267948966, z = x * x;
    double c = -1.0 / 87178291200, s = -1.0 / 1307674368000;
    c = c * z + 1.0 / 479001600;
    c = c * z - 1.0 / 3628800;
    c = c * z + 1.0 / 40320;
    c = c * z - 1.0 / 720;
    c = c * z + 1.0 / 24;
    c = c * z - 1.0 / 2;
    c = c * z + 1;
    s = s * z + 1.0 / 6227020800;
    s = s * z - 1.0 / 39916800;
    s = s * z + 1.0 / 362880;
    s = s * z - 1.0 / 5040;
    s = s * z + 1.0 / 120;
    s = s * z - 1.0 / 6;
    s = (s * z + 1) * x;
    double near = quarter == 1 || quarter == 3 ? s : c;
    return quarter == 1 || quarter == 2 ? -near : near;
}

// A batch from `first` on: bounds of each number, which agree where it is sure; NAN above where it
// is not.
typedef struct batch {
    uniforms u;
    float below[BATCH], above[BATCH];
} batch;

ALWAYS_INLINE void approximate(uint64_t seed, uint64_t stream, uint64_t first, double std, batch *b)
{
    draw_uniforms(seed, stream, first, &b->u);
    for (size_t i = 0; i < BATCH; i++) {
        double cosine = quick_cosine(b->u.second[i]);
        double value = std * sqrt(-2 * quick_log(1 - b->u.first[i])) * cosine;
        b->below[i] = (float)(value * (1 - SURE));
        b->above[i] = fabs(cosine) < COSINE_LEAST ? NAN : (float)(value * (1 + SURE));
    }
}

// The same text for wider vectors: nothing in it rounds differently there.
typedef void approximation(uint64_t seed, uint64_t stream, uint64_t first, double std, batch *b);

static void approximate_plainly(uint64_t seed, uint64_t stream, uint64_t first, double std,
                                batch *b)
{
    approximate(seed, stream, first, std, b);
}

#ifdef __x86_64__
#ifdef __clang__ // takes 512 bits only where it is told to by an option
#define AVX512 "avx512f,avx512dq,avx512vl"
#else
#define AVX512 "avx512f,avx512dq,avx512vl,prefer-vector-width=512"
#endif

__attribute__((target("avx2"))) static void approximate_avx2(uint64_t seed, uint64_t stream,
                                                             uint64_t first, double std, batch *b)
{
    approximate(seed, stream, first, std, b);
}

__attribute__((target(AVX512))) static void approximate_avx512(uint64_t seed, uint64_t stream,
                                                               uint64_t first, double std, batch *b)
{
    approximate(seed, stream, first, std, b);
}
#endif

static unsigned widest = 512;

void tv_rng_limit_vectors(unsigned bits)
{
    widest = bits;
}

static approximation *choose_approximation(void)
{
#ifdef __x86_64__
    if (widest >= 512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return approximate_avx512;
    if (widest >= 256 && __builtin_cpu_supports("avx2"))
        return approximate_avx2;
#endif
    return approximate_plainly;
}

void tv_rng_normals(uint64_t seed, uint64_t stream, uint64_t first, double std, size_t count,
                    float *values)
{
    approximation *approximate_batch = choose_approximation();
    batch b;
    for (size_t done = 0; done < count; done += BATCH) {
        approximate_batch(seed, stream, first + done, std, &b);
        for (size_t i = 0; i < BATCH && done + i < count; i++) {
            values[done + i] = b.below[i];
            if (b.below[i] == b.above[i] && b.below[i] != 0)
                continue;
            tv_rng rng = tv_rng_init(seed, stream);
            rng.block = first + done + i; // a normal number takes all four words of a block
            values[done + i] = (float)(std * tv_rng_normal(&rng));
        }
    }
}
