// The kernel dialect: one text that is GLSL (Vulkan) and OpenCL C 1.2. A kernel reads
//
//     #include "tv.h"
//     TV_KERNEL(256)            default work-group size (a power of two; one dimension)
//         TV_IN4(0, x)          slots in order, from 0
//         TV_OUT(1, y)
//     TV_ARGS                   the argument block is `p` (args.h)
//     TV_MAIN { ST4(y, TV_INDEX, LD4(x, TV_INDEX)); } TV_END
//
// and touches its slots only by LD, LD4, LDU, ST and ST4, whose values are float whatever the
// slot's storage type (TV_TYPE_* in args.h). Index i4 of LD4 and ST4 counts groups of four
// elements: use them where the row length is a multiple of 4.
//
//     TV_IN(slot, x)     LD                   TV_OUT(slot, x)    ST, ST4
//     TV_IN4(slot, x)    LD4; LD is slower    TV_INOUT(slot, x)  LD, LD4, ST, ST4
//     TV_IN_U(slot, x)   LDU: unsigned
//
// A kernel that has vectors of type FV with TV_VECTOR elements instead, read by LDV and written by
// STV at element i, can also be built with long ones for CPUs (TV_WIDE): gelu_cpu.cl is gelu.k.
// TV_VECTORS is how many of them a row has, given its pitch; the elements behind go one by one.
//
// TV_TREES after TV_ARGS gives TV_TREE_SUM and TV_TREE_MAX over the group; all lanes must call.
// TV_ROWS gives TV_ROW_SUM and TV_ROW_MAX, which are the subgroup's under TV_SUBGROUP: the group is
// then exactly one subgroup.
//
// One text is built in the flavours that devices need:
//     TV_TEXEL      GLSL: inputs are read through texel buffers
//     TV_SUBGROUP   GLSL: rows are reduced by subgroups
//     TV_STORAGE16  16-bit elements are stored singly; else by atomics on the word that holds two
// and specialized when a pipeline or program is made (SPIR-V constant ids; OpenCL macros):
//     0 TV_GROUP, 1 to 4 TV_CONSTANT_n for each TV_CONSTANT(n, ...), 5 TV_NATIVE_F16: the driver
//     converts halves, 8 + slot TV_TYPE_slot. OpenCL needs all of them, and TV_NAME.
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
#include "tv_opencl.h"
#else
#include "tv_glsl.h"
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

#ifdef TV_WIDE
#include "vector.h"
#define TV_VECTOR 16u
#define FV float16
#define FVS(a) F16S(a)
#define LDV(x, i) LD16(x, i)
#define STV(x, i, v) ST16(x, i, v)
#define TV_VECTORS(width, pitch) ((width) / 16u)
#define TV_VECTOR_SUM(v) tv_sum16(v)
#define TV_VECTOR_MAX(v) tv_max16(v)
#else
#define TV_VECTOR 4u
#define FV float4
#define FVS(a) F4S(a)
#define LDV(x, i) LD4(x, (i) / 4u)
#define STV(x, i, v) ST4(x, (i) / 4u, v)
#define TV_VECTORS(width, pitch) ((pitch) % 4u == 0u ? (width) / 4u : 0u)
#define TV_VECTOR_SUM(v) dot(v, F4S(1.0f))
#define TV_VECTOR_MAX(v) max(max(v.x, v.y), max(v.z, v.w))
#endif

// Groups and lanes counted over a grid that may be folded over y.
#define TV_GROUP_INDEX (TV_GROUP_Y * TV_GROUPS_X + TV_GROUP_X)
#define TV_INDEX (TV_GROUP_INDEX * TV_GROUP + TV_LANE)
