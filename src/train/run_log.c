// The run's own account: log.txt in the run directory, each line also shown on stderr.
#include "train/run_log.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

struct tv_run_log {
    tv_appender *file;
    bool broken;
};

tv_err tv_run_log_open(const char *run_dir, tv_run_log **log)
{
    tv_text path = {0};
    tv_run_log *l = tv_alloc(1, sizeof *l);
    tv_err err = tv_appender_open(tv_path_join(&path, run_dir, "log.txt"), UINT64_MAX, &l->file);
    tv_text_finish(&path);
    if (err != TV_OK) {
        tv_free(l);
        return err;
    }
    *log = l;
    return TV_OK;
}

void tv_run_log_close(tv_run_log **log)
{
    if (!*log)
        return;
    tv_appender_close(&(*log)->file);
    tv_free(*log);
    *log = NULL;
}

void tv_run_log_line(tv_run_log *log, const char *format, ...)
{
    char line[1024], when[32];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    tv_info("%s", line);
    tv_wall_time(when);
    tv_text text = {0};
    tv_text_printf(&text, "%s %s\n", when, line);
    if (!log->broken && tv_appender_write(log->file, text.data, text.length) != TV_OK) {
        log->broken = true;
        tv_warn("%s", tv_error_message());
    }
    tv_text_finish(&text);
}
