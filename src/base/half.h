// 16-bit floats on the host: IEEE binary16 and bfloat16. The kernels' twin is shaders/tv_half.h.
#ifndef TV_BASE_HALF_H
#define TV_BASE_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// To nearest even, with subnormals and infinities. A NaN keeps its sign and the upper bits of its
// payload, and becomes a quiet one.
uint16_t tv_f16_from_float(float value);
uint16_t tv_bf16_from_float(float value);
// Exact.
float tv_float_from_f16(uint16_t half);
float tv_float_from_bf16(uint16_t half);

// The same for `count` values of one of the two types.
void tv_halves_from_floats(bool bf16, const float *values, uint16_t *halves, size_t count);
void tv_floats_from_halves(bool bf16, const uint16_t *halves, float *values, size_t count);

#endif
