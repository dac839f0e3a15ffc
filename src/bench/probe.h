// A probe: what this rank computes in a step of a configured run, without any communication. Inside
// this room.
#ifndef TV_BENCH_PROBE_H
#define TV_BENCH_PROBE_H

#include "bench/room.h"
#include "bench/trial.h"

typedef struct tv_bench_probe {
    tv_bench_trial trial;
    tv_bench_summary step;      // seconds, of this rank's share
    double micro, update, copy; // seconds, see tv_predict_rank
    double *done;               // [bucket_count]
    size_t bucket_count;
    bool good;
    char check[160];
} tv_bench_probe;

// Collective. The session of that run under ddp, on random tokens; close it also after errors.
tv_err tv_bench_probe_open(const tv_room_request *request, tv_bench_probe *probe);
void tv_bench_probe_close(tv_bench_probe *probe);

// By this rank alone; all do so at once, as in training.
tv_err tv_bench_probe_run(tv_bench_probe *probe, const tv_bench_rule *rule);

#endif
