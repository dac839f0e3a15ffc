// trivium bench compare: reports of several machines as one table and one chart.
#include "bench.h"
#include "cmd.h"

#include "base/log.h"
#include "base/memory.h"

#include <stdio.h>

static const char help[] =
    "usage: trivium bench compare FILE.json... [--markdown FILE] [--plot FILE.png]\n"
    "\n"
    "Puts reports of trivium bench --out side by side: quick, train, full and scaling. Results "
    "that\n"
    "were wrong are marked and not drawn.\n"
    "\n"
    "  --markdown FILE  where the table goes (default: standard output)\n"
    "  --plot FILE.png  a chart (also: --out)\n"
    "  --quiet          no line about what was written\n";

static tv_err write_comparison(const tv_bench_report *reports, size_t count, const char *markdown,
                               const char *plot)
{
    tv_text text = {0};
    tv_bench_compare_markdown(reports, count, &text);
    tv_err err = TV_OK;
    if (markdown)
        err = tv_file_write(markdown, text.data, text.length);
    else
        fwrite(text.data, 1, text.length, stdout);
    tv_text_finish(&text);
    if (err == TV_OK && plot)
        err = tv_bench_chart(plot, reports, count);
    if (err == TV_OK && plot)
        tv_info("wrote %s", plot);
    return err;
}

int bench_compare(int argc, char **argv)
{
    const char *markdown = NULL, *plot = NULL;
    const cmd_option options[] = {{.name = "markdown", .value = &markdown},
                                  {.name = "plot", .value = &plot},
                                  {.name = "out", .value = &plot}};
    int count;
    bool done;
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &count, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    if (count == 0)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium bench compare: name at least one report"));
    tv_bench_report *reports = tv_alloc((size_t)count, sizeof *reports);
    for (int i = 0; i < count && err == TV_OK; i++)
        err = tv_bench_report_read(argv[1 + i], &reports[i]);
    if (err == TV_OK)
        err = write_comparison(reports, (size_t)count, markdown, plot);
    for (int i = 0; i < count; i++)
        tv_bench_report_finish(&reports[i]);
    tv_free(reports);
    return cmd_finish(err);
}
