// Learning rate schedules.
#include "train/schedule.h"

#include <math.h>
#include <string.h>

tv_err tv_schedule_parse(const char *name, tv_schedule_kind *kind)
{
    static const char *const names[] = {"constant", "linear", "cosine", "wsd"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *kind = (tv_schedule_kind)i;
            return TV_OK;
        }
    return tv_fail(TV_EUSAGE,
                   "lr_scheduler.name: no schedule '%s'; there are constant, linear, "
                   "cosine and wsd",
                   name);
}

// How much of the way from lr to min_lr has been gone after a fraction of the decay's steps.
static double decayed(tv_schedule_kind kind, double fraction)
{
    return kind == TV_SCHEDULE_COSINE ? 0.5 * (1 - cos(3.141592653589793 * fraction)) : fraction;
}

double tv_schedule_lr(const tv_schedule *s, uint64_t step)
{
    if (step < s->warmup_steps)
        return s->lr * (double)(step + 1) / (double)s->warmup_steps;
    if (s->kind == TV_SCHEDULE_CONSTANT)
        return s->lr;
    uint64_t start = s->warmup_steps;
    if (s->kind == TV_SCHEDULE_WSD) {
        uint64_t stable = s->max_steps > s->decay_steps ? s->max_steps - s->decay_steps : 0;
        start = stable > start ? stable : start;
    }
    if (step < start)
        return s->lr;
    if (step >= s->max_steps || s->max_steps <= start)
        return s->min_lr;
    double fraction = (double)(step - start) / (double)(s->max_steps - start);
    return s->lr + (s->min_lr - s->lr) * decayed(s->kind, fraction);
}
