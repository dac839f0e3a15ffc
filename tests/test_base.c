// Tests of base/: text, UTF-8, numbers, names, memory, errors.
#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/text.h"
#include "base/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

// ---------------------------------------------------------------------------------------- text

static void test_text_grows(void **state)
{
    (void)state;
    tv_text text = {0};
    for (int i = 0; i < 1000; i++)
        tv_text_printf(&text, "%d,", i % 10);
    assert_int_equal(text.length, 2000);
    assert_memory_equal(text.data, "0,1,2,3,4,5,", 12);
    assert_int_equal(text.data[2000], 0);
    tv_text_append(&text, "a\0b", 3);
    assert_int_equal(text.length, 2003);
    assert_memory_equal(text.data + 2000, "a\0b", 4);
    tv_text_clear(&text);
    assert_string_equal(text.data, "");
    tv_text_append(&text, NULL, 0);
    assert_int_equal(text.length, 0);
    tv_text_finish(&text);
    assert_null(text.data);
}

static void test_json_string(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"a\"b\\c\n\t\r\x01\x7f", "\"a\\\"b\\\\c\\n\\t\\u000d\\u0001\\u007f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"x\xff\xc3", "\"x\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        tv_text text = {0};
        tv_text_json_string(&text, cases[i].in, strlen(cases[i].in));
        assert_string_equal(text.data, cases[i].out);
        tv_text_finish(&text);
    }
}

static void test_utf8_sequences(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length, next; // next 0: malformed
        uint32_t code;
    } cases[] = {
        {"A", 1, 1, 'A'},
        {"\x7f", 1, 1, 0x7f},
        {"\xc2\x80", 2, 2, 0x80},
        {"\xdf\xbf", 2, 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 3, 0x800},
        {"\xed\x9f\xbf", 3, 3, 0xd7ff},
        {"\xee\x80\x80", 3, 3, 0xe000},
        {"\xef\xbf\xbf", 3, 3, 0xffff},
        {"\xf0\x90\x80\x80", 4, 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff},
        {"", 0, 0, 0},
        {"\x80", 1, 0, 0},             // a continuation without a start
        {"\xc0\x80", 2, 0, 0},         // overlong
        {"\xc1\xbf", 2, 0, 0},         // overlong
        {"\xe0\x9f\xbf", 3, 0, 0},     // overlong
        {"\xf0\x8f\xbf\xbf", 4, 0, 0}, // overlong
        {"\xed\xa0\x80", 3, 0, 0},     // a surrogate
        {"\xed\xbf\xbf", 3, 0, 0},     // a surrogate
        {"\xf4\x90\x80\x80", 4, 0, 0}, // above U+10FFFF
        {"\xf8\x88\x80\x80", 4, 0, 0}, // a start of five bytes
        {"\xff", 1, 0, 0},             //
        {"\xe2\x82", 2, 0, 0},         // cut off
        {"\xe2\x82x", 3, 0, 0},        // broken within
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        uint32_t code = 0;
        assert_int_equal(tv_utf8_next(bytes, cases[i].length, &code), cases[i].next);
        assert_int_equal(code, cases[i].code);
        char encoded[4];
        if (cases[i].next) {
            assert_int_equal(tv_utf8_encode(code, encoded), cases[i].next);
            assert_memory_equal(encoded, bytes, cases[i].next);
        }
    }
}

static void test_utf8_every_code_point(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        char bytes[4];
        uint32_t back = UINT32_MAX;
        bool surrogate = code >= 0xd800 && code < 0xe000;
        size_t length = tv_utf8_encode(code, bytes);
        size_t next = tv_utf8_next((const uint8_t *)bytes, length, &back);
        if (next != (surrogate ? 0 : length) || (!surrogate && back != code))
            fail_msg("U+%04X: %zu bytes written, %zu read back as U+%04X", code, length, next,
                     back);
    }
}

static void test_utf8_valid_names_the_offset(void **state)
{
    (void)state;
    size_t offset = 99;
    assert_true(tv_utf8_valid((const uint8_t *)"\xc3\xa9t\xc3\xa9", 5, &offset));
    assert_int_equal(offset, 99);
    assert_false(tv_utf8_valid((const uint8_t *)"ab\xc3\xa9\xfe", 5, &offset));
    assert_int_equal(offset, 4);
    assert_false(tv_utf8_valid((const uint8_t *)"ab\xc3", 3, NULL));
}

// ------------------------------------------------------------------------------------- numbers

static void test_parse_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_u64, is_i64;
        uint64_t value; // for negative numbers: their two's complement
    } cases[] = {
        {"0", true, true, 0},
        {"42", true, true, 42},
        {"9223372036854775807", true, true, INT64_MAX},
        {"9223372036854775808", true, false, 1ull << 63},
        {"18446744073709551615", true, false, UINT64_MAX},
        {"18446744073709551616", false, false, 0},
        {"-1", false, true, UINT64_MAX},
        {"-9223372036854775808", false, true, 1ull << 63},
        {"-9223372036854775809", false, false, 0},
        {"", false, false, 0},
        {"-", false, false, 0},
        {" 1", false, false, 0},
        {"1 ", false, false, 0},
        {"+1", false, false, 0},
        {"0x10", false, false, 0},
        {"1.0", false, false, 0},
        {"--1", false, false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t u = 7;
        int64_t s = 7;
        bool is_u64 = tv_parse_u64(cases[i].text, &u), is_i64 = tv_parse_i64(cases[i].text, &s);
        if (is_u64 != cases[i].is_u64 || is_i64 != cases[i].is_i64)
            fail_msg("'%s': u64 %d, i64 %d", cases[i].text, is_u64, is_i64);
        assert_true(u == (is_u64 ? cases[i].value : 7)); // untouched on failure
        assert_true((uint64_t)s == (is_i64 ? cases[i].value : 7));
    }
}

static void test_parse_doubles(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        double value;
    } cases[] = {
        {"3e-4", true, 3e-4}, {"-0.5", true, -0.5}, {"1", true, 1},       {".5", true, 0.5},
        {"", false, 0},       {" 1", false, 0},     {"1x", false, 0},     {"nan", false, 0},
        {"inf", false, 0},    {"1e999", false, 0},  {"-1e999", false, 0}, {"e5", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        double value = 7;
        if (tv_parse_double(cases[i].text, &value) != cases[i].ok)
            fail_msg("'%s'", cases[i].text);
        assert_true(value == (cases[i].ok ? cases[i].value : 7));
    }
}

static void test_parse_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"4096", true, 4096},
        {"16K", true, 16384},
        {"64M", true, 64ull << 20},
        {"1.5G", true, 3ull << 29},
        {"2t", true, 2ull << 40},
        {"1MiB", true, 1 << 20},
        {"1kb", true, 1024},
        {"", false, 0},
        {"M", false, 0},
        {"-1", false, 0},
        {"1X", false, 0},
        {"1Mx", false, 0},
        {"1M ", false, 0},
        {"9e30", false, 0},
        {"99999999T", false, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t value = 7;
        if (tv_parse_bytes(cases[i].text, &value) != cases[i].ok)
            fail_msg("'%s'", cases[i].text);
        assert_true(value == (cases[i].ok ? cases[i].value : 7));
    }
}

static void test_format_for_people(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *bytes, *duration;
    } cases[] = {
        {0, "0 B", "0s"},
        {59, "59 B", "59s"},
        {200, "200 B", "3m 20s"},
        {1023, "1023 B", "17m 03s"},
        {1536, "1.5 KiB", "25m 36s"},
        {3720, "3.6 KiB", "1h 02m"},
        {319488, "312 KiB", "88h 44m"},
        {1610612736, "1.5 GiB", "?"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[32];
        tv_format_bytes((uint64_t)cases[i].value, text);
        assert_string_equal(text, cases[i].bytes);
        tv_format_duration(cases[i].value, text);
        assert_string_equal(text, cases[i].duration);
    }
    char text[32];
    tv_format_duration(-1, text);
    assert_string_equal(text, "?");
    tv_format_bytes(UINT64_MAX, text);
    assert_string_equal(text, "16777216 TiB");
}

static void test_nearest_name(void **state)
{
    (void)state;
    static const char *const names[] = {"max_steps", "micro_batch_size", "lr", "precision"};
    static const struct {
        const char *name, *nearest;
    } cases[] = {
        {"max_step", "max_steps"},
        {"maxsteps", "max_steps"},
        {"mirco_batch_size", "micro_batch_size"},
        {"precison", "precision"},
        {"l", NULL},
        {"lr", "lr"},
        {"completely_other", NULL},
        {"", NULL},
        {"zzzz", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *found = tv_nearest_name(cases[i].name, names, COUNT(names));
        if (!found != !cases[i].nearest || (found && strcmp(found, cases[i].nearest) != 0))
            fail_msg("'%s' gives %s", cases[i].name, found ? found : "nothing");
    }
    char longest[200];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_null(tv_nearest_name(longest, names, COUNT(names)));
    assert_null(tv_nearest_name("lr", names, 0));
}

static void test_substrings(void **state)
{
    (void)state;
    assert_true(tv_starts_with("vulkan:1", "vulkan:"));
    assert_false(tv_starts_with("vul", "vulkan"));
    assert_true(tv_ends_with("a.png", ".png"));
    assert_false(tv_ends_with("png", ".png"));
    assert_true(tv_contains_nocase("NVIDIA GeForce", "geforce"));
    assert_true(tv_contains_nocase("x", ""));
    assert_true(tv_contains_nocase("", ""));
    assert_false(tv_contains_nocase("Radeon", "radeons"));
}

// -------------------------------------------------------------------------------------- memory

static void test_arena_memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    enum { OBJECTS = 2000 };
    static unsigned char *objects[OBJECTS];
    tv_arena arena = {0};
    for (size_t i = 0; i < OBJECTS; i++) {
        size_t size = 1 + i * 7 % 301;
        objects[i] = tv_arena_alloc(&arena, size, 1);
        assert_int_equal((uintptr_t)objects[i] % _Alignof(max_align_t), 0);
        for (size_t j = 0; j < size; j++)
            assert_int_equal(objects[i][j], 0);
        memset(objects[i], (int)(i % 255) + 1, size);
    }
    char *large = tv_arena_alloc(&arena, 1 << 20, 3);
    large[(3 << 20) - 1] = 1;
    assert_string_equal(tv_arena_printf(&arena, "%s.%d", "layer", 12), "layer.12");
    for (size_t i = 0; i < OBJECTS; i++)
        for (size_t j = 0; j < 1 + i * 7 % 301; j++)
            assert_int_equal(objects[i][j], i % 255 + 1);
    tv_arena_finish(&arena);
    assert_null(arena.last);
}

static void test_fetching_pages_keeps_what_is_there(void **state)
{
    (void)state;
    enum { SIZE = 10 << 20 };
    unsigned char *memory = tv_alloc(SIZE, 1);
    memset(memory, 0xA5, SIZE);
    tv_fetch_pages(memory + 1, SIZE - 2);
    tv_fetch_pages(memory + 1, 10); // less than a page
    for (size_t i = 0; i < SIZE; i++)
        assert_int_equal(memory[i], 0xA5);
    tv_free(memory);
}

static void count_visits(void *context, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        ((unsigned char *)context)[i]++;
}

static void test_parallel_visits_each_piece_once(void **state)
{
    (void)state;
    enum { MOST = 1000 };
    static const struct {
        size_t count, least;
    } cases[] = {{MOST, 1}, {MOST, 0}, {MOST, 400}, {MOST, 5 * MOST}, {1, 1}, {0, 1}, {7, 2}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        unsigned char visits[MOST] = {0};
        tv_parallel(cases[i].count, cases[i].least, count_visits, visits);
        for (size_t j = 0; j < MOST; j++)
            assert_int_equal(visits[j], j < cases[i].count);
    }
}

typedef struct visits {
    atomic_uchar counts[50];
    size_t said, heard;
} visits;

static void visit(void *context, size_t index)
{
    atomic_fetch_add(&((visits *)context)->counts[index], 1);
}

static void hear(void *context, size_t done)
{
    visits *v = context;
    assert_true(done > v->said && done <= COUNT(v->counts));
    v->said = done;
    v->heard++;
}

static void test_parallel_takes_piece_after_piece(void **state)
{
    (void)state;
    for (size_t count = 0; count <= 50; count += 5) {
        visits v = {0};
        tv_parallel_each(count, visit, count % 2 ? NULL : hear, &v);
        for (size_t i = 0; i < COUNT(v.counts); i++)
            assert_int_equal(v.counts[i], i < count);
        assert_true(v.heard <= count);
    }
}

static void test_sizes_are_checked(void **state)
{
    (void)state;
    size_t result = 7;
    assert_true(tv_mul_size(SIZE_MAX / 2, 2, &result));
    assert_true(result == SIZE_MAX - 1);
    assert_false(tv_mul_size(SIZE_MAX / 2 + 1, 2, &result));
    assert_true(tv_add_size(SIZE_MAX, 0, &result));
    assert_false(tv_add_size(SIZE_MAX, 1, &result));
    assert_int_equal(tv_align_up(257, 256), 512);
    assert_int_equal(tv_align_up(256, 256), 256);
    assert_int_equal(tv_div_up(0, 4), 0);
    assert_int_equal(tv_div_up(9, 4), 3);
    int *array = NULL;
    size_t capacity = 0;
    TV_RESERVE(array, capacity, 5);
    assert_true(capacity >= 5);
    tv_free(array);
}

// -------------------------------------------------------------------------------------- errors

static void test_errors(void **state)
{
    (void)state;
    assert_int_equal(tv_fail(TV_EFORMAT, "%s: %d", "file", 3), TV_EFORMAT);
    assert_string_equal(tv_error_message(), "file: 3");
    assert_int_equal(tv_fail_in(TV_EFORMAT, "line %d", 9), TV_EFORMAT);
    assert_string_equal(tv_error_message(), "line 9: file: 3");
    tv_fail(TV_EIO, "again: %s", tv_error_message()); // its own text as an argument
    assert_string_equal(tv_error_message(), "again: line 9: file: 3");
    tv_kept_error kept = {.err = TV_OK};
    tv_error_keep(&kept, TV_OK);
    assert_int_equal(tv_error_tell(&kept), TV_OK);
    tv_error_keep(&kept, tv_fail(TV_EIO, "first"));
    tv_error_keep(&kept, tv_fail(TV_ENET, "second"));
    assert_int_equal(tv_error_tell(&kept), TV_EIO);
    assert_string_equal(tv_error_message(), "first");
    static const struct {
        tv_err err;
        int code;
    } cases[] = {
        {TV_OK, 0},     {TV_EIO, 1},    {TV_ENOSPC, 28}, {TV_EFORMAT, 1}, {TV_EUSAGE, 2},
        {TV_ELOST, 75}, {TV_ESTOP, 75}, {TV_EMEMORY, 1}, {TV_EDEVICE, 1}, {TV_EDATA, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(tv_exit_code(cases[i].err), cases[i].code);
}

// Jobs run in order; the first failure is the one that is told, and ends the work.
typedef struct task {
    int *at, number;
    tv_err err;
} task;

static tv_err do_task(void *context)
{
    task *t = context;
    if (*t->at != t->number - 1)
        return tv_fail(TV_EDATA, "job %d after %d", t->number, *t->at);
    *t->at = t->number;
    return t->err == TV_OK ? TV_OK : tv_fail(t->err, "job %d failed", t->number);
}

static void test_worker(void **state)
{
    (void)state;
    enum { TASKS = 50, FAILING = 30 };
    tv_worker *worker;
    task tasks[TASKS];
    int at = 0;
    assert_int_equal(tv_worker_create(&worker), TV_OK);
    assert_int_equal(tv_worker_wait(worker, 0), TV_OK);
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = (task){&at, i + 1, i + 1 == FAILING ? TV_EIO : TV_OK};
        assert_int_equal(tv_worker_give(worker, do_task, &tasks[i]), i + 1);
    }
    assert_int_equal(tv_worker_wait(worker, 0), TV_EIO);
    assert_string_equal(tv_error_message(), "job 30 failed");
    assert_int_equal(at, FAILING);
    tv_worker_destroy(&worker);
    assert_null(worker);
    tv_worker_destroy(&worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_grows),
        cmocka_unit_test(test_json_string),
        cmocka_unit_test(test_utf8_sequences),
        cmocka_unit_test(test_utf8_every_code_point),
        cmocka_unit_test(test_utf8_valid_names_the_offset),
        cmocka_unit_test(test_parse_integers),
        cmocka_unit_test(test_parse_doubles),
        cmocka_unit_test(test_parse_bytes),
        cmocka_unit_test(test_format_for_people),
        cmocka_unit_test(test_nearest_name),
        cmocka_unit_test(test_substrings),
        cmocka_unit_test(test_arena_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(test_fetching_pages_keeps_what_is_there),
        cmocka_unit_test(test_parallel_visits_each_piece_once),
        cmocka_unit_test(test_worker),
        cmocka_unit_test(test_parallel_takes_piece_after_piece),
        cmocka_unit_test(test_sizes_are_checked),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
