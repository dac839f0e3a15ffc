// Log: lines on stderr, each written with one call so that threads do not mix within a line.
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static tv_log_level log_level = TV_LOG_INFO;

void tv_log_set_level(tv_log_level level)
{
    log_level = level;
}

tv_log_level tv_log_get_level(void)
{
    return log_level;
}

void tv_log(tv_log_level level, const char *format, ...)
{
    static const char *const prefix[] = {"error: ", "warning: ", "", ""};
    if (level > log_level)
        return;
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "%s%s%s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", prefix[level], text);
}
