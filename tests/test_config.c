// Tests of the configuration: every key from every source, errors with their place.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "formats/config.h"

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

static void test_defaults(void **state)
{
    tv_config c;
    (void)state;
    tv_config_init(&c);
    assert_int_equal(tv_config_check(&c), TV_OK);
    assert_int_equal(c.seed, 1);
    assert_string_equal(c.model.type, "gpt2");
    assert_int_equal(c.model.vocab_size, TV_AUTO);
    assert_int_equal(c.model.n_inner, TV_AUTO);
    assert_true(c.model.tie_word_embeddings);
    assert_int_equal(c.trainer.max_steps, 2000);
    assert_int_equal(c.trainer.micro_batch_size, TV_AUTO);
    assert_true(c.optimizer.lr == 3e-4);
    assert_int_equal(c.optimizer.betas.count, 2);
    assert_true(c.optimizer.betas.items[1] == 0.95);
    assert_int_equal(c.loggers.count, 2);
    assert_string_equal(c.loggers.items[1], "csv");
    assert_string_equal(c.device, "auto");
    assert_string_equal(c.mask, "");
    for (size_t i = 0; i < TV_SETTING_COUNT; i++)
        assert_null(c.set_by[i]);
    tv_config_finish(&c);
}

// One value other than the default for each key, as YAML prints it back.
static const struct {
    const char *key, *value;
} samples[] = {
    {"seed", "9007199254740992"},
    {"run_dir", "runs/x"},
    {"device", "radeon"},
    {"mask", "no-f16"},
    {"model.type", "llama"},
    {"model.from", "runs/base"},
    {"model.vocab_size", "512"},
    {"model.n_layer", "3"},
    {"model.n_head", "5"},
    {"model.n_embd", "40"},
    {"model.n_inner", "99"},
    {"model.n_positions", "300"},
    {"model.layer_norm_epsilon", "1.0e-06"},
    {"model.resid_pdrop", "0.25"},
    {"model.embd_pdrop", "0.125"},
    {"model.hidden_size", "64"},
    {"model.intermediate_size", "172"},
    {"model.num_hidden_layers", "7"},
    {"model.num_attention_heads", "8"},
    {"model.num_key_value_heads", "4"},
    {"model.max_position_embeddings", "4096"},
    {"model.rms_norm_eps", "1.0e-06"},
    {"model.rope_theta", "500000.0"},
    {"model.initializer_range", "0.01"},
    {"model.tie_word_embeddings", "false"},
    {"data.train", "a/train"},
    {"data.val", "a/val"},
    {"data.seq_len", "64"},
    {"trainer.max_steps", "50"},
    {"trainer.global_batch_size", "8"},
    {"trainer.micro_batch_size", "2"},
    {"trainer.strategy", "diloco"},
    {"trainer.bucket_cap_mb", "12.5"},
    {"trainer.gradient_compression", "powersgd"},
    {"trainer.powersgd_rank", "2"},
    {"trainer.powersgd_start_step", "7"},
    {"trainer.balance", "[3.0, 1.0]"},
    {"trainer.precision", "bf16-mixed"},
    {"trainer.activation_checkpointing", "block"},
    {"trainer.loss_scale", "1024.0"},
    {"trainer.offload_activations", "true"},
    {"trainer.offload_optimizer", "true"},
    {"trainer.gradient_clip_val", "0.5"},
    {"trainer.val_check_interval", "0"},
    {"trainer.limit_val_batches", "auto"},
    {"trainer.log_every_n_steps", "1"},
    {"trainer.checkpoint_every_n_steps", "25"},
    {"trainer.keep_checkpoints", "5"},
    {"trainer.max_nonfinite_steps", "3"},
    {"trainer.check_replicas_every_n_steps", "7"},
    {"trainer.on_replica_mismatch", "resync"},
    {"trainer.enable_progress_bar", "false"},
    {"optimizer.name", "adamw"},
    {"optimizer.lr", "0.001"},
    {"optimizer.betas", "[0.8, 0.999]"},
    {"optimizer.eps", "1.0e-06"},
    {"optimizer.weight_decay", "0.0"},
    {"optimizer.state_precision", "bf16"},
    {"lr_scheduler.name", "wsd"},
    {"lr_scheduler.warmup_steps", "7"},
    {"lr_scheduler.min_lr", "0.0"},
    {"lr_scheduler.decay_steps", "20"},
    {"diloco.sync_every_n_steps", "500"},
    {"diloco.outer_lr", "1.0"},
    {"diloco.outer_momentum", "0.0"},
    {"diloco.compression", "int4"},
    {"diloco.fragments", "4"},
    {"diloco.overlap_steps", "5"},
    {"diloco.local_steps", "equal"},
    {"loggers", "[csv]"},
};

// The line that sets `key` in the printed configuration, whether in use or a comment.
static void expect_printed(const tv_config *config, const char *key, const char *value)
{
    tv_text text = {0}, line = {0};
    const char *dot = strrchr(key, '.');
    tv_config_print(config, true, &text);
    tv_text_printf(&line, "%s: %s\n", dot ? dot + 1 : key, value);
    const char *found = text.data;
    if (dot) {
        tv_text section = {0};
        tv_text_printf(&section, "\n%.*s:\n", (int)(dot - key), key);
        found = strstr(text.data, section.data);
        assert_non_null(found);
        tv_text_finish(&section);
    }
    if (!strstr(found, line.data))
        fail_msg("no '%s' in:\n%s", line.data, found);
    tv_text_finish(&line);
    tv_text_finish(&text);
}

static void test_samples_cover_the_table(void **state)
{
    (void)state;
    assert_int_equal(sizeof samples / sizeof *samples, TV_SETTING_COUNT);
    for (size_t i = 0; i < TV_SETTING_COUNT; i++)
        assert_string_equal(samples[i].key, tv_config_key(i));
    assert_null(tv_config_key(TV_SETTING_COUNT));
}

static tv_err set_in_file(tv_config *config, const char *key, const char *value)
{
    tv_text yaml = {0};
    const char *dot = strchr(key, '.');
    if (dot)
        tv_text_printf(&yaml, "# comment\n%.*s:\n  %s: %s\n", (int)(dot - key), key, dot + 1,
                       value);
    else
        tv_text_printf(&yaml, "# comment\n\n%s: %s\n", key, value);
    tv_err err = parse(config, yaml.data);
    tv_text_finish(&yaml);
    return err;
}

static tv_err set_in_environment(tv_config *config, const char *key, const char *value)
{
    tv_text variable = {0};
    tv_config_env_name(key, &variable);
    tv_text_printf(&variable, "=%s", value);
    char *environment[] = {(char[]){"PATH=/bin"}, variable.data, NULL};
    tv_err err = tv_config_load_env(config, environment);
    tv_text_finish(&variable);
    return err;
}

static tv_err set_on_command_line(tv_config *config, const char *key, const char *value)
{
    tv_text assignment = {0};
    tv_text_printf(&assignment, "%s=%s", key, value);
    tv_err err = tv_config_set(config, assignment.data);
    tv_text_finish(&assignment);
    return err;
}

static void test_every_key_from_every_source(void **state)
{
    static const struct {
        tv_err (*set)(tv_config *config, const char *key, const char *value);
        const char *place;
    } sources[] = {
        {set_in_file, "c.yaml:3"},
        {set_in_environment, "environment: TRIVIUM_"},
        {set_on_command_line, "command line"},
    };
    (void)state;
    for (size_t s = 0; s < sizeof sources / sizeof *sources; s++) {
        for (size_t i = 0; i < TV_SETTING_COUNT; i++) {
            tv_config c;
            tv_config_init(&c);
            if (sources[s].set(&c, samples[i].key, samples[i].value) != TV_OK)
                fail_msg("%s: %s", samples[i].key, tv_error_message());
            expect_printed(&c, samples[i].key, samples[i].value);
            for (size_t j = 0; j < TV_SETTING_COUNT; j++)
                assert_int_equal(c.set_by[j] != NULL, i == j);
            assert_true(tv_starts_with(c.set_by[i], sources[s].place));
            tv_config_finish(&c);
        }
    }
}

static void test_later_sources_win(void **state)
{
    tv_config c;
    (void)state;
    tv_config_init(&c);
    assert_int_equal(set_in_file(&c, "trainer.max_steps", "10"), TV_OK);
    assert_int_equal(set_in_environment(&c, "trainer.max_steps", "20"), TV_OK);
    assert_int_equal(c.trainer.max_steps, 20);
    assert_int_equal(tv_config_set(&c, "trainer.max_steps=30"), TV_OK);
    assert_int_equal(c.trainer.max_steps, 30);
    assert_int_equal(tv_config_set(&c, "run_dir=a=b, c"), TV_OK);
    assert_string_equal(c.run_dir, "a=b, c");
    assert_int_equal(tv_config_set(&c, "loggers=csv,jsonl"), TV_OK);
    assert_string_equal(c.loggers.items[0], "csv");
    assert_int_equal(tv_config_set(&c, "loggers="), TV_OK);
    assert_int_equal(c.loggers.count, 0);
    assert_int_equal(tv_config_set(&c, "loggers=[]"), TV_OK);
    assert_int_equal(c.loggers.count, 0);
    tv_config_finish(&c);
}

static const struct {
    const char *yaml, *says;
} wrong_files[] = {
    {"seed: 1\ntrainer:\n  max_stepz: 5\n",
     "c.yaml:3: trainer.max_stepz: unknown key; did you mean trainer.max_steps?"},
    {"max_steps: 5\n", "c.yaml:1: max_steps: unknown key; did you mean trainer.max_steps?"},
    {"trainr: {max_steps: 5}\n", "c.yaml:1: trainr: unknown key; did you mean trainer?"},
    {"qqqqqqqqqqqq: 5\n",
     "c.yaml:1: qqqqqqqqqqqq: unknown key; trivium train --print-config lists all keys"},
    {"trainer:\n  max_steps: abc\n", "c.yaml:2: trainer.max_steps: expected an integer, got 'abc'"},
    {"trainer: {max_steps: 1.5}\n", "c.yaml:1: trainer.max_steps: expected an integer, got '1.5'"},
    {"trainer: {max_steps: auto}\n",
     "c.yaml:1: trainer.max_steps: expected an integer, got 'auto'"},
    {"trainer: {max_steps: }\n", "c.yaml:1: trainer.max_steps: expected an integer, got ''"},
    {"trainer: {max_steps: 99999999999999999999}\n",
     "c.yaml:1: trainer.max_steps: expected an integer, got '99999999999999999999'"},
    {"trainer: {micro_batch_size: many}\n",
     "c.yaml:1: trainer.micro_batch_size: expected an integer or auto, got 'many'"},
    {"trainer: {micro_batch_size: -1}\n",
     "c.yaml:1: trainer.micro_batch_size: -1 is out of range: it must be at least 1 and at "
     "most 16777216"},
    {"trainer: {max_steps: '5'}\n", "c.yaml:1: trainer.max_steps: expected an integer, got "
                                    "the text \"5\"; remove the quotes"},
    {"trainer: {max_steps: [5]}\n",
     "c.yaml:1: trainer.max_steps: expected an integer, got 'a list'"},
    {"trainer: {max_steps: {a: 5}}\n",
     "c.yaml:1: trainer.max_steps: expected an integer, got a section of keys"},
    {"trainer: {max_steps: 0}\n", "c.yaml:1: trainer.max_steps: 0 is out of range: it must be "
                                  "at least 1 and at most 1000000000000"},
    {"optimizer: {lr: fast}\n", "c.yaml:1: optimizer.lr: expected a number, got 'fast'"},
    {"optimizer: {lr: .nan}\n", "c.yaml:1: optimizer.lr: expected a number, got '.nan'"},
    {"optimizer: {lr: inf}\n", "c.yaml:1: optimizer.lr: expected a number, got 'inf'"},
    {"optimizer: {eps: 0}\n", "c.yaml:1: optimizer.eps: 0 is out of range: it must be above 0 "
                              "and at most 1"},
    {"optimizer: {betas: [0.9, 1.0]}\n",
     "c.yaml:1: optimizer.betas: 1.0 is out of range: it must be at least 0 and below 1"},
    {"optimizer: {betas: [0.9]}\n", "c.yaml:1: optimizer.betas: expected 2 numbers, got 1"},
    {"optimizer:\n  betas: 0.9\n",
     "c.yaml:2: optimizer.betas: expected a list of numbers, got '0.9'"},
    {"optimizer:\n  betas:\n    - 0.9\n    - [1]\n",
     "c.yaml:4: optimizer.betas: expected a list of numbers, got something nested"},
    {"trainer: {balance: fair}\n",
     "c.yaml:1: trainer.balance: 'fair' is not one of: auto, equal, or a list of numbers"},
    {"trainer: {balance: [1, -1]}\n", "c.yaml:1: trainer.balance: -1 is out of range: it must be "
                                      "at least 0 and below 1000000"},
    {"trainer: {balance: [1, x]}\n",
     "c.yaml:1: trainer.balance: expected a word or a list of numbers, got 'x'"},
    {"trainer: {balance: {a: 1}}\n", "c.yaml:1: trainer.balance: expected a word or a list of "
                                     "numbers, got a section of keys"},
    {"trainer: {enable_progress_bar: yes}\n",
     "c.yaml:1: trainer.enable_progress_bar: expected true or false, got 'yes'"},
    {"model: {type: gtp2}\n",
     "c.yaml:1: model.type: 'gtp2' is not one of: gpt2, llama; did you mean gpt2?"},
    {"trainer: {precision: fp16-mixed}\n",
     "c.yaml:1: trainer.precision: 'fp16-mixed' is not one of: 32-true, 16-mixed, bf16-mixed, "
     "bf16-true, auto, 32, 16, bf16; did you mean 16-mixed?"},
    {"trainer: {loss_scale: 0.5}\n",
     "c.yaml:1: trainer.loss_scale: 0.5 is out of range: it must be at least 1 and at most "
     "1e+30"},
    {"optimizer: {state_precision: 16}\n",
     "c.yaml:1: optimizer.state_precision: '16' is not one of: 32, bf16"},
    {"loggers: [csv, wandb]\n", "c.yaml:1: loggers: 'wandb' is not one of: jsonl, csv"},
    {"loggers: [csv, csv]\n", "c.yaml:1: loggers: 'csv' is there twice"},
    {"run_dir: ''\n", "c.yaml:1: run_dir: must not be empty"},
    {"data:\n  val: ~\n", "c.yaml:2: data.val: null has no meaning here; remove the key, or "
                          "write \"\" for none"},
    {"run_dir: \"a\\0b\"\n", "c.yaml:1: run_dir: has a zero byte"},
    {"run_dir: \"a\\nb\"\n", "c.yaml:1: run_dir: has control characters or is not UTF-8"},
    {"seed: 1\nseed: 2\n", "c.yaml:2: seed: set twice; the first is in line 1"},
    {"data: {seq_len: 4, seq_len: 4}\n",
     "c.yaml:1: data.seq_len: set twice; the first is in line 1"},
    {"data: {seq_len: 4}\ndata: {}\n", "c.yaml:2: data: set twice; the first is in line 1"},
    {"trainer: 5\n", "c.yaml:1: trainer: expected a section of keys below it"},
    {"trainer: [a]\n", "c.yaml:1: trainer: expected a section of keys below it"},
    {"- a\n", "c.yaml:1: expected lines of 'key: value'"},
    {"hello\n", "c.yaml:1: expected lines of 'key: value'"},
    {"? [a]\n: 1\n", "c.yaml:1: a key must be a plain name"},
    {"seed: &x 1\n", "c.yaml:1: YAML anchors and aliases ('x') are not supported; write the "
                     "value out, or quote a text that begins with & or *"},
    {"seed: *x\n", "c.yaml:1: YAML anchors and aliases ('x') are not supported; write the "
                   "value out, or quote a text that begins with & or *"},
    {"data: &d {}\n", "c.yaml:1: YAML anchors and aliases ('d') are not supported; write the "
                      "value out, or quote a text that begins with & or *"},
    {"seed: !!int 1\n",
     "c.yaml:1: YAML tags ('tag:yaml.org,2002:int') are not supported; remove it"},
    {"seed: 1\n---\nseed: 2\n", "c.yaml:2: a second YAML document begins; one is allowed"},
    {"seed: 1\ndata: {}}\n",
     "c.yaml:2: not valid YAML: did not find expected key while parsing a block mapping"},
};

static void test_errors_in_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong_files / sizeof *wrong_files; i++) {
        tv_config c;
        tv_config_init(&c);
        expect_message(wrong_files[i].yaml, parse(&c, wrong_files[i].yaml), wrong_files[i].says);
        tv_config_finish(&c);
    }
}

// What libyaml words, or what is too long to spell out: only that and where it fails.
static void test_broken_files(void **state)
{
    static const char *const cases[] = {"seed: [",     "seed: \"a",   "seed: 1\n\xFF\xFE: 2\n",
                                        "\xFF\xFEs\0", "seed:\t\x01", "%YAML 9.9\n---\na: 1\n"};
    tv_config c;
    (void)state;
    tv_config_init(&c);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(&c, cases[i]), TV_EUSAGE);
        assert_true(tv_starts_with(tv_error_message(), "c.yaml:"));
    }
    tv_text deep = {0};
    tv_text_puts(&deep, "seed: ");
    for (int i = 0; i < 100000; i++)
        tv_text_puts(&deep, "[");
    assert_int_equal(parse(&c, deep.data), TV_EUSAGE);
    tv_text_clear(&deep);
    for (int i = 0; i < 1000; i++)
        tv_text_puts(&deep, "k");
    tv_text_puts(&deep, ": 1\n");
    assert_int_equal(parse(&c, deep.data), TV_EUSAGE);
    tv_text_clear(&deep);
    for (int i = 0; i < 20000; i++)
        tv_text_puts(&deep, "# a comment as filling, again and again and again and again\n");
    assert_int_equal(parse(&c, deep.data), TV_EUSAGE);
    assert_string_equal(tv_error_message(), "c.yaml: larger than the 1048576 bytes allowed");
    tv_text_finish(&deep);
    assert_int_equal(tv_config_load_file(&c, "/nonexistent.yaml"), TV_EIO);
    tv_config_finish(&c);
}

static void test_load_file(void **state)
{
    char path[] = "/tmp/trivium-config-XXXXXX";
    static const char yaml[] = "seed: 5\nsede: 6\n";
    tv_text says = {0};
    tv_config c;
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    tv_config_init(&c);
    assert_int_equal(write(fd, yaml, 8), 8);
    assert_int_equal(tv_config_load_file(&c, path), TV_OK);
    assert_int_equal(c.seed, 5);
    assert_int_equal(write(fd, yaml + 8, strlen(yaml) - 8), strlen(yaml) - 8);
    tv_text_printf(&says, "%s:2: sede: unknown key; did you mean seed?", path);
    expect_message(yaml, tv_config_load_file(&c, path), says.data);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    assert_int_equal(tv_config_load_file(&c, path), TV_EUSAGE);
    assert_non_null(strstr(tv_error_message(), "larger than"));
    close(fd);
    unlink(path);
    tv_text_finish(&says);
    tv_config_finish(&c);
}

static void test_files_without_keys(void **state)
{
    static const char *const cases[] = {"",      "\n# only a comment\n",
                                        "---\n", "---\n...\n",
                                        "{}",    "trainer:\n  # max_steps: 5\ndata:\n"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_config c;
        tv_config_init(&c);
        if (parse(&c, cases[i]) != TV_OK)
            fail_msg("'%s': %s", cases[i], tv_error_message());
        for (size_t j = 0; j < TV_SETTING_COUNT; j++)
            assert_null(c.set_by[j]);
        tv_config_finish(&c);
    }
}

static void test_errors_on_the_command_line(void **state)
{
    static const struct {
        const char *assignment, *says;
    } cases[] = {
        {"trainer.max_steps", "command line: 'trainer.max_steps' is not key=value"},
        {"=5", "command line: '=5' is not key=value"},
        {"trainer.max_stepz=5",
         "command line: trainer.max_stepz: unknown key; did you mean trainer.max_steps?"},
        {"trainer=5", "command line: trainer: unknown key; did you mean trainer?"},
        {"trainer.max_steps=abc",
         "command line: trainer.max_steps: expected an integer, got 'abc'"},
        {"optimizer.betas=0.9,,", "command line: optimizer.betas: expected 2 numbers, got 3"},
        {"optimizer.betas=[0.9, x]",
         "command line: optimizer.betas: expected a list of numbers, got 'x'"},
        {"trainer.balance=3",
         "command line: trainer.balance: '3' is not one of: auto, equal, or a list of numbers"},
        {"trainer.balance=3,y",
         "command line: trainer.balance: expected a word or a list of numbers, got 'y'"},
        {"run_dir=\xFF", "command line: run_dir: has control characters or is not UTF-8"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_config c;
        tv_config_init(&c);
        expect_message(cases[i].assignment, tv_config_set(&c, cases[i].assignment), cases[i].says);
        tv_config_finish(&c);
    }
}

// One item more than a list may have, in a file and on the command line.
static void test_long_lists(void **state)
{
    tv_text list = {0}, line = {0};
    tv_config c;
    (void)state;
    for (size_t i = 0; i < TV_LIST_MAX; i++)
        tv_text_puts(&list, "1,");
    tv_config_init(&c);
    tv_text_printf(&line, "trainer.balance=%s", list.data);
    assert_int_equal(tv_config_set(&c, line.data), TV_EUSAGE); // an empty one behind the last comma
    line.data[line.length - 1] = 0;
    assert_int_equal(tv_config_set(&c, line.data), TV_OK);
    assert_int_equal(c.trainer.balance.list.count, TV_LIST_MAX);
    tv_text_clear(&line);
    tv_text_printf(&line, "trainer.balance=[%s1]", list.data);
    expect_message(line.data, tv_config_set(&c, line.data),
                   "command line: trainer.balance: more than 64 items");
    tv_text_clear(&line);
    tv_text_printf(&line, "trainer: {balance: [%s1]}\n", list.data);
    expect_message(line.data, parse(&c, line.data),
                   "c.yaml:1: trainer.balance: more than 64 items");
    tv_text_finish(&list);
    tv_text_finish(&line);
    tv_config_finish(&c);
}

static void test_environment(void **state)
{
    char *const others[] = {(char[]){"HOME=/"}, (char[]){"TRIVIUM_CACHE=x"},
                            (char[]){"TRIVIUMTRAINER_MAX_STEPS=x"}, (char[]){"TRIVIUM_ODD"}, NULL};
    char *const wrong[] = {(char[]){"TRIVIUM_TRAINER_MAX_STEPZ=5"}, NULL};
    char *const bad[] = {(char[]){"TRIVIUM_TRAINER_MAX_STEPS=x"}, NULL};
    tv_config c;
    (void)state;
    tv_config_init(&c);
    assert_int_equal(tv_config_load_env(&c, others), TV_OK);
    expect_message(wrong[0], tv_config_load_env(&c, wrong),
                   "environment: TRIVIUM_TRAINER_MAX_STEPZ: names no key; did you mean "
                   "TRIVIUM_TRAINER_MAX_STEPS?");
    expect_message(bad[0], tv_config_load_env(&c, bad),
                   "environment: TRIVIUM_TRAINER_MAX_STEPS: trainer.max_steps: expected an "
                   "integer, got 'x'");
    tv_config_finish(&c);
}

static const struct {
    const char *yaml, *says; // NULL: passes
} several_keys[] = {
    {"model: {type: llama}\n", NULL},
    {"model: {type: gpt2, hidden_size: 64}\n",
     "c.yaml:1: model.hidden_size: unknown key for model.type gpt2; only llama has it"},
    {"model:\n  n_layer: 2\n  type: llama\n",
     "c.yaml:2: model.n_layer: unknown key for model.type llama; only gpt2 has it"},
    {"model: {from: x, n_layer: 2}\n",
     "c.yaml:1: model.n_layer: cannot be set beside model.from, whose config.json decides it"},
    {"model: {from: x, vocab_size: 2}\n", "c.yaml:1: model.vocab_size: cannot be set beside "
                                          "model.from, whose config.json decides it"},
    {"model: {from: x, type: llama, resid_pdrop: 0.5}\n", NULL},
    {"model: {n_embd: 10, n_head: 3}\n", "model: width 10 is not divisible by 3 heads"},
    {"model: {type: llama, hidden_size: 12, num_attention_heads: 4}\n",
     "model: a head size must be a multiple of 4, at most 256; 12 / 4 heads gives 3; change "
     "the "
     "number of heads"},
    {"model: {type: llama, num_key_value_heads: 5}\n",
     "model: 12 heads are not divisible by 5 key/value heads"},
    {"data: {seq_len: 1024}\n", NULL},
    {"data: {seq_len: 1025}\n",
     "c.yaml:1: data.seq_len: 1025 is longer than the model's 1024 positions"},
    {"model: {n_positions: 100}\n", "data.seq_len: 256 is longer than the model's 100 positions"},
    {"trainer: {global_batch_size: 4, micro_batch_size: 5}\n",
     "c.yaml:1: trainer.micro_batch_size: is above trainer.global_batch_size"},
    {"trainer: {balance: 'equal'}\n", NULL},
    {"trainer: {balance: [0, 2.5]}\n", NULL},
    {"trainer: {balance: [0, 0]}\n",
     "c.yaml:1: trainer.balance: no weight is above 0, so that no rank would take work"},
    {"trainer: {balance: []}\n",
     "c.yaml:1: trainer.balance: no weight is above 0, so that no rank would take work"},
    {"trainer: {max_steps: 99}\n",
     "lr_scheduler.warmup_steps: the warm-up is longer than trainer.max_steps"},
    {"lr_scheduler: {name: wsd}\n",
     "lr_scheduler.decay_steps: wsd needs at least 1 step to descend in"},
    {"lr_scheduler: {name: wsd, decay_steps: 1900}\n", NULL},
    {"lr_scheduler: {name: wsd, decay_steps: 1901}\n",
     "lr_scheduler.warmup_steps: warm-up and decay_steps together are longer than "
     "trainer.max_steps"},
    {"lr_scheduler: {decay_steps: 5}\n",
     "c.yaml:1: lr_scheduler.decay_steps: only lr_scheduler.name wsd uses it"},
    {"optimizer: {lr: 1.0e-6}\n", "lr_scheduler.min_lr: is above optimizer.lr"},
    {"diloco: {outer_lr: 1}\n",
     "c.yaml:1: diloco.outer_lr: only trainer.strategy diloco uses it, this is auto"},
    {"trainer: {strategy: diloco}\ndiloco: {fragments: 5, overlap_steps: 10}\n", NULL},
    {"trainer: {strategy: diloco}\ndiloco: {fragments: 51}\n",
     "c.yaml:2: diloco.fragments: is above diloco.sync_every_n_steps"},
    {"trainer: {strategy: diloco}\ndiloco: {fragments: 5, overlap_steps: 11}\n",
     "c.yaml:2: diloco.overlap_steps: an exchange must be over before the next one, after "
     "diloco.sync_every_n_steps / diloco.fragments steps"},
    {"trainer: {powersgd_rank: 2}\n",
     "c.yaml:1: trainer.powersgd_rank: only trainer.gradient_compression powersgd uses it, "
     "this is none"},
    {"trainer: {gradient_compression: bf16, powersgd_start_step: 2}\n",
     "c.yaml:1: trainer.powersgd_start_step: only trainer.gradient_compression powersgd uses "
     "it, this is bf16"},
    {"trainer: {gradient_compression: powersgd, powersgd_rank: 2, strategy: zero1}\n", NULL},
    {"trainer: {strategy: fsdp, gradient_compression: bf16}\n", NULL},
    {"trainer: {strategy: fsdp, gradient_compression: powersgd}\n",
     "c.yaml:1: trainer.gradient_compression: powersgd needs trainer.strategy ddp or zero1; "
     "zero2 and fsdp take bf16"},
    {"trainer: {strategy: diloco, gradient_compression: powersgd}\n",
     "c.yaml:1: trainer.gradient_compression: with trainer.strategy diloco no gradients "
     "travel; diloco.compression says how what travels is packed"},
    {"optimizer: {lr: 1.0e-6}\nlr_scheduler: {name: constant}\n", NULL},
};

static void test_checks_over_several_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof several_keys / sizeof *several_keys; i++) {
        tv_config c;
        tv_config_init(&c);
        if (parse(&c, several_keys[i].yaml) != TV_OK)
            fail_msg("%s: %s", several_keys[i].yaml, tv_error_message());
        tv_err err = tv_config_check(&c);
        if (several_keys[i].says)
            expect_message(several_keys[i].yaml, err, several_keys[i].says);
        else if (err != TV_OK)
            fail_msg("%s: %s", several_keys[i].yaml, tv_error_message());
        tv_config_finish(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_samples_cover_the_table),
        cmocka_unit_test(test_every_key_from_every_source),
        cmocka_unit_test(test_later_sources_win),
        cmocka_unit_test(test_errors_in_files),
        cmocka_unit_test(test_broken_files),
        cmocka_unit_test(test_load_file),
        cmocka_unit_test(test_files_without_keys),
        cmocka_unit_test(test_errors_on_the_command_line),
        cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_checks_over_several_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
