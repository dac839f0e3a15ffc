// Log: lines on stderr for people. Results never go through here; they go to stdout.
#ifndef TV_BASE_LOG_H
#define TV_BASE_LOG_H

typedef enum tv_log_level { TV_LOG_ERROR, TV_LOG_WARN, TV_LOG_INFO, TV_LOG_DEBUG } tv_log_level;

// Lines above `level` are dropped (--quiet: TV_LOG_WARN). The only global state of the library.
void tv_log_set_level(tv_log_level level);
tv_log_level tv_log_get_level(void);

// One line; the newline is added, and a progress line on the same terminal is cleared first.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void tv_log(tv_log_level level, const char *format, ...);

#define tv_error(...) tv_log(TV_LOG_ERROR, __VA_ARGS__)
#define tv_warn(...) tv_log(TV_LOG_WARN, __VA_ARGS__)
#define tv_info(...) tv_log(TV_LOG_INFO, __VA_ARGS__)
#define tv_debug(...) tv_log(TV_LOG_DEBUG, __VA_ARGS__)

#endif
