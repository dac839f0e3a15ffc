// How matmul.cl stores what it has summed.
TV_CONSTANT(4, LAYOUT, 0)
#include "epilogue.h"

// Sixteen columns of a row of C, or those that there are.
void put(__global void *c, uint type, __global const void *bias, uint bias_type,
         __global void *other, uint other_type, const struct tv_args *p, uint m, uint n,
         const float16 *from)
{
    bool accumulate = (p->u[6] & TV_MATMUL_ACCUMULATE) != 0u;
    bool biased = (p->u[6] & TV_MATMUL_BIAS) != 0u;
    uint to = m * p->u[5] + p->u[7] + n;
    if (n + 16u <= p->u[1]) {
        float16 sum = biased ? *from + tv_ld16(bias, bias_type, n) : *from;
        sum = accumulate ? tv_ld16(c, type, to) + sum : sum;
        FINISH(float16, sum, tv_ld16(other, other_type, to), tv_st16(other, other_type, to, other_))
        tv_st16(c, type, to, sum);
        return;
    }
    for (uint i = 0u; i < p->u[1] - n; i++, to++) {
        float sum = ((const float *)from)[i] + (biased ? tv_ld(bias, bias_type, n + i) : 0.0f);
        sum = accumulate ? tv_ld(c, type, to) + sum : sum;
        FINISH(float, sum, tv_ld(other, other_type, to), tv_st(other, other_type, to, other_))
        tv_st(c, type, to, sum);
    }
}
