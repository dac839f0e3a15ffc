// Errors: the thread's error line, exit codes and the abort for our own bugs.
#include "base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_MAX = TV_ERROR_LINE };

static _Thread_local char message[MESSAGE_MAX];

tv_err tv_fail(tv_err code, const char *format, ...)
{
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, sizeof message);
    return code;
}

tv_err tv_fail_in(tv_err code, const char *format, ...)
{
    char place[MESSAGE_MAX / 2], text[2 * MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(place, sizeof place, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", place, message);
    text[MESSAGE_MAX - 1] = 0;
    memcpy(message, text, sizeof message);
    return code;
}

void tv_error_keep(tv_kept_error *kept, tv_err err)
{
    if (kept->err != TV_OK || err == TV_OK)
        return;
    kept->err = err;
    memcpy(kept->line, message, sizeof kept->line);
}

tv_err tv_error_tell(const tv_kept_error *kept)
{
    return kept->err == TV_OK ? TV_OK : tv_fail(kept->err, "%s", kept->line);
}

tv_err tv_fail_errno(const char *format, ...)
{
    int cause = errno;
    char text[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool full = cause == ENOSPC || cause == EDQUOT || cause == EFBIG;
    return tv_fail(full ? TV_ENOSPC : TV_EIO, "%s: %s", text, strerror(cause));
}

const char *tv_error_message(void)
{
    return message;
}

int tv_exit_code(tv_err code)
{
    switch (code) {
    case TV_OK:
        return 0;
    case TV_EUSAGE:
        return 2;
    case TV_ENOSPC:
        return 28;
    case TV_ELOST:
    case TV_ESTOP:
        return 75;
    default:
        return 1;
    }
}

void tv_bug(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: bug in Trivium: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}
