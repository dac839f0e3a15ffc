// Llama (Touvron et al., arXiv 2302.13971 and 2307.09288): RMSNorm, rotary positions, SwiGLU,
// grouped key/value heads, no biases.
#include "model/model_kind.h"

#include "graph/ops.h"

#define LAYER "model.layers.%u."

static void declare_layer(tv_model *model, uint32_t layer)
{
    const tv_model_config *c = &model->config;
    uint32_t queries = c->heads * c->head_size, keys = c->kv_heads * c->head_size;
    double std = c->initializer_range;
    tv_part_spec qkv[] = {{LAYER "self_attn.q_proj.weight", queries},
                          {LAYER "self_attn.k_proj.weight", keys},
                          {LAYER "self_attn.v_proj.weight", keys}};
    tv_part_spec gate_up[] = {{LAYER "mlp.gate_proj.weight", c->inner},
                              {LAYER "mlp.up_proj.weight", c->inner}};
    tv_declare_vector(model, c->width, TV_INIT_ONES, LAYER "input_layernorm.weight", layer);
    tv_declare_parts(model, qkv, 3, c->width, std, layer);
    tv_declare(model, c->width, queries, TV_INIT_NORMAL, std, LAYER "self_attn.o_proj.weight",
               layer);
    tv_declare_vector(model, c->width, TV_INIT_ONES, LAYER "post_attention_layernorm.weight",
                      layer);
    tv_declare_parts(model, gate_up, 2, c->width, std, layer);
    tv_declare(model, c->width, c->inner, TV_INIT_NORMAL, std, LAYER "mlp.down_proj.weight", layer);
}

static void declare(tv_model *model)
{
    const tv_model_config *c = &model->config;
    model->embedding = tv_declare_table(model, c->vocab_size, c->width, c->initializer_range,
                                        "model.embed_tokens.weight");
    for (uint32_t layer = 0; layer < c->layers; layer++)
        declare_layer(model, layer);
    tv_declare_vector(model, c->width, TV_INIT_ONES, "model.norm.weight", 0);
    model->head = c->tie_embeddings ? model->embedding
                                    : tv_declare(model, c->vocab_size, c->width, TV_INIT_NORMAL,
                                                 c->initializer_range, "lm_head.weight", 0);
    model->rope_table = tv_graph_tensor(model->graph, TV_CONSTANT, TV_F32, c->positions,
                                        c->head_size, "rope.table");
}

// The norm of the residual stream *x, to which `h` is added first unless it is NULL.
static tv_tensor *norm(tv_model *model, tv_tensor **x, tv_tensor *h, const char *weight,
                       uint32_t layer)
{
    float epsilon = (float)model->config.norm_epsilon;
    tv_tensor *w = tv_model_weight(model, weight, layer);
    return h ? tv_add_rmsnorm(model->graph, x, h, w, epsilon)
             : tv_rmsnorm(model->graph, *x, w, epsilon);
}

static tv_tensor *linear(tv_model *model, tv_tensor *x, const char *weight, uint32_t layer)
{
    return tv_linear(model->graph, x, tv_model_weight(model, weight, layer), NULL, TV_NT);
}

// `h` is what is still to be added to *x, NULL: nothing. So is what is returned.
static tv_tensor *forward_layer(tv_model *model, const tv_model_inputs *in, tv_tensor **x,
                                tv_tensor *h, uint32_t layer)
{
    const tv_model_config *c = &model->config;
    h = norm(model, x, h, LAYER "input_layernorm.weight", layer);
    (*x)->kept = true;
    h = linear(model, h, LAYER "self_attn.q_proj.weight", layer); // and key and value
    h = tv_rope(model->graph, h, model->rope_table, in->step, in->time, c->heads + c->kv_heads,
                c->head_size);
    h = tv_model_attention(model, in, h, layer);
    h = linear(model, h, LAYER "self_attn.o_proj.weight", layer);

    h = norm(model, x, h, LAYER "post_attention_layernorm.weight", layer);
    h = tv_swiglu(model->graph, linear(model, h, LAYER "mlp.gate_proj.weight", layer)); // and up
    return linear(model, h, LAYER "mlp.down_proj.weight", layer);
}

static tv_tensor *forward(tv_model *model, const tv_model_inputs *in)
{
    tv_tensor *x = tv_embed(model->graph, in->ids, model->embedding, in->order);
    tv_tensor *h = NULL;
    for (uint32_t layer = 0; layer < model->config.layers; layer++)
        h = forward_layer(model, in, &x, h, layer);
    h = norm(model, &x, h, "model.norm.weight", 0);
    x->kept = true;
    return h;
}

const tv_model_kind tv_model_llama = {.declare = declare, .forward = forward};
