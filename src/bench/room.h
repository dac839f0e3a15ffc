// A room: the ranks of a job with what is between them. What links and collective calls do, what
// each rank computes, and what a step would take under each strategy.
#ifndef TV_BENCH_ROOM_H
#define TV_BENCH_ROOM_H

#include "bench/predict.h"
#include "bench/report.h"
#include "bench/suite.h"
#include "dist/comm.h"
#include "dist/quantize.h"
#include "formats/config.h"

enum { TV_ROOM_STRATEGIES = 16 }; // rows of predict.c at most

typedef struct tv_bench_member {
    char host[64], device[128], driver[80]; // device: "" where none was opened
    uint32_t micro_batch;
} tv_bench_member;

typedef struct tv_bench_room {
    tv_bench_member *members; // [count]
    uint32_t count;
    double link; // bytes per second of the slowest link, one way
    tv_line sum, scatter, gather, outer;
    double meeting;  // seconds
    char wire[16];   // of outer; "" where it was not measured
    bool predicted;  // the following are there
    char model[160]; // what was predicted for
    tv_predict_job job;
    tv_predict_rank *ranks; // [count] of the job, as is the rest
    tv_predict_bucket *buckets;
    double *done; // [count][job.bucket_count]
    size_t strategy_count;
    tv_prediction predictions[TV_ROOM_STRATEGIES];
    double measured[TV_ROOM_STRATEGIES]; // seconds of a step; NaN: not measured
    char advice[600];
} tv_bench_room;

void tv_bench_room_destroy(tv_bench_room **room);

// All are collective, and every rank gets the same report; rank 0's is to be shown.

// Links and collective calls; with `wire`, outer exchanges of that kind too. Makes report->room.
tv_err tv_bench_network(tv_comm *comm, const tv_bench_options *options, const tv_wire *wire,
                        tv_bench_report *report);

typedef struct tv_room_request {
    tv_comm *comm;
    tv_config *config;        // changed
    const char *model_folder; // of model.from; NULL without
    bool share_device;
    bool verify; // takes steps under each strategy that meets in every step
    const tv_bench_options *options;
} tv_room_request;

// What each rank computes, alone; begins the report with rank 0's device. Then the network, and
// the predictions.
tv_err tv_bench_room_measure(const tv_room_request *request, const char *mask,
                             tv_bench_report *report);

// Parts of the report, appended (report_room.c).
struct tv_table_style;
void tv_bench_room_text(const tv_bench_report *report, const struct tv_table_style *style,
                        tv_text *out);
struct json_t;
struct json_t *tv_bench_room_json(const tv_bench_room *room);

// ----------------------------------------------------------------------------- inside this room

// Times `once` on all ranks by the rule: it counts what the slowest rank took, and whether it was
// right on all of them.
typedef tv_err tv_bench_together_once(void *context, double *seconds, bool *right);
typedef struct tv_bench_together {
    tv_bench_summary seconds;
    uint64_t wrong; // 0, or 1 + the highest rank where it was
} tv_bench_together;
tv_err tv_bench_repeat_together(tv_comm *comm, const tv_bench_rule *rule,
                                tv_bench_together_once *once, void *context,
                                tv_bench_together *together);

#endif
