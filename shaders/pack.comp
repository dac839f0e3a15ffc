// pack_s8, pack_s16: an input of matmul_s8 and matmul_s16 as floats in the order in which their
// lanes read it.
// variant s8: W=8 TILE=32
// variant s16: W=16 TILE=64
// u0 rows of A or columns of B  u2 K  u3 pitch  u8 first column; constants 1 and
// 3 as of matmul.comp. Groups (K / 64, u0 / TILE) of W lanes.
#define TV_TEXEL
#include "tv.h"

TV_CONSTANT(1, ODD, 0)
TV_CONSTANT(3, LIES, 0)

TV_KERNEL(W)
    TV_IN4(0, a)
    TV_OUT(1, panels)
TV_ARGS

#include "operand.h"
OPERAND(a, LIES, TV_ODD_A)

void main()
{
    const int first = int(gl_WorkGroupID.y) * TILE, K = int(p.u[2]), fours = (K + 3) / 4;
    const int to = first * fours + int(gl_LocalInvocationID.x), k0 = int(gl_WorkGroupID.x) * 64;
    int at[4];
    find_a(first, int(p.u[0]), int(p.u[3]), int(p.u[8]), at);
    for (int k = k0; k < min(k0 + 64, K); k += 16) {
        vec4 v[4][4];
        [[unroll]] for (int j = 0; j < 4; j++)
            load_a(at, k + 4 * j, int(p.u[3]), v[j]);
        [[unroll]] for (int j = 0; j < 4; j++)
            [[unroll]] for (int i = 0; i < 4; i++)
                if (k + 4 * j < K)
                    ST4(panels, to + (k + 4 * j) * W + i * W, v[j][i]);
    }
}
