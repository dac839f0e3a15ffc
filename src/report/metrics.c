// Metrics: the table of fields and the reader of metrics.jsonl.
#include "report/metrics.h"

#include "base/file.h"
#include "base/memory.h"

#include <jansson.h>
#include <string.h>

// Above the log of any run that a person plots; below what would exhaust a small machine.
#define METRICS_FILE_LIMIT ((size_t)1 << 30)

#define FIELD(name, integer)                                                                       \
    {                                                                                              \
#name, offsetof(tv_metrics, name), integer                                                 \
    }

const tv_metric_field tv_metric_fields[TV_METRIC_FIELDS] = {
    FIELD(step, true),          FIELD(loss, false),        FIELD(val_loss, false),
    FIELD(lr, false),           FIELD(grad_norm, false),   FIELD(tokens, true),
    FIELD(tokens_per_s, false), FIELD(flops_per_s, false), FIELD(step_ms, false),
    FIELD(skipped, true),       FIELD(loss_scale, false),
};

static tv_err set_field(tv_metrics *metrics, const tv_metric_field *field, const json_t *value)
{
    void *target = (char *)metrics + field->offset;
    if (field->integer) {
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return tv_fail(TV_EFORMAT, "\"%s\" is not a whole number from 0", field->name);
        *(uint64_t *)target = (uint64_t)json_integer_value(value);
    } else {
        if (!json_is_number(value))
            return tv_fail(TV_EFORMAT, "\"%s\" is not a number", field->name);
        *(double *)target = json_number_value(value);
    }
    return TV_OK;
}

static tv_err set_fields(tv_metrics *metrics, const json_t *object)
{
    *metrics = tv_metrics_none(0);
    if (!json_is_object(object))
        return tv_fail(TV_EFORMAT, "not a JSON object");
    if (!json_object_get(object, "step"))
        return tv_fail(TV_EFORMAT, "\"step\" is missing");
    for (size_t i = 0; i < TV_METRIC_FIELDS; i++) {
        const json_t *value = json_object_get(object, tv_metric_fields[i].name);
        if (value)
            TV_TRY(set_field(metrics, &tv_metric_fields[i], value));
    }
    return TV_OK;
}

static tv_err parse_line(const uint8_t *line, size_t length, tv_metrics *metrics)
{
    json_error_t problem;
    json_t *object = json_loadb((const char *)line, length, JSON_REJECT_DUPLICATES, &problem);
    if (!object)
        return tv_fail(TV_EFORMAT, "column %d: %s", problem.column, problem.text);
    tv_err err = set_fields(metrics, object);
    json_decref(object);
    return err;
}

tv_err tv_metrics_parse(const uint8_t *data, size_t size, const char *path, tv_metrics **lines,
                        size_t *count)
{
    tv_metrics *parsed = NULL;
    size_t used = 0, capacity = 0, number = 0;
    for (size_t at = 0; at < size;) {
        const uint8_t *newline = memchr(data + at, '\n', size - at);
        size_t length = newline ? (size_t)(newline - data) - at : size - at;
        TV_RESERVE(parsed, capacity, used + 1);
        tv_err err = parse_line(data + at, length, &parsed[used]);
        number++;
        if (err != TV_OK && !newline)
            break; // the writer was stopped within this line
        if (err != TV_OK) {
            tv_free(parsed);
            return tv_fail_in(err, "%s: line %zu", path, number);
        }
        used++;
        at += length + (newline != NULL);
    }
    *lines = parsed;
    *count = used;
    return TV_OK;
}

tv_err tv_metrics_read(const char *path, tv_metrics **lines, size_t *count)
{
    tv_text file = {0};
    uint8_t *data = NULL;
    size_t size;
    tv_err err = TV_OK;
    if (tv_path_is_dir(path))
        tv_path_join(&file, path, "metrics.jsonl");
    else
        tv_text_puts(&file, path);
    if (tv_path_is_dir(path) && !tv_path_exists(file.data))
        err = tv_fail(TV_EIO, "%s: no metrics.jsonl in it; is this the directory of a run?", path);
    if (err == TV_OK)
        err = tv_file_read(file.data, METRICS_FILE_LIMIT, &data, &size);
    if (err == TV_OK)
        err = tv_metrics_parse(data, size, file.data, lines, count);
    tv_free(data);
    tv_text_finish(&file);
    return err;
}
