// Model kinds: what model.c asks of each model type, and the weight declarations that they share.
#ifndef TV_MODEL_MODEL_KIND_H
#define TV_MODEL_MODEL_KIND_H

#include "model/model.h"

typedef struct tv_model_kind {
    void (*declare)(tv_model *model); // its weights, in checkpoint order
    // Keeps (tv_tensor.kept) the residual stream in front of each block and behind the last.
    tv_tensor *(*forward)(tv_model *model, const tv_model_inputs *inputs);
} tv_model_kind;

extern const tv_model_kind tv_model_gpt2, tv_model_llama;

// Declares a weight [rows, columns] of one part. The name is a printf format with the layer number
// (unused where the format has none).
tv_tensor *tv_declare(tv_model *model, uint32_t rows, uint32_t columns, tv_weight_init init,
                      double std, const char *format, uint32_t layer);
// A table [rows, columns] whose rows are looked up, of normal values.
tv_tensor *tv_declare_table(tv_model *model, uint32_t rows, uint32_t columns, double std,
                            const char *name);
// A vector [1, columns]: a bias or the weight of a norm.
tv_tensor *tv_declare_vector(tv_model *model, uint32_t columns, tv_weight_init init,
                             const char *format, uint32_t layer);
// Declares a matrix whose parts follow one another by rows.
typedef struct tv_part_spec {
    const char *format;
    uint32_t rows;
} tv_part_spec;
tv_tensor *tv_declare_parts(tv_model *model, const tv_part_spec *parts, uint32_t count,
                            uint32_t columns, double std, uint32_t layer);

// The weight whose first part has this name.
tv_tensor *tv_model_weight(const tv_model *model, const char *format, uint32_t layer);
// Dropout where the inputs ask for it and the rate is not 0.
tv_tensor *tv_model_dropout(tv_model *model, const tv_model_inputs *inputs, tv_tensor *x,
                            uint32_t site, double rate);
// Attention over a fused projection, through the caches where the inputs have them.
tv_tensor *tv_model_attention(tv_model *model, const tv_model_inputs *inputs, tv_tensor *qkv,
                              uint32_t layer);

#endif
