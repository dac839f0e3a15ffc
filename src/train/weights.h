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

// The values of all weights, in full, one weight behind the other: [tv_model_parameters]. A part of
// them goes from the start of one weight to the end of another.
tv_err tv_weights_read(tv_plan *plan, const tv_model *model, size_t first_weight, size_t end_weight,
                       float *values);
tv_err tv_weights_write(tv_plan *plan, const tv_model *model, size_t first_weight,
                        size_t end_weight, const float *values);

// AdamW's moments, one per weight, named exp_avg.NAME and exp_avg_sq.NAME.
typedef struct tv_moments {
    tv_tensor *const *first, *const *second;
} tv_moments;
// The same for one kind of moments: moments->first or ->second.
tv_err tv_moments_read(tv_plan *plan, const tv_model *model, tv_tensor *const *tensors,
                       float *values);
tv_err tv_moments_write(tv_plan *plan, const tv_model *model, tv_tensor *const *tensors,
                        const float *values);
tv_err tv_moments_clear(tv_plan *plan, const tv_model *model, const tv_moments *moments);
tv_err tv_moments_load(tv_plan *plan, const tv_model *model, const tv_moments *moments,
                       const char *path);
tv_err tv_moments_save(tv_collect *from, const tv_model *model, const tv_moments *moments,
                       const char *path, tv_checksum *sum);

#endif
