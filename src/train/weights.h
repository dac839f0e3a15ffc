// Weights and optimizer state between a plan and safetensors files.
#ifndef TV_TRAIN_WEIGHTS_H
#define TV_TRAIN_WEIGHTS_H

#include "base/error.h"
#include "formats/checksum.h"
#include "model/model.h"
#include "plan/plan.h"
#include "train/collect.h"

// Wherever weights are written, their masters are too, each rounded to what it stores; masters are
// what is saved, where there are any.

// Fresh weights from a seed.
tv_err tv_weights_init(tv_plan *plan, const tv_model *model, uint64_t seed);

// Tables that a model needs beside its weights (rotary positions).
tv_err tv_weights_fill_tables(tv_plan *plan, const tv_model *model);

// model.safetensors of a Hugging Face folder, of any float type; saved as F32, or as BF16 where the
// device holds nothing wider. TV_EFORMAT names a tensor
// that is missing, has another shape, or does not belong to the model.
tv_err tv_weights_load(tv_plan *plan, const tv_model *model, const char *path);
tv_err tv_weights_save(tv_collect *from, const tv_model *model, const char *path, tv_checksum *sum);

// AdamW's moments, one per weight, named exp_avg.NAME and exp_avg_sq.NAME.
typedef struct tv_moments {
    tv_tensor *const *first, *const *second;
} tv_moments;
tv_err tv_moments_clear(tv_plan *plan, const tv_model *model, const tv_moments *moments);
tv_err tv_moments_load(tv_plan *plan, const tv_model *model, const tv_moments *moments,
                       const char *path);
tv_err tv_moments_save(tv_collect *from, const tv_model *model, const tv_moments *moments,
                       const char *path, tv_checksum *sum);

#endif
