// Tests of config.json: defaults of each class, old and new names, refusals, round trips.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "formats/model_config.h"

#include <stdlib.h>
#include <string.h>

static tv_err parse(const char *json, tv_model_config *out)
{
    return tv_model_config_parse((const uint8_t *)json, strlen(json), "config.json", out);
}

static void expect_equal(const tv_model_config *a, const tv_model_config *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->vocab_size, b->vocab_size);
    assert_int_equal(a->layers, b->layers);
    assert_int_equal(a->heads, b->heads);
    assert_int_equal(a->kv_heads, b->kv_heads);
    assert_int_equal(a->head_size, b->head_size);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->inner, b->inner);
    assert_int_equal(a->positions, b->positions);
    assert_true(a->norm_epsilon == b->norm_epsilon);
    assert_true(a->rope_theta == b->rope_theta);
    assert_int_equal(a->tie_embeddings, b->tie_embeddings);
    assert_true(a->initializer_range == b->initializer_range);
    assert_true(a->resid_pdrop == b->resid_pdrop);
    assert_true(a->embd_pdrop == b->embd_pdrop);
    assert_int_equal(a->bos_token_id, b->bos_token_id);
    assert_int_equal(a->eos_token_id, b->eos_token_id);
}

// What GPT2Config() and LlamaConfig() of transformers have.
static const tv_model_config gpt2_defaults = {
    .type = TV_MODEL_GPT2,
    .vocab_size = 50257,
    .layers = 12,
    .heads = 12,
    .kv_heads = 12,
    .head_size = 64,
    .width = 768,
    .inner = 3072,
    .positions = 1024,
    .norm_epsilon = 1e-5,
    .tie_embeddings = true,
    .initializer_range = 0.02,
    .resid_pdrop = 0.1,
    .embd_pdrop = 0.1,
    .bos_token_id = 50256,
    .eos_token_id = 50256,
};
static const tv_model_config llama_defaults = {
    .type = TV_MODEL_LLAMA,
    .vocab_size = 32000,
    .layers = 32,
    .heads = 32,
    .kv_heads = 32,
    .head_size = 128,
    .width = 4096,
    .inner = 11008,
    .positions = 2048,
    .norm_epsilon = 1e-6,
    .rope_theta = 10000,
    .initializer_range = 0.02,
    .bos_token_id = 1,
    .eos_token_id = 2,
};

static void test_defaults(void **state)
{
    tv_model_config c;
    (void)state;
    assert_int_equal(parse("{\"model_type\":\"gpt2\"}", &c), TV_OK);
    expect_equal(&c, &gpt2_defaults);
    assert_int_equal(parse("{\"model_type\":\"gpt2\",\"n_inner\":null,\"dtype\":\"float16\"}", &c),
                     TV_OK);
    expect_equal(&c, &gpt2_defaults);
    assert_int_equal(parse("{\"model_type\":\"llama\"}", &c), TV_OK);
    expect_equal(&c, &llama_defaults);
    assert_int_equal(parse("{\"model_type\":\"llama\",\"rope_scaling\":null,\"head_dim\":128,"
                           "\"torch_dtype\":\"bfloat16\",\"pretraining_tp\":1}",
                           &c),
                     TV_OK);
    expect_equal(&c, &llama_defaults);
}

static void test_names_of_both_generations(void **state)
{
    static const struct {
        const char *json;
        double theta;
        int64_t bos, eos;
    } cases[] = {
        {"\"rope_theta\":500000.0,\"rope_scaling\":{\"type\":\"default\"}", 500000, 1, 2},
        {"\"rope_theta\":500000", 500000, 1, 2},
        {"\"rope_parameters\":{\"rope_theta\":1000000.0,\"rope_type\":\"default\"}", 1e6, 1, 2},
        {"\"rope_parameters\":null", 1e4, 1, 2},
        {"\"rope_parameters\":{\"partial_rotary_factor\":1.0}", 1e4, 1, 2},
        {"\"bos_token_id\":null,\"eos_token_id\":[128001,128008]", 1e4, -1, 128001},
        {"\"bos_token_id\":7,\"eos_token_id\":[]", 1e4, 7, -1},
        {"\"eos_token_id\":-1", 1e4, 1, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_text json = {0};
        tv_model_config c;
        tv_text_printf(&json, "{\"model_type\":\"llama\",%s}", cases[i].json);
        if (parse(json.data, &c) != TV_OK)
            fail_msg("%s: %s", json.data, tv_error_message());
        assert_true(c.rope_theta == cases[i].theta);
        assert_int_equal(c.bos_token_id, cases[i].bos);
        assert_int_equal(c.eos_token_id, cases[i].eos);
        tv_text_finish(&json);
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"", "config.json: not valid JSON"},
        {"[]", "config.json: not a JSON object"},
        {"{}", "config.json: model_type: missing"},
        {"{\"model_type\":5}", "model_type: expected a string, got an integer"},
        {"{\"model_type\":\"mistral\"}", "'mistral' is not supported, only gpt2 and llama are"},
        {"{\"model_type\":\"gpt2\",\"model_type\":\"gpt2\"}", "duplicate"},
        {"{\"model_type\":\"gpt2\",\"n_layer\":0}", "n_layer: 0 is not within"},
        {"{\"model_type\":\"gpt2\",\"n_layer\":1.5}", "n_layer: expected an integer"},
        {"{\"model_type\":\"gpt2\",\"n_layer\":-3}", "n_layer: -3 is not within"},
        {"{\"model_type\":\"gpt2\",\"n_layer\":4097}", "layers: 4097 is not within"},
        {"{\"model_type\":\"gpt2\",\"n_embd\":9223372036854775807}", "n_embd"},
        {"{\"model_type\":\"gpt2\",\"n_head\":7}", "width 768 is not divisible by 7 heads"},
        {"{\"model_type\":\"gpt2\",\"n_embd\":1,\"n_head\":5}", "not divisible"},
        {"{\"model_type\":\"gpt2\",\"resid_pdrop\":\"a\"}", "resid_pdrop: expected a number"},
        {"{\"model_type\":\"gpt2\",\"resid_pdrop\":2}", "resid_pdrop: 2 is not within"},
        {"{\"model_type\":\"gpt2\",\"activation_function\":\"relu\"}",
         "activation_function: 'relu' is not supported, only 'gelu_new' is"},
        {"{\"model_type\":\"gpt2\",\"scale_attn_weights\":false}", "false is not supported"},
        {"{\"model_type\":\"gpt2\",\"scale_attn_by_inverse_layer_idx\":true}", "not supported"},
        {"{\"model_type\":\"gpt2\",\"add_cross_attention\":true}", "not supported"},
        {"{\"model_type\":\"gpt2\",\"tie_word_embeddings\":1}", "expected true or false"},
        {"{\"model_type\":\"gpt2\",\"eos_token_id\":\"x\"}", "eos_token_id: not a token id"},
        {"{\"model_type\":\"gpt2\",\"quantization_config\":{}}", "quantized"},
        {"{\"model_type\":\"llama\",\"hidden_act\":\"gelu\"}", "hidden_act: 'gelu'"},
        {"{\"model_type\":\"llama\",\"attention_bias\":true}",
         "attention_bias: true is not supported"},
        {"{\"model_type\":\"llama\",\"mlp_bias\":true}", "mlp_bias: true is not supported"},
        {"{\"model_type\":\"llama\",\"head_dim\":64}", "head_dim: 64 is not supported"},
        {"{\"model_type\":\"llama\",\"num_key_value_heads\":5}", "not divisible by 5"},
        {"{\"model_type\":\"llama\",\"hidden_size\":96}", "must be a multiple of 4"},
        {"{\"model_type\":\"llama\",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0}}",
         "rope_type: 'llama3' is not supported"},
        {"{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}}",
         "type: 'linear' is not supported"},
        {"{\"model_type\":\"llama\",\"rope_scaling\":5}", "rope_scaling: not an object"},
        {"{\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"yarn\"}}", "'yarn'"},
        {"{\"model_type\":\"llama\",\"rope_parameters\":{\"partial_rotary_factor\":0.5}}",
         "partial_rotary_factor 0.5"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_model_config c;
        tv_err err = parse(cases[i].json, &c);
        if (err != TV_EFORMAT || !strstr(tv_error_message(), cases[i].says) ||
            !tv_starts_with(tv_error_message(), "config.json: "))
            fail_msg("%s: %d '%s'", cases[i].json, err, tv_error_message());
    }
}

static void test_round_trip(void **state)
{
    static const tv_model_config odd = {
        .type = TV_MODEL_LLAMA,
        .vocab_size = 512,
        .layers = 5,
        .heads = 8,
        .kv_heads = 4,
        .head_size = 8,
        .width = 64,
        .inner = 172,
        .positions = 512,
        .norm_epsilon = 1e-5,
        .rope_theta = 123456.7,
        .tie_embeddings = true,
        .initializer_range = 0.1,
        .bos_token_id = -1,
        .eos_token_id = 3,
    };
    const tv_model_config *const cases[] = {&gpt2_defaults, &llama_defaults, &odd};
    char directory[] = "/tmp/trivium-model-config-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(directory));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_text path = {0};
        tv_model_config c;
        uint8_t *json;
        size_t size;
        tv_path_join(&path, directory, "config.json");
        assert_int_equal(tv_model_config_write(cases[i], path.data), TV_OK);
        assert_int_equal(tv_model_config_read(path.data, &c), TV_OK);
        expect_equal(&c, cases[i]);
        assert_int_equal(tv_file_read(path.data, 1 << 16, &json, &size), TV_OK);
        const char *class =
            c.type == TV_MODEL_GPT2 ? "[\"GPT2LMHeadModel\"]" : "[\"LlamaForCausalLM\"]";
        assert_non_null(strstr((const char *)json, class));
        assert_non_null(strstr((const char *)json, "\"torch_dtype\": \"float32\""));
        tv_free(json);
        tv_text_finish(&path);
    }
    assert_int_equal(tv_remove_tree(directory), TV_OK);
    assert_int_equal(tv_model_config_write(&gpt2_defaults, "/nonexistent/config.json"), TV_EIO);
}

static void test_trained_model(void **state)
{
    static const char path[] = TV_SHARED_DATA "/models/stories260K/config.json";
    static const tv_model_config expected = {
        .type = TV_MODEL_LLAMA,
        .vocab_size = 512,
        .layers = 5,
        .heads = 8,
        .kv_heads = 4,
        .head_size = 8,
        .width = 64,
        .inner = 172,
        .positions = 512,
        .norm_epsilon = 1e-5,
        .rope_theta = 10000,
        .tie_embeddings = true,
        .initializer_range = 0.02,
        .bos_token_id = 1,
        .eos_token_id = 2,
    };
    tv_model_config c;
    (void)state;
    if (!tv_path_exists(path)) {
        print_message("needs %s\n", path);
        skip();
    }
    assert_int_equal(tv_model_config_read(path, &c), TV_OK);
    expect_equal(&c, &expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_names_of_both_generations),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_trained_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
