// Suites of trivium bench: cmd_bench.c opens what they need, each bench_*.c or cmd_bench_*.c is
// one.
#ifndef TV_TOOLS_BENCH_H
#define TV_TOOLS_BENCH_H

#include "base/error.h"
#include "base/file.h"
#include "bench/suite.h"
#include "device/device.h"

typedef struct bench_request {
    const char *suite;
    tv_device *device;
    const char *mask; // as given, or of the environment; "" where there is none
    const char *op;   // of conformance, NULL: all
    tv_bench_options options;
    // Where reports go: "-" for standard output instead of the table, NULL for nowhere.
    const char *json, *markdown;
    const char *plot;                     // a PNG file, NULL: none
    bool verify, share_device;            // of network
    tv_writer *json_file, *markdown_file; // of names that are not "-"; committed by cmd_bench.c
} bench_request;

// Runs, and writes the reports. TV_EDATA, after them, where a result is wrong.
tv_err bench_conformance(const bench_request *r);
tv_err bench_speed(const bench_request *r); // quick, train, full, scaling

// mpirun -n N trivium bench --suite network: the whole command, on each rank. `err`: what reading
// the command line came to. Returns the exit code.
int bench_network(bench_request *r, char **arguments, int count, const char *device, tv_err err);

// Before anything is run, and behind it: only what was measured is kept, right or wrong.
tv_err bench_open_reports(bench_request *r);
tv_err bench_close_reports(bench_request *r, tv_err err);
// In all forms that were asked for, and as a picture; TV_EDATA, after them, where a result is
// wrong.
tv_err bench_write_reports(const bench_request *r, const tv_bench_report *report);

// Appends `text` to standard output where `path` is "-", to the file, or nowhere.
tv_err bench_write(const tv_text *text, const char *path, tv_writer *file);

// trivium bench compare: argv[0] is "compare". Returns the exit code.
int bench_compare(int argc, char **argv);

#endif
