// Precision: the table of modes, the choice by device, and the dynamic loss scale.
#include "train/precision.h"

#include <string.h>

// Its inverse, too, is a normal float.
#define LARGEST_SCALE 0x1p100

static const tv_precision_info infos[TV_PRECISION_COUNT] = {
    [TV_PRECISION_32_TRUE] = {.name = "32-true",
                              .alias = "32",
                              .stored = "everything in 32 bits",
                              .storage = TV_F32},
    [TV_PRECISION_16_MIXED] = {.name = "16-mixed",
                               .alias = "16",
                               .stored = "float16 weights and activations, 32-bit master weights",
                               .storage = TV_F16,
                               .masters = true,
                               .scaled = true},
    [TV_PRECISION_BF16_MIXED] = {.name = "bf16-mixed",
                                 .alias = "bf16",
                                 .stored =
                                     "bfloat16 weights and activations, 32-bit master weights",
                                 .storage = TV_BF16,
                                 .masters = true},
    [TV_PRECISION_BF16_TRUE] = {.name = "bf16-true",
                                .stored = "bfloat16 weights and activations, no master weights",
                                .storage = TV_BF16},
};

const tv_precision_info *tv_precision_get_info(tv_precision precision)
{
    TV_CHECK(precision < TV_PRECISION_COUNT, "precision %d is not chosen yet", (int)precision);
    return &infos[precision];
}

tv_err tv_precision_parse(const char *name, tv_precision *precision)
{
    *precision = TV_PRECISION_AUTO;
    if (strcmp(name, "auto") == 0)
        return TV_OK;
    for (int i = 0; i < TV_PRECISION_COUNT; i++)
        if (strcmp(name, infos[i].name) == 0 ||
            (infos[i].alias && strcmp(name, infos[i].alias) == 0)) {
            *precision = (tv_precision)i;
            return TV_OK;
        }
    return tv_fail(TV_EUSAGE,
                   "no precision '%s'; there are: 32-true, 16-mixed, bf16-mixed, bf16-true, auto",
                   name);
}

tv_err tv_moment_dtype_parse(const char *name, tv_dtype *dtype)
{
    *dtype = strcmp(name, "bf16") == 0 ? TV_BF16 : TV_F32;
    if (strcmp(name, tv_moment_dtype_name(*dtype)) == 0)
        return TV_OK;
    return tv_fail(TV_EUSAGE, "no precision '%s' of the optimizer's state; there are: 32, bf16",
                   name);
}

const char *tv_moment_dtype_name(tv_dtype dtype)
{
    return dtype == TV_BF16 ? "bf16" : "32";
}

tv_precision_choice tv_precision_auto(const tv_caps *caps, tv_device_class device_class)
{
    if (device_class == TV_CLASS_CPU)
        return (tv_precision_choice){TV_PRECISION_32_TRUE,
                                     "on a CPU 16-bit numbers only cost conversions"};
    if (!caps->storage16)
        return (tv_precision_choice){TV_PRECISION_32_TRUE,
                                     "the device does not store 16-bit numbers by itself"};
    if (caps->bf16)
        return (tv_precision_choice){TV_PRECISION_BF16_MIXED, "the device has bfloat16"};
    if (caps->f16)
        return (tv_precision_choice){TV_PRECISION_16_MIXED,
                                     "the device has float16 and no bfloat16"};
    return (tv_precision_choice){TV_PRECISION_32_TRUE,
                                 "the device has neither bfloat16 nor float16"};
}

void tv_loss_scale_update(tv_loss_scale *scale, bool finite)
{
    if (!finite) {
        scale->value = scale->value > 2 ? scale->value / 2 : 1;
        scale->good_steps = 0;
    } else if (++scale->good_steps == TV_LOSS_SCALE_INTERVAL) {
        scale->value = scale->value < LARGEST_SCALE ? 2 * scale->value : scale->value;
        scale->good_steps = 0;
    }
}
