// The kernel dialect for GLSL: see tv.h.
#extension GL_EXT_control_flow_attributes : require
#ifdef TV_SUBGROUP
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
#ifdef TV_STORAGE16
#extension GL_EXT_shader_16bit_storage : require
#endif
#include "args.h"
#define float4 vec4
#define uint2 uvec2
#define uint4 uvec4
#define F4(a, b, c, d) vec4(a, b, c, d)
#define F4S(a) vec4(a)
#define U2(a, b) uvec2(a, b)
#define U4(a, b, c, d) uvec4(a, b, c, d)
#define F32(x) float(x)
#define TV_BITS(x) floatBitsToUint(x)
#define TV_FLOAT(x) uintBitsToFloat(x)
#define TV_MUL_HIGH(a, b, high) { uint low_; umulExtended(a, b, high, low_); }
#include "tv_half.h"

layout(push_constant) uniform tv_push { tv_args p; };
layout(constant_id = 5) const uint TV_NATIVE_F16 = 0u;
#define TV_KERNEL(group) layout(local_size_x = group, local_size_x_id = 0) in;

// A slot is one buffer seen as arrays of several types; its storage type says which one counts.
#define TV_BUFFER(access, slot, type, x)                                                           \
    layout(std430, binding = slot) access buffer b_##x { type x[]; };
#define TV_SLOT(access, slot, x)                                                                   \
    layout(constant_id = 8 + slot) const uint x##_type = TV_TYPE_F32;                              \
    TV_BUFFER(access, slot, float, x##_s)                                                          \
    TV_BUFFER(access, slot, vec4, x##_s4)                                                          \
    TV_BUFFER(access, slot, uint, x##_w)                                                           \
    TV_BUFFER(access, slot, uvec2, x##_w4)
#define TV_TEXELS(format, slot, type, x)                                                           \
    layout(binding = slot, format) readonly uniform type x;

bool tv_native(uint type) { return type == TV_TYPE_F16 && TV_NATIVE_F16 != 0u; }
float tv_load(uint type, uint bits)
{
    return tv_native(type) ? unpackHalf2x16(bits).x : tv_decode(type, bits);
}
vec4 tv_load4(uint type, uvec2 w)
{
    return tv_native(type) ? vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)) : tv_decode4(type, w);
}
#define TV_LOADS(x, single, word)                                                            \
    float ld_##x(uint i)                                                                           \
    {                                                                                              \
        if (x##_type == TV_TYPE_F32)                                                               \
            return single;                                                                         \
        return tv_load(x##_type, (word) >> i % 2u * 16u);                                          \
    }
#define TV_LOADS4(x, four, words)                                                                  \
    vec4 ld4_##x(uint i4)                                                                          \
    {                                                                                              \
        if (x##_type == TV_TYPE_F32)                                                               \
            return four;                                                                           \
        return tv_load4(x##_type, words);                                                          \
    }

#ifdef TV_STORAGE16
#define TV_HALVES(slot, x)                                                                         \
    TV_BUFFER(, slot, uint16_t, x##_u)                                                             \
    TV_BUFFER(, slot, float16_t, x##_h)                                                            \
    TV_BUFFER(, slot, f16vec4, x##_h4)
#define TV_STORE16(x, i, v)                                                                        \
    if (tv_native(x##_type))                                                                       \
        x##_h[i] = float16_t(v);                                                                   \
    else                                                                                           \
        x##_u[i] = uint16_t(tv_encode(x##_type, v));
#define TV_STORE64(x, i4, v)                                                                       \
    if (tv_native(x##_type))                                                                       \
        x##_h4[i4] = f16vec4(v);                                                                   \
    else                                                                                           \
        x##_w4[i4] = tv_encode4(x##_type, v);
#else
#define TV_HALVES(slot, x)
#define TV_STORE16(x, i, v)                                                                        \
    atomicAnd(x##_w[i / 2u], 0xFFFF0000u >> i % 2u * 16u);                                         \
    atomicOr(x##_w[i / 2u], tv_encode(x##_type, v) << i % 2u * 16u);
#define TV_STORE64(x, i4, v) x##_w4[i4] = tv_encode4(x##_type, v);
#endif
#define TV_STORES(slot, x)                                                                         \
    TV_HALVES(slot, x)                                                                             \
    void st_##x(uint i, float v)                                                                   \
    {                                                                                              \
        if (x##_type == TV_TYPE_F32) {                                                             \
            x##_s[i] = v;                                                                          \
        } else {                                                                                   \
            TV_STORE16(x, i, v)                                                                    \
        }                                                                                          \
    }                                                                                              \
    void st4_##x(uint i4, vec4 v)                                                                  \
    {                                                                                              \
        if (x##_type == TV_TYPE_F32) {                                                             \
            x##_s4[i4] = v;                                                                        \
        } else {                                                                                   \
            TV_STORE64(x, i4, v)                                                                   \
        }                                                                                          \
    }

#define TV_LOAD(x) TV_LOADS(x, x##_s[i], x##_w[i / 2u])
#ifdef TV_TEXEL
#define TV_IN(slot, x)                                                                             \
    layout(constant_id = 8 + slot) const uint x##_type = TV_TYPE_F32;                              \
    TV_TEXELS(r32f, 16 + slot, imageBuffer, x##_t)                                                 \
    TV_TEXELS(r32ui, 32 + slot, uimageBuffer, x##_t16)                                             \
    TV_LOADS(x, imageLoad(x##_t, int(i)).r, imageLoad(x##_t16, int(i / 2u)).r)
#define TV_LOAD4(slot, x)                                                                          \
    TV_TEXELS(rgba32f, 16 + slot, imageBuffer, x##_t)                                              \
    TV_TEXELS(rg32ui, 32 + slot, uimageBuffer, x##_t16)                                            \
    TV_LOADS4(x, imageLoad(x##_t, int(i4)), imageLoad(x##_t16, int(i4)).rg)
#else
#define TV_IN(slot, x) TV_SLOT(readonly, slot, x) TV_LOAD(x)
#define TV_LOAD4(slot, x) TV_LOADS4(x, x##_s4[i4], x##_w4[i4])
#endif
#define TV_IN4(slot, x) TV_SLOT(readonly, slot, x) TV_LOAD(x) TV_LOAD4(slot, x)
#define TV_IN_U(slot, x) TV_BUFFER(readonly, slot, uint, x##_s)
#define TV_OUT(slot, x) TV_SLOT(, slot, x) TV_STORES(slot, x)
#define TV_INOUT(slot, x) TV_OUT(slot, x) TV_LOAD(x) TV_LOAD4(slot, x)
#define TV_ARGS
#define TV_MAIN void main()
#define TV_END
#define TV_SHARED(type, x, n) shared type x[n];
#define TV_CONSTANT(id, name, value) layout(constant_id = id) const uint name = value;
#define TV_UNROLL [[unroll]]
#define TV_ROLLED [[dont_unroll]]
#define TV_PRECISE precise
#define TV_GROUP gl_WorkGroupSize.x
#define TV_LANE gl_LocalInvocationID.x
#define TV_GROUP_X gl_WorkGroupID.x
#define TV_GROUP_Y gl_WorkGroupID.y
#define TV_GROUP_Z gl_WorkGroupID.z
#define TV_GROUPS_X gl_NumWorkGroups.x
#define TV_BARRIER() barrier()
#define LD(x, i) ld_##x(i)
#define LDU(x, i) x##_s[i]
#define LD4(x, i4) ld4_##x(i4)
#define ST(x, i, v) st_##x(i, v)
#define ST4(x, i4, v) st4_##x(i4, v)
#define TV_TREES                                                                                   \
    shared float tv_tree[TV_GROUP];                                                                \
    float TV_TREE_SUM(float v) { TV_TREE(TV_SUM_OF) }                                              \
    float TV_TREE_MAX(float v) { TV_TREE(max) }
