// The table of ranks: a row from each, printed by rank 0.
#include "train/rank_table.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

typedef struct rank_row {
    char host[64], device[128], driver[64], precision[16];
    double flops_per_s; // 0: not measured yet
    uint32_t share;     // sequences of each global batch
} rank_row;

// Of columns, so that all rows fit.
typedef struct rank_widths {
    int host, device, driver, precision;
} rank_widths;

static int wider(int width, const char *text)
{
    int length = (int)strlen(text);
    return length > width ? length : width;
}

static rank_widths widths_of(const rank_row *rows, uint32_t count)
{
    rank_widths w = {4, 6, 6, 9};
    for (uint32_t r = 0; r < count; r++) {
        w.host = wider(w.host, rows[r].host);
        w.device = wider(w.device, rows[r].device);
        w.driver = wider(w.driver, rows[r].driver);
        w.precision = wider(w.precision, rows[r].precision);
    }
    return w;
}

// Without its end; row NULL: the titles.
static void write_line(const rank_row *row, uint32_t rank, uint32_t total, const rank_widths *w,
                       char line[512])
{
    char speed[32] = "not measured";
    if (!row) {
        snprintf(line, 512, "rank  %-*s  %-*s  %-*s  %-*s  %12s  share", w->host, "host", w->device,
                 "device", w->driver, "driver", w->precision, "precision", "speed");
        return;
    }
    if (row->flops_per_s > 0)
        snprintf(speed, sizeof speed, "%.0f GFLOP/s", 1e-9 * row->flops_per_s);
    snprintf(line, 512, "%4u  %-*s  %-*s  %-*s  %-*s  %12s  %u of %u", rank, w->host, row->host,
             w->device, row->device, w->driver, row->driver, w->precision, row->precision, speed,
             row->share, total);
}

static void print(const rank_row *rows, uint32_t count, tv_run_log *log)
{
    rank_widths widths = widths_of(rows, count);
    char line[512];
    uint32_t total = 0;
    for (uint32_t r = 0; r < count; r++)
        total += rows[r].share;
    write_line(NULL, 0, 0, &widths, line);
    tv_run_log_line(log, "%s", line);
    for (uint32_t r = 0; r < count; r++) {
        write_line(&rows[r], r, total, &widths, line);
        tv_run_log_line(log, "%s", line);
    }
}

tv_err tv_rank_table_print(tv_comm *comm, const tv_device *device, const char *precision,
                           uint32_t share, tv_run_log *log)
{
    const tv_device_info *info = tv_device_get_info(device);
    uint32_t size = tv_comm_size(comm);
    rank_row mine, *rows = tv_alloc(size, sizeof *rows);
    memset(&mine, 0, sizeof mine);
    snprintf(mine.host, sizeof mine.host, "%s", tv_comm_host(comm));
    snprintf(mine.device, sizeof mine.device, "%.127s", info->name);
    snprintf(mine.driver, sizeof mine.driver, "%.8s: %.50s", info->backend, info->driver);
    snprintf(mine.precision, sizeof mine.precision, "%s", precision);
    mine.flops_per_s = tv_device_measured_rate(device);
    mine.share = share;
    tv_err err = tv_comm_gather(comm, &mine, sizeof mine, rows);
    if (err == TV_OK && log)
        print(rows, size, log);
    tv_free(rows);
    return err;
}
