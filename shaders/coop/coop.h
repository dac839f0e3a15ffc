// What the cooperative matrix kernels share: the argument block, slots as typed arrays, and
// conversion to the 16-bit type. T is float16_t or bfloat16_t, set by the variant.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_EXT_control_flow_attributes : require
#if BF16
#extension GL_EXT_bfloat16 : require
#define T bfloat16_t
#else
#define T float16_t
#endif
#include "args.h"

layout(local_size_x_id = 0) in;
layout(push_constant) uniform tv_push { tv_args p; };

// Slot `slot` seen as an array of `type`; which of its arrays counts, the slot's storage type says.
#define SLOT(access, slot, type, name)                                                             \
    layout(std430, binding = slot) access buffer b_##name { type name[]; };
// The nearest value of type T, ties to even: conversions to bfloat16 may cut instead.
float nearest(float x)
{
#if BF16
    uint bits = floatBitsToUint(x);
    return isnan(x) ? x : uintBitsToFloat((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000);
#else
    return x;
#endif
}
float nearest_each(const in uint row, const in uint column, const in float x) { return nearest(x); }

#define SLOT_TYPE(slot, name) layout(constant_id = 8 + slot) const uint name = TV_TYPE_F32;
