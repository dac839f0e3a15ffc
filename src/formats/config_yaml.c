// Configuration: reading YAML. Sections of plain values and lists, straight from libyaml's events.
#include "formats/config.h"

#include "base/file.h"
#include "formats/settings.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum { SIZE_LIMIT = 1 << 20, KEY_MAX = 160 };

typedef struct reader {
    tv_config *config;
    const char *name; // of the file
    yaml_parser_t parser;
    yaml_event_t event;                     // the current one
    tv_text where;                          // "file.yaml:12" of the latest place()
    size_t lines[TV_SETTING_COUNT];         // where each key stands in this file, 0: nowhere
    size_t section_lines[TV_SETTING_COUNT]; // of the section, at its first setting's row
    tv_arena arena;                         // list items, until they are assigned
} reader;

static const char *place(reader *r, size_t line)
{
    tv_text_clear(&r->where);
    tv_text_printf(&r->where, "%s:%zu", r->name, line);
    return r->where.data;
}

static size_t event_line(const reader *r)
{
    return r->event.start_mark.line + 1;
}

static const char *here(reader *r)
{
    return place(r, event_line(r));
}

// Anchors and tags would be silently without effect.
static tv_err refuse_features(reader *r)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (r->event.type) {
    case YAML_ALIAS_EVENT:
        anchor = r->event.data.alias.anchor;
        break;
    case YAML_SCALAR_EVENT:
        anchor = r->event.data.scalar.anchor;
        tag = r->event.data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = r->event.data.sequence_start.anchor;
        tag = r->event.data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = r->event.data.mapping_start.anchor;
        tag = r->event.data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor)
        return tv_fail(TV_EUSAGE,
                       "%s: YAML anchors and aliases ('%s') are not supported; write "
                       "the value out, or quote a text that begins with & or *",
                       here(r), (const char *)anchor);
    if (tag)
        return tv_fail(TV_EUSAGE, "%s: YAML tags ('%s') are not supported; remove it", here(r),
                       (const char *)tag);
    return TV_OK;
}

static tv_err next(reader *r)
{
    yaml_event_delete(&r->event);
    if (!yaml_parser_parse(&r->parser, &r->event)) {
        const yaml_parser_t *p = &r->parser;
        TV_CHECK(p->error != YAML_MEMORY_ERROR, "out of host memory for YAML");
        // Bytes that are not text fail before the scanner sees them, and carry no mark.
        bool unreadable = p->error == YAML_READER_ERROR;
        return tv_fail(TV_EUSAGE, "%s: not valid YAML: %s%s%s",
                       place(r, (unreadable ? p->mark : p->problem_mark).line + 1),
                       p->problem ? p->problem : "cannot be read", p->context ? " " : "",
                       p->context ? p->context : "");
    }
    return refuse_features(r);
}

// The current scalar as a string; NULL bytes inside and nulls have no meaning here.
static tv_err scalar(reader *r, const char *path, const char **text)
{
    const char *bytes = (const char *)r->event.data.scalar.value;
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (strlen(bytes) != r->event.data.scalar.length)
        return tv_fail(TV_EUSAGE, "%s: %s: has a zero byte", here(r), path);
    if (plain && (strcmp(bytes, "~") == 0 || strcmp(bytes, "null") == 0))
        return tv_fail(TV_EUSAGE,
                       "%s: %s: null has no meaning here; remove the key, or write \"\" for none",
                       here(r), path);
    *text = bytes;
    return TV_OK;
}

static tv_err read_list(reader *r, const tv_setting *setting)
{
    tv_setting_value value = {.list = true};
    size_t line = event_line(r);
    for (;;) {
        const char *text;
        TV_TRY(next(r));
        if (r->event.type == YAML_SEQUENCE_END_EVENT)
            return tv_setting_assign(r->config, setting, place(r, line), &value);
        if (r->event.type != YAML_SCALAR_EVENT)
            return tv_fail(TV_EUSAGE, "%s: %s: expected %s, got something nested", here(r),
                           setting->path, tv_setting_expected(setting));
        TV_TRY(scalar(r, setting->path, &text));
        if (value.count == TV_LIST_MAX)
            return tv_fail(TV_EUSAGE, "%s: %s: more than %d items", here(r), setting->path,
                           TV_LIST_MAX);
        value.items[value.count++] = tv_arena_printf(&r->arena, "%s", text);
    }
}

static tv_err read_value(reader *r, const tv_setting *setting)
{
    tv_setting_value value = {.count = 1};
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        value.quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        TV_TRY(scalar(r, setting->path, &value.items[0]));
        return tv_setting_assign(r->config, setting, here(r), &value);
    case YAML_SEQUENCE_START_EVENT:
        return read_list(r, setting);
    default:
        return tv_fail(TV_EUSAGE, "%s: %s: expected %s, got a section of keys", here(r),
                       setting->path, tv_setting_expected(setting));
    }
}

static tv_err note_line(reader *r, size_t *seen, const char *path, size_t line)
{
    if (*seen)
        return tv_fail(TV_EUSAGE, "%s: %s: set twice; the first is in line %zu", place(r, line),
                       path, *seen);
    *seen = line;
    return TV_OK;
}

static tv_err read_mapping(reader *r, const char *section);

static tv_err read_section(reader *r, const char *path, size_t line)
{
    size_t row = 0;
    while (!tv_starts_with(tv_settings[row].section, path) ||
           strlen(tv_settings[row].section) != strlen(path) + 1)
        row++;
    TV_TRY(note_line(r, &r->section_lines[row], path, line));
    if (r->event.type == YAML_MAPPING_START_EVENT)
        return read_mapping(r, path);
    if (r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.length == 0)
        return TV_OK; // "trainer:" with nothing, or only comments, below it
    return tv_fail(TV_EUSAGE, "%s: %s: expected a section of keys below it", here(r), path);
}

// The current event is a key of `section`; on return the event is the last one of its value.
static tv_err read_key(reader *r, const char *section)
{
    char path[KEY_MAX];
    const char *key;
    size_t line = event_line(r);
    if (r->event.type != YAML_SCALAR_EVENT)
        return tv_fail(TV_EUSAGE, "%s: a key must be a plain name", here(r));
    TV_TRY(scalar(r, "key", &key));
    int length = snprintf(path, sizeof path, "%s%s%s", section, section[0] ? "." : "", key);
    if (length < 0 || (size_t)length >= sizeof path)
        return tv_fail(TV_EUSAGE, "%s: unknown key: '%.20s...' is longer than any", here(r), key);
    const tv_setting *setting = tv_setting_find(path);
    TV_TRY(next(r));
    if (setting) {
        TV_TRY(note_line(r, &r->lines[setting - tv_settings], path, line));
        return read_value(r, setting);
    }
    if (!section[0] && tv_setting_is_section(path))
        return read_section(r, path, line);
    return tv_setting_unknown(place(r, line), path);
}

static tv_err read_mapping(reader *r, const char *section)
{
    for (;;) {
        TV_TRY(next(r));
        if (r->event.type == YAML_MAPPING_END_EVENT)
            return TV_OK;
        TV_TRY(read_key(r, section));
    }
}

static tv_err read_document(reader *r)
{
    TV_TRY(next(r)); // stream start
    TV_TRY(next(r));
    if (r->event.type == YAML_STREAM_END_EVENT)
        return TV_OK;
    TV_TRY(next(r));
    if (r->event.type == YAML_MAPPING_START_EVENT)
        TV_TRY(read_mapping(r, ""));
    else if (r->event.type != YAML_SCALAR_EVENT || r->event.data.scalar.length)
        return tv_fail(TV_EUSAGE, "%s: expected lines of 'key: value'", here(r));
    TV_TRY(next(r)); // document end
    TV_TRY(next(r));
    if (r->event.type != YAML_STREAM_END_EVENT)
        return tv_fail(TV_EUSAGE, "%s: a second YAML document begins; one is allowed", here(r));
    return TV_OK;
}

tv_err tv_config_parse(tv_config *config, const uint8_t *data, size_t size, const char *name)
{
    reader r = {.config = config, .name = name};
    if (size > SIZE_LIMIT)
        return tv_fail(TV_EUSAGE, "%s: larger than the %d bytes allowed", name, SIZE_LIMIT);
    TV_CHECK(yaml_parser_initialize(&r.parser), "out of host memory for YAML");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, data, size);
    tv_err err = read_document(&r);
    yaml_event_delete(&r.event);
    yaml_parser_delete(&r.parser);
    tv_text_finish(&r.where);
    tv_arena_finish(&r.arena);
    return err;
}

tv_err tv_config_load_file(tv_config *config, const char *path)
{
    uint8_t *data;
    size_t size;
    tv_err err = tv_file_read(path, SIZE_LIMIT, &data, &size);
    if (err != TV_OK)
        return err == TV_EFORMAT ? TV_EUSAGE : err; // too large: not a configuration
    err = tv_config_parse(config, data, size, path);
    tv_free(data);
    return err;
}
