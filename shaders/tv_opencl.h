// The kernel dialect for OpenCL C 1.2: see tv.h.
#pragma OPENCL FP_CONTRACT OFF
#include "args.h"
#define F4(a, b, c, d) ((float4)(a, b, c, d))
#define F4S(a) ((float4)(a))
#define U2(a, b) ((uint2)(a, b))
#define U4(a, b, c, d) ((uint4)(a, b, c, d))
#define F32(x) ((float)(x))
#define TV_BITS(x) as_uint(x)
#define TV_FLOAT(x) as_float(x)
#define TV_MUL_HIGH(a, b, high) high = mul_hi(a, b)
#include "tv_half.h"

// A slot's storage type travels in the size of what its pointer points to.
typedef struct tv_slot_0 { uchar size[1]; } tv_slot_0;
typedef struct tv_slot_1 { uchar size[2]; } tv_slot_1;
typedef struct tv_slot_2 { uchar size[3]; } tv_slot_2;
#define TV_SLOT_(type) tv_slot_##type
#define TV_SLOT(type) TV_SLOT_(type)
#define TV_TYPE_OF(x) ((uint)sizeof(*(x)) - 1u)

bool tv_native(uint type) { return TV_NATIVE_F16 != 0 ? type == TV_TYPE_F16 : false; }

float tv_ld(__global const void *x, uint type, uint i)
{
    if (type == TV_TYPE_F32)
        return ((__global const float *)x)[i];
    if (tv_native(type))
        return vload_half(i, (__global const half *)x);
    return tv_decode(type, ((__global const uint *)x)[i / 2u] >> i % 2u * 16u);
}

float4 tv_ld4(__global const void *x, uint type, uint i4)
{
    if (type == TV_TYPE_F32)
        return vload4(i4, (__global const float *)x);
    if (tv_native(type))
        return vload_half4(i4, (__global const half *)x);
    return tv_decode4(type, vload2(i4, (__global const uint *)x));
}

void tv_st(__global void *x, uint type, uint i, float v)
{
    if (type == TV_TYPE_F32) {
        ((__global float *)x)[i] = v;
        return;
    }
#ifdef TV_STORAGE16
    if (tv_native(type))
        vstore_half_rte(v, i, (__global half *)x);
    else
        ((__global ushort *)x)[i] = (ushort)tv_encode(type, v);
#else
    volatile __global uint *word = (volatile __global uint *)x + i / 2u;
    atomic_and(word, 0xFFFF0000u >> i % 2u * 16u);
    atomic_or(word, tv_encode(type, v) << i % 2u * 16u);
#endif
}

void tv_st4(__global void *x, uint type, uint i4, float4 v)
{
    if (type == TV_TYPE_F32)
        vstore4(v, i4, (__global float *)x);
    else if (tv_native(type))
        vstore_half4_rte(v, i4, (__global half *)x);
    else
        vstore2(tv_encode4(type, v), i4, (__global uint *)x);
}

#define TV_KERNEL(group)                                                                           \
    __kernel __attribute__((reqd_work_group_size(TV_GROUP, 1, 1))) void TV_NAME(
#define TV_IN(slot, x) __global const TV_SLOT(TV_TYPE_##slot) *x,
#define TV_IN4(slot, x) __global const TV_SLOT(TV_TYPE_##slot) *x,
#define TV_IN_U(slot, x) __global const uint *x,
#define TV_OUT(slot, x) __global TV_SLOT(TV_TYPE_##slot) *x,
#define TV_INOUT(slot, x) __global TV_SLOT(TV_TYPE_##slot) *x,
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
#define LD(x, i) tv_ld(x, TV_TYPE_OF(x), i)
#define LDU(x, i) x[i]
#define LD4(x, i4) tv_ld4(x, TV_TYPE_OF(x), i4)
#define ST(x, i, v) tv_st(x, TV_TYPE_OF(x), i, v)
#define ST4(x, i4, v) tv_st4(x, TV_TYPE_OF(x), i4, v)
float tv_tree_sum(float v, __local float *tv_tree) { TV_TREE(TV_SUM_OF) }
float tv_tree_max(float v, __local float *tv_tree) { TV_TREE(max) }
#define TV_TREES TV_SHARED(float, tv_tree, TV_GROUP)
#define TV_TREE_SUM(v) tv_tree_sum(v, tv_tree)
#define TV_TREE_MAX(v) tv_tree_max(v, tv_tree)
