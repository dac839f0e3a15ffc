// Quantization: floats on their way between ranks, in fewer bits.
#include "dist/quantize.h"

#include "base/half.h"
#include "base/memory.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = TV_WIRE_BLOCK };

typedef struct wire_info {
    const char *name;
    uint32_t bits;
    float largest; // code of a block's largest magnitude; 0: no blocks
} wire_info;

static const wire_info infos[TV_WIRES] = {
    [TV_WIRE_F32] = {"none", 32, 0},
    [TV_WIRE_BF16] = {"bf16", 16, 0},
    [TV_WIRE_INT8] = {"int8", 8, 127},
    [TV_WIRE_INT4] = {"int4", 4, 7},
};

tv_err tv_wire_parse(const char *name, tv_wire *wire)
{
    for (size_t i = 0; i < TV_WIRES; i++)
        if (strcmp(infos[i].name, name) == 0) {
            *wire = (tv_wire)i;
            return TV_OK;
        }
    return tv_fail(TV_EUSAGE, "there is no compression '%s'", name);
}

static bool has_blocks(tv_wire wire)
{
    return infos[wire].largest > 0;
}

double tv_wire_bits(tv_wire wire)
{
    return infos[wire].bits + (has_blocks(wire) ? 32.0 / BLOCK : 0);
}

size_t tv_wire_words(tv_wire wire, size_t count)
{
    size_t scales = has_blocks(wire) ? tv_div_up(count, BLOCK) : 0;
    return tv_div_up(count * infos[wire].bits, 32) + scales;
}

// The distance of two codes of a block: 0 for one of zeros, or of values so small that it has no
// finite inverse; NaN where a value is not finite. Magnitudes are compared by their bits, which
// order them, infinities and NaNs last.
static float scale_of(const float *values, size_t count, float largest)
{
    uint32_t bits[BLOCK], most = 0;
    float magnitude;
    memcpy(bits, values, count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        uint32_t absolute = bits[i] & 0x7FFFFFFF;
        most = absolute > most ? absolute : most;
    }
    memcpy(&magnitude, &most, sizeof magnitude);
    float scale = magnitude / largest;
    return scale < FLT_MIN ? 0 : isfinite(scale) ? scale : NAN;
}

// Codes count from the lowest one, so that they are never negative.
static void encode(const float *values, size_t count, float scale, float largest, uint8_t *codes)
{
    float inverse = scale > 0 ? 1 / scale : 0;
    for (size_t i = 0; i < count; i++) {
        float x = values[i] * inverse;
        x = x < -largest ? -largest : x > largest ? largest : x;
        codes[i] = (uint8_t)(x + largest + 0.5f); // to nearest: it is positive
    }
}

static void decode(const uint8_t *codes, size_t count, float scale, float largest, float *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = scale * ((float)codes[i] - largest);
}

// `codes` [BLOCK] are zero behind `count`. Bytes lie in words as they do in memory.
static void write_codes(const uint8_t *codes, size_t count, uint32_t bits, uint32_t *words)
{
    uint8_t bytes[BLOCK] = {0};
    for (size_t i = 0; i < BLOCK / 2 && bits == 4; i++)
        bytes[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
    memcpy(words, bits == 4 ? bytes : codes, tv_div_up(count * bits, 32) * sizeof *words);
}

static void read_codes(const uint32_t *words, size_t count, uint32_t bits, uint8_t *codes)
{
    uint8_t bytes[BLOCK] = {0};
    memcpy(bits == 4 ? bytes : codes, words, tv_div_up(count * bits, 32) * sizeof *words);
    for (size_t i = 0; i < BLOCK / 2 && bits == 4; i++) {
        codes[2 * i] = bytes[i] & 15;
        codes[2 * i + 1] = bytes[i] >> 4;
    }
}

// One block of at most BLOCK values, for any wire: its words.
static void pack_block(tv_wire wire, const float *values, size_t count, uint32_t *words)
{
    const wire_info *info = &infos[wire];
    uint8_t codes[BLOCK] = {0};
    uint16_t halves[BLOCK] = {0};
    if (wire == TV_WIRE_F32) {
        memcpy(words, values, count * sizeof *values);
    } else if (wire == TV_WIRE_BF16) {
        tv_halves_from_floats(true, values, halves, count);
        memcpy(words, halves, tv_wire_words(wire, count) * sizeof *words);
    } else {
        float scale = scale_of(values, count, info->largest);
        memcpy(words, &scale, sizeof scale);
        if (isfinite(scale))
            encode(values, count, scale, info->largest, codes);
        write_codes(codes, count, info->bits, words + 1);
    }
}

static void unpack_block(tv_wire wire, const uint32_t *words, size_t count, float *values)
{
    const wire_info *info = &infos[wire];
    uint8_t codes[BLOCK];
    uint16_t halves[BLOCK];
    float scale;
    if (wire == TV_WIRE_F32) {
        memcpy(values, words, count * sizeof *values);
    } else if (wire == TV_WIRE_BF16) {
        memcpy(halves, words, count * sizeof *halves);
        tv_floats_from_halves(true, halves, values, count);
    } else {
        memcpy(&scale, words, sizeof scale);
        read_codes(words + 1, count, info->bits, codes);
        decode(codes, count, scale, info->largest, values);
    }
}

void tv_wire_pack(tv_wire wire, const float *values, size_t count, float *error, uint32_t *packed)
{
    float wanted[BLOCK], arrived[BLOCK];
    for (size_t first = 0; first < count; first += BLOCK) {
        size_t part = tv_min_size(count - first, BLOCK);
        float *lost = error + first;
        for (size_t i = 0; i < part; i++)
            wanted[i] = values[first + i] + lost[i];
        pack_block(wire, wanted, part, packed);
        unpack_block(wire, packed, part, arrived);
        for (size_t i = 0; i < part; i++) {
            float rest = wanted[i] - arrived[i];
            lost[i] = rest - rest == 0 ? rest : 0;
        }
        packed += tv_wire_words(wire, part);
    }
}

void tv_wire_unpack(tv_wire wire, const uint32_t *packed, size_t count, float *values)
{
    for (size_t first = 0; first < count; first += BLOCK) {
        size_t part = tv_min_size(count - first, BLOCK);
        unpack_block(wire, packed, part, values + first);
        packed += tv_wire_words(wire, part);
    }
}

bool tv_wire_is_finite(tv_wire wire, const uint32_t *packed, size_t count)
{
    float values[BLOCK], odd = 0;
    for (size_t first = 0; first < count; first += BLOCK) {
        size_t part = tv_min_size(count - first, BLOCK);
        if (has_blocks(wire)) // codes are finite
            memcpy(values, packed, sizeof *values);
        else
            unpack_block(wire, packed, part, values);
        for (size_t i = 0; i < (has_blocks(wire) ? 1 : part); i++)
            odd += values[i] - values[i]; // not 0 where it is not finite
        packed += tv_wire_words(wire, part);
    }
    return odd == 0;
}
