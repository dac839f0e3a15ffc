// matmul_*_v16: C = A B for CPUs through OpenCL, whose compilers keep float16 in vector registers.
// variant nt_v16: NT=1 TN=0
// variant nn_v16: NT=0 TN=0
// variant tn_v16: NT=0 TN=1
// Layouts, slots and arguments as matmul.k. Groups (N / 144, M / 256 or more, members) of one lane,
// which packs B, DEPTH rows of it at a time, into panels of 48 columns; so pitches do not matter,
// and all is in caches. The product of ROWS rows with a panel is in registers. A is packed likewise
// where its rows do not lie along K, or are not floats.
#define TV_WIDE
#include "tv.h"
#include "matmul_cpu.h"

#define TILE_M 256u
#define PANELS 3u
#define DEPTH 128u
#define ROWS 8u
#define VECTORS 3u
#define COLUMNS (16u * VECTORS)
#define LINE (ROWS * DEPTH + 16u) // not a power of two: those share a few sets of the caches
#define PACKED_A (TN || TV_TYPE_0 != TV_TYPE_F32)

// Columns [n, n + COLUMNS) of rows [k, k + depth) of B; behind the last column is anything.
void pack_b(float16 *to, __global const void *b, uint type, const struct tv_args *p, uint k,
            uint depth, uint n)
{
    uint last = p->u[1] - 1u, pitch = p->u[4], first = p->u[9] + (NT ? k : k * pitch);
    for (uint v = 0u; v < VECTORS; v++, n += 16u) {
        uint i = 0u;
#if NT
        for (; i + 16u <= depth; i += 16u) {
            float16 x[16];
            TV_UNROLL for (uint j = 0u; j < 16u; j++)
                x[j] = tv_ld16(b, type, min(n + j, last) * pitch + first + i);
            tv_transpose16(x);
            TV_UNROLL for (uint j = 0u; j < 16u; j++)
                to[(i + j) * VECTORS + v] = x[j];
        }
#else
        for (; i < depth && n + 16u <= last + 1u; i++)
            to[i * VECTORS + v] = tv_ld16(b, type, i * pitch + first + n);
#endif
        for (uint j = 0u; j < 16u; j++)
            for (uint rest = i, column = min(n + j, last); rest < depth; rest++)
                ((float *)&to[rest * VECTORS + v])[j] =
                    tv_ld(b, type, first + (NT ? column * pitch + rest : column + rest * pitch));
    }
}

// Rows [m, end) and columns [k, k + depth) of A. What is behind the last row is never stored.
void pack_a(float *to, __global const void *a, uint type, const struct tv_args *p, uint m, uint end,
            uint k, uint depth)
{
    uint pitch = p->u[3], count = TN ? depth : end - m, length = TN ? end - m : depth;
    for (uint i = 0u; i < count; i++) {
        uint at = (TN ? (k + i) * pitch + m : (m + i) * pitch + k) + p->u[8], j = 0u;
        for (; j + 16u <= length; j += 16u) {
            float16 x = tv_ld16(a, type, at + j);
            if (TN) {
                vstore8(x.lo, 0, to + j / ROWS * LINE + i * ROWS);
                vstore8(x.hi, 0, to + (j / ROWS + 1u) * LINE + i * ROWS);
            } else {
                vstore16(x, 0, to + i * DEPTH + j);
            }
        }
        for (; j < length; j++)
            to[TN ? j / ROWS * LINE + i * ROWS + j % ROWS : i * DEPTH + j] = tv_ld(a, type, at + j);
    }
}

TV_KERNEL(1)
    TV_IN4(0, a)
    TV_IN4(1, b)
    TV_INOUT(2, c)
    TV_IN(3, bias)
    TV_INOUT(4, other)
TV_ARGS

TV_MAIN
{
    uint rows = p.u[0], columns = p.u[1], whole = p.u[2], count = (uint)get_num_groups(1);
    struct tv_args own = p; // of this member
    own.u[8] += TV_GROUP_Z * (TN ? whole : rows) * p.u[3];
    own.u[9] += TV_GROUP_Z * (NT ? columns : whole) * p.u[4];
    own.u[7] += TV_GROUP_Z * rows * p.u[5];
    uint share = (rows + ROWS * count - 1u) / (ROWS * count) * ROWS; // at most TILE_M
    uint m0 = TV_GROUP_Y * share, end = min(m0 + share, rows);
    uint n0 = TV_GROUP_X * COLUMNS * PANELS, n1 = min(n0 + COLUMNS * PANELS, columns);
    float16 y[PANELS * DEPTH * VECTORS], part[TILE_M * PANELS * VECTORS];
#if PACKED_A
    float x[TILE_M / ROWS * LINE];
#endif
    for (uint k0 = 0u; k0 < whole && m0 < end; k0 += DEPTH) {
        uint depth = min(DEPTH, whole - k0);
        bool last = k0 + depth == whole;
        for (uint n = n0, j = 0u; n < n1; n += COLUMNS, j++)
            pack_b(y + j * DEPTH * VECTORS, b, TV_TYPE_OF(b), &own, k0, depth, n);
#if PACKED_A
        pack_a(x, a, TV_TYPE_OF(a), &own, m0, end, k0, depth);
#endif
        float16 *kept = part;
        for (uint n = n0, j = 0u; n < n1; n += COLUMNS, j++)
            for (uint m = m0; m < end; m += ROWS, kept += ROWS * VECTORS) {
                const float16 *panel = y + j * DEPTH * VECTORS;
#if PACKED_A
                const float *row[ROWS];
                TV_UNROLL for (uint r = 0u; r < ROWS; r++)
                    row[r] = x + (TN ? (m - m0) / ROWS * LINE + r : (m - m0 + r) * DEPTH);
#else
                __global const float *row[ROWS], *first = (__global const float *)a + own.u[8] + k0;
                TV_UNROLL for (uint r = 0u; r < ROWS; r++)
                    row[r] = first + min(m + r, end - 1u) * p.u[3];
#endif
                float16 s[ROWS * VECTORS];
                TV_UNROLL for (uint i = 0u; i < ROWS * VECTORS; i++)
                    s[i] = k0 == 0u ? F16S(0.0f) : kept[i];
                for (uint k = 0u; k < depth; k++) {
                    float16 v[VECTORS];
                    TV_UNROLL for (uint i = 0u; i < VECTORS; i++)
                        v[i] = panel[k * VECTORS + i];
                    TV_UNROLL for (uint r = 0u; r < ROWS; r++) {
                        float16 one = F16S(row[r][TN ? k * ROWS : k]);
                        TV_UNROLL for (uint i = 0u; i < VECTORS; i++)
                            s[r * VECTORS + i] = fma(one, v[i], s[r * VECTORS + i]);
                    }
                }
                TV_UNROLL for (uint i = 0u; i < ROWS * VECTORS; i++)
                    kept[i] = s[i];
                for (uint i = 0u; i < ROWS * VECTORS && last; i++)
                    if (m + i / VECTORS < end && n + 16u * (i % VECTORS) < n1)
                        put(c, TV_TYPE_OF(c), bias, TV_TYPE_OF(bias), other, TV_TYPE_OF(other),
                            &own, m + i / VECTORS, n + 16u * (i % VECTORS), &kept[i]);
            }
    }
}
TV_END
