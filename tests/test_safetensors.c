// Tests of safetensors: the reference files, hostile headers, truncation, round trips, full disks.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "formats/safetensors.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static char directory[] = "/tmp/trivium-safetensors-XXXXXX";

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

static const char *in_directory(tv_text *path, const char *name)
{
    tv_text_clear(path);
    return tv_path_join(path, directory, name);
}

// The file that `header` begins, with `data` zero bytes behind it.
static uint8_t *make_file(const char *header, size_t length, size_t data, size_t *size)
{
    *size = 8 + length + data;
    uint8_t *file = tv_alloc(*size, 1);
    for (size_t i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(file + 8, header, length);
    return file;
}

static void test_edge_files(void **state)
{
    static const struct {
        const char *name;
        bool loads;
        size_t count, rank, bytes;
        const char *says;
    } cases[] = {
        {"test_deserialization_0", true, 1, 2, 16, NULL},
        {"test_empty_shapes_allowed_0", true, 1, 0, 4, NULL},
        {"test_header_too_large_0", false, 0, 0, 0, "over the limit"},
        {"test_header_too_small_0", false, 0, 0, 0, "truncated?"},
        {"test_invalid_header_length_0", false, 0, 0, 0, "truncated?"},
        {"test_invalid_header_non_utf8_0", false, 0, 0, 0, "not valid JSON"},
        {"test_invalid_header_not_json_0", false, 0, 0, 0, "not valid JSON"},
        {"test_invalid_info_0", false, 0, 0, 0, "span 4 bytes, dtype and shape need 16"},
        {"test_json_attack", false, 0, 0, 0, "an overlap"},
        {"test_metadata_incomplete_buffer_0", false, 0, 0, 0, "belong to nothing"},
        {"test_metadata_incomplete_buffer_1", false, 0, 0, 0, "truncated?"},
        {"test_validation_overflow_0", false, 0, 0, 0, "integer"},
        {"test_validation_overflow_1", false, 0, 0, 0, "overflow"},
        {"test_whitespace_leading_padded_header_0", true, 0, 0, 0, NULL},
        {"test_whitespace_padded_header_0", true, 0, 0, 0, NULL},
        {"test_zero_sized_tensor_0", true, 1, 2, 0, NULL},
    };
    (void)state;
    if (!tv_path_is_dir(TV_SHARED_DATA "/safetensors-edge")) {
        print_message("needs %s/safetensors-edge\n", TV_SHARED_DATA);
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_text path = {0};
        tv_safetensors file;
        tv_text_printf(&path, "%s/safetensors-edge/%s.safetensors", TV_SHARED_DATA, cases[i].name);
        tv_err err = tv_safetensors_open(path.data, &file);
        if (err != (cases[i].loads ? TV_OK : TV_EFORMAT))
            fail_msg("%s: %s", cases[i].name, tv_error_message());
        if (cases[i].loads) {
            assert_int_equal(file.count, cases[i].count);
            if (file.count) {
                assert_string_equal(file.tensors[0].name, "test");
                assert_int_equal(file.tensors[0].dtype, TV_ST_I32);
                assert_int_equal(file.tensors[0].rank, cases[i].rank);
                assert_int_equal(file.tensors[0].size, cases[i].bytes);
            }
        } else {
            if (!strstr(tv_error_message(), cases[i].says) ||
                !strstr(tv_error_message(), cases[i].name))
                fail_msg("%s: says '%s'", cases[i].name, tv_error_message());
        }
        tv_safetensors_close(&file);
        tv_text_finish(&path);
    }
}

#define INFO(dtype, shape, offsets)                                                                \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

// Headers of otherwise well-formed files that must be refused, each for its own reason.
static void test_hostile_headers(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *says;
    } cases[] = {
        {"{\"a\":" INFO("U8", "[1]", "[0,1]") ",\"a\":" INFO("U8", "[1]", "[0,1]") "}", 1,
         "duplicate"},
        {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         "duplicate"},
        {"{\"a\":" INFO("U8", "[1]", "[1,2]") "}", 2, "a hole"},
        {"{\"a\":" INFO("U8", "[1]", "[0,1]") ",\"b\":" INFO("U8", "[1]", "[2,3]") "}", 3,
         "'b': begins at byte 2 of the data, but the one before it ends at 1 (a hole)"},
        {"{\"a\":" INFO("U8", "[2]", "[0,2]") ",\"b\":" INFO("U8", "[2]", "[1,3]") "}", 3,
         "an overlap"},
        {"{\"a\":" INFO("U8", "[2]", "[0,2]") ",\"b\":" INFO("U8", "[0]", "[1,1]") "}", 2,
         "an overlap"},
        {"{\"a\":" INFO("U8", "[1]", "[0,1]") "}", 2, "1 bytes behind the last tensor"},
        {"{}", 1, "1 bytes behind the last tensor"},
        {"{\"a\":" INFO("U8", "[2]", "[0,2]") "}", 1, "truncated?"},
        {"{\"a\":" INFO("U8", "[1]", "[1,0]") "}", 1, "run backwards"},
        {"{\"a\":" INFO("U8", "[-1]", "[0,1]") "}", 1, "unsigned integer"},
        {"{\"a\":" INFO("U8", "[1]", "[-1,0]") "}", 1, "two unsigned integers"},
        {"{\"a\":" INFO("U8", "[1.0]", "[0,1]") "}", 1, "unsigned integer"},
        {"{\"a\":" INFO("U8", "[1e0]", "[0,1]") "}", 1, "unsigned integer"},
        {"{\"a\":" INFO("U8", "[true]", "[0,1]") "}", 1, "unsigned integer"},
        {"{\"a\":" INFO("U8", "[1]", "[0,1.0]") "}", 1, "two unsigned integers"},
        {"{\"a\":" INFO("U8", "[1]", "[0]") "}", 1, "two unsigned integers"},
        {"{\"a\":" INFO("U8", "[1]", "[0,1,1]") "}", 1, "two unsigned integers"},
        {"{\"a\":" INFO("U8", "[9223372036854775808]", "[0,1]") "}", 1, "too big integer"},
        {"{\"a\":" INFO("U8", "[1]", "[0,18446744073709551617]") "}", 1, "too big integer"},
        {"{\"a\":" INFO("U8", "[9223372036854775807]", "[0,9223372036854775807]") "}", 1,
         "truncated?"},
        {"{\"a\":" INFO("U64", "[9223372036854775807]", "[0,1]") "}", 1, "bytes overflows"},
        {"{\"a\":" INFO("U8", "[4294967296,4294967296]", "[0,0]") "}", 0, "shape overflows"},
        {"{\"a\":" INFO("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "at most 8"},
        {"{\"a\":" INFO("U8", "1", "[0,1]") "}", 1, "at most 8"},
        {"{\"a\":" INFO("F4", "[2]", "[0,1]") "}", 1, "'F4' is not supported"},
        {"{\"a\":" INFO("u8", "[1]", "[0,1]") "}", 1, "'u8' is not supported"},
        {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype is not a string"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "exactly dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"offsets\":[0,1]}}", 1, "data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1,
         "exactly dtype"},
        {"{\"a\":1}", 0, "exactly dtype"},
        {"{\"__metadata__\":1}", 0, "__metadata__ is not an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "not a string"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "duplicate"},
        {"{\"a\\u0000b\":" INFO("U8", "[1]", "[0,1]") "}", 1, "not valid JSON"},
        {"{\"\xC3\x28\":" INFO("U8", "[1]", "[0,1]") "}", 1, "not valid JSON"},
        {"{\"\\ud800\":" INFO("U8", "[1]", "[0,1]") "}", 1, "not valid JSON"},
        {"[]", 0, "not a JSON object"},
        {"{} {}", 0, "not valid JSON"},
        {"", 0, "not valid JSON"},
        {"null", 0, "not a JSON object"},
        {"{}\x01", 0, "not valid JSON"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        tv_safetensors out;
        uint8_t *file = make_file(cases[i].header, strlen(cases[i].header), cases[i].data, &size);
        tv_err err = tv_safetensors_parse(file, size, "hostile", &out);
        if (err != TV_EFORMAT || !strstr(tv_error_message(), cases[i].says))
            fail_msg("%s: %d '%s'", cases[i].header, err, tv_error_message());
        tv_safetensors_close(&out);
        tv_free(file);
    }
}

static void test_deep_nesting(void **state)
{
    enum { DEPTH = 1000000 };
    size_t size;
    tv_safetensors out;
    char *header = tv_alloc(DEPTH, 1);
    (void)state;
    memset(header, '[', DEPTH);
    uint8_t *file = make_file(header, DEPTH, 0, &size);
    assert_int_equal(tv_safetensors_parse(file, size, "deep", &out), TV_EFORMAT);
    assert_non_null(strstr(tv_error_message(), "nested deeper"));
    tv_free(file);
    tv_free(header);
}

static void test_huge_header_sizes(void **state)
{
    static const uint64_t sizes[] = {3,         100000000,  100000001,     UINT32_MAX,
                                     INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t file[10] = {0};
        tv_safetensors out;
        for (size_t b = 0; b < 8; b++)
            file[b] = (uint8_t)(sizes[i] >> (8 * b));
        file[8] = '{';
        file[9] = '}';
        assert_int_equal(tv_safetensors_parse(file, sizeof file, "huge", &out), TV_EFORMAT);
        // The limit is the format's own; below it, only the file's size speaks against a header.
        const char *says = sizes[i] > 100000000 ? "over the limit" : "truncated?";
        assert_non_null(strstr(tv_error_message(), says));
    }
}

// What the fetch callback copies from.
typedef struct content {
    uint8_t *const *tensors;
    size_t largest; // piece it was asked for
    bool fails;
} content;

static tv_err fetch(void *context, size_t index, size_t offset, void *out, size_t size)
{
    content *from = context;
    if (from->fails)
        return tv_fail(TV_ELOST, "the device is gone");
    if (size > from->largest)
        from->largest = size;
    memcpy(out, from->tensors[index] + offset, size);
    return TV_OK;
}

static size_t spec_size(const tv_safetensors_spec *spec)
{
    size_t size = tv_st_dtype_size(spec->dtype);
    for (size_t d = 0; d < spec->rank; d++)
        size *= spec->shape[d];
    return size;
}

// Writes `specs` filled with bytes that tell tensors and places apart.
static uint8_t **make_content(const tv_safetensors_spec *specs, size_t count)
{
    uint8_t **tensors = tv_alloc(count, sizeof *tensors);
    for (size_t i = 0; i < count; i++) {
        tensors[i] = tv_alloc(spec_size(&specs[i]), 1);
        for (size_t b = 0; b < spec_size(&specs[i]); b++)
            tensors[i][b] = (uint8_t)(b * 131 + b / 251 + i * 17);
    }
    return tensors;
}

static void free_content(uint8_t **tensors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tv_free(tensors[i]);
    tv_free(tensors);
}

static void test_round_trip_of_every_dtype(void **state)
{
    enum { COUNT = TV_ST_DTYPE_COUNT + 4 };
    tv_safetensors_spec specs[COUNT];
    tv_text path = {0};
    tv_safetensors file;
    tv_checksum sum, again;
    (void)state;
    for (size_t i = 0; i < TV_ST_DTYPE_COUNT; i++)
        specs[i] =
            (tv_safetensors_spec){tv_st_dtype_name((tv_st_dtype)i), (tv_st_dtype)i, 2, {3, 5}};
    specs[TV_ST_DTYPE_COUNT] = (tv_safetensors_spec){"scalar", TV_ST_F32, 0, {0}};
    specs[TV_ST_DTYPE_COUNT + 1] = (tv_safetensors_spec){"nothing", TV_ST_F32, 3, {2, 0, 7}};
    specs[TV_ST_DTYPE_COUNT + 2] =
        (tv_safetensors_spec){"\"\\ \xC3\xA9\n", TV_ST_U8, 8, {1, 1, 1, 1, 1, 1, 1, 3}};
    specs[TV_ST_DTYPE_COUNT + 3] = (tv_safetensors_spec){"large", TV_ST_F16, 1, {5000001}};
    uint8_t **tensors = make_content(specs, COUNT);
    content from = {tensors, 0, false};
    tv_safetensors_pair metadata[] = {{"step", "12"}, {"a \"b\"", "\xE2\x82\xAC"}};

    in_directory(&path, "all.safetensors");
    assert_int_equal(tv_safetensors_write(path.data, specs, COUNT, metadata, 2, fetch, &from, &sum),
                     TV_OK);
    assert_int_equal(from.largest, TV_SAFETENSORS_PIECE);
    assert_int_equal(tv_checksum_file(path.data, &again), TV_OK);
    assert_string_equal(sum.xxh3, again.xxh3);
    assert_int_equal(sum.size, again.size);

    assert_int_equal(tv_safetensors_open(path.data, &file), TV_OK);
    assert_int_equal(file.count, COUNT);
    assert_string_equal(tv_safetensors_metadata(&file, "format"), "pt");
    assert_string_equal(tv_safetensors_metadata(&file, "step"), "12");
    assert_string_equal(tv_safetensors_metadata(&file, "a \"b\""), "\xE2\x82\xAC");
    assert_null(tv_safetensors_metadata(&file, "none"));
    for (size_t i = 0; i < COUNT; i++) {
        const tv_safetensor *t = tv_safetensors_find(&file, specs[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, specs[i].dtype);
        assert_int_equal(t->rank, specs[i].rank);
        assert_memory_equal(t->shape, specs[i].shape, specs[i].rank * sizeof *t->shape);
        assert_int_equal(t->size, spec_size(&specs[i]));
        assert_int_equal(t->count * tv_st_dtype_size(t->dtype), t->size);
        assert_int_equal((uintptr_t)t->data % tv_st_dtype_size(t->dtype), 0);
        if (t->size)
            assert_memory_equal(t->data, tensors[i], t->size);
    }
    assert_null(tv_safetensors_find(&file, "no such"));
    tv_safetensors_close(&file);
    tv_text_finish(&path);
    free_content(tensors, COUNT);
}

// Wide types first, then by name: the order of the reference implementation.
static void test_order_in_the_file(void **state)
{
    static const tv_safetensors_spec specs[] = {
        {"b", TV_ST_U8, 1, {1}},
        {"z", TV_ST_F32, 1, {1}},
        {"a", TV_ST_F32, 1, {1}},
        {"c", TV_ST_I64, 1, {1}},
    };
    static const char expected[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"c\":" INFO("I64", "[1]", "[0,8]") ",\"a\":" INFO(
            "F32", "[1]", "[8,12]") ",\"z\":" INFO("F32", "[1]",
                                                   "[12,16]") ",\"b\":" INFO("U8", "[1]",
                                                                             "[16,17]") "}";
    tv_text path = {0};
    uint8_t **tensors = make_content(specs, 4), *data;
    content from = {tensors, 0, false};
    size_t size;
    (void)state;
    in_directory(&path, "order.safetensors");
    assert_int_equal(tv_safetensors_write(path.data, specs, 4, NULL, 0, fetch, &from, NULL), TV_OK);
    assert_int_equal(tv_file_read(path.data, 4096, &data, &size), TV_OK);
    assert_memory_equal(data + 8, expected, strlen(expected));
    assert_int_equal(data[0] % 8, 0);
    for (size_t i = strlen(expected); i < data[0] + 256U * data[1]; i++)
        assert_int_equal(data[8 + i], ' ');
    tv_free(data);
    tv_text_finish(&path);
    free_content(tensors, 4);
}

// No prefix of a file is a file: each must be refused, and none may crash.
static void test_truncation_at_every_byte(void **state)
{
    static const tv_safetensors_spec specs[] = {
        {"a", TV_ST_F32, 2, {2, 3}},
        {"b", TV_ST_U8, 0, {0}},
        {"empty", TV_ST_U8, 1, {0}},
    };
    tv_text path = {0};
    uint8_t **tensors = make_content(specs, 3), *data;
    content from = {tensors, 0, false};
    tv_safetensors out;
    size_t size;
    (void)state;
    in_directory(&path, "cut.safetensors");
    assert_int_equal(tv_safetensors_write(path.data, specs, 3, NULL, 0, fetch, &from, NULL), TV_OK);
    assert_int_equal(tv_file_read(path.data, 4096, &data, &size), TV_OK);
    for (size_t cut = 0; cut < size; cut++) {
        // An allocation of its own, so that the sanitizer sees a read behind the end.
        uint8_t *prefix = tv_alloc(cut, 1);
        memcpy(prefix, data, cut);
        assert_int_equal(tv_safetensors_parse(prefix, cut, "cut", &out), TV_EFORMAT);
        tv_free(prefix);
    }
    assert_int_equal(tv_safetensors_parse(data, size, "whole", &out), TV_OK);
    tv_safetensors_close(&out);
    tv_free(data);
    tv_text_finish(&path);
    free_content(tensors, 3);
}

static void test_missing_file_and_tensor(void **state)
{
    static const char header[] = "{\"h.0.weight\":" INFO("U8", "[1]", "[0,1]") "}";
    const tv_safetensor *tensor;
    tv_safetensors out;
    size_t size;
    (void)state;
    assert_int_equal(tv_safetensors_open("/nonexistent/x.safetensors", &out), TV_EIO);
    assert_non_null(strstr(tv_error_message(), "/nonexistent/x.safetensors"));
    uint8_t *file = make_file(header, strlen(header), 1, &size);
    assert_int_equal(tv_safetensors_parse(file, size, "some file", &out), TV_OK);
    assert_int_equal(tv_safetensors_get(&out, "h.0.weight", &tensor), TV_OK);
    assert_int_equal(tv_safetensors_get(&out, "h.1.weight", &tensor), TV_EFORMAT);
    assert_string_equal(tv_error_message(),
                        "some file: no tensor 'h.1.weight'; the nearest is 'h.0.weight'");
    tv_safetensors_close(&out);
    tv_free(file);
}

static tv_safetensor view(tv_st_dtype dtype, const void *data, size_t count)
{
    return (tv_safetensor){
        .name = "t",
        .file = "f",
        .dtype = dtype,
        .rank = 1,
        .shape = {count},
        .count = count,
        .size = count * tv_st_dtype_size(dtype),
        .data = data,
    };
}

static void test_read_as_float(void **state)
{
    static const uint16_t halves[] = {0x3C00, 0xC000, 0x7BFF, 0x0001,
                                      0x8000, 0x0400, 0x03FF, 0x7C00};
    static const float half_values[] = {1,     -2,       65504,           0x1p-24F,
                                        -0.0F, 0x1p-14F, 1023 * 0x1p-24F, INFINITY};
    static const uint16_t bfloats[] = {0x3F80, 0xC0A0, 0x7F7F, 0xFF80};
    static const float bfloat_values[] = {1, -5, 0x1.FEp127F, -INFINITY};
    static const double doubles[] = {1.5, -0.1, 1e30}, too_large[] = {0, 1e300};
    static const float floats[] = {0.1F, -3};
    float out[8];
    (void)state;
    // One byte off, so that the views are as unaligned as files can make them.
    uint8_t moved[sizeof halves + 1];
    memcpy(moved + 1, halves, sizeof halves);
    tv_safetensor t = view(TV_ST_F16, moved + 1, 8);
    assert_int_equal(tv_safetensors_read_f32(&t, out, 8), TV_OK);
    assert_memory_equal(out, half_values, sizeof half_values);
    t = view(TV_ST_F16, (const uint16_t[]){0x7E01}, 1);
    assert_int_equal(tv_safetensors_read_f32(&t, out, 1), TV_OK);
    assert_true(isnan(out[0]));
    t = view(TV_ST_BF16, bfloats, 4);
    assert_int_equal(tv_safetensors_read_f32(&t, out, 4), TV_OK);
    assert_memory_equal(out, bfloat_values, sizeof bfloat_values);
    t = view(TV_ST_F32, floats, 2);
    assert_int_equal(tv_safetensors_read_f32(&t, out, 2), TV_OK);
    assert_memory_equal(out, floats, sizeof floats);
    t = view(TV_ST_F64, doubles, 3);
    assert_int_equal(tv_safetensors_read_f32(&t, out, 3), TV_OK);
    for (size_t i = 0; i < 3; i++)
        assert_true(out[i] == (float)doubles[i]);
    assert_int_equal(tv_safetensors_read_f32(&t, out, 2), TV_EFORMAT);
    assert_string_equal(tv_error_message(), "f: tensor 't': has 3 elements, 2 are needed");
    t = view(TV_ST_F64, too_large, 2);
    assert_int_equal(tv_safetensors_read_f32(&t, out, 2), TV_EFORMAT);
    t = view(TV_ST_I32, floats, 2);
    assert_int_equal(tv_safetensors_read_f32(&t, out, 2), TV_EFORMAT);
    t = view(TV_ST_F32, NULL, 0);
    assert_int_equal(tv_safetensors_read_f32(&t, out, 0), TV_OK);
}

static tv_err write_big(const char *path, content *from)
{
    static const tv_safetensors_spec spec = {"w", TV_ST_F32, 1, {1 << 20}};
    uint8_t **tensors = make_content(&spec, 1);
    from->tensors = tensors;
    tv_err err = tv_safetensors_write(path, &spec, 1, NULL, 0, fetch, from, NULL);
    free_content(tensors, 1);
    return err;
}

static void expect_no_trace(void)
{
    tv_names names = {0};
    assert_int_equal(tv_list_dir(directory, &names), TV_OK);
    for (size_t i = 0; i < names.count; i++)
        if (strstr(names.names[i], "full.safetensors"))
            fail_msg("%s is left over", names.names[i]);
    tv_names_finish(&names);
}

static void test_full_disk(void **state)
{
    tv_text path = {0}, link = {0};
    content from = {0};
    struct rlimit old, small;
    (void)state;
    in_directory(&path, "full.safetensors");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){1 << 20, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tv_err err = write_big(path.data, &from);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(err, TV_ENOSPC);
    assert_non_null(strstr(tv_error_message(), "full.safetensors"));
    expect_no_trace();
    // The same through a device that is always full, in the place of the temporary file.
    tv_text_printf(&link, "%s.tmp-%ld", path.data, (long)getpid());
    if (symlink("/dev/full", link.data) == 0) {
        assert_int_equal(write_big(path.data, &from), TV_ENOSPC);
        expect_no_trace();
    }
    tv_text_finish(&link);
    tv_text_finish(&path);
}

static void test_failing_fetch(void **state)
{
    tv_text path = {0};
    content from = {.fails = true};
    (void)state;
    assert_int_equal(write_big(in_directory(&path, "full.safetensors"), &from), TV_ELOST);
    assert_string_equal(tv_error_message(), "the device is gone");
    expect_no_trace();
    from.fails = false;
    tv_text_clear(&path);
    tv_text_puts(&path, "/nonexistent/full.safetensors");
    assert_int_equal(write_big(path.data, &from), TV_EIO);
    tv_text_finish(&path);
}

static void test_trained_model(void **state)
{
    static const char path[] = TV_SHARED_DATA "/models/stories260K/model.safetensors";
    const tv_safetensor *t;
    tv_safetensors file;
    (void)state;
    if (!tv_path_exists(path)) {
        print_message("needs %s\n", path);
        skip();
    }
    assert_int_equal(tv_safetensors_open(path, &file), TV_OK);
    assert_int_equal(tv_safetensors_get(&file, "model.embed_tokens.weight", &t), TV_OK);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[0], 512);
    assert_int_equal(t->shape[1], 64);
    float *values = tv_alloc(t->count, sizeof *values);
    assert_int_equal(tv_safetensors_read_f32(t, values, t->count), TV_OK);
    for (size_t i = 0; i < t->count; i++)
        assert_true(fabsf(values[i]) < 100);
    tv_free(values);
    tv_safetensors_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edge_files),
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_huge_header_sizes),
        cmocka_unit_test(test_round_trip_of_every_dtype),
        cmocka_unit_test(test_order_in_the_file),
        cmocka_unit_test(test_truncation_at_every_byte),
        cmocka_unit_test(test_missing_file_and_tensor),
        cmocka_unit_test(test_read_as_float),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_failing_fetch),
        cmocka_unit_test(test_trained_model),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
