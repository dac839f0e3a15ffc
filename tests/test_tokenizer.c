// Tests of data/tokenizer: bytes, llama2.c's vocabulary against known tokens and against a plain
// search for the best pair, directories, and damaged files.
#include "base/file.h"
#include "base/memory.h"
#include "base/rng.h"
#include "data/tokenizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define STORIES TV_SHARED_DATA "/models/stories260K"

// BOS and the 200 tokens that stories260K then gives greedily: the text of greedy.txt.
static const uint32_t golden[201] = {
    1,   403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396,
    267, 337, 410, 408, 419, 292, 411, 322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394, 261,
    370, 432, 352, 266, 268, 388, 426, 338, 391, 266, 267, 337, 335, 312, 432, 398, 312, 286, 267,
    414, 270, 333, 415, 426, 13,  438, 310, 439, 419, 357, 336, 432, 313, 438, 310, 432, 278, 316,
    439, 419, 298, 414, 267, 265, 282, 295, 433, 426, 436, 317, 286, 296, 418, 269, 279, 292, 416,
    439, 413, 409, 416, 327, 263, 415, 294, 267, 400, 426, 338, 336, 432, 313, 442, 391, 267, 337,
    335, 364, 420, 268, 388, 432, 398, 359, 280, 303, 439, 413, 272, 417, 264, 312, 426, 436, 13,
    438, 310, 286, 296, 418, 269, 279, 292, 416, 439, 413, 409, 416, 327, 263, 415, 294, 267, 400,
    426, 338, 336, 432, 313, 442, 439, 423, 262, 304, 420, 422, 432, 317, 426, 359, 279, 292, 416,
    439, 413, 409, 416, 327, 263, 415, 294, 267, 400, 426, 436, 13,  438, 310, 279, 292, 416, 439,
    413, 391, 267, 281, 421, 427, 311, 357, 432, 384, 358};

typedef struct fixture {
    char directory[64];
    tv_tokenizer *stories; // NULL where the shared data is missing
} fixture;

static int setup(void **state)
{
    fixture *f = tv_alloc(1, sizeof *f);
    strcpy(f->directory, "/tmp/trivium-tokenizer-XXXXXX");
    if (!mkdtemp(f->directory))
        return -1;
    if (tv_path_exists(STORIES "/tok512.bin") &&
        tv_tokenizer_open(STORIES "/tok512.bin", 512, &f->stories) != TV_OK)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    tv_tokenizer_destroy(&f->stories);
    tv_err err = tv_remove_tree(f->directory);
    tv_free(f);
    return err == TV_OK ? 0 : -1;
}

static const tv_tokenizer *need_stories(void **state)
{
    fixture *f = *state;
    if (!f->stories) {
        print_message("skipped: no " STORIES "/tok512.bin\n");
        skip();
    }
    return f->stories;
}

// A llama2.c vocabulary in memory.
static void put_token(tv_text *file, float score, const char *bytes, size_t length)
{
    uint32_t n = (uint32_t)length;
    tv_text_append(file, &score, 4); // the tests run where floats and ints are little endian
    tv_text_append(file, &n, 4);
    tv_text_append(file, bytes, length);
}

// <unk>, BOS, EOS, bytes, then pieces with scores 0, -1, -2, ...
static void put_vocabulary(tv_text *file, const char *const *pieces, size_t count)
{
    uint32_t longest = 12;
    tv_text_append(file, &longest, 4);
    put_token(file, 0, "<unk>", 5);
    put_token(file, 0, "<s>", 3);
    put_token(file, 0, "</s>", 4);
    for (int i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)i);
        put_token(file, 0, name, 6);
    }
    for (size_t i = 0; i < count; i++)
        put_token(file, -(float)i, pieces[i], strlen(pieces[i]));
}

static const char *const small_pieces[] = {"ab", "bc", "abc", " a", "a",  "b",   "c",
                                           " ",  "aa", "aaa", "é",  "éa", " ab", "ca"};

static tv_tokenizer *open_small(void)
{
    tv_text file = {0};
    tv_tokenizer *tokenizer;
    put_vocabulary(&file, small_pieces, COUNT(small_pieces));
    assert_int_equal(
        tv_tokenizer_parse_llama2c("small", (uint8_t *)file.data, file.length, &tokenizer), TV_OK);
    tv_text_finish(&file);
    return tokenizer;
}

static void test_bytes(void **state)
{
    (void)state;
    tv_tokenizer *tokenizer;
    tv_ids ids = {0};
    tv_text text = {0};
    assert_int_equal(tv_tokenizer_open("bytes", 0, &tokenizer), TV_OK);
    assert_string_equal(tv_tokenizer_name(tokenizer), "bytes");
    assert_int_equal(tv_tokenizer_vocab_size(tokenizer), 258);
    assert_int_equal(tv_tokenizer_bos(tokenizer), 256);
    assert_int_equal(tv_tokenizer_eos(tokenizer), 257);
    tv_tokenizer_encode(tokenizer, "h\0\xff\n", 4, true, &ids);
    const uint32_t expected[] = {256, 'h', 0, 255, '\n'};
    assert_int_equal(ids.count, COUNT(expected));
    assert_memory_equal(ids.ids, expected, sizeof expected);
    tv_tokenizer_decode_all(tokenizer, ids.ids, ids.count, &text);
    assert_int_equal(text.length, 4);
    assert_memory_equal(text.data, "h\0\xff\n", 4);
    tv_tokenizer_decode(tokenizer, TV_NO_TOKEN, 257, &text);
    assert_int_equal(text.length, 4);
    tv_tokenizer_decode(tokenizer, TV_NO_TOKEN, 258, &text);
    assert_string_equal(text.data + 4, "\xEF\xBF\xBD");
    tv_ids_finish(&ids);
    tv_text_finish(&text);
    tv_tokenizer_destroy(&tokenizer);
    tv_tokenizer_destroy(&tokenizer); // accepts NULL inside
    assert_int_equal(tv_tokenizer_open("bytes", 257, &tokenizer), TV_EFORMAT);
    assert_null(tokenizer);
}

static void test_golden_tokens_decode_to_the_known_text(void **state)
{
    const tv_tokenizer *tokenizer = need_stories(state);
    uint8_t *expected;
    size_t size;
    tv_text text = {0};
    tv_ids ids = {0};
    assert_int_equal(tv_file_read(STORIES "/greedy.txt", 1 << 20, &expected, &size), TV_OK);
    assert_int_equal(tv_tokenizer_vocab_size(tokenizer), 512);
    tv_tokenizer_decode_all(tokenizer, golden, COUNT(golden), &text);
    assert_int_equal(text.length, size);
    assert_memory_equal(text.data, expected, size);
    tv_tokenizer_encode(tokenizer, (char *)expected, size, true, &ids);
    tv_text_clear(&text);
    tv_tokenizer_decode_all(tokenizer, ids.ids, ids.count, &text);
    assert_int_equal(text.length, size);
    assert_memory_equal(text.data, expected, size);
    tv_free(expected);
    tv_text_finish(&text);
    tv_ids_finish(&ids);
}

// llama2.c's order of joining, searched plainly: the best score of all pairs, the leftmost first.
static uint32_t find_joined(const tv_tokenizer *tokenizer, uint32_t left, uint32_t right,
                            const char *const *pieces, size_t count)
{
    tv_text both = {0};
    uint32_t found = TV_NO_TOKEN;
    if (left < 259 || right < 259)
        return TV_NO_TOKEN; // byte tokens join with nothing in this vocabulary
    tv_tokenizer_decode(tokenizer, TV_NO_TOKEN, left, &both);
    tv_tokenizer_decode(tokenizer, TV_NO_TOKEN, right, &both);
    for (size_t i = 0; i < count && found == TV_NO_TOKEN; i++)
        if (strcmp(pieces[i], both.data) == 0)
            found = (uint32_t)i + 259;
    tv_text_finish(&both);
    return found;
}

static void join_plainly(const tv_tokenizer *tokenizer, tv_ids *ids, const char *const *pieces,
                         size_t count)
{
    for (;;) {
        size_t best = SIZE_MAX;
        uint32_t best_id = TV_NO_TOKEN; // scores fall with the id, so the best is the lowest
        for (size_t i = 0; i + 1 < ids->count; i++) {
            uint32_t id = find_joined(tokenizer, ids->ids[i], ids->ids[i + 1], pieces, count);
            if (id < best_id) {
                best_id = id;
                best = i;
            }
        }
        if (best == SIZE_MAX)
            return;
        ids->ids[best] = best_id;
        memmove(ids->ids + best + 1, ids->ids + best + 2,
                (ids->count - best - 2) * sizeof *ids->ids);
        ids->count--;
    }
}

static void test_joining_equals_the_plain_search(void **state)
{
    (void)state;
    tv_tokenizer *tokenizer = open_small();
    tv_rng rng = tv_rng_init(7, 0);
    static const char *const letters[] = {"a", "b", "c", " ", "é", "x"};
    for (int round = 0; round < 400; round++) {
        tv_text text = {0};
        tv_ids ids = {0}, plain = {0};
        tv_ids_append(&plain, 259 + 7); // the space before the text
        for (uint32_t n = 1 + tv_rng_below(&rng, 30); n > 0; n--) {
            const char *letter = letters[tv_rng_below(&rng, COUNT(letters))];
            size_t i = 0;
            tv_text_puts(&text, letter);
            while (i < COUNT(small_pieces) && strcmp(small_pieces[i], letter) != 0)
                i++;
            tv_ids_append(&plain, i < COUNT(small_pieces) ? (uint32_t)i + 259 : 3 + 'x');
        }
        join_plainly(tokenizer, &plain, small_pieces, COUNT(small_pieces));
        tv_tokenizer_encode(tokenizer, text.data, text.length, false, &ids);
        assert_int_equal(ids.count, plain.count);
        assert_memory_equal(ids.ids, plain.ids, ids.count * sizeof *ids.ids);
        tv_text_finish(&text);
        tv_ids_finish(&ids);
        tv_ids_finish(&plain);
    }
    tv_tokenizer_destroy(&tokenizer);
}

static void test_edges_of_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t length;
        uint32_t ids[8];
        size_t count;
    } cases[] = {
        {"", 0, {0}, 0},
        {"x", 1, {266, 3 + 'x'}, 2},     // not in the vocabulary: a byte token
        {"\0", 1, {266, 3}, 2},          // zero is a byte as any other
        {"\xff", 1, {266, 3 + 255}, 2},  // malformed UTF-8
        {"\xc3", 1, {266, 3 + 0xc3}, 2}, // cut off
        {"\xc3\xa9", 2, {266, 269}, 2},  // é is a piece
        {"aaaa", 4, {262, 268}, 2},      // " a" (-3) before "aa" (-8), then "aaa" (-9)
        {"abc", 3, {266, 261}, 2},       // "ab" (0) first, then "abc" (-2)
    };
    tv_tokenizer *tokenizer = open_small();
    for (size_t i = 0; i < COUNT(cases); i++) {
        tv_ids ids = {0};
        tv_tokenizer_encode(tokenizer, cases[i].text, cases[i].length, false, &ids);
        assert_int_equal(ids.count, cases[i].count);
        if (ids.count)
            assert_memory_equal(ids.ids, cases[i].ids, ids.count * sizeof *ids.ids);
        tv_ids_finish(&ids);
    }
    tv_tokenizer_destroy(&tokenizer);
}

static void test_any_bytes_survive_a_round_trip(void **state)
{
    const tv_tokenizer *stories = need_stories(state);
    tv_rng rng = tv_rng_init(3, 0);
    for (int round = 0; round < 300; round++) {
        tv_text text = {0}, back = {0};
        tv_ids ids = {0};
        for (uint32_t n = tv_rng_below(&rng, 60); n > 0; n--) {
            char byte = (char)tv_rng_below(&rng, round % 2 ? 256 : 128);
            tv_text_append(&text, &byte, 1);
        }
        tv_tokenizer_encode(stories, text.data ? text.data : "", text.length, true, &ids);
        tv_tokenizer_decode_all(stories, ids.ids, ids.count, &back);
        assert_int_equal(back.length, text.length);
        if (text.length)
            assert_memory_equal(back.data, text.data, text.length);
        tv_text_finish(&text);
        tv_text_finish(&back);
        tv_ids_finish(&ids);
    }
}

static void test_long_text_is_quick(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20 };
    tv_tokenizer *tokenizer = open_small();
    char *text = tv_alloc(LENGTH, 1);
    tv_ids ids = {0};
    memset(text, 'a', LENGTH); // every neighbour joins: hours if each join searched the text
    tv_tokenizer_encode(tokenizer, text, LENGTH, false, &ids);
    assert_in_range(ids.count, LENGTH / 3, LENGTH);
    tv_ids_finish(&ids);
    tv_free(text);
    tv_tokenizer_destroy(&tokenizer);
}

static void test_model_directory(void **state)
{
    fixture *f = *state;
    tv_tokenizer *bytes, *small = open_small(), *found;
    tv_text path = {0}, child = {0};
    tv_path_join(&path, f->directory, "model");
    assert_int_equal(tv_make_dirs(tv_path_join(&child, path.data, "train")), TV_OK);
    assert_int_equal(tv_tokenizer_open_model(path.data, 0, &found), TV_EFORMAT);
    assert_non_null(strstr(tv_error_message(), "no tokenizer"));
    assert_int_equal(tv_tokenizer_open_data(child.data, &found), TV_EFORMAT);

    assert_int_equal(tv_tokenizer_save(small, path.data), TV_OK);
    assert_int_equal(tv_tokenizer_open(path.data, 0, &found), TV_OK);
    assert_true(tv_tokenizer_hash(found) == tv_tokenizer_hash(small));
    tv_tokenizer_destroy(&found);
    assert_int_equal(tv_tokenizer_open_data(child.data, &found), TV_OK);
    assert_true(tv_tokenizer_hash(found) == tv_tokenizer_hash(small));
    tv_tokenizer_destroy(&found);

    assert_int_equal(tv_tokenizer_open("bytes", 0, &bytes), TV_OK);
    assert_true(tv_tokenizer_hash(bytes) != tv_tokenizer_hash(small));
    assert_int_equal(tv_tokenizer_save(bytes, path.data), TV_OK);
    assert_int_equal(tv_tokenizer_open_model(path.data, 258, &found), TV_OK);
    assert_string_equal(tv_tokenizer_name(found), "bytes");
    assert_true(tv_tokenizer_hash(found) == tv_tokenizer_hash(bytes));
    tv_tokenizer_destroy(&found);
    tv_tokenizer_destroy(&bytes);
    tv_tokenizer_destroy(&small);
    tv_text_finish(&path);
    tv_text_finish(&child);
}

static void test_tok_bin_beside_the_model(void **state)
{
    fixture *f = *state;
    tv_tokenizer *found;
    tv_text file = {0}, path = {0}, child = {0};
    put_vocabulary(&file, small_pieces, COUNT(small_pieces));
    tv_path_join(&path, f->directory, "beside");
    assert_int_equal(tv_make_dirs(path.data), TV_OK);
    assert_int_equal(
        tv_file_write(tv_path_join(&child, path.data, "tok9.bin"), file.data, file.length), TV_OK);
    assert_int_equal(tv_tokenizer_open_model(path.data, 0, &found), TV_OK);
    assert_int_equal(tv_tokenizer_vocab_size(found), 259 + COUNT(small_pieces));
    tv_tokenizer_destroy(&found);
    assert_int_equal(tv_tokenizer_open_model(path.data, 260, &found), TV_EFORMAT);
    assert_int_equal(
        tv_file_write(tv_path_join(&child, path.data, "tokens.bin"), file.data, file.length),
        TV_OK);
    assert_int_equal(tv_tokenizer_open_model(path.data, 0, &found), TV_EFORMAT);
    assert_non_null(strstr(tv_error_message(), "tok9.bin"));
    assert_non_null(strstr(tv_error_message(), "tokens.bin"));
    tv_text_finish(&file);
    tv_text_finish(&path);
    tv_text_finish(&child);
}

static void test_broken_json_is_refused(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *content, *says;
    } cases[] = {{"", "not JSON"},
                 {"{", "not JSON"},
                 {"[]", "no \"type\""},
                 {"{\"version\": 1}", "no \"type\""},
                 {"{\"type\": \"bpe\"}", "'bpe'"}};
    tv_text path = {0};
    tv_path_join(&path, f->directory, "tokenizer.trivium.json");
    for (size_t i = 0; i < COUNT(cases); i++) {
        tv_tokenizer *found;
        assert_int_equal(tv_file_write(path.data, cases[i].content, strlen(cases[i].content)),
                         TV_OK);
        assert_int_equal(tv_tokenizer_open(path.data, 0, &found), TV_EFORMAT);
        assert_non_null(strstr(tv_error_message(), cases[i].says));
        assert_null(found);
    }
    tv_tokenizer *found;
    assert_int_equal(tv_tokenizer_open("/nonexistent/tokenizer.bin", 0, &found), TV_EIO);
    tv_text_finish(&path);
}

static void test_broken_vocabularies_are_refused(void **state)
{
    (void)state;
    tv_text good = {0};
    tv_tokenizer *found;
    put_vocabulary(&good, small_pieces, COUNT(small_pieces));
    size_t fixed = 4 + 8 * 3 + 12 + 256 * (8 + 6);    // up to the pieces
    for (size_t size = 0; size < fixed; size++) {     // also at the end of a token: too few tokens
        uint8_t *copy = tv_alloc(size ? size : 1, 1); // exact, so that a read behind it is seen
        memcpy(copy, good.data, size);
        assert_int_equal(tv_tokenizer_parse_llama2c("cut", copy, size, &found), TV_EFORMAT);
        assert_null(found);
        tv_free(copy);
    }
    static const struct {
        size_t at;
        uint32_t value;
    } edits[] = {
        {0, 0},
        {0, 1u << 31},
        {0, 3}, // longest token
        {4, 0x7F800000u},
        {4, 0x7FC00000u},
        {4, 0xFF7FFFFFu}, // a score: inf, nan, -3e38
        {8, 0xFFFFFFFFu},
        {8, 13},
        {8, 1000},                     // a length
        {4 + 24 + 12 + 9, 0x30783030}, // the name of <0x00>
    };
    for (size_t i = 0; i < COUNT(edits); i++) {
        tv_text copy = {0};
        tv_text_append(&copy, good.data, good.length);
        memcpy(copy.data + edits[i].at, &edits[i].value, 4);
        assert_int_equal(
            tv_tokenizer_parse_llama2c("edited", (uint8_t *)copy.data, copy.length, &found),
            TV_EFORMAT);
        tv_text_finish(&copy);
    }
    tv_text_finish(&good);
}

static void test_damaged_vocabularies_never_crash(void **state)
{
    (void)state;
    tv_text good = {0};
    tv_rng rng = tv_rng_init(11, 0);
    int accepted = 0, refused = 0;
    put_vocabulary(&good, small_pieces, COUNT(small_pieces));
    for (int round = 0; round < 3000; round++) {
        tv_text copy = {0};
        tv_tokenizer *found;
        tv_text_append(&copy, good.data, good.length);
        for (uint32_t n = 1 + tv_rng_below(&rng, 3); n > 0; n--)
            copy.data[tv_rng_below(&rng, (uint32_t)copy.length)] ^=
                (char)(1 << tv_rng_below(&rng, 8));
        if (tv_tokenizer_parse_llama2c("bits", (uint8_t *)copy.data, copy.length, &found) ==
            TV_OK) {
            tv_ids ids = {0};
            tv_tokenizer_encode(found, "abc aaé x", 10, true, &ids);
            for (size_t i = 0; i < ids.count; i++)
                assert_true(ids.ids[i] < tv_tokenizer_vocab_size(found));
            tv_ids_finish(&ids);
            accepted++;
        } else {
            refused++;
        }
        tv_tokenizer_destroy(&found);
        tv_text_finish(&copy);
    }
    assert_true(accepted > 0 && refused > 0);
    tv_text_finish(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_golden_tokens_decode_to_the_known_text),
        cmocka_unit_test(test_joining_equals_the_plain_search),
        cmocka_unit_test(test_edges_of_encoding),
        cmocka_unit_test(test_any_bytes_survive_a_round_trip),
        cmocka_unit_test(test_long_text_is_quick),
        cmocka_unit_test(test_model_directory),
        cmocka_unit_test(test_tok_bin_beside_the_model),
        cmocka_unit_test(test_broken_json_is_refused),
        cmocka_unit_test(test_broken_vocabularies_are_refused),
        cmocka_unit_test(test_damaged_vocabularies_never_crash),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
