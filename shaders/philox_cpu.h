// Philox4x32-10 (philox.h) of sixteen counters, for kernels in OpenCL C on CPUs.

uint16 tv_mul_high16(uint factor, uint16 v)
{
    return convert_uint16(convert_ulong16(v) * (ulong)factor >> 32); // mul_hi goes one by one
}

// Elements of two vectors in turn.
#define TV_IN_TURN(first, second, x, y)                                                            \
    first.even = x.lo;                                                                             \
    first.odd = y.lo;                                                                              \
    second.even = x.hi;                                                                            \
    second.odd = y.hi;

// The words of counters (c0 + i, c1, c2, c3), i from 0 to 15: four of each, in this order.
void tv_philox16(uint k0, uint k1, uint c0, uint c1, uint c2, uint c3, uint16 *words)
{
    uint16 w0 = c0 + (uint16)(0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 10u, 11u, 12u, 13u, 14u, 15u);
    uint16 w1 = (uint16)(c1), w2 = (uint16)(c2), w3 = (uint16)(c3), a0, a1, b0, b1;
    for (uint round = 0u; round < 10u; round++) {
        uint16 high0 = tv_mul_high16(0xD2511F53u, w0), high1 = tv_mul_high16(0xCD9E8D57u, w2);
        uint16 low0 = 0xD2511F53u * w0, low1 = 0xCD9E8D57u * w2;
        w0 = high1 ^ w1 ^ (k0 + round * 0x9E3779B9u);
        w1 = low1;
        w2 = high0 ^ w3 ^ (k1 + round * 0xBB67AE85u);
        w3 = low0;
    }
    TV_IN_TURN(a0, a1, w0, w2)
    TV_IN_TURN(b0, b1, w1, w3)
    TV_IN_TURN(words[0], words[1], a0, b0)
    TV_IN_TURN(words[2], words[3], a1, b1)
}
