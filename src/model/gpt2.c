// GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each block, GELU, biases.
#include "model/model_kind.h"

#include "graph/ops.h"

#include <math.h>

#define LAYER "transformer.h.%u."

static void declare_layer(tv_model *model, uint32_t layer)
{
    const tv_model_config *c = &model->config;
    uint32_t width = c->width, inner = c->inner;
    double std = c->initializer_range;
    // Each layer adds to the residual stream twice; the paper scales what it adds.
    double residual_std = std / sqrt(2.0 * c->layers);
    tv_declare_vector(model, width, TV_INIT_ONES, LAYER "ln_1.weight", layer);
    tv_declare_vector(model, width, TV_INIT_ZEROS, LAYER "ln_1.bias", layer);
    tv_declare(model, width, 3 * width, TV_INIT_NORMAL, std, LAYER "attn.c_attn.weight", layer);
    tv_declare_vector(model, 3 * width, TV_INIT_ZEROS, LAYER "attn.c_attn.bias", layer);
    tv_declare(model, width, width, TV_INIT_NORMAL, residual_std, LAYER "attn.c_proj.weight",
               layer);
    tv_declare_vector(model, width, TV_INIT_ZEROS, LAYER "attn.c_proj.bias", layer);
    tv_declare_vector(model, width, TV_INIT_ONES, LAYER "ln_2.weight", layer);
    tv_declare_vector(model, width, TV_INIT_ZEROS, LAYER "ln_2.bias", layer);
    tv_declare(model, width, inner, TV_INIT_NORMAL, std, LAYER "mlp.c_fc.weight", layer);
    tv_declare_vector(model, inner, TV_INIT_ZEROS, LAYER "mlp.c_fc.bias", layer);
    tv_declare(model, inner, width, TV_INIT_NORMAL, residual_std, LAYER "mlp.c_proj.weight", layer);
    tv_declare_vector(model, width, TV_INIT_ZEROS, LAYER "mlp.c_proj.bias", layer);
}

static void declare(tv_model *model)
{
    const tv_model_config *c = &model->config;
    double std = c->initializer_range;
    model->embedding =
        tv_declare_table(model, c->vocab_size, c->width, std, "transformer.wte.weight");
    tv_declare_table(model, c->positions, c->width, std, "transformer.wpe.weight");
    for (uint32_t layer = 0; layer < c->layers; layer++)
        declare_layer(model, layer);
    tv_declare_vector(model, c->width, TV_INIT_ONES, "transformer.ln_f.weight", 0);
    tv_declare_vector(model, c->width, TV_INIT_ZEROS, "transformer.ln_f.bias", 0);
    model->head = c->tie_embeddings ? model->embedding
                                    : tv_declare(model, c->vocab_size, c->width, TV_INIT_NORMAL,
                                                 std, "lm_head.weight", 0);
}

// The norm of the residual stream *x, to which `h` is added first unless it is NULL.
static tv_tensor *norm(tv_model *model, tv_tensor **x, tv_tensor *h, const char *weight,
                       const char *bias, uint32_t layer)
{
    float epsilon = (float)model->config.norm_epsilon;
    tv_tensor *w = tv_model_weight(model, weight, layer), *b = tv_model_weight(model, bias, layer);
    return h ? tv_add_layernorm(model->graph, x, h, w, b, epsilon)
             : tv_layernorm(model->graph, *x, w, b, epsilon);
}

// Conv1D: the weight is stored [in, out].
static tv_tensor *conv(tv_model *model, tv_tensor *x, const char *weight, const char *bias,
                       uint32_t layer)
{
    return tv_linear(model->graph, x, tv_model_weight(model, weight, layer),
                     tv_model_weight(model, bias, layer), TV_NN);
}

// `h` is what is still to be added to *x, NULL: nothing. So is what is returned.
static tv_tensor *forward_layer(tv_model *model, const tv_model_inputs *in, tv_tensor **x,
                                tv_tensor *h, uint32_t layer)
{
    double rate = model->config.resid_pdrop;
    h = norm(model, x, h, LAYER "ln_1.weight", LAYER "ln_1.bias", layer);
    (*x)->kept = true;
    h = conv(model, h, LAYER "attn.c_attn.weight", LAYER "attn.c_attn.bias", layer);
    h = tv_model_attention(model, in, h, layer);
    h = conv(model, h, LAYER "attn.c_proj.weight", LAYER "attn.c_proj.bias", layer);
    h = tv_model_dropout(model, in, h, 2 * layer + 1, rate);

    h = norm(model, x, h, LAYER "ln_2.weight", LAYER "ln_2.bias", layer);
    h = conv(model, h, LAYER "mlp.c_fc.weight", LAYER "mlp.c_fc.bias", layer);
    h = tv_gelu(model->graph, h);
    h = conv(model, h, LAYER "mlp.c_proj.weight", LAYER "mlp.c_proj.bias", layer);
    return tv_model_dropout(model, in, h, 2 * layer + 2, rate);
}

static tv_tensor *forward(tv_model *model, const tv_model_inputs *in)
{
    tv_tensor *x = tv_embed(model->graph, in->ids, model->embedding, in->order);
    x = tv_posadd(model->graph, x, tv_model_weight(model, "transformer.wpe.weight", 0), in->step,
                  in->time);
    x = tv_model_dropout(model, in, x, 0, model->config.embd_pdrop);
    tv_tensor *h = NULL;
    for (uint32_t layer = 0; layer < model->config.layers; layer++)
        h = forward_layer(model, in, &x, h, layer);
    h = norm(model, &x, h, "transformer.ln_f.weight", "transformer.ln_f.bias", 0);
    x->kept = true;
    return h;
}

const tv_model_kind tv_model_gpt2 = {.declare = declare, .forward = forward};
