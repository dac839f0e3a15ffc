// Model configuration: reading, checking and writing config.json.
#include "formats/model_config.h"

#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"

#include <stdio.h>
#include <string.h>

enum { SIZE_LIMIT = 16 << 20, DIMENSION_MAX = 1 << 24 };

static const char *const type_names[TV_MODEL_TYPE_COUNT] = {
    [TV_MODEL_GPT2] = "gpt2",
    [TV_MODEL_LLAMA] = "llama",
};

const char *tv_model_type_name(tv_model_type type)
{
    return type_names[type];
}

// A JSON object being read, with its file's name for error lines.
typedef struct source {
    const json_t *root;
    const char *file;
} source;

static tv_err read_size(const source *from, const char *key, uint32_t fallback, uint32_t *out)
{
    int64_t value = fallback;
    TV_TRY(tv_json_int(from->root, from->file, key, 1, DIMENSION_MAX, &value));
    *out = (uint32_t)value;
    return TV_OK;
}

static tv_err read_double(const source *from, const char *key, double fallback, double low,
                          double high, double *out)
{
    *out = fallback;
    return tv_json_double(from->root, from->file, key, low, high, out);
}

// An id, a list of ids of which the first counts, or null for none.
static tv_err read_token(const source *from, const char *key, int64_t fallback, int64_t *out)
{
    const json_t *value = json_object_get(from->root, key);
    if (json_is_array(value))
        value = json_array_get(value, 0);
    else if (!value) {
        *out = fallback;
        return TV_OK;
    }
    *out = -1;
    if (!value || json_is_null(value))
        return TV_OK;
    if (!json_is_integer(value) || json_integer_value(value) < -1 ||
        json_integer_value(value) >= DIMENSION_MAX)
        return tv_fail(TV_EFORMAT, "%s: %s: not a token id or a list of them", from->file, key);
    *out = json_integer_value(value);
    return TV_OK;
}

// Switches that change the computation: only the value we compute with is accepted.
static tv_err require_bool(const source *from, const char *key, bool needed)
{
    bool value = needed;
    TV_TRY(tv_json_bool(from->root, from->file, key, &value));
    if (value != needed)
        return tv_fail(TV_EFORMAT, "%s: %s: %s is not supported", from->file, key,
                       value ? "true" : "false");
    return TV_OK;
}

static tv_err require_name(const source *from, const char *key, const char *needed,
                           const char *same)
{
    const char *value = needed;
    TV_TRY(tv_json_string(from->root, from->file, key, &value));
    if (strcmp(value, needed) != 0 && strcmp(value, same) != 0)
        return tv_fail(TV_EFORMAT, "%s: %s: '%s' is not supported, only '%s' is", from->file, key,
                       value, needed);
    return TV_OK;
}

static tv_err read_gpt2(const source *from, tv_model_config *c)
{
    TV_TRY(read_size(from, "vocab_size", 50257, &c->vocab_size));
    TV_TRY(read_size(from, "n_layer", 12, &c->layers));
    TV_TRY(read_size(from, "n_head", 12, &c->heads));
    TV_TRY(read_size(from, "n_embd", 768, &c->width));
    TV_TRY(read_size(from, "n_inner", 4 * c->width, &c->inner));
    TV_TRY(read_size(from, "n_positions", 1024, &c->positions));
    TV_TRY(read_double(from, "layer_norm_epsilon", 1e-5, 0, 1, &c->norm_epsilon));
    TV_TRY(read_double(from, "initializer_range", 0.02, 0, 1e3, &c->initializer_range));
    TV_TRY(read_double(from, "resid_pdrop", 0.1, 0, 1, &c->resid_pdrop));
    TV_TRY(read_double(from, "embd_pdrop", 0.1, 0, 1, &c->embd_pdrop));
    TV_TRY(read_token(from, "bos_token_id", 50256, &c->bos_token_id));
    TV_TRY(read_token(from, "eos_token_id", 50256, &c->eos_token_id));
    c->tie_embeddings = true;
    TV_TRY(tv_json_bool(from->root, from->file, "tie_word_embeddings", &c->tie_embeddings));
    TV_TRY(require_name(from, "activation_function", "gelu_new", "gelu_pytorch_tanh"));
    TV_TRY(require_bool(from, "scale_attn_weights", true));
    TV_TRY(require_bool(from, "scale_attn_by_inverse_layer_idx", false));
    TV_TRY(require_bool(from, "add_cross_attention", false));
    c->kv_heads = c->heads;
    return TV_OK;
}

// One of rope_scaling (4.x) and rope_parameters (5.x): null, or an object of the plain kind.
static tv_err read_rope_object(const source *from, const char *key, double *theta)
{
    json_t *object = json_object_get(from->root, key);
    if (!object || json_is_null(object))
        return TV_OK;
    if (!json_is_object(object))
        return tv_fail(TV_EFORMAT, "%s: %s: not an object", from->file, key);
    source inner = {object, from->file};
    double partial = 1;
    TV_TRY(require_name(&inner, "rope_type", "default", "default"));
    TV_TRY(require_name(&inner, "type", "default", "default"));
    TV_TRY(read_double(&inner, "partial_rotary_factor", 1, 0, 1, &partial));
    if (partial != 1)
        return tv_fail(TV_EFORMAT, "%s: %s: partial_rotary_factor %g is not supported", from->file,
                       key, partial);
    return read_double(&inner, "rope_theta", *theta, 1, 1e12, theta);
}

static tv_err read_rope(const source *from, tv_model_config *c)
{
    TV_TRY(read_double(from, "rope_theta", 10000, 1, 1e12, &c->rope_theta));
    TV_TRY(read_rope_object(from, "rope_scaling", &c->rope_theta));
    return read_rope_object(from, "rope_parameters", &c->rope_theta);
}

static tv_err read_llama(const source *from, tv_model_config *c)
{
    uint32_t head_size;
    TV_TRY(read_size(from, "vocab_size", 32000, &c->vocab_size));
    TV_TRY(read_size(from, "num_hidden_layers", 32, &c->layers));
    TV_TRY(read_size(from, "num_attention_heads", 32, &c->heads));
    TV_TRY(read_size(from, "num_key_value_heads", c->heads, &c->kv_heads));
    TV_TRY(read_size(from, "hidden_size", 4096, &c->width));
    TV_TRY(read_size(from, "intermediate_size", 11008, &c->inner));
    TV_TRY(read_size(from, "max_position_embeddings", 2048, &c->positions));
    TV_TRY(read_double(from, "rms_norm_eps", 1e-6, 0, 1, &c->norm_epsilon));
    TV_TRY(read_double(from, "initializer_range", 0.02, 0, 1e3, &c->initializer_range));
    TV_TRY(read_token(from, "bos_token_id", 1, &c->bos_token_id));
    TV_TRY(read_token(from, "eos_token_id", 2, &c->eos_token_id));
    TV_TRY(tv_json_bool(from->root, from->file, "tie_word_embeddings", &c->tie_embeddings));
    TV_TRY(require_name(from, "hidden_act", "silu", "swish"));
    TV_TRY(require_bool(from, "attention_bias", false));
    TV_TRY(require_bool(from, "mlp_bias", false));
    TV_TRY(read_size(from, "head_dim", c->width / c->heads, &head_size));
    if (head_size != c->width / c->heads)
        return tv_fail(TV_EFORMAT,
                       "%s: head_dim: %u is not supported, only hidden_size / "
                       "num_attention_heads (%u) is",
                       from->file, head_size, c->width / c->heads);
    return read_rope(from, c);
}

static tv_err read_type(const source *from, tv_model_type *type)
{
    const char *name = NULL;
    TV_TRY(tv_json_string(from->root, from->file, "model_type", &name));
    if (!name)
        return tv_fail(TV_EFORMAT, "%s: model_type: missing; not a model's config.json?",
                       from->file);
    for (size_t i = 0; i < TV_MODEL_TYPE_COUNT; i++) {
        if (strcmp(name, type_names[i]) == 0) {
            *type = (tv_model_type)i;
            return TV_OK;
        }
    }
    return tv_fail(TV_EFORMAT, "%s: model_type: '%s' is not supported, only gpt2 and llama are",
                   from->file, name);
}

static tv_err read_root(const source *from, tv_model_config *c)
{
    const json_t *quantized = json_object_get(from->root, "quantization_config");
    TV_TRY(read_type(from, &c->type));
    if (quantized && !json_is_null(quantized))
        return tv_fail(TV_EFORMAT, "%s: quantization_config: quantized weights are not supported",
                       from->file);
    TV_TRY(c->type == TV_MODEL_GPT2 ? read_gpt2(from, c) : read_llama(from, c));
    c->head_size = c->width / c->heads;
    // What is wrong here is the file, not the user's command.
    return tv_model_config_check(c, from->file) == TV_OK ? TV_OK : TV_EFORMAT;
}

tv_err tv_model_config_parse(const uint8_t *data, size_t size, const char *file,
                             tv_model_config *out)
{
    json_t *root;
    *out = (tv_model_config){0};
    TV_TRY(tv_json_parse(data, size, file, &root));
    tv_err err = read_root(&(source){root, file}, out);
    json_decref(root);
    return err;
}

tv_err tv_model_config_read(const char *path, tv_model_config *out)
{
    uint8_t *data;
    size_t size;
    *out = (tv_model_config){0};
    TV_TRY(tv_file_read(path, SIZE_LIMIT, &data, &size));
    tv_err err = tv_model_config_parse(data, size, path, out);
    tv_free(data);
    return err;
}

// What the attention kernels take.
enum { HEAD_SIZE_MAX = 256 };

tv_err tv_model_config_check(const tv_model_config *c, const char *where)
{
    const struct {
        const char *name;
        uint32_t value, high;
    } sizes[] = {
        {"layers", c->layers, 4096},
        {"heads", c->heads, 4096},
        {"key/value heads", c->kv_heads, 4096},
        {"width", c->width, 1 << 20},
        {"feed-forward width", c->inner, 1 << 22},
        {"positions", c->positions, 1 << 24},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].high)
            return tv_fail(TV_EUSAGE, "%s: %s: %u is not within 1 to %u", where, sizes[i].name,
                           sizes[i].value, sizes[i].high);
    if (c->vocab_size > DIMENSION_MAX)
        return tv_fail(TV_EUSAGE, "%s: a vocabulary of %u is too large", where, c->vocab_size);
    if (c->width % c->heads)
        return tv_fail(TV_EUSAGE, "%s: width %u is not divisible by %u heads", where, c->width,
                       c->heads);
    if (c->heads % c->kv_heads)
        return tv_fail(TV_EUSAGE, "%s: %u heads are not divisible by %u key/value heads", where,
                       c->heads, c->kv_heads);
    uint32_t head_size = c->width / c->heads;
    if (head_size % 4 || head_size > HEAD_SIZE_MAX)
        return tv_fail(TV_EUSAGE,
                       "%s: a head size must be a multiple of 4, at most %d; %u / %u heads gives "
                       "%u; change the number of heads",
                       where, HEAD_SIZE_MAX, c->width, c->heads, head_size);
    return TV_OK;
}

static void put_int(tv_text *text, const char *key, int64_t value)
{
    tv_text_printf(text, "  \"%s\": %lld,\n", key, (long long)value);
}

static void put_double(tv_text *text, const char *key, double value)
{
    tv_text_printf(text, "  \"%s\": ", key);
    tv_text_double(text, value);
    tv_text_puts(text, ",\n");
}

static void put_token(tv_text *text, const char *key, int64_t id)
{
    if (id < 0)
        tv_text_printf(text, "  \"%s\": null,\n", key);
    else
        put_int(text, key, id);
}

static void put_gpt2(tv_text *text, const tv_model_config *c)
{
    tv_text_puts(text, "  \"architectures\": [\"GPT2LMHeadModel\"],\n"
                       "  \"activation_function\": \"gelu_new\",\n"
                       "  \"attn_pdrop\": 0.0,\n");
    put_double(text, "embd_pdrop", c->embd_pdrop);
    put_double(text, "resid_pdrop", c->resid_pdrop);
    put_double(text, "layer_norm_epsilon", c->norm_epsilon);
    put_int(text, "n_embd", c->width);
    put_int(text, "n_head", c->heads);
    put_int(text, "n_inner", c->inner);
    put_int(text, "n_layer", c->layers);
    put_int(text, "n_positions", c->positions);
}

static void put_llama(tv_text *text, const tv_model_config *c)
{
    tv_text_puts(text, "  \"architectures\": [\"LlamaForCausalLM\"],\n"
                       "  \"attention_bias\": false,\n"
                       "  \"attention_dropout\": 0.0,\n"
                       "  \"hidden_act\": \"silu\",\n"
                       "  \"mlp_bias\": false,\n"
                       "  \"rope_scaling\": null,\n");
    put_int(text, "head_dim", c->head_size);
    put_int(text, "hidden_size", c->width);
    put_int(text, "intermediate_size", c->inner);
    put_int(text, "max_position_embeddings", c->positions);
    put_int(text, "num_attention_heads", c->heads);
    put_int(text, "num_hidden_layers", c->layers);
    put_int(text, "num_key_value_heads", c->kv_heads);
    put_double(text, "rms_norm_eps", c->norm_epsilon);
    put_double(text, "rope_theta", c->rope_theta);
    tv_text_puts(text, "  \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": ");
    tv_text_double(text, c->rope_theta);
    tv_text_puts(text, "},\n");
}

tv_err tv_model_config_write(const tv_model_config *config, const char *path)
{
    tv_text text = {0};
    TV_CHECK(config->vocab_size, "%s: the size of the vocabulary is not known", path);
    tv_text_printf(&text, "{\n  \"model_type\": \"%s\",\n", type_names[config->type]);
    if (config->type == TV_MODEL_GPT2)
        put_gpt2(&text, config);
    else
        put_llama(&text, config);
    put_double(&text, "initializer_range", config->initializer_range);
    put_token(&text, "bos_token_id", config->bos_token_id);
    put_token(&text, "eos_token_id", config->eos_token_id);
    put_int(&text, "vocab_size", config->vocab_size);
    tv_text_printf(&text, "  \"tie_word_embeddings\": %s,\n",
                   config->tie_embeddings ? "true" : "false");
    tv_text_puts(&text, "  \"torch_dtype\": \"float32\",\n  \"use_cache\": true\n}\n");
    tv_err err = tv_file_write(path, text.data, text.length);
    tv_text_finish(&text);
    return err;
}
