// Tests of the configuration: printing it, the model it describes, and its documentation.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "formats/config.h"
#include "formats/settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static tv_err parse(tv_config *config, const char *yaml)
{
    return tv_config_parse(config, (const uint8_t *)yaml, strlen(yaml), "c.yaml");
}

static void expect_message(const char *input, tv_err err, const char *says)
{
    if (err != TV_EUSAGE || strcmp(tv_error_message(), says) != 0)
        fail_msg("%s\n gives %d: %s\n expected:  %s", input, err, tv_error_message(), says);
}

// Printing, reading back and printing again must give the same, and the same values.
static void expect_stable(const char *yaml, bool explain)
{
    tv_config first, second;
    tv_text text = {0}, again = {0}, values[2] = {{0}, {0}};
    tv_config_init(&first);
    tv_config_init(&second);
    assert_int_equal(parse(&first, yaml), TV_OK);
    assert_int_equal(tv_config_check(&first), TV_OK);
    tv_config_print(&first, explain, &text);
    if (parse(&second, text.data) != TV_OK || tv_config_check(&second) != TV_OK)
        fail_msg("%s\n%s", tv_error_message(), text.data);
    tv_config_print(&second, explain, &again);
    assert_string_equal(text.data, again.data);
    tv_config_print(&first, false, &values[0]);
    tv_config_print(&second, false, &values[1]);
    assert_string_equal(values[0].data, values[1].data);
    for (size_t i = 0; i < 2; i++)
        tv_text_finish(&values[i]);
    tv_text_finish(&text);
    tv_text_finish(&again);
    tv_config_finish(&first);
    tv_config_finish(&second);
}

static void test_printing_reads_back(void **state)
{
    static const char *const cases[] = {
        "",
        "model: {type: llama, num_key_value_heads: 4, rope_theta: 500000}\n",
        "model: {from: some/model, resid_pdrop: 0.1}\n",
        "run_dir: 'true'\ndevice: '0'\nmask: \"a: b # c\"\n",
        "run_dir: \"\xC3\xA9 \\\"x\\\" \\\\ 'y'\"\ndevice: '-1'\ndata: {val: '', train: ~x}\n",
        "run_dir: ' spaces '\ndevice: '1e5'\nmask: 'NULL'\ndata: {train: '&a', val: '*b'}\n",
        "optimizer: {lr: 0.1234567890123456789, eps: 1.0e-30, betas: [0.0, 0.3333333333333333]}\n",
        "loggers: []\nseed: 0\n",
        "trainer: {balance: equal}\n",
        "trainer: {balance: [1, 0.5, 0]}\n",
        "trainer: {strategy: diloco}\ndiloco: {compression: none}\n",
        "trainer: {gradient_compression: powersgd, powersgd_rank: 2}\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_stable(cases[i], false);
        expect_stable(cases[i], true);
    }
}

static void test_printing_names_every_key(void **state)
{
    tv_config c;
    tv_text text = {0};
    (void)state;
    tv_config_init(&c);
    tv_config_print(&c, true, &text);
    tv_config d;
    tv_config_init(&d);
    assert_int_equal(parse(&d, text.data), TV_OK);
    for (size_t i = 0; i < TV_SETTING_COUNT; i++) {
        const char *key = tv_config_key(i), *dot = strrchr(key, '.');
        tv_text line = {0};
        tv_text_printf(&line, "%s: ", dot ? dot + 1 : key);
        assert_non_null(strstr(text.data, line.data));
        tv_text_finish(&line);
    }
    // What gpt2 does not have is there as a comment only.
    assert_non_null(strstr(text.data, "\n  # hidden_size: 768\n"));
    assert_non_null(strstr(text.data, "\n  n_embd: 768\n"));
    tv_config_finish(&d);
    tv_text_clear(&text);
    tv_config_print(&c, false, &text);
    assert_null(strstr(text.data, "hidden_size"));
    assert_null(strstr(text.data, "#"));
    tv_text_finish(&text);
    tv_config_finish(&c);
}

static void test_model_of_a_config(void **state)
{
    tv_config c;
    tv_model_config m;
    (void)state;
    tv_config_init(&c);
    assert_int_equal(parse(&c, "model: {n_embd: 64, n_head: 4, n_layer: 2, resid_pdrop: 0.5}\n"),
                     TV_OK);
    assert_int_equal(tv_config_model(&c, NULL, &m), TV_OK);
    assert_int_equal(m.type, TV_MODEL_GPT2);
    assert_int_equal(m.vocab_size, 0);
    assert_int_equal(m.layers, 2);
    assert_int_equal(m.kv_heads, 4);
    assert_int_equal(m.head_size, 16);
    assert_int_equal(m.inner, 256);
    assert_true(m.resid_pdrop == 0.5);
    tv_config_finish(&c);

    tv_config_init(&c);
    assert_int_equal(parse(&c, "model: {type: llama, vocab_size: 99, num_key_value_heads: 3}\n"),
                     TV_OK);
    assert_int_equal(tv_config_model(&c, NULL, &m), TV_OK);
    assert_int_equal(m.type, TV_MODEL_LLAMA);
    assert_int_equal(m.vocab_size, 99);
    assert_int_equal(m.heads, 12);
    assert_int_equal(m.kv_heads, 3);
    assert_int_equal(m.head_size, 64);
    assert_true(m.rope_theta == 10000);
    tv_config_finish(&c);
}

static void test_model_from_elsewhere(void **state)
{
    char path[] = "/tmp/trivium-config-XXXXXX";
    static const char json[] = "{\"model_type\":\"gpt2\",\"n_layer\":2,\"n_positions\":128}";
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"data: {seq_len: 64}\n", NULL},
        {"data: {seq_len: 64}\nmodel: {embd_pdrop: 0.25}\n", NULL},
        {"data: {seq_len: 129}\n",
         "c.yaml:1: data.seq_len: 129 is longer than the model's 128 positions"},
        {"model: {type: llama}\n", NULL},
    };
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, json, strlen(json)), strlen(json));
    close(fd);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_config c;
        tv_model_config m;
        tv_config_init(&c);
        assert_int_equal(parse(&c, cases[i].yaml), TV_OK);
        assert_int_equal(tv_config_set(&c, "model.from=there"), TV_OK);
        assert_int_equal(tv_config_check(&c), TV_OK);
        tv_err err = tv_config_model(&c, path, &m);
        if (i == 3) {
            assert_int_equal(err, TV_EUSAGE);
            assert_non_null(strstr(tv_error_message(), "says gpt2"));
        } else if (cases[i].says) {
            expect_message(cases[i].yaml, err, cases[i].says);
        } else {
            assert_int_equal(err, TV_OK);
            assert_int_equal(m.layers, 2);
            assert_true(m.resid_pdrop == 0.1);
            assert_true(m.embd_pdrop == (i == 1 ? 0.25 : 0.1));
        }
        tv_config_finish(&c);
    }
    unlink(path);
}

// docs/configuration.md: a row for each key, and examples that pass.
static void test_documentation(void **state)
{
    uint8_t *data;
    size_t size, examples = 0;
    (void)state;
    assert_int_equal(tv_file_read(TV_TEST_DATA "/../docs/configuration.md", 1 << 20, &data, &size),
                     TV_OK);
    const char *text = (const char *)data;
    for (size_t i = 0; i < TV_SETTING_COUNT; i++) {
        const tv_setting *s = &tv_settings[i];
        tv_text start = {0}, end = {0};
        tv_text_printf(&start, "\n| `%s` | ", s->path);
        tv_text_printf(&end, " | `%s` | %s |", s->initial[0] ? s->initial : "\"\"", s->meaning);
        const char *row = strstr(text, start.data);
        size_t length = row ? strcspn(row + 1, "\n") + 1 : 0;
        if (length < end.length || memcmp(row + length - end.length, end.data, end.length) != 0)
            fail_msg("docs/configuration.md: no row '%s...%s'", start.data + 1, end.data);
        tv_text_finish(&start);
        tv_text_finish(&end);
    }
    for (const char *at = text; (at = strstr(at, "\n    seed: 1\n")); examples++) {
        tv_config c;
        tv_text yaml = {0};
        for (at++; tv_starts_with(at, "    "); at += strcspn(at, "\n") + 1)
            tv_text_append(&yaml, at + 4, strcspn(at, "\n") + 1 - 4);
        tv_config_init(&c);
        if (parse(&c, yaml.data) != TV_OK || tv_config_check(&c) != TV_OK)
            fail_msg("%s\n%s", tv_error_message(), yaml.data);
        tv_config_finish(&c);
        tv_text_finish(&yaml);
    }
    assert_int_equal(examples, 2);
    tv_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printing_reads_back), cmocka_unit_test(test_printing_names_every_key),
        cmocka_unit_test(test_model_of_a_config),   cmocka_unit_test(test_model_from_elsewhere),
        cmocka_unit_test(test_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
