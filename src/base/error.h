// Errors: one failure, one line. The place that knows the cause writes the line; callers pass it
// on.
#ifndef TV_BASE_ERROR_H
#define TV_BASE_ERROR_H

#include <stdarg.h>

typedef enum tv_err {
    TV_OK = 0,
    TV_EIO,       // the operating system refused a file operation
    TV_ENOSPC,    // disk full (or quota, or file size limit)
    TV_EFORMAT,   // a file's content breaks its format
    TV_EUSAGE,    // a command line or configuration that cannot be meant
    TV_ENODEVICE, // no device, or none of that name
    TV_EDEVICE,   // a driver call failed
    TV_ELOST,     // the device was lost; everything on it is gone
    TV_ETIMEOUT,  // the device did not answer in time
    TV_EMEMORY,   // device memory does not suffice
    TV_ESTOP,     // stopped on request; resumable
    TV_EDATA,     // numbers that cannot be trained on (too many non-finite steps, empty data)
    TV_ENET,      // communication between ranks failed
} tv_err;

// Sets this thread's error line (printf style, no newline) and returns `code`.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
tv_err
tv_fail(tv_err code, const char *format, ...);

// Puts "what: " before this thread's error line and returns `code`: for a caller that knows where.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
tv_err
tv_fail_in(tv_err code, const char *format, ...);

// Like tv_fail with errno's text appended; ENOSPC, EDQUOT and EFBIG become TV_ENOSPC, others
// TV_EIO.
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
tv_err
tv_fail_errno(const char *format, ...);

// The line of this thread's latest failure; valid until the next one. Never NULL.
const char *tv_error_message(void);

// The first of several failures, with its line, over what is done in spite of it. All zero: none.
enum { TV_ERROR_LINE = 1024 };
typedef struct tv_kept_error {
    tv_err err;
    char line[TV_ERROR_LINE];
} tv_kept_error;

// Keeps this thread's failure `err`, unless it is TV_OK or another one is kept already.
void tv_error_keep(tv_kept_error *kept, tv_err err);
// Makes what is kept this thread's failure, and returns its code.
tv_err tv_error_tell(const tv_kept_error *kept);

// The program's exit code for an error (0 done, 1 failed, 2 usage, 28 disk full, 75 resumable).
int tv_exit_code(tv_err code);

// Our own bug: prints the line with its place and aborts.
#if defined(__GNUC__)
__attribute__((noreturn, format(printf, 3, 4)))
#endif
void tv_bug(const char *file, int line, const char *format, ...);

#define TV_TRY(expr)                                                                               \
    do {                                                                                           \
        tv_err err_ = (expr);                                                                      \
        if (err_ != TV_OK)                                                                         \
            return err_;                                                                           \
    } while (0)

// For functions that clean up: stores into a local `err` and jumps to `label`.
#define TV_GOTO(label, expr)                                                                       \
    do {                                                                                           \
        err = (expr);                                                                              \
        if (err != TV_OK)                                                                          \
            goto label;                                                                            \
    } while (0)

#define TV_CHECK(cond, ...)                                                                        \
    do {                                                                                           \
        if (!(cond))                                                                               \
            tv_bug(__FILE__, __LINE__, __VA_ARGS__);                                               \
    } while (0)

#endif
