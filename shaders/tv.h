// The kernel dialect: one text that is GLSL (Vulkan) and OpenCL C 1.2. A kernel reads
//
//     #include "tv.h"
//     TV_KERNEL(256)            default work-group size (a power of two; one dimension)
//         TV_IN4(0, x)          slots in order, from 0
//         TV_OUT(1, y)
//     TV_ARGS                   the argument block is `p` (args.h)
//     TV_MAIN { ST4(y, TV_INDEX, LD4(x, TV_INDEX)); } TV_END
//
// and touches its slots only by LD, LD4, LDU, ST and ST4, so that it can be built for storage
// buffers, for texel buffers (TV_TEXEL) and, later, for 16-bit storage. Index i4 of LD4 and ST4
// counts groups of four floats: use them where the row length is a multiple of 4.
//
//     TV_IN(slot, x)     LD                   TV_OUT(slot, x)    ST, ST4
//     TV_IN4(slot, x)    LD4; LD is slower    TV_INOUT(slot, x)  LD, LD4, ST, ST4
//     TV_IN_U(slot, x)   LDU: unsigned
//
// TV_TREES after TV_ARGS gives TV_TREE_SUM and TV_TREE_MAX over the group; all lanes must call.
// TV_ROWS gives TV_ROW_SUM and TV_ROW_MAX, which are the subgroup's under TV_SUBGROUP: the group is
// then exactly one subgroup. OpenCL builds need -DTV_NAME=name, -DTV_GROUP=size and
// -DTV_CONSTANT_n=value for each TV_CONSTANT(n, ...).
#define TV_SUM_OF(a, b) ((a) + (b))
#define TV_TREE(op)                                                                                \
    TV_BARRIER();                                                                                  \
    tv_tree[TV_LANE] = v;                                                                          \
    TV_BARRIER();                                                                                  \
    for (uint k = TV_GROUP / 2u; k > 0u; k >>= 1) {                                                \
        if (TV_LANE < k)                                                                           \
            tv_tree[TV_LANE] = op(tv_tree[TV_LANE], tv_tree[TV_LANE + k]);                         \
        TV_BARRIER();                                                                              \
    }                                                                                              \
    return tv_tree[0];

#ifdef __OPENCL_C_VERSION__
#pragma OPENCL FP_CONTRACT OFF
#include "args.h"
#define TV_KERNEL(group)                                                                           \
    __kernel __attribute__((reqd_work_group_size(TV_GROUP, 1, 1))) void TV_NAME(
#define TV_IN(slot, x) __global const float *x,
#define TV_IN4(slot, x) __global const float *x,
#define TV_IN_U(slot, x) __global const uint *x,
#define TV_OUT(slot, x) __global float *x,
#define TV_INOUT(slot, x) __global float *x,
#define TV_ARGS const struct tv_args p) {
#define TV_MAIN
#define TV_END }
#define TV_SHARED(type, x, n) __local type x[n];
#define TV_CONSTANT(id, name, value) enum { name = TV_CONSTANT_##id };
#define TV_UNROLL _Pragma("unroll")
#define TV_ROLLED
#define TV_PRECISE
#define TV_LANE ((uint)get_local_id(0))
#define TV_GROUP_X ((uint)get_group_id(0))
#define TV_GROUP_Y ((uint)get_group_id(1))
#define TV_GROUP_Z ((uint)get_group_id(2))
#define TV_GROUPS_X ((uint)get_num_groups(0))
#define TV_BARRIER() barrier(CLK_LOCAL_MEM_FENCE)
#define LD(x, i) x[i]
#define LDU(x, i) x[i]
#define LD4(x, i4) vload4(i4, x)
#define ST(x, i, v) x[i] = (v)
#define ST4(x, i4, v) vstore4(v, i4, x)
#define F4(a, b, c, d) ((float4)(a, b, c, d))
#define F4S(a) ((float4)(a))
#define F32(x) ((float)(x))
#define TV_BITS(x) as_uint(x)
#define TV_FLOAT(x) as_float(x)
#define TV_MUL_HIGH(a, b, high) high = mul_hi(a, b)
float tv_tree_sum(float v, __local float *tv_tree) { TV_TREE(TV_SUM_OF) }
float tv_tree_max(float v, __local float *tv_tree) { TV_TREE(max) }
#define TV_TREES TV_SHARED(float, tv_tree, TV_GROUP)
#define TV_TREE_SUM(v) tv_tree_sum(v, tv_tree)
#define TV_TREE_MAX(v) tv_tree_max(v, tv_tree)

#else // GLSL
#extension GL_EXT_control_flow_attributes : require
#ifdef TV_SUBGROUP
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
#include "args.h"
#define float4 vec4
layout(push_constant) uniform tv_push { tv_args p; };
#define TV_KERNEL(group) layout(local_size_x = group, local_size_x_id = 0) in;
#define TV_BUFFER(access, slot, type, x)                                                           \
    layout(std430, binding = slot) access buffer b_##x { type x[]; };
#define TV_TEXELS(format, slot, x)                                                                 \
    layout(binding = 16 + slot, format) readonly uniform imageBuffer x;
#ifdef TV_TEXEL
#define TV_IN(slot, x)                                                                             \
    TV_TEXELS(r32f, slot, x##_t)                                                                   \
    float ld_##x(uint i) { return imageLoad(x##_t, int(i)).r; }
#define TV_LOAD4(slot, x)                                                                          \
    TV_TEXELS(rgba32f, slot, x##_t4)                                                               \
    vec4 ld4_##x(uint i4) { return imageLoad(x##_t4, int(i4)); }
#else
#define TV_IN(slot, x) TV_BUFFER(readonly, slot, float, x##_s) TV_LOAD(x)
#define TV_LOAD4(slot, x) vec4 ld4_##x(uint i4) { return x##_s4[i4]; }
#endif
#define TV_BUFFERS(access, slot, x)                                                                \
    TV_BUFFER(access, slot, float, x##_s) TV_BUFFER(access, slot, vec4, x##_s4)
#define TV_LOAD(x) float ld_##x(uint i) { return x##_s[i]; }
#define TV_IN4(slot, x) TV_BUFFERS(readonly, slot, x) TV_LOAD(x) TV_LOAD4(slot, x)
#define TV_IN_U(slot, x) TV_BUFFER(readonly, slot, uint, x##_s)
#define TV_OUT(slot, x) TV_BUFFERS(writeonly, slot, x)
#define TV_INOUT(slot, x) TV_BUFFERS(, slot, x) TV_LOAD(x) TV_LOAD4(slot, x)
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
#define ST(x, i, v) x##_s[i] = (v)
#define ST4(x, i4, v) x##_s4[i4] = (v)
#define F4(a, b, c, d) vec4(a, b, c, d)
#define F4S(a) vec4(a)
#define F32(x) float(x)
#define TV_BITS(x) floatBitsToUint(x)
#define TV_FLOAT(x) uintBitsToFloat(x)
#define TV_MUL_HIGH(a, b, high) { uint low_; umulExtended(a, b, high, low_); }
#define TV_TREES                                                                                   \
    shared float tv_tree[TV_GROUP];                                                                \
    float TV_TREE_SUM(float v) { TV_TREE(TV_SUM_OF) }                                              \
    float TV_TREE_MAX(float v) { TV_TREE(max) }
#endif

#ifdef TV_SUBGROUP
#define TV_ROWS
#define TV_ROW_SUM(v) subgroupAdd(v)
#define TV_ROW_MAX(v) subgroupMax(v)
#else
#define TV_ROWS TV_TREES
#define TV_ROW_SUM(v) TV_TREE_SUM(v)
#define TV_ROW_MAX(v) TV_TREE_MAX(v)
#endif

// Groups and lanes counted over a grid that may be folded over y.
#define TV_GROUP_INDEX (TV_GROUP_Y * TV_GROUPS_X + TV_GROUP_X)
#define TV_INDEX (TV_GROUP_INDEX * TV_GROUP + TV_LANE)
