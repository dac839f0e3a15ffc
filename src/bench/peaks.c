// Peaks of a device: copying and multiply-adds, by single dispatches; and what the others share.
#include "bench/peaks.h"

#include "base/clock.h"
#include "base/memory.h"
#include "conformance/case.h"
#include "plan/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FILL_CHUNK = 1 << 20, REPEATS_MOST = 100, COPY_GROUP = 256, COPY_LANE = 4 };
enum { FMA_CHAINS = 16, FMA_ROUNDS = 1024 }; // shaders/fma_peak.k
static const double SAMPLE_SECONDS = 0.02;

// ---------------------------------------------------------------------------------------- numbers

float tv_bench_value(uint64_t seed, uint64_t index)
{
    uint64_t z = (seed << 40) + index * 0x9E3779B97F4A7C15u; // splitmix64 (Steele et al., 2014)
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (float)((int32_t)(z >> 40) - (1 << 23)) * 0x1p-23f;
}

double tv_bench_value_as(tv_dtype dtype, uint64_t seed, uint64_t index)
{
    return (double)tv_round_to(dtype, tv_bench_value(seed, index));
}

tv_err tv_bench_fill(tv_plan *plan, const tv_tensor *tensor, uint64_t seed, float scale)
{
    uint64_t count = tv_tensor_count(tensor);
    float *values = tv_alloc(FILL_CHUNK, sizeof *values);
    tv_err err = TV_OK;
    for (uint64_t first = 0; first < count && err == TV_OK; first += FILL_CHUNK) {
        uint64_t some = tv_min_size(FILL_CHUNK, count - first);
        for (uint64_t i = 0; i < some; i++)
            values[i] = scale * tv_bench_value(seed, first + i);
        err = tv_plan_write(plan, tensor, first, some, values);
    }
    tv_free(values);
    return err;
}

// ----------------------------------------------------------------------------------------- timing

tv_err tv_bench_time(const tv_bench_rule *rule, tv_bench_once *once,
                     tv_err (*prepare)(void *context), void *context, uint32_t *repeats,
                     tv_bench_summary *seconds)
{
    double first, each;
    *repeats = 1;
    TV_TRY(once(context, &first)); // compiles
    TV_TRY(once(context, &each));
    double wanted = ceil(SAMPLE_SECONDS / fmax(each, 1e-9));
    *repeats = wanted < REPEATS_MOST ? (uint32_t)wanted : REPEATS_MOST;
    if (*repeats > 1 && prepare)
        TV_TRY(prepare(context));
    return tv_bench_repeat(rule, once, context, seconds);
}

// ------------------------------------------------------------------------------- single dispatches

// A kernel from a buffer x to a buffer y, recorded `repeats` times.
typedef struct stream {
    tv_device *device;
    tv_buffer *x, *y;
    uint64_t x_bytes, y_bytes;
    tv_dispatch dispatch;
    tv_program *program;
    uint32_t repeats;
} stream;

static tv_err record(void *context)
{
    stream *s = context;
    tv_program_destroy(&s->program);
    TV_TRY(tv_program_create(s->device, &s->program));
    for (uint32_t i = 0; i < s->repeats; i++) {
        if (i > 0)
            tv_program_barrier(s->program);
        tv_program_dispatch(s->program, &s->dispatch);
    }
    return tv_program_finish(s->program);
}

static tv_err run_stream(void *context, double *seconds)
{
    stream *s = context;
    double start = tv_now_seconds();
    TV_TRY(tv_program_run(s->program));
    TV_TRY(tv_program_wait(s->program, TV_MARK_END, 0));
    *seconds = (tv_now_seconds() - start) / s->repeats;
    return TV_OK;
}

// The grid for that many groups, folded over y where the device has too few along x.
static void fold(const tv_caps *caps, uint64_t groups, uint32_t grid[3])
{
    grid[0] = (uint32_t)tv_min_size(groups, caps->max_groups[0]);
    grid[1] = (uint32_t)tv_div_up(groups, grid[0]);
    grid[2] = 1;
}

static tv_err open_stream(stream *s, const char *kernel, uint32_t group, uint64_t groups)
{
    tv_kernel_choice choice = {.name = kernel, .group = group};
    tv_dispatch *d = &s->dispatch;
    TV_TRY(tv_buffer_create(s->device, s->x_bytes, &s->x));
    TV_TRY(tv_buffer_create(s->device, s->y_bytes, &s->y));
    TV_TRY(tv_device_kernel(s->device, &choice, &d->kernel));
    d->bindings[0] = (tv_binding){s->x, 0, s->x_bytes, TV_READ};
    d->bindings[1] = (tv_binding){s->y, 0, s->y_bytes, TV_WRITE};
    d->binding_count = 2;
    d->label = kernel;
    fold(&tv_device_get_info(s->device)->caps, groups, d->groups);
    s->repeats = 1;
    return record(s);
}

static void close_stream(stream *s)
{
    tv_program_destroy(&s->program);
    tv_buffer_destroy(&s->x);
    tv_buffer_destroy(&s->y);
}

// -------------------------------------------------------------------------------------------- copy

static tv_err judge_copy(stream *s, const float *x, tv_bench_peak *peak)
{
    size_t count = s->x_bytes / sizeof *x, wrong = 0;
    float *y = tv_alloc(count, sizeof *y);
    tv_err err = tv_buffer_read(s->y, 0, y, s->y_bytes);
    for (size_t i = 0; i < count && err == TV_OK; i++)
        wrong += memcmp(&x[i], &y[i], sizeof *x) != 0;
    tv_free(y);
    peak->good = wrong == 0;
    snprintf(peak->check, sizeof peak->check, "%zu of %zu elements differ", wrong, count);
    return err;
}

static tv_err measure_copy(stream *s, const tv_bench_rule *rule, tv_bench_peak *peak)
{
    size_t count = s->x_bytes / sizeof(float);
    tv_bench_summary seconds = {0};
    float *x = tv_alloc(count, sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = tv_bench_value(1, i);
    s->dispatch.args.u[0] = (uint32_t)count;
    s->dispatch.work = (double)s->x_bytes * 8; // 4 per byte moved
    tv_err err = open_stream(s, "convert", COPY_GROUP, tv_div_up(count, COPY_GROUP * COPY_LANE));
    if (err == TV_OK)
        err = tv_buffer_write(s->x, 0, x, s->x_bytes);
    if (err == TV_OK)
        err = tv_bench_time(rule, run_stream, record, s, &s->repeats, &seconds);
    if (err == TV_OK)
        err = judge_copy(s, x, peak);
    tv_free(x);
    if (err == TV_OK)
        peak->rate = tv_bench_rates(&seconds, 2e-9 * (double)s->x_bytes);
    return err;
}

uint64_t tv_bench_copy_size(const tv_device *device, uint64_t wanted)
{
    const tv_caps *caps = &tv_device_get_info(device)->caps;
    uint64_t most = tv_min_size(tv_min_size(caps->max_range, caps->max_alloc), caps->memory / 4);
    return tv_min_size(wanted, most) / TV_BINDING_ALIGNMENT * TV_BINDING_ALIGNMENT;
}

tv_err tv_bench_copy(tv_device *device, const tv_bench_rule *rule, uint64_t bytes,
                     tv_bench_peak *peak)
{
    stream s = {.device = device, .x_bytes = bytes, .y_bytes = bytes};
    tv_err err = measure_copy(&s, rule, peak);
    close_stream(&s);
    return err;
}

// ------------------------------------------------------------------------------------
// multiply-adds

static const float FMA_FACTOR = 0.9995f, FMA_ADDEND = 0.25f;

// shaders/fma_peak.k and .cl: a lane has its chains `copies` times, and makes `steps` in a round.
static const struct fma_kind {
    const char *name;
    uint32_t group, copies, steps;
    uint64_t groups; // enough to keep the device busy for milliseconds
} fma_gpu = {"fma_peak", 64, 1, 2, 8192}, fma_cpu = {"fma_peak", 64, 1, 2, 256},
  fma_vectors = {"fma_peak_v16", 8, 8, 1, 256};

static const struct fma_kind *choose_fma(const tv_device *device)
{
    if (tv_device_get_info(device)->device_class != TV_CLASS_CPU)
        return &fma_gpu;
    return tv_device_has_kernel(device, fma_vectors.name) ? &fma_vectors : &fma_cpu;
}

// All lanes have the same result, whose relative error is a rounding for each of the last
// 1 / (1 - factor) steps at most.
static tv_err judge_fma(stream *s, const struct fma_kind *kind, const float *x, tv_bench_peak *peak)
{
    size_t lanes = s->y_bytes / sizeof *x, wrong = 0;
    float *y = tv_alloc(lanes, sizeof *y);
    double want = 0, allowed = 0x1p-24 / (1 - (double)FMA_FACTOR);
    tv_err err = tv_buffer_read(s->y, 0, y, s->y_bytes);
    for (int j = 0; j < FMA_CHAINS; j++) {
        double v = (double)x[j];
        for (uint32_t i = 0; i < kind->steps * FMA_ROUNDS; i++)
            v = v * (double)FMA_FACTOR + (double)FMA_ADDEND;
        want += kind->copies * v;
    }
    for (size_t i = 0; i < lanes && err == TV_OK; i++)
        wrong += !(fabs((double)y[i] - want) <= 2 * allowed * want);
    peak->good = wrong == 0;
    snprintf(peak->check, sizeof peak->check,
             "%zu of %zu lanes differ from %.7g; the first is %.7g", wrong, lanes, want,
             (double)y[0]);
    tv_free(y);
    return err;
}

tv_err tv_bench_fma(tv_device *device, const tv_bench_rule *rule, tv_bench_peak *peak)
{
    const struct fma_kind *kind = choose_fma(device);
    double of_group = 2.0 * FMA_CHAINS * FMA_ROUNDS * kind->group * kind->copies * kind->steps;
    double budget = fmax(1, tv_device_dispatch_budget(device) / of_group);
    uint64_t groups = (uint64_t)fmin((double)kind->groups, budget);
    float x[FMA_CHAINS];
    stream s = {.device = device, .x_bytes = sizeof x, .y_bytes = groups * kind->group * sizeof *x};
    tv_bench_summary seconds = {0};
    for (int j = 0; j < FMA_CHAINS; j++)
        x[j] = (float)(1 + j);
    s.dispatch.args = (tv_args){.u = {FMA_ROUNDS}, .f = {FMA_FACTOR, FMA_ADDEND}};
    s.dispatch.work = of_group * (double)groups;
    tv_err err = open_stream(&s, kind->name, kind->group, groups);
    if (err == TV_OK)
        err = tv_buffer_write(s.x, 0, x, sizeof x);
    if (err == TV_OK)
        err = tv_bench_time(rule, run_stream, record, &s, &s.repeats, &seconds);
    if (err == TV_OK)
        err = judge_fma(&s, kind, x, peak);
    if (err == TV_OK)
        peak->rate = tv_bench_rates(&seconds, 1e-9 * s.dispatch.work);
    close_stream(&s);
    return err;
}
