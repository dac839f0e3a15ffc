// Loggers: a table of formats, each appending lines to one file of the run.
#include "report/logger.h"

#include "base/file.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// Appends the field's value; false, with nothing appended, where the line does not carry it.
static bool append_value(tv_text *line, const char *key, const tv_metrics *metrics, size_t index)
{
    const tv_metric_field *field = &tv_metric_fields[index];
    const void *source = (const char *)metrics + field->offset;
    if (field->integer) {
        uint64_t value = *(const uint64_t *)source;
        if (value == 0 && field->offset == offsetof(tv_metrics, tokens))
            return false;
        tv_text_printf(line, "%s%" PRIu64, key, value);
        return true;
    }
    double value = *(const double *)source;
    if (!isfinite(value))
        return false;
    tv_text_printf(line, "%s%.9g", key, value); // 9 digits tell any two floats apart
    return true;
}

static void format_jsonl(const tv_metrics *metrics, tv_text *line)
{
    for (size_t i = 0; i < TV_METRIC_FIELDS; i++) {
        char key[64];
        snprintf(key, sizeof key, "%s\"%s\": ", i ? ", " : "{", tv_metric_fields[i].name);
        append_value(line, key, metrics, i);
    }
    tv_text_puts(line, "}\n");
}

static void format_csv(const tv_metrics *metrics, tv_text *line)
{
    for (size_t i = 0; i < TV_METRIC_FIELDS; i++) {
        const char *comma = i ? "," : "";
        if (!append_value(line, comma, metrics, i))
            tv_text_puts(line, comma);
    }
    tv_text_puts(line, "\n");
}

static void header_none(tv_text *line)
{
    (void)line;
}

static void header_csv(tv_text *line)
{
    for (size_t i = 0; i < TV_METRIC_FIELDS; i++)
        tv_text_printf(line, "%s%s", i ? "," : "", tv_metric_fields[i].name);
    tv_text_puts(line, "\n");
}

static const struct logger_type {
    const char *file;
    void (*header)(tv_text *line); // what an empty file starts with
    void (*format)(const tv_metrics *metrics, tv_text *line);
} types[TV_LOGGER_COUNT] = {
    [TV_LOGGER_JSONL] = {"metrics.jsonl", header_none, format_jsonl},
    [TV_LOGGER_CSV] = {"metrics.csv", header_csv, format_csv},
};

const char *const tv_logger_names[TV_LOGGER_COUNT] = {
    [TV_LOGGER_JSONL] = "jsonl",
    [TV_LOGGER_CSV] = "csv",
};

struct tv_loggers {
    tv_appender *files[TV_LOGGER_COUNT]; // NULL: not asked for
};

// TV_LOGGER_COUNT where there is none of that name.
static tv_logger_kind find_kind(const char *name)
{
    size_t i = 0;
    while (i < TV_LOGGER_COUNT && strcmp(name, tv_logger_names[i]) != 0)
        i++;
    return (tv_logger_kind)i;
}

static tv_err no_logger(const char *name)
{
    tv_text all = {0};
    for (size_t i = 0; i < TV_LOGGER_COUNT; i++)
        tv_text_printf(&all, "%s%s", i ? ", " : "", tv_logger_names[i]);
    tv_err err = tv_fail(TV_EUSAGE, "loggers: no logger '%s'; there are: %s", name, all.data);
    tv_text_finish(&all);
    return err;
}

static tv_err open_file(const char *run_dir, tv_logger_kind kind, uint64_t keep, tv_appender **file)
{
    tv_text text = {0};
    tv_err err = tv_appender_open(tv_path_join(&text, run_dir, types[kind].file), keep, file);
    tv_text_clear(&text);
    types[kind].header(&text);
    if (err == TV_OK && tv_appender_size(*file) == 0)
        err = tv_appender_write(*file, text.data, text.length);
    tv_text_finish(&text);
    return err;
}

tv_err tv_loggers_create(const char *run_dir, const char *const *names, size_t count,
                         const tv_logger_sizes *resume, tv_loggers **loggers)
{
    tv_loggers *opened = tv_alloc(1, sizeof *opened);
    tv_err err = TV_OK;
    for (size_t i = 0; i < count; i++) {
        tv_logger_kind kind = find_kind(names[i]);
        if (kind == TV_LOGGER_COUNT)
            TV_GOTO(failed, no_logger(names[i]));
        if (opened->files[kind])
            continue; // named twice
        uint64_t keep = resume ? resume->bytes[kind] : 0;
        TV_GOTO(failed, open_file(run_dir, kind, keep, &opened->files[kind]));
    }
    *loggers = opened;
    return TV_OK;
failed:
    tv_loggers_destroy(&opened);
    return err;
}

void tv_loggers_destroy(tv_loggers **loggers)
{
    if (!*loggers)
        return;
    for (size_t i = 0; i < TV_LOGGER_COUNT; i++)
        tv_appender_close(&(*loggers)->files[i]);
    tv_free(*loggers);
    *loggers = NULL;
}

tv_err tv_loggers_write(tv_loggers *loggers, const tv_metrics *metrics)
{
    tv_text line = {0};
    tv_err err = TV_OK;
    for (size_t i = 0; i < TV_LOGGER_COUNT && err == TV_OK; i++) {
        if (!loggers->files[i])
            continue;
        tv_text_clear(&line);
        types[i].format(metrics, &line);
        err = tv_appender_write(loggers->files[i], line.data, line.length);
    }
    tv_text_finish(&line);
    return err;
}

tv_logger_sizes tv_loggers_sizes(const tv_loggers *loggers)
{
    tv_logger_sizes sizes = {0};
    for (size_t i = 0; i < TV_LOGGER_COUNT; i++)
        if (loggers->files[i])
            sizes.bytes[i] = tv_appender_size(loggers->files[i]);
    return sizes;
}
