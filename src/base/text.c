// Text: a growing string, number parsing, units for people, and the nearest name.
#include "base/text.h"

#include "base/error.h"
#include "base/memory.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void tv_text_append(tv_text *text, const void *bytes, size_t length)
{
    TV_RESERVE(text->data, text->capacity, text->length + length + 1);
    if (length)
        memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = 0;
}

void tv_text_puts(tv_text *text, const char *string)
{
    tv_text_append(text, string, strlen(string));
}

void tv_text_printf(tv_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    TV_CHECK(n >= 0, "bad format '%s'", format);
    TV_RESERVE(text->data, text->capacity, text->length + (size_t)n + 1);
    va_start(args, format);
    vsnprintf(text->data + text->length, (size_t)n + 1, format, args);
    va_end(args);
    text->length += (size_t)n;
}

void tv_text_clear(tv_text *text)
{
    text->length = 0;
    if (text->data)
        text->data[0] = 0;
}

void tv_text_finish(tv_text *text)
{
    tv_free(text->data);
    *text = (tv_text){0};
}

void tv_text_json_string(tv_text *text, const char *bytes, size_t length)
{
    tv_text_puts(text, "\"");
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)bytes[i];
        size_t n = tv_utf8_next((const uint8_t *)bytes + i, length - i, NULL);
        if (n == 0) {
            tv_text_puts(text, "\xEF\xBF\xBD");
            i++;
            continue;
        }
        if (c == '"' || c == '\\')
            tv_text_printf(text, "\\%c", c);
        else if (c == '\n')
            tv_text_puts(text, "\\n");
        else if (c == '\t')
            tv_text_puts(text, "\\t");
        else if (c < 0x20 || c == 0x7F)
            tv_text_printf(text, "\\u%04x", c);
        else
            tv_text_append(text, bytes + i, n);
        i += n;
    }
    tv_text_puts(text, "\"");
}

bool tv_parse_u64(const char *text, uint64_t *value)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    if (errno || *end)
        return false;
    *value = parsed;
    return true;
}

bool tv_parse_i64(const char *text, int64_t *value)
{
    if (!isdigit((unsigned char)text[text[0] == '-']))
        return false;
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    *value = parsed;
    return true;
}

bool tv_parse_double(const char *text, double *value)
{
    if (!text[0] || isspace((unsigned char)text[0]))
        return false;
    char *end;
    double parsed = strtod(text, &end);
    if (end == text || *end || !isfinite(parsed))
        return false;
    *value = parsed;
    return true;
}

bool tv_parse_bytes(const char *text, uint64_t *value)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    double number = strtod(text, &end);
    double unit = 1;
    if (*end) {
        const char *units = "KMGT", *found = strchr(units, toupper((unsigned char)*end));
        if (!found || (end[1] && strcasecmp(end + 1, "iB") != 0 && strcasecmp(end + 1, "B") != 0))
            return false;
        unit = pow(1024, (double)(found - units) + 1);
    }
    if (!(number * unit < 9e18))
        return false;
    *value = (uint64_t)(number * unit);
    return true;
}

void tv_format_bytes(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    snprintf(out, 32, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

void tv_format_duration(double seconds, char out[32])
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(out, 32, "?");
        return;
    }
    long whole = lround(seconds);
    if (whole >= 3600)
        snprintf(out, 32, "%ldh %02ldm", whole / 3600, whole % 3600 / 60);
    else if (whole >= 60)
        snprintf(out, 32, "%ldm %02lds", whole / 60, whole % 60);
    else
        snprintf(out, 32, "%lds", whole);
}

// Levenshtein distance, cut at short names: keys and device names, never documents.
static size_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 96 };
    size_t n = strlen(a), m = strlen(b), row[LONGEST + 1];
    if (n > LONGEST || m > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = tv_min_size(replace, tv_min_size(row[j], row[j - 1]) + 1);
        }
    }
    return row[m];
}

const char *tv_nearest_name(const char *name, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = strlen(name) / 2 + 1;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(name, names[i]);
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}

bool tv_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool tv_ends_with(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

bool tv_contains_nocase(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text || n == 0; text++)
        if (strncasecmp(text, part, n) == 0)
            return true;
    return false;
}
