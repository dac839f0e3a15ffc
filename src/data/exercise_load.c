// Exercises: reading a JSONL list of them, and judging an answer.
#include "data/exercise.h"

#include "base/file.h"
#include "base/memory.h"

#include <jansson.h>
#include <string.h>

enum { FILE_LIMIT = 256 << 20 };

static const char mark[] = "####";

static tv_err parse_line(const char *name, size_t number, const char *line, size_t length,
                         tv_exercise *exercise)
{
    json_error_t error;
    const char *kind, *prompt, *answer;
    int level;
    json_t *root = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return tv_fail(TV_EFORMAT, "%s: line %zu: not JSON: %s", name, number, error.text);
    tv_err err = TV_OK;
    if (json_unpack_ex(root, &error, 0, "{s:s, s:i, s:s, s:s}", "kind", &kind, "level", &level,
                       "prompt", &prompt, "answer", &answer) != 0)
        err = tv_fail(TV_EFORMAT, "%s: line %zu: no exercise: %s", name, number, error.text);
    else
        *exercise = (tv_exercise){tv_strdup(kind), level, tv_strdup(prompt), tv_strdup(answer)};
    json_decref(root);
    return err;
}

tv_err tv_exercises_parse(const char *name, const uint8_t *data, size_t size,
                          tv_exercises *exercises)
{
    *exercises = (tv_exercises){0};
    const char *text = (const char *)data;
    size_t number = 1;
    for (size_t at = 0; at < size; number++) {
        const char *end = memchr(text + at, '\n', size - at);
        size_t length = end ? (size_t)(end - text) - at : size - at;
        if (strspn(text + at, " \t\r") < length) {
            TV_RESERVE(exercises->items, exercises->capacity, exercises->count + 1);
            tv_err err =
                parse_line(name, number, text + at, length, &exercises->items[exercises->count]);
            if (err != TV_OK) {
                tv_exercises_finish(exercises);
                return err;
            }
            exercises->count++;
        }
        at += length + 1;
    }
    return exercises->count ? TV_OK : tv_fail(TV_EDATA, "%s: no exercises in it", name);
}

tv_err tv_exercises_load(const char *path, tv_exercises *exercises)
{
    uint8_t *data;
    size_t size;
    *exercises = (tv_exercises){0};
    TV_TRY(tv_file_read(path, FILE_LIMIT, &data, &size));
    tv_err err = tv_exercises_parse(path, data, size, exercises);
    tv_free(data);
    return err;
}

void tv_exercises_finish(tv_exercises *exercises)
{
    for (size_t i = 0; i < exercises->count; i++) {
        tv_free(exercises->items[i].kind);
        tv_free(exercises->items[i].prompt);
        tv_free(exercises->items[i].answer);
    }
    tv_free(exercises->items);
    *exercises = (tv_exercises){0};
}

const char *tv_exercise_final(const char *text, size_t *length)
{
    size_t line = strcspn(text, "\n");
    const char *end = text + line, *found = text;
    for (const char *at = text; (at = strstr(at, mark)) != NULL && at < end;) {
        at += sizeof mark - 1;
        found = at;
    }
    while (found < end && *found == ' ')
        found++;
    while (end > found && (end[-1] == ' ' || end[-1] == '\r'))
        end--;
    *length = (size_t)(end - found);
    return found;
}

bool tv_exercise_match(const char *written, const char *answer)
{
    size_t length;
    const char *final = tv_exercise_final(written, &length);
    return length == strlen(answer) && memcmp(final, answer, length) == 0;
}
