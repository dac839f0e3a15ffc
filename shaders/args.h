// The argument block that every kernel receives and the step block that many read; for C11, GLSL
// and OpenCL C. The argument block is 64 bytes: half of the push constants that Vulkan guarantees.
struct tv_args {
    uint u[10]; // shapes and counts; each kernel's first comment says which is which
    float f[6]; // the op's float attributes
};

// Words of the step block, a 64-byte buffer of uint written by the host before each run. Words
// marked F hold the bits of a float.
#define TV_STEP_SEED_LOW 0
#define TV_STEP_SEED_HIGH 1
#define TV_STEP_STEP 2       // optimizer step, from 0
#define TV_STEP_POSITION 3   // position of row 0 in the sequence (generation; 0 in training)
#define TV_STEP_LR 4         // F learning rate
#define TV_STEP_LOSS_SCALE 5 // F factor of each token's loss gradient: scale / valid tokens
#define TV_STEP_CORRECT1 6   // F 1 - beta1^t, t counted from 1
#define TV_STEP_CORRECT2 7   // F sqrt(1 - beta2^t)
#define TV_STEP_CLIP 8       // F largest global gradient norm, 0: no clipping
#define TV_STEP_UNSCALE 9    // F what takes the scale out of the gradients again: 1 / scale
#define TV_STEP_WORDS 16

// Words (float) of the statistics that grad_norm writes and adamw reads.
#define TV_STAT_NORM 0        // global L2 norm of the gradients, without scale
#define TV_STAT_COEFFICIENT 1 // what gradients are multiplied with
#define TV_STAT_FINITE 2      // 1 if the norm is finite, else 0: adamw then changes nothing
#define TV_STAT_WORDS 16

// Flags of the matmul kernels (u[6]).
#define TV_MATMUL_ACCUMULATE 1u
#define TV_MATMUL_BIAS 2u

// What the matmul kernels do to a finished sum s (constant 4, from this bit on) with a matrix
// `other` of the shape of c: see epilogue.h.
#define TV_EPILOGUE_BIT 16
#define TV_EPILOGUE_NONE 0u
#define TV_EPILOGUE_GELU 1u      // c = gelu(s)
#define TV_EPILOGUE_GELU_KEEP 2u // c = s, other = gelu(s)
#define TV_EPILOGUE_GELU_GRAD 3u // c = s gelu'(other)

// Where the subgroup's matmul kernels cannot take four elements at once (constant 1): rows of a, b
// and c that do not start at multiples of 4, and a K that is none.
#define TV_ODD_A 1u
#define TV_ODD_B 2u
#define TV_ODD_C 4u
#define TV_ODD_K 8u

// What adamw rounds at random (constant 2), and the site of its random numbers.
#define TV_STOCHASTIC_WEIGHT 1u
#define TV_STOCHASTIC_STATE 2u
#define TV_SITE_UPDATE 0x80000000u

// Storage types: how the elements of a slot lie in memory. Arithmetic is always float.
#define TV_TYPE_F32 0
#define TV_TYPE_F16 1  // IEEE binary16
#define TV_TYPE_BF16 2 // the upper half of a float

#define TV_IGNORE_TARGET 0xFFFFFFFFu // a target without loss

// How an input of the subgroup's kernels lies in memory: four elements along K side by side, or
// four rows (of A) or columns (of B), or in panels that pack.comp made.
#define TV_ALONG_K 0u
#define TV_ACROSS_K 1u
#define TV_PACKED 2u
