// Precision: which numbers a run stores in which format, and the scale that keeps small gradients
// within a half's range. Arithmetic is 32-bit in every mode. docs/precision.md has the modes side
// by side.
#ifndef TV_TRAIN_PRECISION_H
#define TV_TRAIN_PRECISION_H

#include "base/error.h"
#include "device/device.h"
#include "graph/graph.h"

// Named as in Lightning.
typedef enum tv_precision {
    TV_PRECISION_32_TRUE,
    TV_PRECISION_16_MIXED,
    TV_PRECISION_BF16_MIXED,
    TV_PRECISION_BF16_TRUE,
    TV_PRECISION_COUNT,
    TV_PRECISION_AUTO = TV_PRECISION_COUNT, // to be chosen by the device
} tv_precision;

typedef struct tv_precision_info {
    const char *name, *alias; // "16-mixed", "16"; alias NULL: none
    const char *stored;       // what is stored how, in a few words
    tv_dtype storage;         // of weights and activations
    bool masters;             // the optimizer updates float copies of the weights
    bool scaled;              // the loss is scaled, so that its gradients do not vanish
} tv_precision_info;

const tv_precision_info *tv_precision_get_info(tv_precision precision); // none of AUTO

// "16-mixed", "16", "auto", ...; TV_EUSAGE names the valid ones.
tv_err tv_precision_parse(const char *name, tv_precision *precision);
// The storage of AdamW's moments, optimizer.state_precision: "32" or "bf16".
tv_err tv_moment_dtype_parse(const char *name, tv_dtype *dtype);
const char *tv_moment_dtype_name(tv_dtype dtype);

// What AUTO means on such a device, and why.
typedef struct tv_precision_choice {
    tv_precision precision;
    const char *reason;
} tv_precision_choice;
tv_precision_choice tv_precision_auto(const tv_caps *caps, tv_device_class device_class);

// A dynamic loss scale, by the rules of torch.amp.GradScaler: doubled after 2000 finite steps in a
// row, halved after each that is not (which is skipped). It ends at 1: gradients that overflow
// without a scale are no matter of the scale.
typedef struct tv_loss_scale {
    double value;
    uint64_t good_steps; // finite ones since it last changed
} tv_loss_scale;

enum { TV_LOSS_SCALE_INTERVAL = 2000 };

void tv_loss_scale_update(tv_loss_scale *scale, bool finite);

#endif
