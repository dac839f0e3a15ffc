// trivium bench --suite quick, train, full and scaling: runs the parts and writes the reports.
#include "bench.h"

#include "base/log.h"
#include "conformance/conformance.h"

#include <stdio.h>
#include <string.h>

static void show_progress(void *context, const char *what)
{
    (void)context;
    tv_info("%s", what);
}

static void show_op(void *context, const tv_case *row, tv_dtype storage, size_t done, size_t total)
{
    tv_op *current = context;
    (void)storage;
    if (*current != row->op)
        tv_info("conformance %zu/%zu %s", done, total, tv_op_get_info(row->op)->name);
    *current = row->op;
}

static tv_err add_conformance(const bench_request *r, tv_bench_report *report)
{
    tv_conformance result;
    tv_op current = TV_OP_COUNT;
    tv_err err = tv_conformance_run(r->device, NULL, show_op, &current, &result);
    report->has_conformance = err == TV_OK;
    report->trials = result.count;
    report->wrong = result.failed;
    tv_conformance_finish(&result);
    return err;
}

static tv_err run_parts(const bench_request *r, tv_bench_report *report)
{
    bool full = strcmp(r->suite, "full") == 0;
    tv_bench_options options = r->options;
    options.progress = show_progress;
    if (strcmp(r->suite, "scaling") == 0)
        TV_TRY(tv_bench_scaling(r->device, &options, report));
    if (full || strcmp(r->suite, "quick") == 0)
        TV_TRY(tv_bench_quick(r->device, &options, report));
    if (full || strcmp(r->suite, "train") == 0)
        TV_TRY(tv_bench_train(r->device, &options, report));
    return full ? add_conformance(r, report) : TV_OK;
}

static bool is_standard_output(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

static tv_err write_all(const bench_request *r, const tv_bench_report *report)
{
    const struct {
        void (*format)(const tv_bench_report *report, tv_text *out);
        const char *path;
        tv_writer *file;
    } forms[] = {
        {tv_bench_report_json, r->json, r->json_file},
        {tv_bench_report_markdown, r->markdown, r->markdown_file},
        {tv_bench_report_text,
         is_standard_output(r->json) || is_standard_output(r->markdown) ? NULL : "-", NULL},
    };
    tv_err err = TV_OK;
    for (size_t i = 0; i < sizeof forms / sizeof *forms && err == TV_OK; i++) {
        tv_text text = {0};
        forms[i].format(report, &text);
        err = bench_write(&text, forms[i].path, forms[i].file);
        tv_text_finish(&text);
    }
    return err == TV_OK && r->plot ? tv_bench_chart(r->plot, report, 1) : err;
}

tv_err bench_write_reports(const bench_request *r, const tv_bench_report *report)
{
    size_t wrong = tv_bench_report_wrong(report);
    TV_TRY(write_all(r, report));
    if (wrong > 0)
        return tv_fail(TV_EDATA, "%zu results on %s are wrong", wrong, report->device.name);
    return TV_OK;
}

tv_err bench_speed(const bench_request *r)
{
    tv_bench_report report;
    const tv_device_info *info = tv_device_get_info(r->device);
    tv_bench_report_init(&report, r->suite, info, r->mask, r->options.seconds);
    tv_err err = run_parts(r, &report);
    report.after = tv_bench_moment_read("", info);
    if (err == TV_OK)
        err = bench_write_reports(r, &report);
    tv_bench_report_finish(&report);
    return err;
}
