// What a rank computes in a step, part by part.
#include "bench/probe.h"

#include "base/clock.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

enum { RUNS = 5 }; // of each part

tv_err tv_bench_probe_open(const tv_room_request *request, tv_bench_probe *probe)
{
    const tv_config *c = request->config;
    tv_session_options options = {.model_folder = request->model_folder,
                                  .comm = request->comm,
                                  .share_device = request->share_device,
                                  .synthetic = true,
                                  .alone = true};
    *probe = (tv_bench_probe){0};
    if (c->trainer.micro_batch_size != TV_AUTO)
        options.micro_batch = (uint32_t)c->trainer.micro_batch_size;
    TV_TRY(tv_session_open(c, &options, &probe->trial.session));
    probe->bucket_count = probe->trial.session.graph->buckets->bucket_count;
    probe->done = tv_alloc(probe->bucket_count, sizeof *probe->done);
    return TV_OK;
}

void tv_bench_probe_close(tv_bench_probe *probe)
{
    tv_bench_trial_close(&probe->trial);
    tv_free(probe->done);
    *probe = (tv_bench_probe){0};
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double values[RUNS])
{
    qsort(values, RUNS, sizeof *values, ascending);
    return values[RUNS / 2];
}

// One micro-batch: times[i] receives when bucket i was there, and the last one when all was over.
static tv_err time_micro(tv_bench_probe *p, double *times)
{
    const tv_session *s = &p->trial.session;
    const tv_buckets *buckets = s->graph->buckets;
    double start = tv_now_seconds();
    TV_TRY(tv_plan_run(s->plan, s->graph->first));
    for (size_t i = 0; i < p->bucket_count; i++) {
        TV_TRY(tv_plan_wait_watch(s->plan, buckets->buckets[i].watches[TV_PASS_FIRST]));
        times[i] = tv_now_seconds() - start;
    }
    TV_TRY(tv_plan_wait(s->plan, s->graph->first));
    times[p->bucket_count] = tv_now_seconds() - start;
    return TV_OK;
}

static tv_err measure_micro(tv_bench_probe *p)
{
    size_t row = p->bucket_count + 1;
    double *times = tv_alloc(RUNS * row, sizeof *times), one[RUNS];
    tv_err err = TV_OK;
    for (size_t i = 0; i < RUNS && err == TV_OK; i++)
        err = time_micro(p, times + i * row);
    for (size_t k = row; k-- > 0;) {
        for (size_t i = 0; i < RUNS; i++)
            one[i] = times[i * row + k];
        if (k == p->bucket_count)
            p->micro = median(one);
        else
            p->done[k] = fmin(median(one) / p->micro, 1);
    }
    tv_free(times);
    return err;
}

static tv_err measure_update(tv_bench_probe *p)
{
    const tv_session *s = &p->trial.session;
    double times[RUNS];
    for (size_t i = 0; i < RUNS; i++) {
        double start = tv_now_seconds();
        TV_TRY(tv_plan_execute(s->plan, s->graph->update));
        times[i] = tv_now_seconds() - start;
    }
    p->update = median(times);
    return TV_OK;
}

// Writes all gradients that the host does not see where they lie.
static tv_err measure_copy(tv_bench_probe *p)
{
    const tv_session *s = &p->trial.session;
    const tv_model *model = s->graph->model;
    for (size_t i = 0; i < model->weight_count; i++) {
        const tv_tensor *gradient = model->weights[i]->gradient;
        size_t count = (size_t)tv_tensor_count(gradient);
        if (tv_plan_host(s->plan, gradient))
            continue;
        float *values = tv_alloc(count, sizeof *values);
        double start = tv_now_seconds();
        tv_err err = tv_plan_write(s->plan, gradient, 0, count, values);
        p->copy += tv_now_seconds() - start;
        tv_free(values);
        TV_TRY(err);
    }
    return TV_OK;
}

tv_err tv_bench_probe_run(tv_bench_probe *p, const tv_bench_rule *rule)
{
    const tv_session *s = &p->trial.session;
    const tv_balance_rank *own = &s->balance.ranks[tv_comm_rank(s->comm)];
    tv_bench_rule warm = *rule;
    double loss;
    warm.warm_up = 0; // the check is one
    TV_TRY(tv_bench_trial_check(&p->trial, &p->good, p->check, &loss));
    TV_TRY(tv_bench_repeat(&warm, tv_bench_trial_step, &p->trial, &p->step));
    TV_TRY(measure_micro(p));
    TV_TRY(measure_update(p));
    TV_TRY(measure_copy(p));
    // What the host does besides is of each step.
    double batches = (double)tv_div_up(own->share, own->micro_batch) * p->micro;
    p->update = fmax(p->update, p->step.median - batches);
    return TV_OK;
}
