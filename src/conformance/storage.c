// Storage types: their roundings and units in the last place.
#include "conformance/case.h"

#include "base/half.h"

#include <float.h>
#include <math.h>

const tv_dtype tv_storages[TV_STORAGE_COUNT] = {TV_F32, TV_F16, TV_BF16};

static const struct format {
    const char *name;
    int digits; // of the significand, the leading one included
    int lowest; // exponent of the smallest normal value
} formats[] = {
    [TV_F32] = {"f32", 24, -126},
    [TV_U32] = {"u32", 32, 0},
    [TV_F16] = {"f16", 11, -14},
    [TV_BF16] = {"bf16", 8, -126},
};

const char *tv_dtype_name(tv_dtype dtype)
{
    return formats[dtype].name;
}

double tv_rounding(tv_dtype dtype)
{
    return ldexp(1, -formats[dtype].digits);
}

float tv_round_to(tv_dtype dtype, float value)
{
    if (dtype == TV_F16)
        return tv_float_from_f16(tv_f16_from_float(value));
    if (dtype == TV_BF16)
        return tv_float_from_bf16(tv_bf16_from_float(value));
    return value;
}

double tv_ulp(tv_dtype dtype, double value)
{
    int exponent = formats[dtype].lowest;
    if (isfinite(value) && value != 0)
        exponent = (int)fmax(exponent, ilogb(value));
    return ldexp(1, exponent - formats[dtype].digits + 1);
}
