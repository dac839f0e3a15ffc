// Suites of trivium bench: cmd_bench.c opens what they need, each bench_*.c or cmd_bench_*.c is
// one.
#ifndef TV_TOOLS_BENCH_H
#define TV_TOOLS_BENCH_H

#include "base/error.h"
#include "base/file.h"
#include "device/device.h"

typedef struct bench_request {
    tv_device *device;
    const char *mask; // as given, or of the environment; "" where there is none
    const char *op;   // NULL: all
    // Where reports go: "-" for standard output instead of the table, NULL for nowhere.
    const char *json, *markdown;
    tv_writer *json_file, *markdown_file; // of names that are not "-"; committed by cmd_bench.c
} bench_request;

// Runs, and writes the reports. TV_EDATA, after them, where a result is wrong.
tv_err bench_conformance(const bench_request *r);

#endif
