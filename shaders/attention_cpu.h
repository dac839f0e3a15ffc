// What the attention kernels for CPUs share. A work-group is one lane, which owns OWN rows: queries
// or keys. These lie along vectors, so matrices of them are transposed: [D][OWN]. The rows of the
// other side pass by in blocks, copied as floats: [BLOCK][PITCH].
TV_CONSTANT(1, HEAD_SIZE, 64)
#define QUADS (HEAD_SIZE / 4u)
#define OWN 32u
#define VECTORS (OWN / 16u)
#define BLOCK 32u
#define TILE 8u // rows of a product that are in registers at a time
#define PITCH ((HEAD_SIZE + TILE - 1u) / TILE * TILE)

// The numbers of the own rows in vector v.
uint16 rows_of(uint first, uint v)
{
    return first + 16u * v +
           (uint16)(0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 10u, 11u, 12u, 13u, 14u, 15u);
}

// The head's columns of the own rows, times a factor. Behind the last row comes that one again.
void take_own(float16 *own, __global const void *x, uint type, uint first, uint last, uint pitch4,
              uint at4, float scale)
{
    float *to = (float *)own;
    for (uint lane = 0u; lane < OWN; lane++)
        for (uint d = 0u; d < QUADS; d++) {
            float4 v = tv_ld4(x, type, min(first + lane, last) * pitch4 + at4 + d) * scale;
            to[(4u * d) * OWN + lane] = v.x;
            to[(4u * d + 1u) * OWN + lane] = v.y;
            to[(4u * d + 2u) * OWN + lane] = v.z;
            to[(4u * d + 3u) * OWN + lane] = v.w;
        }
}

// And back, up to the last row.
void give_own(const float16 *own, __global void *x, uint type, uint first, uint last, uint pitch4,
              uint at4)
{
    const float *from = (const float *)own;
    for (uint lane = 0u; lane < OWN && first + lane <= last; lane++)
        for (uint d = 0u; d < QUADS; d++)
            tv_st4(x, type, (first + lane) * pitch4 + at4 + d,
                   F4(from[(4u * d) * OWN + lane], from[(4u * d + 1u) * OWN + lane],
                      from[(4u * d + 2u) * OWN + lane], from[(4u * d + 3u) * OWN + lane]));
}

void take_statistic(float16 *to, __global const void *x, uint type, uint first, uint last)
{
    for (uint lane = 0u; lane < OWN; lane++)
        ((float *)to)[lane] = tv_ld(x, type, min(first + lane, last));
}

// A block of the other side's rows; what lies behind the last one repeats it.
void take_block(float *block, __global const void *x, uint type, uint first, uint last, uint pitch4,
                uint at4)
{
    for (uint j = 0u; j < BLOCK; j++) {
        uint from4 = min(first + j, last) * pitch4 + at4, d = 0u;
        for (; d + 16u <= HEAD_SIZE; d += 16u)
            vstore16(tv_ld16(x, type, 4u * from4 + d), 0, block + j * PITCH + d);
        for (; d < HEAD_SIZE; d += 4u)
            vstore4(tv_ld4(x, type, from4 + d / 4u), 0, block + j * PITCH + d);
    }
}

// c[r] = c[r] * keep + the sum over k < depth of x[r * row + k * step] * b[k], for r < TILE.
#define PRODUCT(c, keep, x, row, step, b, depth)                                                   \
    {                                                                                              \
        float16 t_[TILE * VECTORS];                                                                \
        TV_UNROLL for (uint i_ = 0u; i_ < TILE * VECTORS; i_++)                                    \
            t_[i_] = keep;                                                                         \
        for (uint k_ = 0u; k_ < (depth); k_++) {                                                   \
            float16 v_[VECTORS];                                                                   \
            TV_UNROLL for (uint j_ = 0u; j_ < VECTORS; j_++)                                       \
                v_[j_] = (b)[k_ * VECTORS + j_];                                                   \
            TV_UNROLL for (uint r_ = 0u; r_ < TILE; r_++)                                          \
                TV_UNROLL for (uint j_ = 0u; j_ < VECTORS; j_++)                                   \
                    t_[r_ * VECTORS + j_] =                                                        \
                        fma(F16S((x)[r_ * (row) + k_ * (step)]), v_[j_], t_[r_ * VECTORS + j_]);   \
        }                                                                                          \
        TV_UNROLL for (uint i_ = 0u; i_ < TILE * VECTORS; i_++)                                    \
            (c)[i_] = t_[i_];                                                                      \
    }

// c [BLOCK][OWN] = the block's rows times the own ones.
#define SCORES(c, x, own)                                                                          \
    for (uint j = 0u; j < BLOCK; j += TILE)                                                        \
        PRODUCT(c + j * VECTORS, F16S(0.0f), x + j * PITCH, PITCH, 1u, own, HEAD_SIZE)

// c [D][OWN] = c * keep + the block's rows, weighted.
#define GATHER(c, keep, x, weights)                                                                \
    for (uint d = 0u; d < PITCH; d += TILE)                                                        \
        PRODUCT(c + d * VECTORS, c[d * VECTORS + i_] * (keep), x + d, 1u, PITCH, weights, BLOCK)
