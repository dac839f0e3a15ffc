// Reports as JSON, written and read. docs/benchmarks.md has the schema.
#include "bench/report.h"

#include "base/memory.h"
#include "bench/room.h"
#include "formats/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char schema[] = "trivium-bench";
enum { FILE_MOST = 16 << 20, RESULTS_MOST = 10000 };
static const double NUMBER_MOST = 1e30;

// ---------------------------------------------------------------------------------------- writing

// JSON knows no infinities and no NaN.
static json_t *of_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *of_text(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *of_moment(const tv_bench_moment *m)
{
    json_t *throttled = m->throttled < 0 ? json_null() : json_integer(m->throttled);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "cpu_total",
                     of_number(m->cpu_total), "cpu_busy", of_number(m->cpu_busy), "cpu_own",
                     of_number(m->cpu_own), "cpu_stolen", of_number(m->cpu_stolen), "load",
                     of_number(m->load), "cpu_mhz_min", of_number(m->cpu_mhz_min), "cpu_mhz_mean",
                     of_number(m->cpu_mhz_mean), "cpu_mhz_max", of_number(m->cpu_mhz_max),
                     "cpu_celsius", of_number(m->cpu_celsius), "throttled", throttled, "device_mhz",
                     of_number(m->device_mhz), "device_celsius", of_number(m->device_celsius));
}

static json_t *of_training(const tv_bench_training *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "parameters",
                     of_number(t->parameters), "flop_per_token", of_number(t->flops_per_token),
                     "step_tokens", of_number(t->step_tokens), "flop_per_second",
                     of_number(t->flops), "peak", of_text(t->peak), "peak_flop_per_second",
                     of_number(t->peak_flops), "plan_bytes", of_number(t->plan_bytes), "host_bytes",
                     of_number(t->host_bytes), "joules_per_token", of_number(t->joules_token),
                     "energy", of_text(t->energy), "loss", of_number(t->loss), "log_vocabulary",
                     of_number(t->expected_loss));
}

static json_t *of_result(const tv_bench_result *r)
{
    const tv_bench_summary *s = &r->rate;
    json_t *object = json_pack("{s:s, s:s, s:s, s:o}", "kind", tv_bench_kind_name(r->kind), "name",
                               r->name, "unit", r->unit, "skipped", of_text(r->skipped));
    if (r->skipped[0])
        return object;
    json_t *measured = json_pack(
        "{s:o, s:b, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:b}", "others", of_number(r->others),
        "good", r->good, "check", of_text(r->check), "samples", (json_int_t)s->count, "min",
        of_number(s->min), "median", of_number(s->median), "max", of_number(s->max), "low",
        of_number(s->low), "high", of_number(s->high), "stable", s->stable);
    json_object_update(object, measured);
    json_decref(measured);
    if (r->kind == TV_BENCH_TRAIN || r->kind == TV_BENCH_SCALING)
        json_object_set_new(object, "training", of_training(&r->training));
    if (tv_bench_kind_travels(r->kind))
        json_object_set_new(object, "travel",
                            json_pack("{s:o, s:o, s:o}", "bytes", of_number(r->travel.bytes),
                                      "seconds", of_number(r->travel.seconds), "of_link",
                                      of_number(r->travel.of_link)));
    return object;
}

static json_t *of_origin(const tv_bench_report *r)
{
    json_t *host = json_pack("{s:o, s:o, s:o, s:I, s:I}", "cpu", of_text(r->host.cpu), "os",
                             of_text(r->host.os), "kernel", of_text(r->host.kernel), "cores",
                             (json_int_t)r->host.cores, "memory", (json_int_t)r->host.memory);
    json_t *device = json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:I}", "backend", r->device.backend,
                               "backend_index", (json_int_t)r->device.index, "name", r->device.name,
                               "vendor", r->device.vendor, "driver", r->device.driver, "class",
                               r->device.device_class, "memory", (json_int_t)r->device.memory);
    return json_pack("{s:s, s:I, s:s, s:s, s:s, s:o, s:f, s:o, s:o, s:o, s:o}", "schema", schema,
                     "version", (json_int_t)TV_BENCH_VERSION, "suite", r->suite, "trivium",
                     r->program, "date", r->date, "mask", of_text(r->mask), "seconds", r->seconds,
                     "host", host, "device", device, "before", of_moment(&r->before), "after",
                     of_moment(&r->after));
}

void tv_bench_report_json(const tv_bench_report *report, tv_text *out)
{
    json_t *root = of_origin(report), *results = json_array();
    for (size_t i = 0; i < report->count; i++)
        json_array_append_new(results, of_result(&report->results[i]));
    json_object_set_new(root, "results", results);
    if (report->has_conformance)
        json_object_set_new(root, "conformance",
                            json_pack("{s:I, s:I}", "trials", (json_int_t)report->trials, "wrong",
                                      (json_int_t)report->wrong));
    if (report->has_fit)
        json_object_set_new(root, "fit",
                            json_pack("{s:o, s:o, s:o, s:s}", "fixed_seconds",
                                      of_number(report->fit.fixed), "seconds_per_flop",
                                      of_number(report->fit.per_flop), "worst_deviation",
                                      of_number(report->fit.worst), "at", report->fit.where));
    if (report->room)
        json_object_set_new(root, "room", tv_bench_room_json(report->room));
    char *text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    TV_CHECK(text, "a report that is no JSON");
    tv_text_printf(out, "%s\n", text);
    free(text);
    json_decref(root);
}

// ---------------------------------------------------------------------------------------- reading

// An object of a file.
typedef struct place {
    const json_t *object;
    const char *file;
} place;

// A text, cut to fit; missing and null are "".
static tv_err take_text(place p, const char *key, char *text, size_t size)
{
    const char *value = "";
    TV_TRY(tv_json_string(p.object, p.file, key, &value));
    snprintf(text, size, "%s", value);
    return TV_OK;
}

// A number; missing and null are NaN.
static tv_err take_number(place p, const char *key, double *value)
{
    *value = NAN;
    return tv_json_double(p.object, p.file, key, -NUMBER_MOST, NUMBER_MOST, value);
}

static tv_err take_count(place p, const char *key, uint64_t *count)
{
    int64_t value = 0;
    TV_TRY(tv_json_int(p.object, p.file, key, 0, INT64_MAX, &value));
    *count = (uint64_t)value;
    return TV_OK;
}

static tv_err take_object(place p, const char *key, place *member)
{
    *member = (place){json_object_get(p.object, key), p.file};
    return json_is_object(member->object) ? TV_OK
                                          : tv_fail(TV_EFORMAT, "%s: no object '%s'", p.file, key);
}

static tv_err take_moment(place p, const char *key, tv_bench_moment *m)
{
    place at;
    int64_t throttled = -1;
    TV_TRY(take_object(p, key, &at));
    TV_TRY(take_number(at, "load", &m->load));
    TV_TRY(take_number(at, "cpu_total", &m->cpu_total));
    TV_TRY(take_number(at, "cpu_busy", &m->cpu_busy));
    TV_TRY(take_number(at, "cpu_own", &m->cpu_own));
    TV_TRY(take_number(at, "cpu_stolen", &m->cpu_stolen));
    TV_TRY(take_number(at, "cpu_mhz_min", &m->cpu_mhz_min));
    TV_TRY(take_number(at, "cpu_mhz_mean", &m->cpu_mhz_mean));
    TV_TRY(take_number(at, "cpu_mhz_max", &m->cpu_mhz_max));
    TV_TRY(take_number(at, "cpu_celsius", &m->cpu_celsius));
    TV_TRY(take_number(at, "device_mhz", &m->device_mhz));
    TV_TRY(take_number(at, "device_celsius", &m->device_celsius));
    TV_TRY(tv_json_int(at.object, at.file, "throttled", -1, INT64_MAX, &throttled));
    m->throttled = throttled;
    return TV_OK;
}

static tv_err take_training(place p, tv_bench_training *t)
{
    place at;
    TV_TRY(take_object(p, "training", &at));
    TV_TRY(take_number(at, "parameters", &t->parameters));
    TV_TRY(take_number(at, "flop_per_token", &t->flops_per_token));
    TV_TRY(take_number(at, "step_tokens", &t->step_tokens));
    TV_TRY(take_number(at, "flop_per_second", &t->flops));
    TV_TRY(take_number(at, "peak_flop_per_second", &t->peak_flops));
    TV_TRY(take_number(at, "plan_bytes", &t->plan_bytes));
    TV_TRY(take_number(at, "host_bytes", &t->host_bytes));
    TV_TRY(take_number(at, "joules_per_token", &t->joules_token));
    TV_TRY(take_number(at, "loss", &t->loss));
    TV_TRY(take_number(at, "log_vocabulary", &t->expected_loss));
    TV_TRY(take_text(at, "peak", t->peak, sizeof t->peak));
    return take_text(at, "energy", t->energy, sizeof t->energy);
}

static tv_err take_travel(place p, tv_bench_travel *t)
{
    place at;
    TV_TRY(take_object(p, "travel", &at));
    TV_TRY(take_number(at, "bytes", &t->bytes));
    TV_TRY(take_number(at, "seconds", &t->seconds));
    return take_number(at, "of_link", &t->of_link);
}

static tv_err take_summary(place p, tv_bench_summary *s)
{
    uint64_t count;
    TV_TRY(take_count(p, "samples", &count));
    s->count = (size_t)count;
    TV_TRY(take_number(p, "min", &s->min));
    TV_TRY(take_number(p, "median", &s->median));
    TV_TRY(take_number(p, "max", &s->max));
    TV_TRY(take_number(p, "low", &s->low));
    TV_TRY(take_number(p, "high", &s->high));
    return tv_json_bool(p.object, p.file, "stable", &s->stable);
}

static tv_err take_kind(place p, tv_bench_kind *kind)
{
    char name[16];
    TV_TRY(take_text(p, "kind", name, sizeof name));
    for (*kind = 0; *kind < TV_BENCH_KINDS; (*kind)++)
        if (strcmp(name, tv_bench_kind_name(*kind)) == 0)
            return TV_OK;
    return tv_fail(TV_EFORMAT, "%s: a result of unknown kind '%s'", p.file, name);
}

static tv_err take_result(place p, tv_bench_report *report)
{
    char name[96], unit[16];
    tv_bench_kind kind;
    TV_TRY(take_kind(p, &kind));
    TV_TRY(take_text(p, "name", name, sizeof name));
    TV_TRY(take_text(p, "unit", unit, sizeof unit));
    if (!name[0] || !unit[0])
        return tv_fail(TV_EFORMAT, "%s: a result without name or unit", p.file);
    tv_bench_result *r = tv_bench_report_add(report, kind, unit, "%s", name);
    TV_TRY(take_text(p, "skipped", r->skipped, sizeof r->skipped));
    TV_TRY(take_text(p, "check", r->check, sizeof r->check));
    TV_TRY(tv_json_bool(p.object, p.file, "good", &r->good));
    TV_TRY(take_number(p, "others", &r->others));
    TV_TRY(take_summary(p, &r->rate));
    bool trains = kind == TV_BENCH_TRAIN || kind == TV_BENCH_SCALING;
    if (trains && !r->skipped[0])
        return take_training(p, &r->training);
    return tv_bench_kind_travels(kind) && !r->skipped[0] ? take_travel(p, &r->travel) : TV_OK;
}

static tv_err take_origin(place p, tv_bench_report *r)
{
    place host, device;
    uint64_t cores, index;
    TV_TRY(take_text(p, "suite", r->suite, sizeof r->suite));
    TV_TRY(take_text(p, "trivium", r->program, sizeof r->program));
    TV_TRY(take_text(p, "date", r->date, sizeof r->date));
    TV_TRY(take_text(p, "mask", r->mask, sizeof r->mask));
    TV_TRY(take_number(p, "seconds", &r->seconds));
    TV_TRY(take_object(p, "host", &host));
    TV_TRY(take_text(host, "cpu", r->host.cpu, sizeof r->host.cpu));
    TV_TRY(take_text(host, "os", r->host.os, sizeof r->host.os));
    TV_TRY(take_text(host, "kernel", r->host.kernel, sizeof r->host.kernel));
    TV_TRY(take_count(host, "memory", &r->host.memory));
    TV_TRY(take_count(host, "cores", &cores));
    TV_TRY(take_object(p, "device", &device));
    TV_TRY(take_text(device, "backend", r->device.backend, sizeof r->device.backend));
    TV_TRY(take_text(device, "name", r->device.name, sizeof r->device.name));
    TV_TRY(take_text(device, "vendor", r->device.vendor, sizeof r->device.vendor));
    TV_TRY(take_text(device, "driver", r->device.driver, sizeof r->device.driver));
    TV_TRY(take_text(device, "class", r->device.device_class, sizeof r->device.device_class));
    TV_TRY(take_count(device, "memory", &r->device.memory));
    TV_TRY(take_count(device, "backend_index", &index));
    r->host.cores = (uint32_t)cores;
    r->device.index = (uint32_t)index;
    TV_TRY(take_moment(p, "before", &r->before));
    return take_moment(p, "after", &r->after);
}

static tv_err take_parts(place p, tv_bench_report *r)
{
    const json_t *results = json_object_get(p.object, "results");
    place part;
    if (!json_is_array(results) || json_array_size(results) > RESULTS_MOST)
        return tv_fail(TV_EFORMAT, "%s: no list 'results'", p.file);
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *item = json_array_get(results, i);
        if (!json_is_object(item))
            return tv_fail(TV_EFORMAT, "%s: a result that is no object", p.file);
        TV_TRY(take_result((place){item, p.file}, r));
    }
    r->has_conformance = json_object_get(p.object, "conformance") != NULL;
    if (r->has_conformance) {
        TV_TRY(take_object(p, "conformance", &part));
        TV_TRY(take_count(part, "trials", &r->trials));
        TV_TRY(take_count(part, "wrong", &r->wrong));
    }
    r->has_fit = json_object_get(p.object, "fit") != NULL;
    if (!r->has_fit)
        return TV_OK;
    TV_TRY(take_object(p, "fit", &part));
    TV_TRY(take_number(part, "fixed_seconds", &r->fit.fixed));
    TV_TRY(take_number(part, "seconds_per_flop", &r->fit.per_flop));
    TV_TRY(take_number(part, "worst_deviation", &r->fit.worst));
    return take_text(part, "at", r->fit.where, sizeof r->fit.where);
}

static tv_err check_schema(place p)
{
    char name[32];
    int64_t version = 0;
    TV_TRY(take_text(p, "schema", name, sizeof name));
    if (strcmp(name, schema) != 0)
        return tv_fail(TV_EFORMAT,
                       "%s: no report of trivium bench (quick, train, full, "
                       "scaling or network)",
                       p.file);
    TV_TRY(tv_json_int(p.object, p.file, "version", 0, INT64_MAX, &version));
    if (version != TV_BENCH_VERSION)
        return tv_fail(TV_EFORMAT,
                       "%s: a report of version %lld, this program reads version %d; measure again "
                       "with one program",
                       p.file, (long long)version, TV_BENCH_VERSION);
    return TV_OK;
}

static tv_err take_report(json_t *root, const char *file, tv_bench_report *report)
{
    place p = {root, file};
    TV_TRY(check_schema(p));
    TV_TRY(take_origin(p, report));
    return take_parts(p, report);
}

// Takes over the root, where there is one.
static tv_err finish_parse(tv_err err, json_t *root, const char *file, tv_bench_report *report)
{
    *report = (tv_bench_report){0};
    if (err == TV_OK)
        err = take_report(root, file, report);
    if (err != TV_OK)
        tv_bench_report_finish(report);
    json_decref(root);
    return err;
}

tv_err tv_bench_report_parse(const uint8_t *data, size_t size, const char *file,
                             tv_bench_report *report)
{
    json_t *root = NULL;
    tv_err err = tv_json_parse(data, size, file, &root);
    return finish_parse(err, root, file, report);
}

tv_err tv_bench_report_read(const char *path, tv_bench_report *report)
{
    json_t *root = NULL;
    tv_err err = tv_json_read(path, FILE_MOST, &root);
    return finish_parse(err, root, path, report);
}
