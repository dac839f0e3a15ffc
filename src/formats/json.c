// JSON: strict parsing with limits, typed members.
#include "formats/json.h"

#include "base/file.h"
#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Counted before parsing: jansson recurses, and its own limit is far above ours.
static bool too_deep(const uint8_t *data, size_t size)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        if (in_string && data[i] == '\\') {
            i++;
        } else if (data[i] == '"') {
            in_string = !in_string;
        } else if (!in_string && (data[i] == '{' || data[i] == '[')) {
            if (++depth > TV_JSON_MAX_DEPTH)
                return true;
        } else if (!in_string && (data[i] == '}' || data[i] == ']')) {
            depth -= depth > 0;
        }
    }
    return false;
}

tv_err tv_json_parse(const uint8_t *data, size_t size, const char *file, json_t **root)
{
    json_error_t error;
    *root = NULL;
    if (too_deep(data, size))
        return tv_fail(TV_EFORMAT, "%s: JSON nested deeper than %d levels", file,
                       TV_JSON_MAX_DEPTH);
    json_t *parsed =
        json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!parsed)
        return tv_fail(TV_EFORMAT, "%s: not valid JSON: line %d, column %d: %s", file, error.line,
                       error.column, error.text);
    if (!json_is_object(parsed)) {
        json_decref(parsed);
        return tv_fail(TV_EFORMAT, "%s: not a JSON object ({...})", file);
    }
    *root = parsed;
    return TV_OK;
}

tv_err tv_json_read(const char *path, size_t limit, json_t **root)
{
    uint8_t *data;
    size_t size;
    TV_TRY(tv_file_read(path, limit, &data, &size));
    tv_err err = tv_json_parse(data, size, path, root);
    tv_free(data);
    return err;
}

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",   [JSON_ARRAY] = "a list",       [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer", [JSON_REAL] = "a real number", [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",        [JSON_NULL] = "null",
    };
    return names[json_typeof(value)];
}

static tv_err wrong_type(const char *file, const char *key, const char *expected,
                         const json_t *value)
{
    return tv_fail(TV_EFORMAT, "%s: %s: expected %s, got %s", file, key, expected,
                   type_name(value));
}

tv_err tv_json_int(const json_t *object, const char *file, const char *key, int64_t low,
                   int64_t high, int64_t *value)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return TV_OK;
    if (!json_is_integer(member))
        return wrong_type(file, key, "an integer", member);
    int64_t number = json_integer_value(member);
    if (number < low || number > high)
        return tv_fail(TV_EFORMAT, "%s: %s: %lld is not within %lld to %lld", file, key,
                       (long long)number, (long long)low, (long long)high);
    *value = number;
    return TV_OK;
}

tv_err tv_json_double(const json_t *object, const char *file, const char *key, double low,
                      double high, double *value)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return TV_OK;
    if (!json_is_number(member))
        return wrong_type(file, key, "a number", member);
    double number = json_number_value(member);
    if (!(number >= low && number <= high))
        return tv_fail(TV_EFORMAT, "%s: %s: %g is not within %g to %g", file, key, number, low,
                       high);
    *value = number;
    return TV_OK;
}

tv_err tv_json_bool(const json_t *object, const char *file, const char *key, bool *value)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return TV_OK;
    if (!json_is_boolean(member))
        return wrong_type(file, key, "true or false", member);
    *value = json_is_true(member);
    return TV_OK;
}

tv_err tv_json_string(const json_t *object, const char *file, const char *key, const char **value)
{
    const json_t *member = json_object_get(object, key);
    if (!member || json_is_null(member))
        return TV_OK;
    if (!json_is_string(member))
        return wrong_type(file, key, "a string", member);
    *value = json_string_value(member);
    return TV_OK;
}

void tv_text_double(tv_text *text, double value)
{
    char digits[40];
    TV_CHECK(isfinite(value), "%g has no form in JSON", value);
    if (fabs(value) < 1e15 && value == floor(value)) { // 500000.0 reads better than 5.0e+05
        tv_text_printf(text, "%.1f", value);
        return;
    }
    for (int precision = 1; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    size_t mantissa = strcspn(digits, "e");
    tv_text_append(text, digits, mantissa);
    if (!memchr(digits, '.', mantissa))
        tv_text_puts(text, ".0");
    tv_text_puts(text, digits + mantissa);
}
