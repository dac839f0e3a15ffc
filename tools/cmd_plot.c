// trivium plot: a picture of the losses of one or several runs.
#include "cmd.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "report/plot.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "usage: trivium plot RUN... --out FILE.png [--title TEXT]\n"
    "\n"
    "Draws training and validation loss over optimizer steps, and the learning rate below.\n"
    "RUN is a run's directory or a metrics.jsonl file; several runs are drawn into one picture.\n"
    "\n"
    "  --out FILE.png   where the picture goes (an existing file is replaced)\n"
    "  --title TEXT     instead of the run's name\n"
    "  --quiet          no line about what was written\n";

// "runs/tiny/" and "runs/tiny/metrics.jsonl" are both the run "runs/tiny".
static const char *run_name(tv_arena *arena, const char *path)
{
    static const char file[] = "/metrics.jsonl";
    char *name = tv_arena_printf(arena, "%s", path);
    if (tv_ends_with(name, file))
        name[strlen(name) - strlen(file)] = 0;
    while (strlen(name) > 1 && tv_ends_with(name, "/"))
        name[strlen(name) - 1] = 0;
    return name;
}

static const char *default_title(const tv_plot_run *runs, size_t count)
{
    return count == 1 ? tv_path_base(runs[0].name) : "Training runs";
}

static tv_err plot_runs(const char *const *paths, size_t count, const char *title, const char *out)
{
    tv_arena arena = {0};
    tv_plot_run *runs = tv_arena_alloc(&arena, count, sizeof *runs);
    tv_err err = TV_OK;
    size_t opened = 0;
    for (; opened < count && err == TV_OK; opened++) {
        tv_metrics *lines = NULL;
        err = tv_metrics_read(paths[opened], &lines, &runs[opened].count);
        runs[opened].lines = lines;
        runs[opened].name = run_name(&arena, paths[opened]);
    }
    if (err == TV_OK)
        err = tv_plot_write(out, title ? title : default_title(runs, count), runs, count);
    for (size_t i = 0; i < opened; i++)
        tv_free((void *)runs[i].lines);
    tv_arena_finish(&arena);
    return err;
}

int cmd_plot(int argc, char **argv)
{
    const char *out = NULL, *title = NULL;
    const cmd_option options[] = {{.name = "out", .value = &out},
                                  {.name = "title", .value = &title}};
    int count;
    bool done;
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &count, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    if (count == 0)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium plot: name at least one run"));
    if (!out)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium plot: --out FILE.png is missing"));
    err = plot_runs((const char *const *)(argv + 1), (size_t)count, title, out);
    if (err == TV_OK)
        tv_info("wrote %s", out);
    return cmd_finish(err);
}
