// trivium bench --suite conformance: the suite's reports, for people, for pages and for programs.
#include "bench.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "conformance/conformance.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What a report is about.
typedef struct report {
    const bench_request *request;
    const tv_device_info *info;
    const tv_conformance *result;
    char date[32];
} report;

static const char *mask_of(const report *r)
{
    return r->request->mask[0] ? r->request->mask : "none";
}

static bool has_rows(const tv_conformance *result, tv_op op)
{
    for (size_t i = 0; i < result->count; i++)
        if (result->trials[i].row->op == op)
            return true;
    return false;
}

// ---------------------------------------------------------------------------------------- numbers

// "0.50", "31.00!" beyond a limit, "1.41f" in ULP of f32 where the storage type is another, "-"
// where nothing was compared.
static void format_cell(const tv_conformance_cell *cell, tv_dtype storage, char text[16])
{
    const char *mark = cell->good ? "" : "!";
    if (cell->verdicts == 0) {
        snprintf(text, 16, "-%s", mark);
        return;
    }
    const char *unit = cell->worst->unit == storage ? "" : "f";
    double most = cell->worst->most;
    snprintf(text, 16, most < 1000 ? "%.2f%s%s" : "%.0e%s%s", most, unit, mark);
}

static void format_verdict(const tv_conformance_trial *trial, const tv_verdict *v, tv_text *out)
{
    char name[128], tensor[32];
    tv_case_name(trial->row, name);
    tv_verdict_name(v, tensor);
    tv_text_printf(out, "%s as %s, %s", name, tv_dtype_name(trial->storage), tensor);
    if (v->compared > 0)
        tv_text_printf(out, ": %.2f ULP of %s (limit %.1f); element %zu is %.9g, should be %.9g",
                       v->most, tv_dtype_name(v->unit), v->limit, v->where, v->got, v->want);
    if (!v->good)
        tv_text_printf(out, "; WRONG: %s", v->why);
}

// The result with the largest error in a storage type, over all ops.
static tv_conformance_cell worst_of(const tv_conformance *result, tv_dtype storage)
{
    tv_conformance_cell worst = {0};
    for (int i = 0; i < 2 * TV_OP_COUNT; i++) {
        tv_conformance_cell cell =
            tv_conformance_cell_of(result, (tv_op)(i / 2), storage, i % 2 == 1);
        if (cell.worst && tv_conformance_is_worse(storage, cell.worst, worst.worst))
            worst = cell;
    }
    return worst;
}

// ------------------------------------------------------------------------------- text and markdown

// How the table's lines look: for a terminal, or for a page.
typedef struct style {
    const char *head;
    const char *open, *between, *close; // around a line's cells
    int name_width, cell_width;
    const char *item; // before a line of a list
} style;

static const style plain = {
    .head = "                                f32                f16               bf16\n"
            "op                     forward gradient   forward gradient   forward gradient\n",
    .open = "",
    .between = " ",
    .close = "\n",
    .name_width = 20,
    .cell_width = 9,
    .item = "",
};

static const style page = {
    .head = "| op | f32 forward | f32 gradient | f16 forward | f16 gradient | bf16 forward "
            "| bf16 gradient |\n|---|--:|--:|--:|--:|--:|--:|\n",
    .open = "| ",
    .between = " | ",
    .close = " |\n",
    .item = "- ",
};

static void format_table(const report *r, const style *s, tv_text *out)
{
    tv_text_puts(out, s->head);
    for (tv_op op = 0; op < TV_OP_COUNT; op++) {
        if (!has_rows(r->result, op))
            continue;
        tv_text_printf(out, "%s%-*s", s->open, s->name_width, tv_op_get_info(op)->name);
        for (int i = 0; i < 2 * TV_STORAGE_COUNT; i++) {
            char text[16];
            tv_conformance_cell cell =
                tv_conformance_cell_of(r->result, op, tv_storages[i / 2], i % 2 == 1);
            format_cell(&cell, tv_storages[i / 2], text);
            tv_text_printf(out, "%s%*s", s->between, s->cell_width, text);
        }
        tv_text_puts(out, s->close);
    }
}

// The largest error of each storage type, and everything that is wrong.
static void format_findings(const report *r, const style *s, tv_text *out)
{
    tv_text_puts(out, "\nLargest errors:\n\n");
    for (int i = 0; i < TV_STORAGE_COUNT; i++) {
        tv_conformance_cell worst = worst_of(r->result, tv_storages[i]);
        if (!worst.worst)
            continue;
        tv_text_puts(out, s->item);
        format_verdict(worst.trial, worst.worst, out);
        tv_text_puts(out, "\n");
    }
    if (r->result->failed > 0)
        tv_text_puts(out, "\nWrong:\n\n");
    for (size_t i = 0; i < r->result->count; i++) {
        const tv_conformance_trial *trial = &r->result->trials[i];
        char name[128];
        tv_case_name(trial->row, name);
        if (trial->why[0])
            tv_text_printf(out, "%s%s as %s: %s\n", s->item, name, tv_dtype_name(trial->storage),
                           trial->why);
        for (size_t k = 0; k < trial->verdict_count; k++)
            if (!trial->verdicts[k].good) {
                tv_text_puts(out, s->item);
                format_verdict(trial, &trial->verdicts[k], out);
                tv_text_puts(out, "\n");
            }
    }
}

static void format_plain(const report *r, tv_text *out)
{
    tv_text_printf(
        out,
        "device   %s, %s:%u\ndriver   %s\nmask     %s\nprogram  trivium %s, %s\n"
        "trials   %zu, %zu of them wrong\n\n"
        "Largest error in ULP of the storage type (f: in ULP of f32; !: wrong; -: nothing to "
        "compare)\n\n",
        r->info->name, r->info->backend, (unsigned)r->info->index, r->info->driver, mask_of(r),
        TV_VERSION, r->date, r->result->count, r->result->failed);
    format_table(r, &plain, out);
    format_findings(r, &plain, out);
}

static void format_page(const report *r, tv_text *out)
{
    tv_text_printf(out,
                   "## %s (%s)\n\nDriver: %s. Mask: %s. trivium %s, %.10s: %zu trials, %zu of them "
                   "wrong.\n\n",
                   r->info->name, r->info->backend, r->info->driver, mask_of(r), TV_VERSION,
                   r->date, r->result->count, r->result->failed);
    format_table(r, &page, out);
    format_findings(r, &page, out);
}

// ------------------------------------------------------------------------------------------- JSON

// JSON knows no infinities and no NaN.
static json_t *json_of_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *json_of_text(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *json_of_verdict(const tv_verdict *v)
{
    char name[32];
    tv_verdict_name(v, name);
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:o, s:o, s:b, s:o}", "what",
                     name, "dtype", tv_dtype_name(v->dtype), "ulp_of", tv_dtype_name(v->unit),
                     "elements", (json_int_t)v->count, "compared", (json_int_t)v->compared,
                     "max_ulp", json_of_number(v->most), "rms_ulp", json_of_number(v->rms),
                     "limit_ulp", json_of_number(v->limit), "element", (json_int_t)v->where, "got",
                     json_of_number(v->got), "want", json_of_number(v->want), "good", v->good,
                     "why", json_of_text(v->why));
}

static json_t *json_of_trial(const tv_conformance_trial *trial)
{
    char name[128];
    json_t *results = json_array();
    tv_case_name(trial->row, name);
    for (size_t i = 0; i < trial->verdict_count; i++)
        json_array_append_new(results, json_of_verdict(&trial->verdicts[i]));
    return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "op", tv_op_get_info(trial->row->op)->name,
                     "case", name, "storage", tv_dtype_name(trial->storage), "good", trial->good,
                     "error", json_of_text(trial->why), "results", results);
}

static json_t *json_of_device(const tv_device_info *info)
{
    const tv_caps *c = &info->caps;
    json_t *caps = json_pack(
        "{s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:I, s:I, s:I, s:[I,I,I], s:I, s:I, s:I, s:f}",
        "storage16", c->storage16, "f16", c->f16, "bf16", c->bf16, "timeline", c->timeline,
        "host_visible", c->host_visible, "copy_queue", c->copy_queue, "texel", c->texel,
        "cpu_kernels", c->cpu_kernels, "subgroup", (json_int_t)c->subgroup, "max_group",
        (json_int_t)c->max_group, "shared_bytes", (json_int_t)c->shared_bytes, "max_groups",
        (json_int_t)c->max_groups[0], (json_int_t)c->max_groups[1], (json_int_t)c->max_groups[2],
        "max_range", (json_int_t)c->max_range, "max_alloc", (json_int_t)c->max_alloc, "memory",
        (json_int_t)c->memory, "speed", c->speed);
    return json_pack("{s:s, s:I, s:s, s:s, s:s, s:o}", "backend", info->backend, "backend_index",
                     (json_int_t)info->index, "name", info->name, "vendor", info->vendor, "driver",
                     info->driver, "caps", caps);
}

static void format_json(const report *r, tv_text *out)
{
    json_t *trials = json_array();
    for (size_t i = 0; i < r->result->count; i++)
        json_array_append_new(trials, json_of_trial(&r->result->trials[i]));
    json_t *root = json_pack("{s:s, s:s, s:s, s:o, s:o, s:I, s:o}", "suite", "conformance",
                             "trivium", TV_VERSION, "date", r->date, "device",
                             json_of_device(r->info), "mask", json_of_text(r->request->mask),
                             "failed", (json_int_t)r->result->failed, "trials", trials);
    char *text = json_dumps(root, JSON_INDENT(1));
    TV_CHECK(text, "a report that is no JSON");
    tv_text_printf(out, "%s\n", text);
    free(text);
    json_decref(root);
}

// ---------------------------------------------------------------------------------------- the run

static tv_err write_report(const report *r, void (*format)(const report *r, tv_text *out),
                           const char *path, tv_writer *file)
{
    tv_text text = {0};
    format(r, &text);
    tv_err err = bench_write(&text, path, file);
    tv_text_finish(&text);
    return err;
}

static void show_progress(void *context, const tv_case *row, tv_dtype storage, size_t done,
                          size_t total)
{
    tv_op *current = context;
    (void)storage;
    if (*current != row->op)
        tv_info("%zu/%zu %s", done, total, tv_op_get_info(row->op)->name);
    *current = row->op;
}

static bool is_standard_output(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

tv_err bench_conformance(const bench_request *request)
{
    tv_op current = TV_OP_COUNT;
    tv_conformance result;
    report r = {.request = request, .info = tv_device_get_info(request->device), .result = &result};
    tv_wall_time(r.date);
    tv_err err = tv_conformance_run(request->device, request->op, show_progress, &current, &result);
    if (err == TV_OK)
        err = write_report(&r, format_json, request->json, request->json_file);
    if (err == TV_OK)
        err = write_report(&r, format_page, request->markdown, request->markdown_file);
    if (err == TV_OK && !is_standard_output(request->json) &&
        !is_standard_output(request->markdown))
        err = write_report(&r, format_plain, "-", NULL);
    if (err == TV_OK && result.failed > 0)
        err = tv_fail(TV_EDATA, "%zu of %zu trials on %s gave wrong results", result.failed,
                      result.count, r.info->name);
    tv_conformance_finish(&result);
    return err;
}
