// The machine around a benchmark: small files under /proc and /sys.
#include "bench/host.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { CPUS_MOST = 4096, PATH_LENGTH = 300 };

// ------------------------------------------------------------------------------------- small files

// The beginning of a file; false where there is none or it may not be read.
static bool read_start(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "r");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    text[length] = 0;
    if (file)
        fclose(file);
    return length > 0;
}

static void trim(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\n\"", text[length - 1]))
        text[--length] = 0;
    size_t skipped = strspn(text, " \t\n\":=");
    memmove(text, text + skipped, length - skipped + 1);
}

// NaN where the file holds no number.
static double read_number(const char *path)
{
    char text[64];
    double value;
    if (!read_start(path, text, sizeof text))
        return NAN;
    trim(text);
    return tv_parse_double(text, &value) ? value : NAN;
}

// What stands behind `key` at the start of a line of a file.
static bool read_key(const char *root, const char *path, const char *key, char *value, size_t size)
{
    char name[PATH_LENGTH], line[512];
    snprintf(name, sizeof name, "%s%s", root, path);
    FILE *file = fopen(name, "r");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        found = tv_starts_with(line, key);
        if (found)
            snprintf(value, size, "%s", line + strlen(key));
    }
    if (file)
        fclose(file);
    if (found)
        trim(value);
    return found;
}

// "FOLDER/NAME/FILE"
static void join(char path[PATH_LENGTH], const char *folder, const char *name, const char *file)
{
    snprintf(path, PATH_LENGTH, "%.160s/%.60s/%.60s", folder, name, file);
}

// ---------------------------------------------------------------------------------------- the host

static uint32_t usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (uint32_t)CPU_COUNT(&set);
    return (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
}

void tv_bench_host_describe(const char *root, tv_bench_host *host)
{
    char memory[64];
    struct utsname system;
    *host = (tv_bench_host){.cores = usable_cores()};
    if (!read_key(root, "/proc/cpuinfo", "model name", host->cpu, sizeof host->cpu))
        read_key(root, "/proc/cpuinfo", "Model", host->cpu, sizeof host->cpu);
    read_key(root, "/etc/os-release", "PRETTY_NAME=", host->os, sizeof host->os);
    if (read_key(root, "/proc/meminfo", "MemTotal:", memory, sizeof memory))
        host->memory = strtoull(memory, NULL, 10) << 10;
    if (uname(&system) == 0)
        snprintf(host->kernel, sizeof host->kernel, "%.15s %.50s %.20s", system.sysname,
                 system.release, system.machine);
}

// --------------------------------------------------------------------------------------- a moment

// The driver's hwmon folder of a PCI device, "" where there is none.
static void find_device_sensors(const char *root, const tv_device_info *device,
                                char folder[PATH_LENGTH])
{
    tv_names names = {0};
    char parent[PATH_LENGTH];
    folder[0] = 0;
    if (!device->pci[0])
        return;
    snprintf(parent, sizeof parent, "%s/sys/bus/pci/devices/%s/hwmon", root, device->pci);
    if (tv_path_is_dir(parent) && tv_list_dir(parent, &names) == TV_OK && names.count > 0)
        snprintf(folder, PATH_LENGTH, "%.200s/%.60s", parent, names.names[0]);
    tv_names_finish(&names);
}

// Cores' clocks from cpufreq, else from /proc/cpuinfo.
static void read_cpu_clocks(const char *root, tv_bench_moment *m)
{
    double sum = 0, count = 0;
    char path[PATH_LENGTH], text[64];
    for (int cpu = 0; cpu < CPUS_MOST; cpu++) {
        snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq",
                 root, cpu);
        double mhz = read_number(path) / 1000;
        if (isnan(mhz))
            break;
        m->cpu_mhz_min = fmin(m->cpu_mhz_min, mhz); // passes over a NaN
        m->cpu_mhz_max = fmax(m->cpu_mhz_max, mhz);
        sum += mhz;
        count++;
    }
    if (count > 0)
        m->cpu_mhz_mean = sum / count;
    else if (read_key(root, "/proc/cpuinfo", "cpu MHz", text, sizeof text) &&
             tv_parse_double(text, &m->cpu_mhz_mean))
        m->cpu_mhz_min = m->cpu_mhz_max = m->cpu_mhz_mean;
}

static int64_t read_throttle_counts(const char *root)
{
    static const char *const files[] = {"core_throttle_count", "package_throttle_count"};
    int64_t sum = -1;
    char path[PATH_LENGTH];
    for (int cpu = 0; cpu < CPUS_MOST; cpu++)
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%d/thermal_throttle/%s", root,
                     cpu, files[i]);
            double count = read_number(path);
            if (isnan(count))
                return sum;
            sum = (sum < 0 ? 0 : sum) + (int64_t)count;
        }
    return sum;
}

static double read_cpu_celsius(const char *root)
{
    static const char *const drivers[] = {"coretemp", "k10temp", "zenpower", "cpu_thermal"};
    char folder[PATH_LENGTH], path[PATH_LENGTH], name[64];
    double celsius = NAN;
    tv_names names = {0};
    snprintf(folder, sizeof folder, "%s/sys/class/hwmon", root);
    if (!tv_path_is_dir(folder) || tv_list_dir(folder, &names) != TV_OK)
        return NAN;
    for (size_t i = 0; i < names.count && isnan(celsius); i++) {
        join(path, folder, names.names[i], "name");
        if (!read_start(path, name, sizeof name))
            continue;
        trim(name);
        for (size_t k = 0; k < sizeof drivers / sizeof *drivers; k++)
            if (strcmp(name, drivers[k]) == 0) {
                join(path, folder, names.names[i], "temp1_input");
                celsius = read_number(path) / 1000;
            }
    }
    tv_names_finish(&names);
    return celsius;
}

// The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
static void read_cpu_times(const char *root, tv_bench_moment *m)
{
    enum { FIELDS = 8 };
    char line[256];
    double ticks[FIELDS], all = 0, per_second = (double)sysconf(_SC_CLK_TCK);
    struct rusage own;
    if (!read_key(root, "/proc/stat", "cpu ", line, sizeof line) ||
        getrusage(RUSAGE_SELF, &own) != 0)
        return;
    char *at = line;
    for (int i = 0; i < FIELDS; i++) {
        ticks[i] = strtod(at, &at) / per_second; // 0 where an old kernel has fewer
        all += ticks[i];
    }
    m->cpu_total = all;
    m->cpu_stolen = ticks[7];
    m->cpu_busy = all - ticks[3] - ticks[4] - ticks[7];
    m->cpu_own = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
                 1e-6 * (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec);
}

tv_bench_moment tv_bench_moment_times(const char *root)
{
    tv_bench_moment m = {NAN, NAN, NAN, NAN, NAN, -1, NAN, NAN, NAN, NAN, NAN, NAN};
    read_cpu_times(root, &m);
    return m;
}

double tv_bench_others(const tv_bench_moment *before, const tv_bench_moment *after)
{
    double others = after->cpu_busy - before->cpu_busy - (after->cpu_own - before->cpu_own);
    double part = others / (after->cpu_total - before->cpu_total);
    return isnan(part) ? part : fmax(part, 0); // both clocks are coarse
}

double tv_bench_stolen(const tv_bench_moment *before, const tv_bench_moment *after)
{
    return (after->cpu_stolen - before->cpu_stolen) / (after->cpu_total - before->cpu_total);
}

tv_bench_moment tv_bench_moment_read(const char *root, const tv_device_info *device)
{
    tv_bench_moment m = tv_bench_moment_times(root);
    char path[PATH_LENGTH], text[64], folder[PATH_LENGTH];
    snprintf(path, sizeof path, "%s/proc/loadavg", root);
    if (read_start(path, text, sizeof text))
        m.load = strtod(text, NULL);
    read_cpu_clocks(root, &m);
    m.cpu_celsius = read_cpu_celsius(root);
    m.throttled = read_throttle_counts(root);
    find_device_sensors(root, device, folder);
    if (folder[0]) {
        snprintf(path, sizeof path, "%.280s/freq1_input", folder);
        m.device_mhz = read_number(path) / 1e6;
        snprintf(path, sizeof path, "%.280s/temp1_input", folder);
        m.device_celsius = read_number(path) / 1000;
    }
    return m;
}

// ------------------------------------------------------------------------------------------ energy

static void add_counter(tv_bench_meter *meter, const char *path, double wraps, const char *source)
{
    if (meter->count == TV_BENCH_COUNTERS || isnan(read_number(path)))
        return;
    snprintf(meter->paths[meter->count], sizeof *meter->paths, "%s", path);
    meter->wraps[meter->count++] = isnan(wraps) ? 0 : wraps;
    snprintf(meter->source, sizeof meter->source, "%s", source);
}

// Packages are named intel-rapl:N (on AMD too); parts of them have a second colon.
static void add_packages(const char *root, tv_bench_meter *meter)
{
    char folder[PATH_LENGTH], path[PATH_LENGTH], range[PATH_LENGTH];
    tv_names names = {0};
    snprintf(folder, sizeof folder, "%s/sys/class/powercap", root);
    if (!tv_path_is_dir(folder) || tv_list_dir(folder, &names) != TV_OK)
        return;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i], *colon = strchr(name, ':');
        if (!tv_starts_with(name, "intel-rapl:") || strchr(colon + 1, ':'))
            continue;
        join(path, folder, name, "energy_uj");
        join(range, folder, name, "max_energy_range_uj");
        add_counter(meter, path, read_number(range), "RAPL, whole processor packages");
    }
    tv_names_finish(&names);
}

void tv_bench_meter_open(const char *root, const tv_device_info *device, tv_bench_meter *meter)
{
    char folder[PATH_LENGTH], path[PATH_LENGTH];
    static const char *const powers[] = {"power1_average", "power1_input"};
    *meter = (tv_bench_meter){0};
    if (device->device_class == TV_CLASS_CPU || device->device_class == TV_CLASS_INTEGRATED)
        add_packages(root, meter);
    find_device_sensors(root, device, folder);
    if (meter->count > 0 || !folder[0])
        return;
    snprintf(path, sizeof path, "%.280s/energy1_input", folder);
    add_counter(meter, path, NAN, "hwmon energy1_input of the device");
    for (int i = 0; i < 2 && meter->count == 0; i++) {
        char source[64];
        snprintf(path, sizeof path, "%.280s/%s", folder, powers[i]);
        snprintf(source, sizeof source, "hwmon %s of the device", powers[i]);
        add_counter(meter, path, NAN, source);
        meter->is_power = meter->count > 0;
    }
}

void tv_bench_meter_start(tv_bench_meter *meter)
{
    meter->joules = 0;
    meter->time = tv_now_seconds();
    for (uint32_t i = 0; i < meter->count; i++)
        meter->last[i] = read_number(meter->paths[i]);
}

void tv_bench_meter_tick(tv_bench_meter *meter)
{
    double now = tv_now_seconds();
    for (uint32_t i = 0; i < meter->count; i++) {
        double value = read_number(meter->paths[i]), used = value - meter->last[i];
        if (meter->is_power)
            used = (value + meter->last[i]) / 2 * (now - meter->time);
        else if (used < 0)
            used += meter->wraps[i];
        meter->joules += used / 1e6;
        meter->last[i] = value;
    }
    meter->time = now;
}

double tv_bench_meter_joules(const tv_bench_meter *meter)
{
    return meter->count > 0 ? meter->joules : NAN;
}

// ------------------------------------------------------------------------------------------ memory

bool tv_bench_memory_reset(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (!file)
        return false;
    bool written = fputs("5", file) >= 0;
    return fclose(file) == 0 && written;
}

uint64_t tv_bench_memory_peak(void)
{
    char text[64];
    if (!read_key("", "/proc/self/status", "VmHWM:", text, sizeof text))
        return 0;
    return strtoull(text, NULL, 10) << 10;
}
