// Tests of data/shard, data/batch and data/prepare: round trips, purity, epochs, damaged files and
// what cannot be prepared.
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/batch.h"
#include "data/exercise.h"
#include "data/prepare.h"
#include "data/shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { TOKENS = 1003, SHARD = 97, T = 16 }; // windows span shards, and a rest is left

typedef struct fixture {
    char directory[64];
    tv_text shards; // a directory with TOKENS ids: position i has i * 7 % 256
    tv_tokenizer *bytes;
    tv_dataset *dataset;
} fixture;

static uint32_t id_of(uint64_t position)
{
    return (uint32_t)(position * 7 % 256);
}

static void write_shards(const char *directory, const tv_tokenizer *tokenizer, size_t count)
{
    tv_shard_writer *writer;
    assert_int_equal(tv_make_dirs(directory), TV_OK);
    tv_shard_writer_create(directory, tokenizer, SHARD, &writer);
    for (size_t i = 0; i < count;) { // in pieces of growing size
        uint32_t ids[64];
        size_t n = tv_min_size(1 + i % 60, count - i);
        for (size_t j = 0; j < n; j++)
            ids[j] = id_of(i + j);
        assert_int_equal(tv_shard_writer_write(writer, ids, n), TV_OK);
        i += n;
    }
    assert_int_equal(tv_shard_writer_commit(&writer), TV_OK);
}

static int setup(void **state)
{
    fixture *f = tv_alloc(1, sizeof *f);
    strcpy(f->directory, "/tmp/trivium-data-XXXXXX");
    if (!mkdtemp(f->directory) || tv_tokenizer_open("bytes", 0, &f->bytes) != TV_OK)
        return -1;
    write_shards(tv_path_join(&f->shards, f->directory, "shards"), f->bytes, TOKENS);
    if (tv_dataset_open(f->shards.data, T, f->bytes, &f->dataset) != TV_OK)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    tv_dataset_close(&f->dataset);
    tv_tokenizer_destroy(&f->bytes);
    tv_text_finish(&f->shards);
    tv_err err = tv_remove_tree(f->directory);
    tv_free(f);
    return err == TV_OK ? 0 : -1;
}

static void test_shards_hold_what_was_written(void **state)
{
    fixture *f = *state;
    tv_names names;
    assert_int_equal(tv_list_dir(f->shards.data, &names), TV_OK);
    assert_int_equal(names.count, TOKENS / SHARD + 1);
    assert_string_equal(names.names[10], "0010.tokens");
    tv_names_finish(&names);
    assert_int_equal(tv_dataset_tokens(f->dataset), TOKENS);
    assert_int_equal(tv_dataset_windows(f->dataset), (TOKENS - 1) / T);
    assert_int_equal(tv_dataset_vocab_size(f->dataset), 258);
    assert_true(tv_dataset_vocab_hash(f->dataset) == tv_tokenizer_hash(f->bytes));
}

static void test_validation_counts_every_target_once(void **state)
{
    fixture *f = *state;
    uint32_t rows = (uint32_t)tv_dataset_order_rows(f->dataset) + 2; // two behind the end
    uint32_t *inputs = tv_alloc(rows * T, 4), *targets = tv_alloc(rows * T, 4), valid = 0;
    tv_dataset_fill_order(f->dataset, 0, 5, inputs, targets); // in two calls
    tv_dataset_fill_order(f->dataset, 5, rows - 5, inputs + 5 * T, targets + 5 * T);
    for (uint64_t i = 0; i < (uint64_t)rows * T; i++) {
        bool inside = i + 1 < TOKENS;
        assert_int_equal(inputs[i], inside ? id_of(i) : 0);
        assert_int_equal(targets[i], inside ? id_of(i + 1) : TV_NO_TARGET);
        valid += targets[i] != TV_NO_TARGET;
    }
    assert_int_equal(valid, TOKENS - 1);
    tv_free(inputs);
    tv_free(targets);
}

static void test_batch_is_a_function_of_seed_step_and_sample(void **state)
{
    fixture *f = *state;
    enum { BATCH = 10 };
    uint32_t inputs[BATCH * T], targets[BATCH * T], ids[BATCH];
    for (uint64_t step = 0; step < 40; step++) {
        tv_dataset_fill(f->dataset, 5, step, BATCH, 0, BATCH, inputs, targets, ids);
        for (uint32_t first = 0; first < BATCH; first += 3) { // in other portions: the same rows
            uint32_t count = first + 3 > BATCH ? BATCH - first : 3;
            uint32_t in[3 * T], out[3 * T], numbers[3];
            tv_dataset_fill(f->dataset, 5, step, BATCH, first, count, in, out, numbers);
            assert_memory_equal(in, inputs + first * T, count * T * sizeof *in);
            assert_memory_equal(out, targets + first * T, count * T * sizeof *out);
            for (uint32_t i = 0; i < count; i++)
                assert_int_equal(numbers[i], first + i);
        }
        for (uint32_t i = 0; i < BATCH; i++) {
            uint64_t at = tv_dataset_window(f->dataset, 5, step, BATCH, i) * T;
            for (uint32_t t = 0; t < T; t++) {
                assert_int_equal(inputs[i * T + t], id_of(at + t));
                assert_int_equal(targets[i * T + t], id_of(at + t + 1));
            }
        }
    }
}

static void test_every_epoch_visits_each_window_once_in_a_new_order(void **state)
{
    fixture *f = *state;
    enum { WINDOWS = (TOKENS - 1) / T, EPOCHS = 4 };
    uint64_t order[EPOCHS][WINDOWS];
    for (uint64_t i = 0; i < EPOCHS * WINDOWS; i++) // a batch of 7 does not divide the windows
        order[i / WINDOWS][i % WINDOWS] =
            tv_dataset_window(f->dataset, 9, i / 7, 7, (uint32_t)(i % 7));
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        int seen[WINDOWS] = {0};
        for (int i = 0; i < WINDOWS; i++) {
            assert_true(order[epoch][i] < WINDOWS);
            assert_int_equal(seen[order[epoch][i]]++, 0);
        }
        for (int other = 0; other < epoch; other++)
            assert_memory_not_equal(order[epoch], order[other], sizeof order[epoch]);
    }
    int same = 0;
    for (uint32_t i = 0; i < WINDOWS; i++)
        same += tv_dataset_window(f->dataset, 10, 0, WINDOWS, i) == order[0][i];
    assert_true(same < WINDOWS / 2); // another seed, another order
}

static void test_too_little_data_says_what_would_fit(void **state)
{
    fixture *f = *state;
    tv_dataset *dataset;
    assert_int_equal(tv_dataset_open(f->shards.data, TOKENS - 1, NULL, &dataset), TV_OK);
    assert_int_equal(tv_dataset_windows(dataset), 1);
    assert_int_equal(tv_dataset_order_rows(dataset), 1);
    tv_dataset_close(&dataset);
    assert_int_equal(tv_dataset_open(f->shards.data, TOKENS, NULL, &dataset), TV_EDATA);
    assert_null(dataset);
    assert_non_null(strstr(tv_error_message(), "1003 tokens"));
    assert_non_null(strstr(tv_error_message(), "seq_len is 1002"));
    assert_int_equal(tv_dataset_open(f->shards.data, 0, NULL, &dataset), TV_EUSAGE);
    assert_int_equal(tv_dataset_open("/nonexistent", T, NULL, &dataset), TV_EIO);
    tv_text empty = {0};
    assert_int_equal(tv_make_dirs(tv_path_join(&empty, f->directory, "empty")), TV_OK);
    assert_int_equal(tv_dataset_open(empty.data, T, NULL, &dataset), TV_EFORMAT);
    write_shards(empty.data, f->bytes, 0);
    assert_int_equal(tv_dataset_open(empty.data, T, NULL, &dataset), TV_EDATA);
    tv_text_finish(&empty);
}

static void test_missing_and_foreign_shards_are_refused(void **state)
{
    fixture *f = *state;
    tv_dataset *dataset;
    tv_text copy = {0}, from = {0}, to = {0};
    tv_path_join(&copy, f->directory, "copy");
    write_shards(copy.data, f->bytes, TOKENS);
    tv_path_join(&from, copy.data, "0003.tokens");
    tv_path_join(&to, copy.data, "0004.tokens");
    assert_int_equal(rename(from.data, to.data), 0); // 3 is missing
    assert_int_equal(tv_dataset_open(copy.data, T, NULL, &dataset), TV_EFORMAT);
    assert_non_null(strstr(tv_error_message(), "0003.tokens is missing"));
    assert_int_equal(rename(to.data, from.data), 0);
    assert_int_equal(tv_dataset_open(copy.data, T, NULL, &dataset), TV_EFORMAT); // 4 is missing
    tv_path_join(&to, copy.data, "0002.tokens");
    assert_int_equal(rename(from.data, to.data), 0); // 3 in the place of 2
    assert_int_equal(tv_dataset_open(copy.data, T, NULL, &dataset), TV_EFORMAT);
    assert_non_null(strstr(tv_error_message(), "it is shard 3"));
    tv_text_finish(&copy);
    tv_text_finish(&from);
    tv_text_finish(&to);
}

// A llama2.c vocabulary of 259 tokens, or 70000: then ids have 4 bytes.
static tv_tokenizer *open_llama2c(size_t extra)
{
    tv_text file = {0};
    const uint32_t longest = 8, zero = 0;
    tv_tokenizer *tokenizer;
    tv_text_append(&file, &longest, 4);
    for (size_t i = 0; i < 259 + extra; i++) {
        char name[16];
        uint32_t n = (uint32_t)(i >= 3 && i < 259 ? snprintf(name, sizeof name, "<0x%02zX>", i - 3)
                                                  : snprintf(name, sizeof name, "t%zu", i));
        tv_text_append(&file, &zero, 4);
        tv_text_append(&file, &n, 4);
        tv_text_append(&file, name, n);
    }
    assert_int_equal(
        tv_tokenizer_parse_llama2c("made", (uint8_t *)file.data, file.length, &tokenizer), TV_OK);
    tv_text_finish(&file);
    return tokenizer;
}

static void test_another_vocabulary_is_named(void **state)
{
    fixture *f = *state;
    tv_dataset *dataset;
    tv_tokenizer *other = open_llama2c(0);
    assert_int_equal(tv_dataset_open(f->shards.data, T, other, &dataset), TV_EFORMAT);
    assert_non_null(strstr(tv_error_message(), "258 tokens"));
    assert_non_null(strstr(tv_error_message(), "259 tokens"));
    tv_tokenizer_destroy(&other);
}

static void test_large_vocabularies_take_four_bytes(void **state)
{
    fixture *f = *state;
    tv_tokenizer *large = open_llama2c(70000);
    tv_dataset *dataset;
    tv_text directory = {0};
    tv_shard_writer *writer;
    const uint32_t ids[4] = {1, 65535, 65536, 70258};
    uint32_t input, target;
    tv_path_join(&directory, f->directory, "large");
    assert_int_equal(tv_make_dirs(directory.data), TV_OK);
    tv_shard_writer_create(directory.data, large, 0, &writer);
    assert_int_equal(tv_shard_writer_write(writer, ids, 4), TV_OK);
    assert_int_equal(tv_shard_writer_commit(&writer), TV_OK);
    assert_int_equal(tv_dataset_open(directory.data, 1, large, &dataset), TV_OK);
    for (uint32_t i = 0; i < 3; i++) {
        tv_dataset_fill_order(dataset, i, 1, &input, &target);
        assert_int_equal(input, ids[i]);
        assert_int_equal(target, ids[i + 1]);
    }
    tv_dataset_close(&dataset);
    tv_text_finish(&directory);
    tv_tokenizer_destroy(&large);
}

static void test_damaged_shards_are_refused(void **state)
{
    fixture *f = *state;
    tv_text path = {0};
    uint8_t *good;
    size_t size;
    tv_shard shard;
    tv_path_join(&path, f->shards.data, "0000.tokens");
    assert_int_equal(tv_file_read(path.data, 1 << 20, &good, &size), TV_OK);
    assert_int_equal(size, TV_SHARD_HEAD + 2 * SHARD);
    assert_int_equal(tv_shard_parse("good", good, size, &shard), TV_OK);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *copy = tv_alloc(cut ? cut : 1, 1);
        memcpy(copy, good, cut);
        assert_int_equal(tv_shard_parse("cut", copy, cut, &shard), TV_EFORMAT);
        tv_free(copy);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        good[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(tv_shard_parse("flipped", good, size, &shard), TV_EFORMAT);
        good[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    tv_free(good);
    tv_text_finish(&path);
}

static void put_le(uint8_t *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

// Heads whose checksum is right, but which lie.
static void test_lying_heads_are_refused(void **state)
{
    fixture *f = *state;
    static const struct {
        size_t at, size;
        uint64_t value;
        const char *says;
    } cases[] = {{12, 4, 1, "bytes per id"},
                 {12, 4, 0, "bytes per id"},
                 {12, 4, 4, "the head says"},
                 {16, 4, 100, "outside the vocabulary"},
                 {32, 8, SHARD - 1, "the head says"},
                 {32, 8, UINT64_MAX, "the head says"},
                 {32, 8, 1ull << 63, "the head says"},
                 {40, 8, 0, "damaged"},
                 {8, 4, 2, "version"}};
    tv_text path = {0};
    uint8_t *good;
    size_t size;
    tv_path_join(&path, f->shards.data, "0000.tokens");
    for (size_t i = 0; i < COUNT(cases); i++) {
        tv_shard shard;
        assert_int_equal(tv_file_read(path.data, 1 << 20, &good, &size), TV_OK);
        put_le(good + cases[i].at, cases[i].value, cases[i].size);
        put_le(good + 56, XXH3_64bits(good, 56), 8);
        assert_int_equal(tv_shard_parse("lying", good, size, &shard), TV_EFORMAT);
        assert_non_null(strstr(tv_error_message(), cases[i].says));
        tv_free(good);
    }
    tv_text_finish(&path);
}

static void test_sort_by_id_is_stable(void **state)
{
    (void)state;
    enum { MOST = 5000 };
    static uint32_t ids[MOST], order[MOST];
    static const size_t counts[] = {0, 1, 2, 255, MOST};
    static const uint32_t limits[] = {1, 3, 258, 70000, UINT32_MAX};
    tv_rng rng = tv_rng_init(2, 0);
    for (size_t c = 0; c < COUNT(counts); c++)
        for (size_t l = 0; l < COUNT(limits); l++) {
            uint8_t seen[MOST] = {0};
            for (size_t i = 0; i < counts[c]; i++)
                ids[i] = tv_rng_below(&rng, limits[l]);
            tv_sort_by_id(ids, counts[c], order);
            for (size_t i = 0; i < counts[c]; i++) {
                assert_true(order[i] < counts[c]);
                assert_int_equal(seen[order[i]]++, 0);
                if (i > 0 && ids[order[i - 1]] == ids[order[i]])
                    assert_true(order[i - 1] < order[i]);
                else if (i > 0)
                    assert_true(ids[order[i - 1]] < ids[order[i]]);
            }
        }
}

static void put_file(const fixture *f, const char *name, const char *content)
{
    tv_text path = {0};
    assert_int_equal(
        tv_file_write(tv_path_join(&path, f->directory, name), content, strlen(content)), TV_OK);
    tv_text_finish(&path);
}

// Prepares f->directory/input into f->directory/out.
static tv_err prepare(const fixture *f, const char *input, const char *out, double val, bool force)
{
    tv_text from = {0}, to = {0}, report = {0};
    tv_prepare_summary summary;
    const char *inputs[] = {tv_path_join(&from, f->directory, input)};
    const tv_prepare_options options = {.tokenizer = "bytes",
                                        .out = tv_path_join(&to, f->directory, out),
                                        .force = force,
                                        .val = val,
                                        .inputs = inputs,
                                        .input_count = 1};
    tv_err err = tv_prepare(&options, &summary, &report);
    tv_text_finish(&from);
    tv_text_finish(&to);
    tv_text_finish(&report);
    return err;
}

static void expect_ids(const fixture *f, const char *shards, const char *spelled)
{
    tv_text path = {0};
    tv_shard shard;
    tv_text_printf(&path, "%s/%s/0000.tokens", f->directory, shards);
    assert_int_equal(tv_shard_open(path.data, f->bytes, &shard), TV_OK);
    tv_text found = {0}; // < for BOS and > for EOS
    for (uint64_t i = 0; i < shard.count; i++) {
        uint32_t id;
        tv_shard_read(&shard, i, 1, &id);
        tv_text_printf(&found, "%c", id == 256 ? '<' : id == 257 ? '>' : (char)id);
    }
    assert_string_equal(found.length ? found.data : "", spelled);
    tv_text_finish(&found);
    tv_text_finish(&path);
    tv_shard_close(&shard);
}

static void make_inputs(const fixture *f)
{
    tv_text path = {0};
    static const char *const directories[] = {"in/deep", "course", "none"};
    for (size_t i = 0; i < COUNT(directories); i++)
        assert_int_equal(tv_make_dirs(tv_path_join(&path, f->directory, directories[i])), TV_OK);
    tv_text_finish(&path);
    put_file(f, "in/b.txt", "0123456789");
    put_file(f, "in/a.md", "abcde");
    put_file(f, "in/skip.bin", "\xff");
    put_file(f, "in/deep/c.jsonl", "{\"text\": \"one\"}\n\n{\"text\": \"tw\\u00f6\", \"id\": 2}");
    put_file(f, "course/train.txt", "Q");
    put_file(f, "course/val.txt", "VW");
    put_file(f, "course/exercises.jsonl",
             "{\"kind\": \"k\", \"level\": 1, \"prompt\": \"Q: A:\", \"answer\": \"7\"}\n");
    put_file(f, "none/picture.png", "x");
}

static void test_prepare_divides_documents(void **state)
{
    const fixture *f = *state;
    make_inputs(f);
    assert_int_equal(prepare(f, "in", "out", 0.25, false), TV_OK);
    expect_ids(f, "out/train", "<abcd><01234567><one><tw>");
    expect_ids(f, "out/val", "<e><89><\xC3\xB6>");
    assert_int_equal(prepare(f, "in", "out0", 0, false), TV_OK);
    expect_ids(f, "out0/train", "<abcde><0123456789><one><tw\xC3\xB6>");
    expect_ids(f, "out0/val", "");
    tv_text path = {0};
    tv_tokenizer *found;
    tv_path_join(&path, f->directory, "out/train");
    assert_int_equal(tv_tokenizer_open_data(path.data, &found), TV_OK);
    assert_true(tv_tokenizer_hash(found) == tv_tokenizer_hash(f->bytes));
    tv_tokenizer_destroy(&found);
    tv_text_finish(&path);
}

static void test_prepare_keeps_the_division_of_a_curriculum(void **state)
{
    const fixture *f = *state;
    tv_exercises exercises;
    tv_text path = {0};
    make_inputs(f);
    assert_int_equal(prepare(f, "course", "school", 0.5, false), TV_OK);
    expect_ids(f, "school/train", "<Q>");
    expect_ids(f, "school/val", "<VW>");
    tv_path_join(&path, f->directory, "school/exercises.jsonl");
    assert_int_equal(tv_exercises_load(path.data, &exercises), TV_OK);
    assert_int_equal(exercises.count, 1);
    assert_string_equal(exercises.items[0].answer, "7");
    tv_exercises_finish(&exercises);
    tv_text_finish(&path);
}

static void test_prepare_replaces_only_its_own(void **state)
{
    const fixture *f = *state;
    make_inputs(f);
    assert_int_equal(prepare(f, "in", "mine", 0.25, false), TV_OK);
    assert_int_equal(prepare(f, "course", "mine", 0.25, false), TV_EUSAGE);
    assert_non_null(strstr(tv_error_message(), "--force"));
    expect_ids(f, "mine/val", "<e><89><\xC3\xB6>");
    assert_int_equal(prepare(f, "none", "mine", 0.25, true), TV_EDATA); // leaves it alone
    expect_ids(f, "mine/val", "<e><89><\xC3\xB6>");
    assert_int_equal(prepare(f, "course", "mine", 0.25, true), TV_OK);
    expect_ids(f, "mine/val", "<VW>");
    assert_int_equal(prepare(f, "course", "in", 0.25, true), TV_EUSAGE); // not made by prepare
    assert_int_equal(prepare(f, "course", "in/a.md", 0.25, true), TV_EIO);
}

static void test_prepare_refuses_what_is_no_text(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *name, *content;
        tv_err err;
        const char *says;
    } cases[] = {
        {"bad.txt", "good\xC3\xA9 \xC3(", TV_EFORMAT, "bad.txt: byte 7"},
        {"empty.txt", "", TV_EDATA, "empty.txt"},
        {"bad.jsonl", "{\"text\": \"a\"}\n{\"text\": \"\xff\"}\n", TV_EFORMAT, "byte 24"},
        {"json.jsonl", "{\"text\": \"a\"}\n{\"text\"\n", TV_EFORMAT, "line 2"},
        {"key.jsonl", "{\"words\": \"a\"}\n", TV_EFORMAT, "no \"text\""},
        {"number.jsonl", "{\"text\": 7}\n", TV_EFORMAT, "no \"text\""},
        {"array.jsonl", "[1]\n", TV_EFORMAT, "no \"text\""},
        {"void.jsonl", "{\"text\": \"\"}\n", TV_EDATA, "line 1"},
        {"blank.jsonl", "\n \n", TV_EDATA, "no text"},
    };
    tv_text out = {0};
    tv_path_join(&out, f->directory, "never");
    for (size_t i = 0; i < COUNT(cases); i++) {
        put_file(f, cases[i].name, cases[i].content);
        assert_int_equal(prepare(f, cases[i].name, "never", 0.1, false), cases[i].err);
        assert_non_null(strstr(tv_error_message(), cases[i].says));
        assert_false(tv_path_exists(out.data));
    }
    assert_int_equal(prepare(f, "missing.txt", "never", 0.1, false), TV_EIO);
    make_inputs(f);
    assert_int_equal(prepare(f, "none", "never", 0.1, false), TV_EDATA);
    assert_int_equal(prepare(f, "in", "never", 1, false), TV_EUSAGE);
    assert_int_equal(prepare(f, "in", "never", -0.1, false), TV_EUSAGE);
    assert_false(tv_path_exists(out.data));
    tv_text circle = {0}; // a link to the directory that it is in
    tv_path_join(&circle, f->directory, "round");
    assert_int_equal(tv_make_dirs(circle.data), TV_OK);
    tv_path_join(&circle, f->directory, "round/again");
    assert_int_equal(symlink(".", circle.data), 0);
    assert_int_equal(prepare(f, "round", "never", 0.1, false), TV_EUSAGE);
    tv_text_finish(&circle);
    tv_names names; // nothing half-made is left beside it
    assert_int_equal(tv_list_dir(f->directory, &names), TV_OK);
    for (size_t i = 0; i < names.count; i++)
        assert_null(strstr(names.names[i], ".tmp-"));
    tv_names_finish(&names);
    tv_text_finish(&out);
}

static void test_exercise_files(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        tv_err err;
        const char *says;
    } cases[] = {
        {"", TV_EDATA, "no exercises"},
        {"\n\n", TV_EDATA, "no exercises"},
        {"{", TV_EFORMAT, "line 1: not JSON"},
        {"\n{\"kind\": \"a\"}", TV_EFORMAT, "line 2: no exercise"},
        {"{\"kind\": 1, \"level\": 1, \"prompt\": \"\", \"answer\": \"\"}", TV_EFORMAT, "line 1"},
        {"{\"kind\": \"a\", \"level\": \"1\", \"prompt\": \"\", \"answer\": \"\"}", TV_EFORMAT,
         "line 1"},
    };
    tv_exercises exercises;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(tv_exercises_parse("list", (const uint8_t *)cases[i].content,
                                            strlen(cases[i].content), &exercises),
                         cases[i].err);
        assert_non_null(strstr(tv_error_message(), cases[i].says));
    }
    assert_int_equal(tv_exercises_load("/nonexistent", &exercises), TV_EIO);
}

static void test_answers_are_matched_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *written, *answer;
        bool right;
    } cases[] = {
        {" 12", "12", true},
        {" 12\n", "12", true},
        {" 12\nQ: 3 + 4 = ? A: 7", "12", true},
        {"12", "12", true},
        {" 3 * 4 = 12, 12 + 5 = 17 #### 17\n", "17", true},
        {" 3 * 4 = 12 #### 12 #### 17\n", "17", true},
        {" 16\n #### 17", "17", false}, // behind the line
        {" 3 * 4 = 12, 12 + 5 = 17\n", "17", false},
        {" 1", "12", false},
        {" 123", "12", false},
        {" 12.", "12", false},
        {"", "12", false},
        {" ####", "12", false},
        {" not certain ", "not certain", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(tv_exercise_match(cases[i].written, cases[i].answer), cases[i].right);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shards_hold_what_was_written),
        cmocka_unit_test(test_validation_counts_every_target_once),
        cmocka_unit_test(test_batch_is_a_function_of_seed_step_and_sample),
        cmocka_unit_test(test_every_epoch_visits_each_window_once_in_a_new_order),
        cmocka_unit_test(test_too_little_data_says_what_would_fit),
        cmocka_unit_test(test_missing_and_foreign_shards_are_refused),
        cmocka_unit_test(test_another_vocabulary_is_named),
        cmocka_unit_test(test_large_vocabularies_take_four_bytes),
        cmocka_unit_test(test_damaged_shards_are_refused),
        cmocka_unit_test(test_lying_heads_are_refused),
        cmocka_unit_test(test_sort_by_id_is_stable),
        cmocka_unit_test(test_prepare_divides_documents),
        cmocka_unit_test(test_prepare_keeps_the_division_of_a_curriculum),
        cmocka_unit_test(test_prepare_replaces_only_its_own),
        cmocka_unit_test(test_prepare_refuses_what_is_no_text),
        cmocka_unit_test(test_exercise_files),
        cmocka_unit_test(test_answers_are_matched_exactly),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
