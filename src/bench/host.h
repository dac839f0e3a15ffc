// The machine around a benchmark, as far as Linux tells: what it is, what its clocks do, how warm
// and how busy it is, what energy is used. `root` is "" or, in tests, a folder that stands for "/".
#ifndef TV_BENCH_HOST_H
#define TV_BENCH_HOST_H

#include "device/device.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct tv_bench_host {
    char cpu[128];   // its model
    char os[128];    // "Debian GNU/Linux 12 (bookworm)"
    char kernel[96]; // "Linux 6.1.0 x86_64"
    uint32_t cores;  // that this process may use
    uint64_t memory; // bytes
} tv_bench_host;

// What Linux does not tell is "" or 0.
void tv_bench_host_describe(const char *root, tv_bench_host *host);

// A moment. What Linux does not tell is NaN, and -1 for `throttled`.
typedef struct tv_bench_moment {
    double load; // average over a minute
    double cpu_mhz_min, cpu_mhz_mean, cpu_mhz_max;
    double cpu_celsius;
    int64_t throttled; // times that a core slowed down for heat, since boot, summed
    double device_mhz, device_celsius;
    // Seconds of all cores together: that have passed, in which they were busy, in which they were
    // busy with this process, and which a hypervisor gave to other machines.
    double cpu_total, cpu_busy, cpu_own, cpu_stolen;
} tv_bench_moment;

tv_bench_moment tv_bench_moment_read(const char *root, const tv_device_info *device);

// Only what tv_bench_others and tv_bench_stolen need, in far less time.
tv_bench_moment tv_bench_moment_times(const char *root);

// The part of all cores' time between two moments that went to other processes, and to other
// machines. NaN where Linux does not tell, or none has passed by its clock.
double tv_bench_others(const tv_bench_moment *before, const tv_bench_moment *after);
double tv_bench_stolen(const tv_bench_moment *before, const tv_bench_moment *after);

// Joules of the device while a meter runs. For a CPU, and a GPU within one, the packages' counters
// (powercap); for a card what its driver has in hwmon: its counter, or its power, which is then
// added up from tick to tick.
enum { TV_BENCH_COUNTERS = 8 };
typedef struct tv_bench_meter {
    char source[64]; // "" where nothing tells
    char paths[TV_BENCH_COUNTERS][300];
    double wraps[TV_BENCH_COUNTERS]; // microjoules at which a counter starts anew, 0: never
    double last[TV_BENCH_COUNTERS];
    uint32_t count;
    bool is_power; // microwatts instead of microjoules
    double time, joules;
} tv_bench_meter;

void tv_bench_meter_open(const char *root, const tv_device_info *device, tv_bench_meter *meter);
void tv_bench_meter_start(tv_bench_meter *meter);          // from 0
void tv_bench_meter_tick(tv_bench_meter *meter);           // adds what was used since the last call
double tv_bench_meter_joules(const tv_bench_meter *meter); // NaN where nothing tells

// The most memory that this process has held at a time since the last reset, in bytes. False where
// it cannot be reset: then it is since the process began.
bool tv_bench_memory_reset(void);
uint64_t tv_bench_memory_peak(void);

#endif
