// trivium bench: suites that are run on a device, and their reports.
#include "cmd.h"

#include "base/log.h"
#include "base/text.h"
#include "bench.h"

#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: trivium bench --suite SUITE [--device D] [--mask ITEM,...] [--op OP] [--json FILE]\n"
    "                     [--markdown FILE] [--no-selftest]\n"
    "\n"
    "Runs a suite on a device and prints a table. There is one suite:\n"
    "\n"
    "  conformance  every op, forward and gradient, in every storage type (f32, f16, bf16) "
    "against\n"
    "               references in double precision; errors are in units in the last place (ULP) "
    "of\n"
    "               the storage type. Exits with 1 if one is larger than arithmetic explains.\n"
    "\n"
    "  --device D       an index of `trivium devices`, a UUID, a part of a name, vulkan:N, ...\n"
    "  --mask ITEMS     as if the device were poorer (default: TRIVIUM_MASK)\n"
    "  --op OP          only one op, such as ATTENTION\n"
    "  --json FILE      writes everything that was measured; send it with a report of a bug.\n"
    "                   - is standard output, instead of the table\n"
    "  --markdown FILE  the table for a page of docs; - as above\n"
    "  --no-selftest    does not check first that the device computes correctly\n"
    "  --quiet          no progress on stderr\n";

static const struct suite {
    const char *name;
    tv_err (*run)(const bench_request *r);
} suites[] = {{"conformance", bench_conformance}};

enum { SUITE_COUNT = sizeof suites / sizeof *suites };

static tv_err find_suite(const char *name, const struct suite **suite)
{
    tv_text names = {0};
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (name && strcmp(suites[i].name, name) == 0) {
            *suite = &suites[i];
            tv_text_finish(&names);
            return TV_OK;
        }
        tv_text_printf(&names, "%s%s", i > 0 ? ", " : "", suites[i].name);
    }
    tv_err err =
        name ? tv_fail(TV_EUSAGE, "trivium bench: no suite '%s'; there is: %s", name, names.data)
             : tv_fail(TV_EUSAGE, "trivium bench: --suite is missing; there is: %s", names.data);
    tv_text_finish(&names);
    return err;
}

// Before anything is run: a suite takes minutes, and its report must have somewhere to go.
static tv_err open_report(const char *path, tv_writer **writer)
{
    return path && strcmp(path, "-") != 0 ? tv_writer_open(path, writer) : TV_OK;
}

// What was written is kept though the suite found errors, but not if it could not be run.
static tv_err close_report(tv_writer **writer, tv_err err)
{
    tv_err committed = TV_OK;
    if (*writer && (err == TV_OK || err == TV_EDATA))
        committed = tv_writer_commit(writer);
    tv_writer_abandon(writer);
    return err == TV_OK ? committed : err;
}

static tv_err run(const struct suite *suite, const char *device, const char *mask, bench_request *r)
{
    tv_err err = open_report(r->json, &r->json_file);
    if (err == TV_OK)
        err = open_report(r->markdown, &r->markdown_file);
    if (err == TV_OK)
        err = tv_device_open(device, mask, &r->device);
    if (err == TV_OK)
        err = suite->run(r);
    tv_device_close(&r->device);
    err = close_report(&r->json_file, err);
    return close_report(&r->markdown_file, err);
}

int cmd_bench(int argc, char **argv)
{
    const char *name = NULL, *device = NULL, *mask = getenv("TRIVIUM_MASK");
    const struct suite *suite = NULL;
    bench_request r = {0};
    bool done;
    int positional;
    const cmd_option options[] = {{.name = "suite", .value = &name},
                                  {.name = "device", .value = &device},
                                  {.name = "mask", .value = &mask},
                                  {.name = "op", .value = &r.op},
                                  {.name = "json", .value = &r.json},
                                  {.name = "markdown", .value = &r.markdown},
                                  CMD_NO_SELFTEST};
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &positional, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    if (positional > 0)
        return cmd_finish(tv_fail(TV_EUSAGE, "trivium bench takes no '%s'", argv[1]));
    r.mask = mask ? mask : "";
    err = find_suite(name, &suite);
    return cmd_finish(err == TV_OK ? run(suite, device, mask, &r) : err);
}
