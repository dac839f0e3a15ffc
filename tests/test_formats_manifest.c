// Tests of checksums, manifests and numbers in JSON.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "formats/checksum.h"
#include "formats/json.h"
#include "formats/manifest.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/trivium-manifest-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return tv_remove_tree(directory) == TV_OK ? 0 : -1;
}

static void write_file(const char *name, const void *data, size_t size)
{
    tv_text path = {0};
    assert_int_equal(tv_file_write(tv_path_join(&path, directory, name), data, size), TV_OK);
    tv_text_finish(&path);
}

// The published value for no input: https://github.com/Cyan4973/xxHash, XXH3_128bits, seed 0.
static void test_checksum_of_nothing(void **state)
{
    (void)state;
    assert_string_equal(tv_checksum_memory("", 0).xxh3, "99aa06d3014798d86001c324468d497f");
}

static void test_checksums_agree(void **state)
{
    enum { SIZE = (1 << 20) + 12345 };
    uint8_t *data = tv_alloc(SIZE, 1);
    tv_text path = {0};
    tv_checksum file;
    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i * 2654435761U >> 11);
    tv_checksum whole = tv_checksum_memory(data, SIZE);
    tv_checksum_stream *stream = tv_checksum_stream_create();
    for (size_t i = 0; i < SIZE; i += 1000)
        tv_checksum_stream_add(stream, data + i, i + 1000 < SIZE ? 1000 : SIZE - i);
    assert_string_equal(tv_checksum_stream_sum(stream).xxh3, whole.xxh3);
    assert_int_equal(tv_checksum_stream_sum(stream).size, SIZE);
    tv_checksum_stream_destroy(&stream);
    assert_null(stream);
    tv_checksum_stream_destroy(&stream);
    write_file("data", data, SIZE);
    tv_path_join(&path, directory, "data");
    assert_int_equal(tv_checksum_file(path.data, &file), TV_OK);
    assert_string_equal(file.xxh3, whole.xxh3);
    assert_int_equal(file.size, SIZE);
    data[SIZE / 2] ^= 1;
    assert_string_not_equal(tv_checksum_memory(data, SIZE).xxh3, whole.xxh3);
    assert_int_equal(tv_checksum_file(directory, &file), TV_EFORMAT);
    assert_int_equal(tv_checksum_file("/nonexistent", &file), TV_EIO);
    tv_text_finish(&path);
    tv_free(data);
}

static void add_file(tv_manifest *manifest, const char *name, const char *data)
{
    tv_checksum sum = tv_checksum_memory(data, strlen(data));
    write_file(name, data, strlen(data));
    tv_manifest_add_file(manifest, name, &sum);
}

static void test_round_trip(void **state)
{
    tv_manifest written = {0}, read;
    int64_t step = 0;
    (void)state;
    add_file(&written, "model.safetensors", "weights");
    add_file(&written, "odd \"name\" \xC3\xA9", "");
    tv_manifest_add_int(&written, "step", INT64_MIN);
    tv_manifest_add_string(&written, "version", "0.1 \"x\"");
    assert_int_equal(tv_manifest_write(&written, directory), TV_OK);
    assert_int_equal(tv_manifest_read(directory, &read), TV_OK);
    assert_int_equal(read.file_count, 2);
    assert_int_equal(tv_manifest_find_file(&read, "model.safetensors")->sum.size, 7);
    assert_non_null(tv_manifest_find_file(&read, "odd \"name\" \xC3\xA9"));
    assert_null(tv_manifest_find_file(&read, "other"));
    assert_true(tv_manifest_get_int(&read, "step", &step));
    assert_true(step == INT64_MIN);
    assert_false(tv_manifest_get_int(&read, "version", &step));
    assert_string_equal(tv_manifest_get_string(&read, "version"), "0.1 \"x\"");
    assert_null(tv_manifest_get_string(&read, "step"));
    assert_null(tv_manifest_get_string(&read, "none"));
    assert_int_equal(tv_manifest_verify(&read, directory), TV_OK);
    tv_manifest_finish(&read);
    tv_manifest_finish(&written);
    assert_int_equal(tv_manifest_read("/nonexistent", &read), TV_EIO);
    assert_int_equal(tv_manifest_write(&read, "/nonexistent"), TV_EIO);
}

static void expect_damage(const tv_manifest *manifest, const char *says)
{
    assert_int_equal(tv_manifest_verify(manifest, directory), TV_EFORMAT);
    if (!strstr(tv_error_message(), says))
        fail_msg("'%s' lacks '%s'", tv_error_message(), says);
}

static void test_damage_is_found(void **state)
{
    tv_manifest manifest = {0};
    tv_text path = {0};
    (void)state;
    add_file(&manifest, "a", "first");
    add_file(&manifest, "b", "second");
    assert_int_equal(tv_manifest_verify(&manifest, directory), TV_OK);
    write_file("b", "sec0nd", 6);
    expect_damage(&manifest, "/b: checksum ");
    write_file("b", "secon", 5);
    expect_damage(&manifest, "/b: 5 bytes, the manifest says 6");
    tv_path_join(&path, directory, "b");
    assert_int_equal(unlink(path.data), 0);
    expect_damage(&manifest, "/b: missing");
    assert_int_equal(symlink("a", path.data), 0);
    expect_damage(&manifest, "/b: not a regular file");
    assert_int_equal(unlink(path.data), 0);
    assert_int_equal(mkfifo(path.data, 0600), 0);
    expect_damage(&manifest, "/b: not a regular file");
    assert_int_equal(unlink(path.data), 0);
    tv_text_finish(&path);
    tv_manifest_finish(&manifest);
}

#define SUM "\"99aa06d3014798d86001c324468d497f\""
#define FILES(entries) "{\"version\":1,\"facts\":{},\"files\":{" entries "}}"

static void test_hostile_manifests(void **state)
{
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"", "not valid JSON"},
        {"{}", "version 0"},
        {"{\"version\":2,\"facts\":{},\"files\":{}}", "version 2, this program reads version 1"},
        {"{\"version\":1,\"files\":{}}", "facts: missing"},
        {"{\"version\":1,\"facts\":{}}", "files: missing"},
        {"{\"version\":1,\"facts\":{\"a\":1.5},\"files\":{}}", "neither"},
        {"{\"version\":1,\"facts\":{\"a\":1,\"a\":2},\"files\":{}}", "duplicate"},
        {FILES("\"../x\":{\"size\":0,\"xxh3\":" SUM "}"), "'../x' is not a plain file name"},
        {FILES("\"/etc/passwd\":{\"size\":0,\"xxh3\":" SUM "}"), "not a plain file name"},
        {FILES("\"..\":{\"size\":0,\"xxh3\":" SUM "}"), "not a plain file name"},
        {FILES("\"\":{\"size\":0,\"xxh3\":" SUM "}"), "not a plain file name"},
        {FILES("\"a\":1"), "'a' is not an object"},
        {FILES("\"a\":{\"xxh3\":" SUM "}"), "lacks its size"},
        {FILES("\"a\":{\"size\":-1,\"xxh3\":" SUM "}"), "size: -1"},
        {FILES("\"a\":{\"size\":1}"), "lacks its size or its xxh3"},
        {FILES("\"a\":{\"size\":1,\"xxh3\":\"123\"}"), "lacks its size or its xxh3"},
        {FILES("\"a\":{\"size\":1,\"xxh3\":\"99AA06D3014798D86001C324468D497F\"}"), "lacks"},
        {FILES("\"a\":{\"size\":1,\"xxh3\":5}"), "expected a string"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_manifest out;
        tv_err err = tv_manifest_parse((const uint8_t *)cases[i].json, strlen(cases[i].json),
                                       "manifest.json", &out);
        if (err != TV_EFORMAT || !strstr(tv_error_message(), cases[i].says))
            fail_msg("%s: %d '%s'", cases[i].json, err, tv_error_message());
    }
}

static void test_numbers_as_text(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {0.1, "0.1"},
        {3e-4, "0.0003"},
        {1e-8, "1.0e-08"},
        {1.5e-8, "1.5e-08"},
        {1e6, "1000000.0"},
        {-5e14, "-500000000000000.0"},
        {1e15, "1.0e+15"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {5e-324, "5.0e-324"},
        {0.30000000000000004, "0.30000000000000004"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_text text = {0};
        tv_text_double(&text, cases[i].value);
        assert_string_equal(text.data, cases[i].text);
        assert_true(strtod(text.data, NULL) == cases[i].value);
        tv_text_finish(&text);
    }
}

static void test_json_depth(void **state)
{
    (void)state;
    for (int depth = 60; depth < 70; depth++) {
        tv_text text = {0};
        json_t *root;
        tv_text_puts(&text, "{\"[[[\\\"[\":"); // brackets in strings do not count
        for (int i = 1; i < depth; i++)
            tv_text_puts(&text, "[");
        for (int i = 1; i < depth; i++)
            tv_text_puts(&text, "]");
        tv_text_puts(&text, "}");
        tv_err err = tv_json_parse((const uint8_t *)text.data, text.length, "deep", &root);
        assert_int_equal(err, depth <= TV_JSON_MAX_DEPTH ? TV_OK : TV_EFORMAT);
        json_decref(root);
        tv_text_finish(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum_of_nothing), cmocka_unit_test(test_checksums_agree),
        cmocka_unit_test(test_round_trip),          cmocka_unit_test(test_damage_is_found),
        cmocka_unit_test(test_hostile_manifests),   cmocka_unit_test(test_numbers_as_text),
        cmocka_unit_test(test_json_depth),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
