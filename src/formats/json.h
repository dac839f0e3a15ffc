// JSON: thin helpers over jansson: strict parsing with limits, and typed members with one error
// line.
#ifndef TV_FORMATS_JSON_H
#define TV_FORMATS_JSON_H

#include "base/error.h"
#include "base/text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TV_JSON_MAX_DEPTH = 64 };

// Parses one JSON object, which must be all there is in `data` (white space aside). TV_EFORMAT for
// broken JSON, bytes that are not UTF-8, duplicate keys, \u0000, integers beyond 64 bits, or more
// than TV_JSON_MAX_DEPTH levels. `file` is for the error line. Free `*root` with json_decref.
tv_err tv_json_parse(const uint8_t *data, size_t size, const char *file, json_t **root);

// tv_json_parse of a file of at most `limit` bytes.
tv_err tv_json_read(const char *path, size_t limit, json_t **root);

// Members of an object. A member that is missing or null leaves `*value` as it was, so that it
// holds the default; TV_EFORMAT where it has another type or lies out of range. Strings belong to
// `object`.
tv_err tv_json_int(const json_t *object, const char *file, const char *key, int64_t low,
                   int64_t high, int64_t *value);
tv_err tv_json_double(const json_t *object, const char *file, const char *key, double low,
                      double high, double *value);
tv_err tv_json_bool(const json_t *object, const char *file, const char *key, bool *value);
tv_err tv_json_string(const json_t *object, const char *file, const char *key, const char **value);

// Appends the shortest decimal form that reads back as the same finite double, with a point in it
// ("1.0e-05"), so that YAML readers too take it for a number and not a string.
void tv_text_double(tv_text *text, double value);

#endif
