// trivium bench --suite network: on all ranks of a job. Rank 0 speaks and writes the reports.
#include "cmd.h"

#include "base/log.h"
#include "base/text.h"
#include "bench.h"
#include "bench/room.h"
#include "train/ranks.h"
#include "train/run_dir.h"

#include <stdio.h>

static void show_progress(void *context, const char *what)
{
    (void)context;
    tv_info("%s", what);
}

// Without a configuration no device is opened.
static tv_err measure_network(const bench_request *r, tv_comm *comm, tv_bench_report *report)
{
    static const tv_device_info none = {
        .backend = "none", .name = "no device", .driver = "none", .device_class = TV_CLASS_VIRTUAL};
    tv_bench_report_init(report, r->suite, &none, r->mask, r->options.seconds);
    TV_TRY(tv_bench_network(comm, &r->options, NULL, report));
    report->after = tv_bench_moment_read("", &none);
    return TV_OK;
}

static tv_err measure(const bench_request *r, tv_comm *comm, tv_config *config,
                      tv_bench_report *report)
{
    tv_text folder = {0};
    tv_err err = TV_OK;
    TV_TRY(tv_ranks_compare_setup(comm, config));
    if (config->model.from[0])
        err = tv_comm_agree(comm, tv_model_folder(config->model.from, &folder));
    const tv_room_request request = {.comm = comm,
                                     .config = config,
                                     .model_folder = folder.data,
                                     .share_device = r->share_device,
                                     .verify = r->verify,
                                     .options = &r->options};
    if (err == TV_OK)
        err = tv_bench_room_measure(&request, r->mask, report);
    tv_text_finish(&folder);
    return err;
}

static tv_err measure_and_write(bench_request *r, tv_comm *comm, tv_config *config)
{
    tv_bench_report report = {0};
    bool speaks = tv_comm_rank(comm) == 0;
    tv_err err = config ? measure(r, comm, config, &report) : measure_network(r, comm, &report);
    err = tv_comm_agree(comm, err);
    if (err == TV_OK && speaks)
        err = bench_write_reports(r, &report);
    tv_bench_report_finish(&report);
    return tv_comm_agree(comm, err);
}

static tv_err check_ranks(const tv_comm *comm)
{
    if (tv_comm_size(comm) > 1)
        return TV_OK;
    return tv_fail(TV_EUSAGE, "the suite network needs several ranks; start it with mpirun -n N "
                              "trivium bench --suite network [CONFIG.yaml]");
}

// `config`: NULL where none was named. `err`: what the command line came to on this rank.
static tv_err run_on_ranks(bench_request *r, tv_comm *comm, tv_config *config, tv_err err)
{
    if (err == TV_OK)
        err = check_ranks(comm);
    if (err == TV_OK && tv_comm_rank(comm) == 0)
        err = bench_open_reports(r);
    err = tv_comm_agree(comm, err);
    if (err == TV_OK)
        err = measure_and_write(r, comm, config);
    return bench_close_reports(r, err);
}

int bench_network(bench_request *r, char **arguments, int count, const char *device, tv_err err)
{
    tv_config config;
    tv_comm *comm = NULL;
    bool found = false;
    tv_config_init(&config);
    const char *mask = r->mask[0] ? r->mask : NULL;
    if (err == TV_OK)
        err = cmd_load_config(arguments, count, device, mask, &config, &found);
    if (err == TV_OK && found)
        err = tv_config_check(&config);
    if (err == TV_OK && !found && (count > 0 || r->verify))
        err = tv_fail(TV_EUSAGE, "trivium bench --suite network: settings and --verify need a "
                                 "CONFIG.yaml");
    r->options.progress = show_progress;
    tv_err opened = tv_comm_open(&comm);
    if (tv_comm_rank(comm) > 0)
        tv_log_set_level(TV_LOG_ERROR); // rank 0 speaks for all
    err = opened == TV_OK ? run_on_ranks(r, comm, found ? &config : NULL, err) : opened;
    tv_config_finish(&config);
    return cmd_finish_ranks(&comm, err);
}
