// The train suite: optimizer steps of fixed models on random tokens, by the session that trains.
#include "bench/suite.h"

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "bench/trial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double SECONDS = 10;
enum { PRECISIONS_MOST = 8, MODELS_MOST = 32 };

// What is trained how.
typedef struct choice {
    tv_bench_shape shapes[MODELS_MOST];
    size_t shape_count;
    tv_precision precisions[PRECISIONS_MOST];
    size_t precision_count;
} choice;

// --------------------------------------------------------------------------------------- choosing

static tv_err unknown_model(const char *name, size_t length)
{
    tv_text names = {0};
    tv_bench_shape shape;
    bool cpu;
    for (size_t i = 0; tv_bench_model(i, &shape, &cpu); i++)
        tv_text_printf(&names, "%s%s", i > 0 ? ", " : "", shape.name);
    tv_err err = tv_fail(TV_EUSAGE, "no model '%.*s'; there are: %s, and all", (int)length, name,
                         names.data);
    tv_text_finish(&names);
    return err;
}

static bool is_name(const char *part, size_t length, const char *name)
{
    return strlen(name) == length && strncmp(part, name, length) == 0;
}

static tv_err choose_model(const char *part, size_t length, choice *c)
{
    bool all = is_name(part, length, "all"), found = false, cpu;
    tv_bench_shape shape;
    for (size_t i = 0; tv_bench_model(i, &shape, &cpu); i++) {
        if (!all && !is_name(part, length, shape.name))
            continue;
        TV_CHECK(c->shape_count < MODELS_MOST, "models.def is too long");
        c->shapes[c->shape_count++] = shape;
        found = true;
    }
    return found ? TV_OK : unknown_model(part, length);
}

static tv_err choose_precision(const char *part, size_t length, choice *c)
{
    char name[32];
    snprintf(name, sizeof name, "%.*s", (int)length, part);
    TV_TRY(tv_precision_parse(name, &c->precisions[c->precision_count]));
    if (c->precisions[c->precision_count] == TV_PRECISION_AUTO)
        return tv_fail(TV_EUSAGE, "a benchmark says its precision: auto is none");
    c->precision_count++;
    return TV_OK;
}

// Calls `take` for each part of a list with commas.
static tv_err each_part(const char *list, size_t most, const char *what,
                        tv_err (*take)(const char *part, size_t length, choice *c), choice *c)
{
    size_t taken = 0;
    for (const char *at = list;; at++) {
        size_t length = strcspn(at, ",");
        if (length == 0)
            return tv_fail(TV_EUSAGE, "--%s %s: a name is missing", what, list);
        if (taken++ == most)
            return tv_fail(TV_EUSAGE, "--%s %s: at most %zu of them", what, list, most);
        TV_TRY(take(at, length, c));
        at += length;
        if (!*at)
            return TV_OK;
    }
}

static tv_err choose(const tv_bench_options *o, bool cpu, choice *c)
{
    tv_bench_shape shape;
    bool for_cpu;
    const char *precision = o->precision ? o->precision : cpu ? "32-true" : "32-true,bf16-mixed";
    TV_TRY(each_part(precision, PRECISIONS_MOST, "precision", choose_precision, c));
    if (o->models && o->shape)
        return tv_fail(TV_EUSAGE, "either --models or --shape");
    if (o->models)
        return each_part(o->models, MODELS_MOST / 2, "models", choose_model, c);
    if (o->shape) {
        c->shape_count = 1;
        return tv_bench_shape_parse(o->shape, &c->shapes[0]);
    }
    for (size_t i = 0; tv_bench_model(i, &shape, &for_cpu); i++)
        if (for_cpu || !cpu)
            c->shapes[c->shape_count++] = shape;
    return TV_OK;
}

tv_err tv_bench_options_check(const tv_bench_options *options)
{
    choice c = {0};
    return choose(options, true, &c);
}

// -------------------------------------------------------------------------------------- measuring

static void describe(const tv_bench_trial *t, const tv_bench_result *peak,
                     const tv_bench_summary *seconds, tv_bench_training *d)
{
    const tv_session *s = &t->session;
    d->parameters = (double)tv_model_parameters(s->graph->model);
    d->flops_per_token = tv_model_flops_per_token(s->graph->model, s->seq_len);
    d->step_tokens = (double)s->global_batch * s->seq_len;
    d->flops = d->flops_per_token * d->step_tokens / seconds->median;
    d->plan_bytes = (double)tv_plan_get_memory(s->plan)->total;
    d->peak_flops = peak ? peak->rate.median * 1e9 : NAN;
    if (peak)
        snprintf(d->peak, sizeof d->peak, "%s", peak->name);
}

static tv_err measure(tv_device *device, const tv_bench_rule *rule, tv_bench_trial *t,
                      const tv_bench_result *peak, tv_bench_result *result)
{
    tv_bench_meter meter;
    tv_bench_summary seconds;
    tv_bench_training *d = &result->training;
    TV_TRY(tv_bench_trial_check(t, &result->good, result->check, &d->loss));
    d->expected_loss = log(t->session.model_config.vocab_size);
    tv_bench_meter_open("", tv_device_get_info(device), &meter);
    uint64_t tokens = t->state.tokens;
    tv_bench_meter_start(&meter);
    t->meter = &meter;
    TV_TRY(tv_bench_repeat(rule, tv_bench_trial_step, t, &seconds));
    result->good &= isfinite(t->last.loss) != 0;
    describe(t, peak, &seconds, d);
    result->rate = tv_bench_rates(&seconds, d->step_tokens);
    d->joules_token = tv_bench_meter_joules(&meter) / (double)(t->state.tokens - tokens);
    snprintf(d->energy, sizeof d->energy, "%s", meter.source);
    return TV_OK;
}

tv_err tv_bench_add_trial(tv_device *device, const tv_bench_options *options,
                          const tv_bench_rule *rule, tv_bench_kind kind,
                          const tv_bench_shape *shape, tv_precision precision,
                          tv_bench_report *report)
{
    const char *name = tv_precision_get_info(precision)->name;
    tv_bench_rule warm = *rule;
    tv_bench_trial trial;
    warm.warm_up = 0;
    tv_bench_result *result = tv_bench_report_add(report, kind, "tokens/s", "%s %s %s",
                                                  tv_bench_kind_name(kind), shape->name, name);
    const tv_bench_result *peak =
        tv_bench_best_matmul(report, tv_precision_get_info(precision)->storage);
    if (options->progress)
        options->progress(options->context, result->name);
    bool reset = tv_bench_memory_reset();
    tv_bench_moment begun = tv_bench_moment_times("");
    tv_err err = tv_bench_trial_open(device, shape, name, &trial);
    if (err == TV_OK)
        err = measure(device, &warm, &trial, peak, result);
    tv_bench_result_others(result, &begun);
    result->training.host_bytes = reset ? (double)tv_bench_memory_peak() : NAN;
    tv_bench_trial_close(&trial);
    return tv_bench_result_fail(result, err);
}

tv_err tv_bench_train(tv_device *device, const tv_bench_options *options, tv_bench_report *report)
{
    choice c = {0};
    bool cpu = tv_device_get_info(device)->device_class == TV_CLASS_CPU;
    tv_bench_rule rule = tv_bench_rule_of(options->seconds > 0 ? options->seconds : SECONDS);
    TV_TRY(choose(options, cpu, &c));
    if (!options->no_peaks)
        TV_TRY(tv_bench_add_fma(device, options, report));
    for (size_t i = 0; i < c.precision_count && !options->no_peaks; i++)
        TV_TRY(tv_bench_add_matmul(device, options, tv_precision_get_info(c.precisions[i])->storage,
                                   report));
    for (size_t i = 0; i < c.shape_count; i++)
        for (size_t k = 0; k < c.precision_count; k++)
            TV_TRY(tv_bench_add_trial(device, options, &rule, TV_BENCH_TRAIN, &c.shapes[i],
                                      c.precisions[k], report));
    return TV_OK;
}
