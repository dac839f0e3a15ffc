// What a benchmark found: the report itself.
#include "bench/report.h"

#include "base/clock.h"
#include "base/memory.h"
#include "bench/room.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const kind_names[TV_BENCH_KINDS] = {
    [TV_BENCH_COPY] = "copy",
    [TV_BENCH_FMA] = "fma",
    [TV_BENCH_MATMUL] = "matmul",
    [TV_BENCH_ATTENTION] = "attention",
    [TV_BENCH_TRAIN] = "train",
    [TV_BENCH_SCALING] = "scaling",
    [TV_BENCH_LATENCY] = "latency",
    [TV_BENCH_LINK] = "link",
    [TV_BENCH_COLLECTIVE] = "collective",
    [TV_BENCH_COMPUTE] = "compute",
    [TV_BENCH_PREDICTED] = "predicted",
    [TV_BENCH_STEP] = "step",
};

static const char *const class_names[] = {[TV_CLASS_DISCRETE] = "discrete",
                                          [TV_CLASS_INTEGRATED] = "integrated",
                                          [TV_CLASS_VIRTUAL] = "virtual",
                                          [TV_CLASS_CPU] = "cpu"};

static const double DISTURBED = 0.05;

const char *tv_bench_kind_name(tv_bench_kind kind)
{
    return kind_names[kind];
}

bool tv_bench_kind_travels(tv_bench_kind kind)
{
    return kind == TV_BENCH_LATENCY || kind == TV_BENCH_LINK || kind == TV_BENCH_COLLECTIVE;
}

void tv_bench_report_init(tv_bench_report *report, const char *suite, const tv_device_info *device,
                          const char *mask, double seconds)
{
    *report = (tv_bench_report){.seconds = seconds};
    snprintf(report->suite, sizeof report->suite, "%s", suite);
    snprintf(report->program, sizeof report->program, "%s", TV_VERSION);
    snprintf(report->mask, sizeof report->mask, "%s", mask);
    tv_wall_time(report->date);
    tv_bench_host_describe("", &report->host);
    snprintf(report->device.backend, sizeof report->device.backend, "%s", device->backend);
    snprintf(report->device.name, sizeof report->device.name, "%s", device->name);
    snprintf(report->device.vendor, sizeof report->device.vendor, "%s", device->vendor);
    snprintf(report->device.driver, sizeof report->device.driver, "%s", device->driver);
    snprintf(report->device.device_class, sizeof report->device.device_class, "%s",
             class_names[device->device_class]);
    report->device.index = device->index;
    report->device.memory = device->caps.memory;
    report->before = tv_bench_moment_read("", device);
}

void tv_bench_report_finish(tv_bench_report *report)
{
    tv_free(report->results);
    tv_bench_room_destroy(&report->room);
    *report = (tv_bench_report){0};
}

tv_bench_result *tv_bench_report_add(tv_bench_report *report, tv_bench_kind kind, const char *unit,
                                     const char *format, ...)
{
    TV_RESERVE(report->results, report->capacity, report->count + 1);
    tv_bench_result *result = &report->results[report->count++];
    *result = (tv_bench_result){.kind = kind, .others = NAN};
    snprintf(result->unit, sizeof result->unit, "%s", unit);
    va_list args;
    va_start(args, format);
    vsnprintf(result->name, sizeof result->name, format, args);
    va_end(args);
    return result;
}

tv_err tv_bench_result_fail(tv_bench_result *result, tv_err err)
{
    if (err == TV_EMEMORY) {
        snprintf(result->skipped, sizeof result->skipped, "%s", tv_error_message());
        return TV_OK;
    }
    if (err != TV_EDEVICE)
        return err;
    result->good = false;
    snprintf(result->check, sizeof result->check, "%s", tv_error_message());
    return TV_OK;
}

void tv_bench_result_others(tv_bench_result *result, const tv_bench_moment *begun)
{
    tv_bench_moment now = tv_bench_moment_times("");
    result->others = tv_bench_others(begun, &now) + tv_bench_stolen(begun, &now);
}

bool tv_bench_is_disturbed(const tv_bench_report *report, const tv_bench_result *result)
{
    bool cpu = strcmp(report->device.device_class, class_names[TV_CLASS_CPU]) == 0;
    return cpu && result->others > DISTURBED;
}

const tv_bench_result *tv_bench_report_find(const tv_bench_report *report, const char *name)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->results[i].name, name) == 0)
            return &report->results[i];
    return NULL;
}

size_t tv_bench_report_wrong(const tv_bench_report *report)
{
    size_t wrong = (size_t)report->wrong;
    for (size_t i = 0; i < report->count; i++)
        wrong += !report->results[i].good && !report->results[i].skipped[0];
    return wrong;
}
