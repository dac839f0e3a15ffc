// What the cooperative matrix products share: tiles, slots c and bias, and the order of tiles.
#include "coop.h"

layout(constant_id = 1) const uint TILE_M = 128;
layout(constant_id = 2) const uint TILE_N = 128;
const uint NT = 0, NN = 1, TN = 2;

SLOT(, 2, float, c32)
SLOT(, 2, T, c16)
SLOT(readonly, 3, float, bias32)
SLOT(readonly, 3, T, bias16)
SLOT_TYPE(2, C_TYPE)
SLOT_TYPE(3, BIAS_TYPE)

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
