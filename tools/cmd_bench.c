// trivium bench: suites that are run on a device, and their reports.
#include "cmd.h"

#include "base/log.h"
#include "base/text.h"
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: trivium bench --suite SUITE [--device D] [OPTION...]\n"
    "       mpirun -n N trivium bench --suite network [CONFIG.yaml] [KEY=VALUE ...]\n"
    "       trivium bench compare FILE.json... [--markdown FILE] [--plot FILE.png]\n"
    "\n"
    "Measures a device, checks in the same run that what it computes is right, and prints a "
    "table.\n"
    "docs/benchmarks.md explains every number. The suites:\n"
    "\n"
    "  quick        peaks: copying, multiply-adds, matrix products, attention\n"
    "  train        training steps of fixed models on random tokens\n"
    "  full         both, and a summary of conformance\n"
    "  scaling      step time against FLOP, over tokens, widths and depths\n"
    "  conformance  every op, forward and gradient, in every storage type (f32, f16, bf16) "
    "against\n"
    "               references in double precision; errors are in units in the last place (ULP) "
    "of\n"
    "               the storage type. Exits with 1 if one is larger than arithmetic explains.\n"
    "  network      links and collective calls between the ranks of a job; with a configuration\n"
    "               what a step of that run would take under each strategy, and which to use\n"
    "\n"
    "  --device D       an index of `trivium devices`, a UUID, a part of a name, vulkan:N, ...\n"
    "  --mask ITEMS     as if the device were poorer (default: TRIVIUM_MASK)\n"
    "  --out FILE       everything that was measured, as JSON (also: --json); - is standard "
    "output,\n"
    "                   instead of the table\n"
    "  --markdown FILE  the table for a page of docs; - as above\n"
    "  --plot FILE.png  a chart (not of conformance)\n"
    "  --seconds S      time for each result at most, but for three runs (quick: 2, train: 10)\n"
    "  --size N         quick: matrices of N x N (4096; on a CPU 1024)\n"
    "  --models A,B     train: these models, or all (default: what suits the device)\n"
    "  --shape SHAPE    train: a model of your own, such as L6,d384,H6,T256,B8,V8192 or\n"
    "                   llama:L22,d2048,H32,K4,F5632,T2048,B2,V32000,untied\n"
    "  --precision P,Q  train: 32-true, 16-mixed, bf16-mixed, bf16-true\n"
    "  --no-peaks       train: does not measure what utilisation is a part of\n"
    "  --op OP          conformance: only one op, such as ATTENTION\n"
    "  --verify         network: also takes steps, to compare with what was predicted\n"
    "  --share-device   network: lets several ranks use one device\n"
    "  --no-selftest    does not check first that the device computes correctly\n"
    "  --no-tune        takes kernels by guess and does not time which are faster (GPUs)\n"
    "  --quiet          no progress on stderr\n";

static const struct suite {
    const char *name;
    tv_err (*run)(const bench_request *r); // NULL: bench_network, which opens all by itself
} suites[] = {{"quick", bench_speed},
              {"train", bench_speed},
              {"full", bench_speed},
              {"scaling", bench_speed},
              {"conformance", bench_conformance},
              {"network", NULL}};

enum { SUITE_COUNT = sizeof suites / sizeof *suites };

tv_err bench_write(const tv_text *text, const char *path, tv_writer *file)
{
    if (!path)
        return TV_OK;
    if (file)
        return tv_writer_write(file, text->data, text->length);
    fwrite(text->data, 1, text->length, stdout);
    return TV_OK;
}

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

tv_err bench_open_reports(bench_request *r)
{
    TV_TRY(open_report(r->json, &r->json_file));
    return open_report(r->markdown, &r->markdown_file);
}

tv_err bench_close_reports(bench_request *r, tv_err err)
{
    err = close_report(&r->json_file, err);
    return close_report(&r->markdown_file, err);
}

static tv_err run(const struct suite *suite, const char *device, const char *mask, bench_request *r)
{
    tv_err err = bench_open_reports(r);
    if (err == TV_OK)
        err = tv_device_open(device, mask, &r->device);
    if (err == TV_OK)
        err = suite->run(r);
    tv_device_close(&r->device);
    return bench_close_reports(r, err);
}

// What must be a positive number; missing is 0.
static tv_err parse_number(const char *option, const char *text, double most, double *value)
{
    *value = 0;
    if (!text)
        return TV_OK;
    if (tv_parse_double(text, value) && *value > 0 && *value <= most)
        return TV_OK;
    return tv_fail(TV_EUSAGE, "trivium bench: --%s %s: expected a number above 0, at most %g",
                   option, text, most);
}

static tv_err check_request(const struct suite *suite, const char *seconds, const char *size,
                            bench_request *r)
{
    double n;
    bool conformance = suite->run == bench_conformance;
    TV_TRY(parse_number("seconds", seconds, 3600, &r->options.seconds));
    TV_TRY(parse_number("size", size, 32768, &n));
    r->options.size = (uint32_t)n;
    if (n != floor(n))
        return tv_fail(TV_EUSAGE, "trivium bench: --size %s is no whole number", size);
    if (conformance && r->plot)
        return tv_fail(TV_EUSAGE, "trivium bench: the suite conformance has no --plot");
    if (!conformance && r->op)
        return tv_fail(TV_EUSAGE, "trivium bench: only the suite conformance has --op");
    if (suite->run && (r->verify || r->share_device))
        return tv_fail(TV_EUSAGE, "trivium bench: only the suite network has --verify and "
                                  "--share-device");
    return tv_bench_options_check(&r->options);
}

int cmd_bench(int argc, char **argv)
{
    const char *device = NULL, *mask = getenv("TRIVIUM_MASK"), *seconds = NULL, *size = NULL;
    const struct suite *suite = NULL;
    bench_request r = {0};
    bool done;
    int positional;
    const cmd_option options[] = {{.name = "suite", .value = &r.suite},
                                  {.name = "device", .value = &device},
                                  {.name = "mask", .value = &mask},
                                  {.name = "op", .value = &r.op},
                                  {.name = "out", .value = &r.json},
                                  {.name = "json", .value = &r.json},
                                  {.name = "markdown", .value = &r.markdown},
                                  {.name = "plot", .value = &r.plot},
                                  {.name = "seconds", .value = &seconds},
                                  {.name = "size", .value = &size},
                                  {.name = "models", .value = &r.options.models},
                                  {.name = "shape", .value = &r.options.shape},
                                  {.name = "precision", .value = &r.options.precision},
                                  {.name = "no-peaks", .flag = &r.options.no_peaks},
                                  {.name = "verify", .flag = &r.verify},
                                  {.name = "share-device", .flag = &r.share_device},
                                  CMD_NO_SELFTEST,
                                  CMD_NO_TUNE};
    if (argc > 1 && strcmp(argv[1], "compare") == 0)
        return bench_compare(argc - 1, argv + 1);
    tv_err err =
        cmd_parse(argc, argv, options, sizeof options / sizeof *options, help, &positional, &done);
    if (err != TV_OK || done)
        return cmd_finish(err);
    r.mask = mask ? mask : "";
    err = find_suite(r.suite, &suite);
    if (err == TV_OK && suite->run && positional > 0)
        err = tv_fail(TV_EUSAGE, "trivium bench takes no '%s'", argv[1]);
    if (err == TV_OK)
        err = check_request(suite, seconds, size, &r);
    if (suite && !suite->run)
        return bench_network(&r, argv + 1, positional, device, err);
    return cmd_finish(err == TV_OK ? run(suite, device, mask, &r) : err);
}
