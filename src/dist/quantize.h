// Quantization: floats on their way between ranks, in fewer bits.
// int8 and int4 go in blocks of 256 values with one scale each: 4 bytes of the largest magnitude
// over 127 (or 7), then the values as multiples of it, to nearest, lowest bits first. What that
// loses is added to what is sent next (error feedback), so that nothing is lost for good.
#ifndef TV_DIST_QUANTIZE_H
#define TV_DIST_QUANTIZE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tv_wire { TV_WIRE_F32, TV_WIRE_BF16, TV_WIRE_INT8, TV_WIRE_INT4, TV_WIRES } tv_wire;

// Pieces of an array that are packed apart begin at multiples of this, the first one at 0: so that
// they hold the same blocks as the whole.
enum { TV_WIRE_BLOCK = 256 };

// "none", "bf16", "int8", "int4"; TV_EUSAGE for others.
tv_err tv_wire_parse(const char *name, tv_wire *wire);
double tv_wire_bits(tv_wire wire); // per value, in whole blocks
// How many words of 4 bytes `count` values take.
size_t tv_wire_words(tv_wire wire, size_t count);

// Packs values[i] + error[i]; error[i] receives what was lost. A block with a value that is not
// finite arrives as NaNs, and its errors become 0.
void tv_wire_pack(tv_wire wire, const float *values, size_t count, float *error, uint32_t *packed);
void tv_wire_unpack(tv_wire wire, const uint32_t *packed, size_t count, float *values);
// Whether all values that these words hold are finite.
bool tv_wire_is_finite(tv_wire wire, const uint32_t *packed, size_t count);

#endif
