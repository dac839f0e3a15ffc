// Tests of src/bench: when a median is stable, what Linux tells (by a folder that stands for it),
// shapes, reports as JSON and back, tables and charts of several reports.
#include "base/file.h"
#include "base/memory.h"
#include "bench/host.h"
#include "bench/peaks.h"
#include "bench/report.h"
#include "bench/suite.h"
#include "harness/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Fontconfig keeps its caches until the process ends.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

// ------------------------------------------------------------------------------------- statistics

static void test_summary_of_few_values(void **state)
{
    (void)state;
    double one[] = {3}, four[] = {4, 1, 3, 2};
    tv_bench_summary s = tv_bench_summarize(one, 1, 0.5);
    assert_true(s.count == 1 && s.min == 3 && s.median == 3 && s.max == 3 && !s.stable);
    s = tv_bench_summarize(four, 4, 0.5);
    assert_true(s.min == 1 && s.median == 2.5 && s.max == 4 && s.low == 1 && s.high == 4);
    assert_false(s.stable); // no interval of 95 % has so few values
}

// Ranks of the median's 95 % interval, from tables of the binomial distribution.
static void test_interval_of_the_median(void **state)
{
    (void)state;
    static const size_t counts[][2] = {{5, 0},  {6, 0},  {8, 0},  {9, 1},  {11, 1},
                                       {12, 2}, {15, 3}, {20, 5}, {30, 9}, {100, 39}};
    double values[100];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        size_t n = counts[i][0], outside = counts[i][1];
        for (size_t k = 0; k < n; k++)
            values[k] = (double)(n - k); // from n down to 1
        tv_bench_summary s = tv_bench_summarize(values, n, 0);
        assert_int_equal((int)s.low, 1 + outside);
        assert_int_equal((int)s.high, n - outside);
        assert_true(s.median == (double)(n + 1) / 2);
    }
}

static void test_rates(void **state)
{
    (void)state;
    double seconds[] = {2, 4, 8};
    tv_bench_summary s = tv_bench_summarize(seconds, 3, 0.1), r = tv_bench_rates(&s, 16);
    assert_true(r.min == 2 && r.median == 4 && r.max == 8 && r.count == 3);
}

typedef struct script {
    const double *values;
    size_t count, taken;
    tv_err fails_at_end;
} script;

static tv_err play(void *context, double *seconds)
{
    script *s = context;
    if (s->taken == s->count)
        return s->fails_at_end;
    *seconds = s->values[s->taken++];
    return TV_OK;
}

static void test_repeats_until_the_median_is_stable(void **state)
{
    (void)state;
    static const double steady[] = {9, 9, 1, 1.01, 1, 0.99, 1, 1.01, 5, 5};
    static const double wild[] = {1, 9, 2, 8, 3, 7, 4, 6, 5, 5};
    tv_bench_rule rule = {.tolerance = 0.02, .warm_up = 2, .fewest = 3, .most = 8};
    tv_bench_summary summary;
    script s = {steady, 10, 0, TV_EDEVICE};
    rule.seconds = 1e-9; // is over at once: the fewest are taken all the same
    assert_ok(tv_bench_repeat(&rule, play, &s, &summary));
    assert_int_equal(s.taken, 2 + 3); // the warm-up's are not counted
    assert_true(summary.count == 3 && summary.median == 1 && !summary.stable);

    s.taken = 0;
    rule = (tv_bench_rule){.tolerance = 0.02, .fewest = 3, .most = 8, .seconds = 3600};
    s.values += 2;
    s.count = 8;
    assert_ok(tv_bench_repeat(&rule, play, &s, &summary));
    assert_true(summary.count == 8); // six would do, but a quarter of an hour has not passed

    s = (script){wild, 10, 0, TV_EDEVICE};
    assert_ok(tv_bench_repeat(&rule, play, &s, &summary));
    assert_true(summary.count == 8 && !summary.stable);

    tv_fail(TV_EDEVICE, "the device is gone");
    s = (script){wild, 2, 0, TV_EDEVICE};
    assert_int_equal(tv_bench_repeat(&rule, play, &s, &summary), TV_EDEVICE);
}

// ---------------------------------------------------------------------------------------- the host

typedef struct folder {
    char root[64];
} folder;

static int make_folder(void **state)
{
    folder *f = tv_alloc(1, sizeof *f);
    snprintf(f->root, sizeof f->root, "/tmp/trivium-bench-XXXXXX");
    *state = f;
    return mkdtemp(f->root) ? 0 : -1;
}

static int remove_folder(void **state)
{
    folder *f = *state;
    tv_err err = tv_remove_tree(f->root);
    tv_free(f);
    return err == TV_OK ? 0 : -1;
}

static void put(const folder *f, const char *path, const char *text)
{
    char name[256], parent[256];
    snprintf(name, sizeof name, "%s/%s", f->root, path);
    snprintf(parent, sizeof parent, "%s", name);
    *strrchr(parent, '/') = 0;
    assert_ok(tv_make_dirs(parent));
    assert_ok(tv_file_write(name, text, strlen(text)));
}

static void test_what_linux_does_not_tell(void **state)
{
    folder *f = *state;
    tv_bench_host host;
    tv_device_info device = {.device_class = TV_CLASS_DISCRETE, .pci = "0000:01:00.0"};
    tv_bench_meter meter;
    tv_bench_host_describe(f->root, &host);
    assert_string_equal(host.cpu, "");
    assert_true(host.memory == 0 && host.cores > 0);
    tv_bench_moment m = tv_bench_moment_read(f->root, &device);
    assert_true(isnan(m.load) && isnan(m.cpu_mhz_mean) && isnan(m.cpu_celsius));
    assert_true(m.throttled == -1 && isnan(m.device_mhz) && isnan(m.device_celsius));
    assert_true(isnan(tv_bench_others(&m, &m)) && isnan(tv_bench_stolen(&m, &m)));
    tv_bench_meter_open(f->root, &device, &meter);
    tv_bench_meter_start(&meter);
    tv_bench_meter_tick(&meter);
    assert_string_equal(meter.source, "");
    assert_true(isnan(tv_bench_meter_joules(&meter)));
}

static void test_what_linux_tells(void **state)
{
    folder *f = *state;
    tv_bench_host host;
    tv_device_info device = {.device_class = TV_CLASS_DISCRETE, .pci = "0000:01:00.0"};
    put(f, "proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU 9000\ncpu MHz\t\t: 1234.5\n");
    put(f, "proc/meminfo", "MemTotal:       1048576 kB\nMemFree: 5 kB\n");
    put(f, "proc/loadavg", "0.75 0.50 0.25 1/100 1234\n");
    put(f, "etc/os-release", "ID=some\nPRETTY_NAME=\"Some OS 1\"\n");
    tv_bench_host_describe(f->root, &host);
    assert_string_equal(host.cpu, "Some CPU 9000");
    assert_string_equal(host.os, "Some OS 1");
    assert_true(host.memory == 1ull << 30);
    tv_bench_moment m = tv_bench_moment_read(f->root, &device);
    assert_true(isnan(m.cpu_total));
    put(f, "proc/stat", "cpu  100 20 30 400 50 6 4 10 0 0\ncpu0 1 2 3 4\n");
    m = tv_bench_moment_read(f->root, &device);
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    assert_true(fabs(m.cpu_total - 620 * tick) < 1e-9 && fabs(m.cpu_busy - 160 * tick) < 1e-9);
    assert_true(fabs(m.cpu_stolen - 10 * tick) < 1e-9 && m.cpu_own > 0);
    assert_true(m.load == 0.75 && m.cpu_mhz_mean == 1234.5 && m.throttled == -1);

    put(f, "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1000000\n");
    put(f, "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "3000000\n");
    put(f, "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "2\n");
    put(f, "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "3\n");
    put(f, "sys/class/hwmon/hwmon0/name", "acpitz\n");
    put(f, "sys/class/hwmon/hwmon1/name", "k10temp\n");
    put(f, "sys/class/hwmon/hwmon1/temp1_input", "61000\n");
    put(f, "sys/bus/pci/devices/0000:01:00.0/hwmon/hwmon3/freq1_input", "1500000000\n");
    put(f, "sys/bus/pci/devices/0000:01:00.0/hwmon/hwmon3/temp1_input", "70500\n");
    m = tv_bench_moment_read(f->root, &device);
    assert_true(m.cpu_mhz_min == 1000 && m.cpu_mhz_mean == 2000 && m.cpu_mhz_max == 3000);
    assert_true(m.throttled == 5 && m.cpu_celsius == 61);
    assert_true(m.device_mhz == 1500 && m.device_celsius == 70.5);
}

static void test_joules_of_a_cpu(void **state)
{
    folder *f = *state;
    tv_device_info device = {.device_class = TV_CLASS_CPU};
    tv_bench_meter meter;
    put(f, "sys/class/powercap/intel-rapl:0/energy_uj", "9000000\n");
    put(f, "sys/class/powercap/intel-rapl:0/max_energy_range_uj", "10000000\n");
    put(f, "sys/class/powercap/intel-rapl:0:0/energy_uj", "5\n"); // a part of the package
    put(f, "sys/class/powercap/intel-rapl:1/energy_uj", "0\n");
    tv_bench_meter_open(f->root, &device, &meter);
    assert_true(meter.count == 2 && !meter.is_power && meter.source[0]);
    tv_bench_meter_start(&meter);
    put(f, "sys/class/powercap/intel-rapl:0/energy_uj", "1000000\n"); // wrapped around
    put(f, "sys/class/powercap/intel-rapl:1/energy_uj", "500000\n");
    tv_bench_meter_tick(&meter);
    assert_true(fabs(tv_bench_meter_joules(&meter) - 2.5) < 1e-9);
    put(f, "sys/class/powercap/intel-rapl:1/energy_uj", "1500000\n");
    tv_bench_meter_tick(&meter);
    assert_true(fabs(tv_bench_meter_joules(&meter) - 3.5) < 1e-9);
}

static void test_joules_of_a_card(void **state)
{
    folder *f = *state;
    tv_device_info device = {.device_class = TV_CLASS_DISCRETE, .pci = "0000:01:00.0"};
    tv_bench_meter meter;
    put(f, "sys/class/powercap/intel-rapl:0/energy_uj", "9000000\n"); // is the host's
    put(f, "sys/bus/pci/devices/0000:01:00.0/hwmon/hwmon3/power1_average", "100000000\n");
    tv_bench_meter_open(f->root, &device, &meter);
    assert_true(meter.count == 1 && meter.is_power);
    assert_string_equal(meter.source, "hwmon power1_average of the device");
    tv_bench_meter_start(&meter);
    double start = meter.time;
    put(f, "sys/bus/pci/devices/0000:01:00.0/hwmon/hwmon3/power1_average", "200000000\n");
    tv_bench_meter_tick(&meter);
    double seconds = meter.time - start; // at 150 watts on average
    assert_true(fabs(tv_bench_meter_joules(&meter) - 150 * seconds) < 1e-9);
    put(f, "sys/bus/pci/devices/0000:01:00.0/hwmon/hwmon3/energy1_input", "7\n");
    tv_bench_meter_open(f->root, &device, &meter);
    assert_string_equal(meter.source, "hwmon energy1_input of the device");
}

static void test_peak_memory(void **state)
{
    (void)state;
    enum { BYTES = 64 << 20 };
    if (!tv_bench_memory_reset())
        skip();
    uint64_t before = tv_bench_memory_peak();
    // Not from the heap, which may keep what is freed.
    char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    memset(memory, 1, BYTES);
    assert_int_equal(munmap(memory, BYTES), 0);
    assert_true(tv_bench_memory_peak() >= before + BYTES / 2);
    assert_true(tv_bench_memory_reset() && tv_bench_memory_peak() < before + BYTES / 2);
}

// ----------------------------------------------------------------------------------------- shapes

static void test_shapes(void **state)
{
    (void)state;
    tv_bench_shape s;
    bool cpu;
    assert_ok(tv_bench_shape_parse("L6 d384, H6,T256,B8,V8192", &s));
    assert_true(!s.llama && s.layers == 6 && s.width == 384 && s.heads == 6 && s.time == 256);
    assert_true(s.batch == 8 && s.vocabulary == 8192 && s.inner == 0 && s.kv_heads == 0);
    assert_ok(tv_bench_shape_parse("llama:L2,d64,H4,K2,F96,T32,B1,V100,untied", &s));
    assert_true(s.llama && s.untied && s.kv_heads == 2 && s.inner == 96);
    assert_ok(tv_bench_shape_parse("gpt2:L1,d64,H4,T32,B1,V100", &s));
    assert_false(s.llama);
    assert_error(tv_bench_shape_parse("", &s), TV_EUSAGE, "L is missing");
    assert_error(tv_bench_shape_parse("L1,d64,H4,T32,B0,V100", &s), TV_EUSAGE, "'B0' is no size");
    assert_error(tv_bench_shape_parse("L1,d64x", &s), TV_EUSAGE, "'d64x' is no size");
    assert_error(tv_bench_shape_parse("L1,d64,H4,T9999999,B9999,V100", &s), TV_EUSAGE, "tokens");
    assert_error(tv_bench_shape_parse("bert:L1", &s), TV_EUSAGE, "no size");
    for (size_t i = 0; tv_bench_model(i, &s, &cpu); i++) {
        char batch[32];
        snprintf(batch, sizeof batch, "-b%ut%u", s.batch, s.time);
        assert_non_null(strstr(s.name, batch)); // names say what they are
        assert_int_equal(s.llama, strncmp(s.name, "llama-", 6) == 0);
        for (size_t k = 0; k < i; k++) {
            tv_bench_shape other;
            assert_true(tv_bench_model(k, &other, &cpu) && strcmp(other.name, s.name) != 0);
        }
    }
}

static void test_numbers_to_compute_with(void **state)
{
    (void)state;
    double sum = 0, square = 0;
    enum { COUNT = 100000 };
    for (uint64_t i = 0; i < COUNT; i++) {
        double value = (double)tv_bench_value(3, i);
        assert_true(value >= -1 && value < 1);
        sum += value;
        square += value * value;
    }
    assert_true(fabs(sum / COUNT) < 0.01 && fabs(square / COUNT - 1.0 / 3) < 0.01);
    assert_true(tv_bench_value(3, 5) == tv_bench_value(3, 5));
    assert_true(tv_bench_value(3, 5) != tv_bench_value(4, 5));
    assert_true(fabs(tv_bench_value_as(TV_BF16, 3, 5) - tv_bench_value_as(TV_F32, 3, 5)) < 0.004);
}

// ---------------------------------------------------------------------------------------- reports

static const tv_bench_summary steady = {9, 1, 2, 4, 1.5, 3, true};

static tv_bench_report make_report(const char *name, double rate)
{
    tv_device_info info = {.backend = "vulkan", .index = 2, .device_class = TV_CLASS_DISCRETE};
    tv_bench_report r;
    snprintf(info.name, sizeof info.name, "%s", name);
    info.caps.memory = 8ull << 30;
    tv_bench_report_init(&r, "train", &info, "no-f16", 2.5);
    r.before = (tv_bench_moment){0.5, 1000, 1500, 2000, NAN, 3, NAN, NAN, 100, 40, 7, 2};
    r.after = (tv_bench_moment){0.75, NAN, NAN, NAN, 55, -1, 1800, 66, 200, 100, 37, 12};
    tv_bench_result *x = tv_bench_report_add(&r, TV_BENCH_MATMUL, "GFLOP/s", "matmul f32 nt %d", 8);
    x->rate = tv_bench_rates(&steady, 4 * rate);
    x->good = true;
    x = tv_bench_report_add(&r, TV_BENCH_TRAIN, "tokens/s", "train tiny 32-true");
    x->rate = tv_bench_rates(&steady, rate);
    x->good = true;
    x->training = (tv_bench_training){.parameters = 1e6,
                                      .flops_per_token = 6e6,
                                      .step_tokens = 64,
                                      .flops = 3e6 * rate,
                                      .peak_flops = 6e6 * rate,
                                      .plan_bytes = 1 << 20,
                                      .host_bytes = NAN,
                                      .joules_token = 0.25,
                                      .loss = 4.125,
                                      .expected_loss = 4};
    snprintf(x->training.peak, sizeof x->training.peak, "matmul f32 nt 8");
    x = tv_bench_report_add(&r, TV_BENCH_TRAIN, "tokens/s", "train huge 32-true");
    snprintf(x->skipped, sizeof x->skipped, "needs more memory");
    x = tv_bench_report_add(&r, TV_BENCH_COPY, "GB/s", "copy f32 1 MiB");
    x->rate = tv_bench_rates(&steady, 2);
    snprintf(x->check, sizeof x->check, "5 of 7 elements differ");
    return r;
}

// Files hold nine digits.
static void assert_same(double a, double b)
{
    assert_true((isnan(a) && isnan(b)) || fabs(a - b) <= 1e-8 * fabs(a));
}

static void assert_same_result(const tv_bench_result *a, const tv_bench_result *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->unit, b->unit);
    assert_string_equal(a->skipped, b->skipped);
    assert_string_equal(a->check, b->check);
    assert_true(a->kind == b->kind && a->good == b->good && a->rate.count == b->rate.count);
    assert_true(a->rate.stable == b->rate.stable);
    if (a->skipped[0])
        return;
    assert_same(a->rate.min, b->rate.min);
    assert_same(a->rate.median, b->rate.median);
    assert_same(a->rate.max, b->rate.max);
    assert_same(a->rate.low, b->rate.low);
    assert_same(a->rate.high, b->rate.high);
    assert_same(a->training.flops, b->training.flops);
    assert_same(a->training.host_bytes, b->kind == TV_BENCH_TRAIN ? b->training.host_bytes : 0);
    assert_same(a->training.joules_token, b->training.joules_token);
    assert_same(a->training.loss, b->training.loss);
    assert_string_equal(a->training.peak, b->training.peak);
    assert_same(a->travel.bytes, b->travel.bytes);
    assert_same(a->travel.seconds, b->travel.seconds);
    assert_same(a->travel.of_link, b->travel.of_link);
}

static void test_report_as_json_and_back(void **state)
{
    (void)state;
    tv_bench_report r = make_report("Card", 64), back;
    tv_text json = {0}, again = {0};
    r.has_conformance = r.has_fit = true;
    r.trials = 300;
    r.wrong = 2;
    r.fit = (tv_bench_fit){0.5, 1e-9, 0.125, "train tiny 32-true"};
    tv_bench_result *sum = tv_bench_report_add(&r, TV_BENCH_COLLECTIVE, "MB/s", "all-reduce 4 KiB");
    sum->good = true;
    sum->travel = (tv_bench_travel){4096, 0.25, 0.75};
    tv_bench_result *link = tv_bench_report_add(&r, TV_BENCH_LINK, "MB/s", "link 0>1");
    link->good = true;
    link->travel = (tv_bench_travel){1 << 20, 0.5, NAN};
    tv_bench_report_json(&r, &json);
    assert_ok(tv_bench_report_parse((uint8_t *)json.data, json.length, "x.json", &back));
    assert_string_equal(back.suite, "train");
    assert_string_equal(back.mask, "no-f16");
    assert_string_equal(back.device.name, "Card");
    assert_string_equal(back.device.device_class, "discrete");
    assert_string_equal(back.host.kernel, r.host.kernel);
    assert_true(back.device.index == 2 && back.device.memory == 8ull << 30);
    assert_true(back.before.throttled == 3 && back.after.throttled == -1);
    assert_same(back.after.device_mhz, 1800);
    assert_same(back.after.cpu_mhz_mean, NAN);
    assert_same(0.3, tv_bench_others(&back.before, &back.after)); // of the 60 that were busy
    assert_same(0.1, tv_bench_stolen(&back.before, &back.after));
    assert_int_equal(back.count, r.count);
    for (size_t i = 0; i < r.count; i++)
        assert_same_result(&back.results[i], &r.results[i]);
    assert_true(back.has_fit && back.fit.worst == 0.125 && back.fit.per_flop == 1e-9);
    assert_true(back.has_conformance && back.trials == 300);
    assert_int_equal(tv_bench_report_wrong(&back), 2 + 1); // trials, and the copy
    tv_bench_report_json(&back, &again);
    assert_string_equal(json.data, again.data);
    tv_text_finish(&json);
    tv_text_finish(&again);
    tv_bench_report_finish(&r);
    tv_bench_report_finish(&back);
}

#define HEAD "{\"schema\": \"trivium-bench\", \"version\": 1"
#define PLACE ", \"host\": {}, \"device\": {}, \"before\": {}, \"after\": {}"

static void test_reports_that_cannot_be_read(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "x.json"},
        {"{}", "no report of trivium bench"},
        {"{\"schema\": \"other\"}", "no report of trivium bench"},
        {"{\"schema\": \"trivium-bench\", \"version\": 2}", "version 2"},
        {"{\"schema\": \"trivium-bench\"}", "version 0"},
        {HEAD "}", "no object 'host'"},
        {HEAD PLACE "}", "no list 'results'"},
        {HEAD PLACE ", \"results\": [5]}", "no object"},
        {HEAD PLACE ", \"results\": [{\"kind\": \"dance\"}]}", "unknown kind 'dance'"},
        {HEAD PLACE ", \"results\": [{\"kind\": \"copy\", \"name\": \"x\"}]}", "name or unit"},
        {HEAD PLACE ", \"results\": [{\"kind\": \"train\", \"name\": \"x\", \"unit\": \"y\"}]}",
         "no object 'training'"},
        {HEAD PLACE ", \"results\": [{\"kind\": \"link\", \"name\": \"x\", \"unit\": \"y\"}]}",
         "no object 'travel'"},
        {HEAD PLACE ", \"results\": [{\"kind\": \"copy\", \"name\": \"x\", \"unit\": \"y\", "
                    "\"median\": \"fast\"}]}",
         "median"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tv_bench_report r;
        const uint8_t *data = (const uint8_t *)cases[i][0];
        assert_error(tv_bench_report_parse(data, strlen(cases[i][0]), "x.json", &r), TV_EFORMAT,
                     cases[i][1]);
        assert_null(r.results);
    }
}

static void test_fit_of_a_line(void **state)
{
    (void)state;
    tv_bench_report r = make_report("Card", 64);
    assert_false(tv_bench_fit_line(&r)); // none is of the sweep
    for (int i = 1; i <= 4; i++) {
        tv_bench_result *x = tv_bench_report_add(&r, TV_BENCH_SCALING, "tokens/s", "scaling %d", i);
        double seconds = 0.5 + 0.25 * i; // 0.5 s, and 0.25 s for 1e9 FLOP
        x->good = true;
        x->training = (tv_bench_training){.flops_per_token = 1e7 * i, .step_tokens = 100};
        x->rate = (tv_bench_summary){.count = 3, .median = 100 / seconds};
    }
    assert_true(tv_bench_fit_line(&r) && r.has_fit);
    assert_true(fabs(r.fit.fixed - 0.5) < 1e-9 && fabs(r.fit.per_flop - 0.25e-9) < 1e-18);
    assert_true(r.fit.worst < 1e-9);
    r.results[r.count - 1].rate.median /= 1.3; // takes longer than the line says
    assert_true(tv_bench_fit_line(&r) && r.fit.worst > 0.05 && r.fit.worst < 0.3);
    tv_bench_report_finish(&r);
}

static void test_results_that_others_disturbed(void **state)
{
    (void)state;
    tv_bench_report r = make_report("Card", 64);
    tv_text text = {0};
    assert_true(isnan(r.results[0].others) && !tv_bench_is_disturbed(&r, &r.results[0]));
    r.results[0].others = 0.3;
    assert_false(tv_bench_is_disturbed(&r, &r.results[0])); // a card computes by itself
    snprintf(r.device.device_class, sizeof r.device.device_class, "cpu");
    assert_true(tv_bench_is_disturbed(&r, &r.results[0]));
    tv_bench_report_text(&r, &text);
    assert_non_null(strstr(text.data, "disturbed"));
    tv_text_clear(&text);
    tv_bench_compare_markdown(&r, 1, &text);
    assert_non_null(strstr(text.data, "| matmul f32 nt 8 | GFLOP/s | ~128.0 |"));
    tv_text_finish(&text);
    tv_bench_report_finish(&r);
}

static void test_tables(void **state)
{
    (void)state;
    tv_bench_report r[2] = {make_report("Card", 64), make_report("Other card", 96)};
    tv_text text = {0};
    tv_bench_report_add(&r[1], TV_BENCH_FMA, "GFLOP/s", "fma f32")->good = true;
    tv_bench_report_text(&r[0], &text);
    assert_non_null(strstr(text.data, "Card, vulkan:2, mask no-f16"));
    assert_non_null(strstr(text.data, "train huge 32-true, skipped: needs more memory"));
    assert_non_null(strstr(text.data, "copy f32 1 MiB, WRONG: 5 of 7 elements differ"));
    assert_non_null(strstr(text.data, "part of: matmul f32 nt 8, 0.4 GFLOP/s"));
    tv_text_clear(&text);
    tv_bench_report_markdown(&r[0], &text);
    assert_non_null(strstr(text.data, "| matmul f32 nt 8 | 128.0 | GFLOP/s | 64.00 | 256.0 | 9 |"));
    tv_text_clear(&text);
    tv_bench_compare_markdown(r, 2, &text);
    assert_non_null(strstr(text.data, "1. Card (vulkan"));
    assert_non_null(strstr(text.data, "| matmul f32 nt 8 | GFLOP/s | 128.0 | 192.0 (1.50) |"));
    assert_non_null(strstr(text.data, "| train huge 32-true | tokens/s | skipped | skipped |"));
    assert_non_null(strstr(text.data, "| copy f32 1 MiB | GB/s | WRONG | WRONG |"));
    assert_non_null(strstr(text.data, "| fma f32 | GFLOP/s | - |"));
    tv_text_finish(&text);
    tv_bench_report_finish(&r[0]);
    tv_bench_report_finish(&r[1]);
}

static void test_charts(void **state)
{
    folder *f = *state;
    char path[96];
    uint8_t *data;
    size_t one, two;
    tv_bench_report r[2] = {make_report("Card", 64), make_report("Other card", 96)};
    snprintf(path, sizeof path, "%s/chart.png", f->root);
    assert_ok(tv_bench_chart(path, r, 1));
    assert_ok(tv_file_read(path, 1 << 24, &data, &one));
    assert_memory_equal(data, "\x89PNG", 4);
    tv_free(data);
    assert_ok(tv_bench_chart(path, r, 2));
    assert_ok(tv_file_read(path, 1 << 24, &data, &two));
    assert_true(two > one);
    tv_free(data);
    for (size_t i = 0; i < r[0].count; i++)
        snprintf(r[0].results[i].skipped, sizeof r[0].results[i].skipped, "no");
    assert_error(tv_bench_chart(path, r, 1), TV_EDATA, "nothing to plot");
    tv_bench_report_finish(&r[0]);
    tv_bench_report_finish(&r[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary_of_few_values),
        cmocka_unit_test(test_interval_of_the_median),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_repeats_until_the_median_is_stable),
        cmocka_unit_test_setup_teardown(test_what_linux_does_not_tell, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_what_linux_tells, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_joules_of_a_cpu, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_joules_of_a_card, make_folder, remove_folder),
        cmocka_unit_test(test_peak_memory),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_numbers_to_compute_with),
        cmocka_unit_test(test_report_as_json_and_back),
        cmocka_unit_test(test_reports_that_cannot_be_read),
        cmocka_unit_test(test_fit_of_a_line),
        cmocka_unit_test(test_results_that_others_disturbed),
        cmocka_unit_test(test_tables),
        cmocka_unit_test_setup_teardown(test_charts, make_folder, remove_folder),
    };
    TV_TEST_FILTER(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
