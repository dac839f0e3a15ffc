// Configuration: printing it as YAML.
#include "formats/config.h"

#include "formats/json.h"
#include "formats/settings.h"

#include <string.h>

// Words that YAML readers take for something else than a text.
static bool is_plain(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n"};
    double number;
    if (strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") !=
            strlen(text) ||
        strchr("-.", text[0]) || tv_parse_double(text, &number))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == strlen(text) && tv_contains_nocase(text, words[i]))
            return false;
    return text[0] != 0;
}

static void put_string(tv_text *out, const char *text)
{
    if (is_plain(text))
        tv_text_puts(out, text);
    else
        tv_text_json_string(out, text, strlen(text));
}

static void put_doubles(tv_text *out, const tv_double_list *doubles)
{
    tv_text_puts(out, "[");
    for (size_t i = 0; i < doubles->count; i++) {
        tv_text_puts(out, i ? ", " : "");
        tv_text_double(out, doubles->items[i]);
    }
    tv_text_puts(out, "]");
}

static void put_value(const tv_config *config, const tv_setting *setting, tv_text *out)
{
    const void *member = (const char *)config + setting->offset;
    const tv_word_doubles *either = member;
    const tv_string_list *strings = member;
    switch (setting->kind) {
    case TV_KIND_BOOL:
        tv_text_puts(out, *(const bool *)member ? "true" : "false");
        return;
    case TV_KIND_INT:
    case TV_KIND_AUTO_INT:
        if (setting->kind == TV_KIND_AUTO_INT && *(const int64_t *)member == TV_AUTO)
            tv_text_puts(out, "auto");
        else
            tv_text_printf(out, "%lld", (long long)*(const int64_t *)member);
        return;
    case TV_KIND_DOUBLE:
        tv_text_double(out, *(const double *)member);
        return;
    case TV_KIND_STRING:
        put_string(out, *(const char *const *)member);
        return;
    case TV_KIND_DOUBLES:
        put_doubles(out, member);
        return;
    case TV_KIND_STRINGS:
        tv_text_puts(out, "[");
        for (size_t i = 0; i < strings->count; i++) {
            tv_text_puts(out, i ? ", " : "");
            put_string(out, strings->items[i]);
        }
        tv_text_puts(out, "]");
        return;
    case TV_KIND_WORD_DOUBLES:
        if (either->word)
            put_string(out, either->word);
        else
            put_doubles(out, &either->list);
        return;
    }
}

// What a reader must know beside the meaning: other values, and which model has the key.
static void put_meaning(const tv_setting *setting, tv_text *out)
{
    const char *const *choices = setting->limits.choices;
    tv_text_printf(out, "# %s", setting->meaning);
    if (setting->model != TV_SETTING_ALL_MODELS)
        tv_text_printf(out, " (%s)", tv_model_type_name((tv_model_type)setting->model));
    for (size_t i = 0; i < TV_CHOICES_MAX && choices[i]; i++)
        tv_text_printf(out, "%s%s", i ? ", " : " | one of: ", choices[i]);
    tv_text_puts(out, "\n");
}

// The key without its section, indented where it has one; unused keys as comments.
static void put_setting(const tv_config *config, const tv_setting *setting, bool explain,
                        tv_text *out)
{
    const char *indent = setting->section[0] ? "  " : "";
    if (explain) {
        tv_text_puts(out, indent);
        put_meaning(setting, out);
    }
    tv_text_printf(out, "%s%s%s: ", indent, tv_setting_in_use(config, setting) ? "" : "# ",
                   setting->path + strlen(setting->section));
    put_value(config, setting, out);
    tv_text_puts(out, "\n");
}

void tv_config_print(const tv_config *config, bool explain, tv_text *out)
{
    const char *section = "";
    for (size_t i = 0; i < TV_SETTING_COUNT; i++) {
        const tv_setting *setting = &tv_settings[i];
        if (!explain && !tv_setting_in_use(config, setting))
            continue;
        if (strcmp(setting->section, section) != 0) {
            section = setting->section;
            tv_text_puts(out, explain ? "\n" : "");
            if (section[0])
                tv_text_printf(out, "%.*s:\n", (int)strlen(section) - 1, section);
        }
        put_setting(config, setting, explain, out);
    }
}
