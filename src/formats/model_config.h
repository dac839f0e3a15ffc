// Model configuration: Hugging Face's config.json as one plain struct, for all model types.
#ifndef TV_FORMATS_MODEL_CONFIG_H
#define TV_FORMATS_MODEL_CONFIG_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tv_model_type { TV_MODEL_GPT2, TV_MODEL_LLAMA, TV_MODEL_TYPE_COUNT } tv_model_type;

typedef struct tv_model_config {
    tv_model_type type;
    uint32_t vocab_size; // 0: not known yet (the training data decides)
    uint32_t layers, heads;
    uint32_t kv_heads;  // gpt2: = heads
    uint32_t head_size; // = width / heads
    uint32_t width;     // of the residual stream
    uint32_t inner;     // of the feed-forward layer
    uint32_t positions; // the longest sequence
    double norm_epsilon;
    double rope_theta; // llama only
    bool tie_embeddings;
    double initializer_range;       // standard deviation of fresh weights
    double resid_pdrop, embd_pdrop; // dropout; gpt2 only
    int64_t bos_token_id;           // -1: none
    int64_t eos_token_id;           // -1: none; of a list, the first
} tv_model_config;

const char *tv_model_type_name(tv_model_type type); // "gpt2", "llama": config.json's model_type

// Reads config.json as transformers 4.x and 5.x write it; missing keys get that class's defaults.
// TV_EFORMAT for broken files, impossible sizes, and for what would change the computation but is
// not supported: other model types or activations, scaled RoPE, biases in llama, quantized weights.
// Dropout of the attention weights (attn_pdrop, attention_dropout) is not applied and not an error.
tv_err tv_model_config_parse(const uint8_t *data, size_t size, const char *file,
                             tv_model_config *out);
tv_err tv_model_config_read(const char *path, tv_model_config *out);

// Sizes within bounds and divisible as the model needs them; heads of 4, 8, ... 256 columns.
// `where` opens the error line (TV_EUSAGE).
tv_err tv_model_config_check(const tv_model_config *config, const char *where);

// A config.json that GPT2LMHeadModel or LlamaForCausalLM of transformers 4.x and 5.x opens. The
// vocabulary must be known.
tv_err tv_model_config_write(const tv_model_config *config, const char *path);

#endif
