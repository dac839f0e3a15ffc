// fma_peak_v16: fma_peak.k for CPUs through OpenCL: eight times its 16 chains, as vectors.
// variant v16:
// Slots: x:r y:w. u0 rounds. f0 b, f1 c.
#include "tv.h"

TV_KERNEL(8)
    TV_IN4(0, x)
    TV_OUT(1, y)
TV_ARGS

TV_MAIN
{
    float16 b = (float16)(p.f[0]), c = (float16)(p.f[1]), v[8];
    TV_UNROLL for (uint j = 0u; j < 8u; j++)
        v[j] = vload16(0, (__global const float *)x);
    for (uint i = 0u; i < p.u[0]; i++) {
        TV_UNROLL for (uint j = 0u; j < 8u; j++)
            v[j] = fma(v[j], b, c);
    }
    float16 s = v[0] + v[1] + v[2] + v[3] + v[4] + v[5] + v[6] + v[7];
    float8 t = s.lo + s.hi;
    ST(y, get_global_id(0), dot(t.lo + t.hi, F4S(1.0f)));
}
TV_END
