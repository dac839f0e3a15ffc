// Philox4x32-10 in the dialect (Salmon et al., SC11); the host's twin is tv_philox in base/rng.c.
// After TV_PHILOX(k0, k1, c0, c1, c2, c3) the variables c0 to c3 (uint) hold the random words.
#define TV_PHILOX(k0, k1, c0, c1, c2, c3)                                                          \
    for (uint round_ = 0u; round_ < 10u; round_++) {                                               \
        uint high0_, high1_, low0_ = 0xD2511F53u * c0, low1_ = 0xCD9E8D57u * c2;                   \
        TV_MUL_HIGH(0xD2511F53u, c0, high0_);                                                      \
        TV_MUL_HIGH(0xCD9E8D57u, c2, high1_);                                                      \
        c0 = high1_ ^ c1 ^ (k0 + round_ * 0x9E3779B9u);                                            \
        c1 = low1_;                                                                                \
        c2 = high0_ ^ c3 ^ (k1 + round_ * 0xBB67AE85u);                                            \
        c3 = low0_;                                                                                \
    }
