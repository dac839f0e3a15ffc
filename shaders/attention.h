// What the attention kernels share: head sizes, keys in blocks, and how a block is read.
//
// A lane owns LANE_ROWS rows, TV_GROUP apart, with all of their D columns in registers; the other
// side (keys for a query's lane, queries for a key's) passes by in blocks of BLOCK rows. All lanes
// need the same values then. GPUs read them with uniform loads. Software drivers are faster when
// each of BLOCK lanes reads one row of the block and the values are shuffled.
TV_CONSTANT(1, HEAD_SIZE, 64)
TV_CONSTANT(2, LANE_ROWS, 1)
#define QUADS (HEAD_SIZE / 4u)

// Causal tiles differ in length: taking them from both ends in turn balances any cut of the grid.
#define TILE(index, count) ((index) % 2u == 0u ? (index) / 2u : (count)-1u - (index) / 2u)

#if defined(TV_TEXEL) && defined(TV_SUBGROUP)
#define BLOCK (TV_GROUP < 8u ? TV_GROUP : 8u)
#extension GL_KHR_shader_subgroup_shuffle : require
#define LD_BLOCK(name, row, pitch4, last, at4)                                                     \
    float4 name##_block = LD4(name, min(row + TV_LANE % BLOCK, last) * (pitch4) + (at4));
#define ROW_OF_BLOCK(name, row, pitch4, last, at4, j)                                              \
    F4(subgroupShuffle(name##_block.x, j), subgroupShuffle(name##_block.y, j),                     \
       subgroupShuffle(name##_block.z, j), subgroupShuffle(name##_block.w, j))
#else
#define BLOCK 2u
#define LD_BLOCK(name, row, pitch4, last, at4)
#define ROW_OF_BLOCK(name, row, pitch4, last, at4, j)                                              \
    LD4(name, min(row + j, last) * (pitch4) + (at4))
#endif
