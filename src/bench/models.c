// The models of the train suite: the table, and shapes as text.
#include "bench/suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct row {
    const char *name, *shape;
    bool cpu;
} rows[] = {
#define MODEL(name, shape, cpu) {name, shape, cpu},
#include "bench/models.def"
#undef MODEL
};

// A size of a shape: its letter, and where it goes.
typedef struct size_letter {
    char letter;
    bool optional;
    uint32_t *value;
} size_letter;

enum { LETTERS = 8, SIZE_MOST = 1 << 24 };

static tv_err parse_size(const char *text, const char *part, size_t length,
                         const size_letter *letters)
{
    char *end;
    unsigned long value = strtoul(part + 1, &end, 10);
    for (int i = 0; i < LETTERS; i++) {
        if (letters[i].letter != part[0])
            continue;
        if (end != part + length || value == 0 || value > SIZE_MOST)
            break;
        *letters[i].value = (uint32_t)value;
        return TV_OK;
    }
    return tv_fail(TV_EUSAGE,
                   "shape '%s': '%.*s' is no size; sizes are L (layers), d (width), H (heads), T "
                   "(context), B (batch), V (vocabulary), and K (key/value heads), F (feed-forward "
                   "width), as in L6,d384,H6,T256,B8,V8192",
                   text, (int)length, part);
}

static tv_err check_shape(const char *text, const tv_bench_shape *s, const size_letter *letters)
{
    for (int i = 0; i < LETTERS; i++)
        if (*letters[i].value == 0 && !letters[i].optional)
            return tv_fail(TV_EUSAGE, "shape '%s': %c is missing", text, letters[i].letter);
    if ((uint64_t)s->batch * s->time > SIZE_MOST)
        return tv_fail(TV_EUSAGE, "shape '%s': a batch of more than %d tokens", text, SIZE_MOST);
    if (!s->llama && (s->untied || s->kv_heads))
        return tv_fail(TV_EUSAGE, "shape '%s': K and untied are for llama: only", text);
    return TV_OK;
}

tv_err tv_bench_shape_parse(const char *text, tv_bench_shape *shape)
{
    static const char llama[] = "llama:", gpt2[] = "gpt2:", untied[] = "untied";
    tv_bench_shape s = {.llama = strncmp(text, llama, strlen(llama)) == 0};
    const size_letter letters[LETTERS] = {{'L', false, &s.layers}, {'d', false, &s.width},
                                          {'H', false, &s.heads},  {'K', true, &s.kv_heads},
                                          {'F', true, &s.inner},   {'T', false, &s.time},
                                          {'B', false, &s.batch},  {'V', false, &s.vocabulary}};
    const char *at = text;
    if (s.llama || strncmp(text, gpt2, strlen(gpt2)) == 0)
        at = strchr(text, ':') + 1;
    snprintf(s.name, sizeof s.name, "%s", text);
    while (*at) {
        size_t length = strcspn(at, ", ");
        if (length == strlen(untied) && strncmp(at, untied, length) == 0)
            s.untied = true;
        else if (length > 0)
            TV_TRY(parse_size(text, at, length, letters));
        at += length;
        at += strspn(at, ", ");
    }
    TV_TRY(check_shape(text, &s, letters));
    *shape = s;
    return TV_OK;
}

bool tv_bench_model(size_t index, tv_bench_shape *shape, bool *cpu)
{
    if (index >= sizeof rows / sizeof *rows)
        return false;
    tv_err err = tv_bench_shape_parse(rows[index].shape, shape);
    TV_CHECK(err == TV_OK, "models.def: %s", tv_error_message());
    snprintf(shape->name, sizeof shape->name, "%s", rows[index].name);
    *cpu = rows[index].cpu;
    return true;
}
