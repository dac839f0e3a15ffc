// Text: a growing string, UTF-8, number parsing and the nearest name for error messages.
#ifndef TV_BASE_TEXT_H
#define TV_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A growing byte string, always terminated by a zero byte that is not counted. {0} is empty.
typedef struct tv_text {
    char *data; // NULL only before the first append
    size_t length, capacity;
} tv_text;

void tv_text_append(tv_text *text, const void *bytes, size_t length);
void tv_text_puts(tv_text *text, const char *string);
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void tv_text_printf(tv_text *text, const char *format, ...);
void tv_text_clear(tv_text *text);  // keeps the memory
void tv_text_finish(tv_text *text); // frees, and writes {0}

// Appends `bytes` as a quoted JSON string; bytes that are not UTF-8 become U+FFFD.
void tv_text_json_string(tv_text *text, const char *bytes, size_t length);

// The length of the UTF-8 sequence at `bytes` (1 to 4), 0 where it is malformed (overlong,
// surrogate, above U+10FFFF or cut off). `*code` receives the code point where not NULL.
size_t tv_utf8_next(const uint8_t *bytes, size_t length, uint32_t *code);
bool tv_utf8_valid(const uint8_t *bytes, size_t length, size_t *bad_offset);
size_t tv_utf8_encode(uint32_t code, char out[4]);

// Whole-string parsing: false where anything is left over or out of range.
bool tv_parse_u64(const char *text, uint64_t *value);
bool tv_parse_i64(const char *text, int64_t *value);
bool tv_parse_double(const char *text, double *value); // finite values only
// "64M", "1.5G", "4096": bytes, with powers of 1024.
bool tv_parse_bytes(const char *text, uint64_t *value);

// "1.5 GiB", "312 KiB": for people.
void tv_format_bytes(uint64_t bytes, char out[32]);
// "1h 02m", "3m 20s", "12s".
void tv_format_duration(double seconds, char out[32]);

// The name nearest to `name` by edit distance, or NULL where none is near enough to be meant.
const char *tv_nearest_name(const char *name, const char *const *names, size_t count);

bool tv_starts_with(const char *text, const char *prefix);
bool tv_ends_with(const char *text, const char *suffix);
// Case-insensitive substring test (ASCII).
bool tv_contains_nocase(const char *text, const char *part);

#endif
