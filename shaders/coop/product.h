// What the cooperative matrix products share: tiles, slots c, bias and other, epilogues, and the
// order of tiles.
#include "coop.h"
#include "epilogue.h"

layout(constant_id = 1) const uint TILE_M = 128;
layout(constant_id = 2) const uint TILE_N = 128;
layout(constant_id = 4) const uint LAYOUT = 0x120;
const uint NT = 0, NN = 1, TN = 2;

SLOT(, 2, float, c32)
SLOT(, 2, T, c16)
SLOT(readonly, 3, float, bias32)
SLOT(readonly, 3, T, bias16)
SLOT(, 4, float, other32)
SLOT(, 4, T, other16)
SLOT_TYPE(2, C_TYPE)
SLOT_TYPE(3, BIAS_TYPE)
SLOT_TYPE(4, OTHER_TYPE)

float get_other(uint at) { return OTHER_TYPE == TV_TYPE_F32 ? other32[at] : float(other16[at]); }

void put_other(uint at, float x)
{
    if (OTHER_TYPE == TV_TYPE_F32)
        other32[at] = x;
    else
        other16[at] = T(nearest(x));
}

// One element of C.
void put(uint m, uint n, float x)
{
    uint to = m * p.u[5] + p.u[7] + n;
    if (m >= p.u[0] || n >= p.u[1])
        return;
    if ((p.u[6] & TV_MATMUL_BIAS) != 0)
        x += BIAS_TYPE == TV_TYPE_F32 ? bias32[n] : float(bias16[n]);
    if ((p.u[6] & TV_MATMUL_ACCUMULATE) != 0)
        x += C_TYPE == TV_TYPE_F32 ? c32[to] : float(c16[to]);
    FINISH(float, x, get_other(to), put_other(to, other_))
    if (C_TYPE == TV_TYPE_F32)
        c32[to] = x;
    else
        c16[to] = T(nearest(x));
}

// First row and column of the group's tile. Groups that are at work together have the same few rows
// of A and columns of B.
uvec2 first_of_tile()
{
    const uint BAND = 8, wide = gl_NumWorkGroups.x, high = gl_NumWorkGroups.y;
    const uint index = gl_WorkGroupID.y * wide + gl_WorkGroupID.x;
    const uint band = index / (BAND * wide), rest = index % (BAND * wide);
    const uint rows = min(BAND, high - band * BAND);
    return uvec2((band * BAND + rest % rows) * TILE_M, rest / rows * TILE_N);
}
