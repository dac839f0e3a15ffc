// Settings: the table, and parsing of typed values.
#include "formats/settings.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#define ANY                                                                                        \
    {                                                                                              \
        0                                                                                          \
    }
#define RANGE(a, b)                                                                                \
    {                                                                                              \
        .low = (a), .high = (b)                                                                    \
    }
#define BELOW(a, b)                                                                                \
    {                                                                                              \
        .low = (a), .high = (b), .open_high = true                                                 \
    }
#define ABOVE(a, b)                                                                                \
    {                                                                                              \
        .low = (a), .high = (b), .open_low = true                                                  \
    }
#define PAIR_BELOW(a, b)                                                                           \
    {                                                                                              \
        .low = (a), .high = (b), .open_high = true, .count = 2                                     \
    }
#define CHOICES(...)                                                                               \
    {                                                                                              \
        .needed = true, .choices = { __VA_ARGS__ }                                                 \
    }
#define CHOICES_BELOW(b, ...)                                                                      \
    {                                                                                              \
        .high = (b), .open_high = true, .needed = true, .choices = { __VA_ARGS__ }                 \
    }
#define NEEDED                                                                                     \
    {                                                                                              \
        .needed = true                                                                             \
    }
#define ALL TV_SETTING_ALL_MODELS
#define GPT2 TV_MODEL_GPT2
#define LLAMA TV_MODEL_LLAMA

const tv_setting tv_settings[TV_SETTING_COUNT] = {
#define SECTION(name)
#define SECTION_END(name)
#define SETTING(prefix, key, type, initially, allowed, models, says)                               \
    {                                                                                              \
        .path = #prefix #key,                                                                      \
        .section = #prefix,                                                                        \
        .kind = TV_KIND_##type,                                                                    \
        .offset = offsetof(tv_config, prefix key),                                                 \
        .initial = initially,                                                                      \
        .meaning = says,                                                                           \
        .limits = allowed,                                                                         \
        .model = models,                                                                           \
    },
#include "formats/settings.def"
#undef SETTING
#undef SECTION_END
#undef SECTION
};

static const char *const sections[] = {
#define SECTION(name) #name,
#define SECTION_END(name)
#define SETTING(section, key, kind, initial, limits, models, meaning)
#include "formats/settings.def"
#undef SETTING
#undef SECTION_END
#undef SECTION
};

enum { SECTION_COUNT = sizeof sections / sizeof *sections };

const tv_setting *tv_setting_find(const char *path)
{
    for (size_t i = 0; i < TV_SETTING_COUNT; i++)
        if (strcmp(tv_settings[i].path, path) == 0)
            return &tv_settings[i];
    return NULL;
}

bool tv_setting_is_section(const char *name)
{
    for (size_t i = 0; i < SECTION_COUNT; i++)
        if (strcmp(sections[i], name) == 0)
            return true;
    return false;
}

static const char *leaf(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

// The right key in the wrong section is nearer than any spelling.
static const char *nearest(const char *path)
{
    const char *names[TV_SETTING_COUNT + SECTION_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < TV_SETTING_COUNT; i++) {
        if (strcmp(leaf(tv_settings[i].path), leaf(path)) == 0)
            return tv_settings[i].path;
        names[count++] = tv_settings[i].path;
    }
    for (size_t i = 0; i < SECTION_COUNT; i++)
        names[count++] = sections[i];
    return tv_nearest_name(path, names, count);
}

tv_err tv_setting_unknown(const char *where, const char *path)
{
    const char *near = nearest(path);
    if (near)
        return tv_fail(TV_EUSAGE, "%s: %s: unknown key; did you mean %s?", where, path, near);
    return tv_fail(TV_EUSAGE, "%s: %s: unknown key; trivium train --print-config lists all keys",
                   where, path);
}

const char *tv_setting_expected(const tv_setting *setting)
{
    static const char *const names[] = {
        [TV_KIND_BOOL] = "true or false",
        [TV_KIND_INT] = "an integer",
        [TV_KIND_AUTO_INT] = "an integer or auto",
        [TV_KIND_DOUBLE] = "a number",
        [TV_KIND_STRING] = "a text",
        [TV_KIND_DOUBLES] = "a list of numbers",
        [TV_KIND_STRINGS] = "a list of names",
        [TV_KIND_WORD_DOUBLES] = "a word or a list of numbers",
    };
    return names[setting->kind];
}

// A setting being assigned, for the functions below.
typedef struct target {
    tv_config *config;
    const tv_setting *setting;
    const char *where;
} target;

static tv_err wrong_type(const target *to, const char *got)
{
    return tv_fail(TV_EUSAGE, "%s: %s: expected %s, got '%s'", to->where, to->setting->path,
                   tv_setting_expected(to->setting), got);
}

static tv_err check_range(const target *to, double value, const char *text)
{
    const tv_setting_limits *limits = &to->setting->limits;
    if (limits->low == limits->high)
        return TV_OK;
    bool low = limits->open_low ? value > limits->low : value >= limits->low;
    bool high = limits->open_high ? value < limits->high : value <= limits->high;
    if (low && high)
        return TV_OK;
    return tv_fail(TV_EUSAGE, "%s: %s: %s is out of range: it must be %s %.16g and %s %.16g",
                   to->where, to->setting->path, text, limits->open_low ? "above" : "at least",
                   limits->low, limits->open_high ? "below" : "at most", limits->high);
}

static tv_err check_choice(const target *to, const char *text)
{
    const char *const *choices = to->setting->limits.choices;
    tv_text list = {0};
    size_t count = 0;
    for (; count < TV_CHOICES_MAX && choices[count]; count++) {
        if (strcmp(choices[count], text) == 0) {
            tv_text_finish(&list);
            return TV_OK;
        }
        tv_text_printf(&list, "%s%s", count ? ", " : "", choices[count]);
    }
    if (!count)
        return TV_OK;
    const char *near = tv_nearest_name(text, choices, count);
    tv_err err = tv_fail(TV_EUSAGE, "%s: %s: '%s' is not one of: %s%s%s%s%s", to->where,
                         to->setting->path, text, list.data,
                         to->setting->kind == TV_KIND_WORD_DOUBLES ? ", or a list of numbers" : "",
                         near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    tv_text_finish(&list);
    return err;
}

// Only what YAML can carry unchanged: no control characters, line separators or non-characters.
static bool is_printable(const char *text)
{
    size_t length = strlen(text), n;
    for (size_t i = 0; i < length; i += n) {
        uint32_t c;
        n = tv_utf8_next((const uint8_t *)text + i, length - i, &c);
        if (!n || c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 ||
            c == 0xFEFF || (c & 0xFFFE) == 0xFFFE)
            return false;
    }
    return true;
}

static tv_err parse_bool(const target *to, const char *text, bool *out)
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return wrong_type(to, text);
    *out = text[0] == 't';
    return TV_OK;
}

static tv_err parse_int(const target *to, const char *text, int64_t *out)
{
    int64_t value;
    if (to->setting->kind == TV_KIND_AUTO_INT && strcmp(text, "auto") == 0) {
        *out = TV_AUTO;
        return TV_OK;
    }
    if (!tv_parse_i64(text, &value))
        return wrong_type(to, text);
    TV_TRY(check_range(to, (double)value, text));
    *out = value;
    return TV_OK;
}

static tv_err parse_double(const target *to, const char *text, double *out)
{
    double value;
    if (!tv_parse_double(text, &value))
        return wrong_type(to, text);
    TV_TRY(check_range(to, value, text));
    *out = value;
    return TV_OK;
}

static tv_err parse_string(const target *to, const char *text, const char **out)
{
    if (!is_printable(text))
        return tv_fail(TV_EUSAGE, "%s: %s: has control characters or is not UTF-8", to->where,
                       to->setting->path);
    if (to->setting->limits.needed && !text[0])
        return tv_fail(TV_EUSAGE, "%s: %s: must not be empty", to->where, to->setting->path);
    TV_TRY(check_choice(to, text));
    *out = tv_arena_printf(&to->config->arena, "%s", text);
    return TV_OK;
}

static tv_err parse_doubles(const target *to, const tv_setting_value *value, tv_double_list *out)
{
    tv_double_list list = {.count = value->count};
    for (size_t i = 0; i < value->count; i++)
        TV_TRY(parse_double(to, value->items[i], &list.items[i]));
    *out = list;
    return TV_OK;
}

static tv_err parse_strings(const target *to, const tv_setting_value *value, tv_string_list *out)
{
    tv_string_list list = {.count = value->count};
    for (size_t i = 0; i < value->count; i++) {
        TV_TRY(parse_string(to, value->items[i], &list.items[i]));
        for (size_t j = 0; j < i; j++)
            if (strcmp(list.items[i], list.items[j]) == 0)
                return tv_fail(TV_EUSAGE, "%s: %s: '%s' is there twice", to->where,
                               to->setting->path, list.items[i]);
    }
    *out = list;
    return TV_OK;
}

static tv_err parse_word_doubles(const target *to, const tv_setting_value *value,
                                 tv_word_doubles *out)
{
    tv_word_doubles parsed = {0};
    if (value->list)
        TV_TRY(parse_doubles(to, value, &parsed.list));
    else
        TV_TRY(parse_string(to, value->items[0], &parsed.word));
    *out = parsed;
    return TV_OK;
}

static bool takes_list(const tv_setting *setting)
{
    return setting->kind == TV_KIND_DOUBLES || setting->kind == TV_KIND_STRINGS ||
           setting->kind == TV_KIND_WORD_DOUBLES;
}

static bool takes_scalar(const tv_setting *setting)
{
    return !takes_list(setting) || setting->kind == TV_KIND_WORD_DOUBLES;
}

static bool takes_text(const tv_setting *setting)
{
    return setting->kind == TV_KIND_STRING || setting->kind == TV_KIND_WORD_DOUBLES;
}

static tv_err check_form(const target *to, const tv_setting_value *value)
{
    size_t count = to->setting->limits.count;
    if (value->list ? !takes_list(to->setting) : !takes_scalar(to->setting))
        return wrong_type(to, value->list ? "a list" : value->items[0]);
    if (count && value->count != count)
        return tv_fail(TV_EUSAGE, "%s: %s: expected %zu numbers, got %zu", to->where,
                       to->setting->path, count, value->count);
    if (value->quoted && !takes_text(to->setting) && !value->list)
        return tv_fail(TV_EUSAGE, "%s: %s: expected %s, got the text \"%s\"; remove the quotes",
                       to->where, to->setting->path, tv_setting_expected(to->setting),
                       value->items[0]);
    return TV_OK;
}

static tv_err parse_value(const target *to, const tv_setting_value *value)
{
    void *member = (char *)to->config + to->setting->offset;
    TV_TRY(check_form(to, value));
    switch (to->setting->kind) {
    case TV_KIND_BOOL:
        return parse_bool(to, value->items[0], member);
    case TV_KIND_INT:
    case TV_KIND_AUTO_INT:
        return parse_int(to, value->items[0], member);
    case TV_KIND_DOUBLE:
        return parse_double(to, value->items[0], member);
    case TV_KIND_STRING:
        return parse_string(to, value->items[0], member);
    case TV_KIND_DOUBLES:
        return parse_doubles(to, value, member);
    case TV_KIND_STRINGS:
        return parse_strings(to, value, member);
    case TV_KIND_WORD_DOUBLES:
        return parse_word_doubles(to, value, member);
    }
    tv_bug(__FILE__, __LINE__, "%s: no such kind", to->setting->path);
}

tv_err tv_setting_assign(tv_config *config, const tv_setting *setting, const char *where,
                         const tv_setting_value *value)
{
    target to = {config, setting, where ? where : "default"};
    TV_TRY(parse_value(&to, value));
    config->set_by[setting - tv_settings] =
        where ? tv_arena_printf(&config->arena, "%s", where) : NULL;
    return TV_OK;
}

// Cuts "[a, b]" at its commas, in place.
static tv_err split_list(const target *to, char *text, tv_setting_value *value)
{
    size_t length = strlen(text);
    value->list = true;
    if (text[0] == '[' && text[length - 1] == ']') {
        text[length - 1] = 0;
        text++;
    }
    if (!text[strspn(text, " ")])
        return TV_OK;
    for (char *next = text; next;) {
        char *item = next + strspn(next, " "), *comma = strchr(item, ',');
        char *end = comma ? comma : item + strlen(item);
        next = comma ? comma + 1 : NULL;
        while (end > item && end[-1] == ' ')
            end--;
        *end = 0;
        if (value->count == TV_LIST_MAX)
            return tv_fail(TV_EUSAGE, "%s: %s: more than %d items", to->where, to->setting->path,
                           TV_LIST_MAX);
        value->items[value->count++] = item;
    }
    return TV_OK;
}

tv_err tv_setting_assign_text(tv_config *config, const tv_setting *setting, const char *where,
                              const char *text)
{
    tv_setting_value value = {.items = {text}, .count = 1};
    bool word = takes_scalar(setting) && text[0] != '[' && !strchr(text, ',');
    if (!takes_list(setting) || word)
        return tv_setting_assign(config, setting, where, &value);
    char *copy = tv_strdup(text);
    value.count = 0;
    tv_err err = split_list(&(target){config, setting, where ? where : "default"}, copy, &value);
    if (err == TV_OK)
        err = tv_setting_assign(config, setting, where, &value);
    tv_free(copy);
    return err;
}

bool tv_setting_is_set(const tv_config *config, const char *path)
{
    return tv_setting_place(config, path) != NULL;
}

const char *tv_setting_place(const tv_config *config, const char *path)
{
    const tv_setting *setting = tv_setting_find(path);
    TV_CHECK(setting, "no setting '%s'", path);
    return config->set_by[setting - tv_settings];
}
