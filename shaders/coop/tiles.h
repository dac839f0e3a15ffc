// Tiles of A and B in shared memory, for products by subgroups: where a lane's part of them is, how
// it comes from a matrix into registers, and from there into the tile. Needs TILE_M, TILE_N,
// TILE_K, A_BY_K, B_BY_K and EIGHTS.

// In units of 8 elements; a row is one unit longer, which spreads banks.
const uint A_ROWS = A_BY_K ? TILE_K : TILE_M, A_UNITS = (A_BY_K ? TILE_M : TILE_K) / 8;
const uint B_ROWS = B_BY_K ? TILE_K : TILE_N, B_UNITS = (B_BY_K ? TILE_N : TILE_K) / 8;
const uint A_PITCH = A_UNITS + 1, B_PITCH = B_UNITS + 1;
const uint A_SIZE = A_ROWS * A_PITCH, B_SIZE = B_ROWS * B_PITCH;
const uint A_MINE = A_ROWS * A_UNITS / gl_WorkGroupSize.x;
const uint B_MINE = B_ROWS * B_UNITS / gl_WorkGroupSize.x;
shared uvec4 tile_a[A_SIZE];
shared uvec4 tile_b[B_SIZE];

SLOT(readonly, 0, uvec4, a8)
SLOT(readonly, 0, uint16_t, a1)
SLOT(readonly, 1, uvec4, b8)
SLOT(readonly, 1, uint16_t, b1)

// The row of a tile that unit `unit` is in. Eight lanes that store together write to all banks:
// where rows are of four units, they take two rows that are four apart.
uint row_of(uint unit, uint units)
{
    const uint row = unit / units;
    return units == 4 ? (row & ~7u) | (row & 7) >> 1 | (row & 1) << 2 : row;
}

// Eight elements of a row from `column` on; 0 beyond what there is.
#define EIGHT(name, one, eight, first)                                                             \
    uvec4 name(uint row, uint column, uint rows, uint columns, uint pitch)                         \
    {                                                                                              \
        const uint at = row * pitch + first + column;                                              \
        uvec4 v = uvec4(0);                                                                        \
        if (row < rows && EIGHTS && column + 8 <= columns)                                         \
            return eight[at / 8];                                                                  \
        [[unroll]] for (uint i = 0; i < 8; i++)                                                    \
            if (row < rows && column + i < columns)                                                \
                v[i / 2] |= uint(one[at + i]) << i % 2 * 16;                                       \
        return v;                                                                                  \
    }
EIGHT(eight_of_a, a1, a8, p.u[8])
EIGHT(eight_of_b, b1, b8, p.u[9])

// Where a lane's unit of the first step is, in eights. What is beyond the last row or column of C
// is never stored, so those read the last ones: steps along K need no more checks.
uint place(uint unit, uint units, bool by_k, uint start, uint count, uint pitch, uint first)
{
    const uint row = row_of(unit, units), column = unit % units * 8, last = (count - 1) & ~7u;
    return (by_k ? row * pitch + min(start + column, last)
                 : min(start + row, count - 1) * pitch + column) / 8 + first / 8;
}

// Fetches a tile's part of the step at k into registers: at once where the step is whole, else
// element by element.
#define FETCH(to, eights, at, by_k, pitch, name, start, count, mine, units)                        \
    if (EIGHTS && k + TILE_K <= K)                                                                 \
        [[unroll]] for (uint i = 0; i < mine; i++)                                                 \
            to[i] = eights[at[i] + (by_k ? k * pitch : k) / 8];                                    \
    else if (k < K)                                                                                \
        [[unroll]] for (uint i = 0; i < mine; i++) {                                               \
            const uint unit = i * lanes + lane, row = row_of(unit, units), c = unit % units * 8;   \
            to[i] = by_k ? name(row + k, c + start, K, count, pitch)                               \
                         : name(row + start, c + k, count, K, pitch);                              \
        }

#define FETCH_BOTH(f)                                                                              \
    FETCH(next_a[f], a8, at_a, A_BY_K, pa, eight_of_a, m0, M, A_MINE, A_UNITS)                     \
    FETCH(next_b[f], b8, at_b, B_BY_K, pb, eight_of_b, n0, N, B_MINE, B_UNITS)

// Puts it into its tile.
#define PUT_DOWN(tile, from, mine, units, pitch)                                                   \
    [[unroll]] for (uint i = 0; i < mine; i++)                                                     \
        tile[row_of(i * lanes + lane, units) * pitch + (i * lanes + lane) % units] = from[i];
