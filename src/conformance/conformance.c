// The conformance suite: running it and finding the worst.
#include "conformance/conformance.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static bool is_wanted(const tv_case *row, const char *op)
{
    return !op || strcmp(op, tv_op_get_info(row->op)->name) == 0;
}

static tv_err run_trial(tv_conformance_trial *trial, tv_device *device)
{
    tv_trial t;
    tv_trial_result result;
    tv_trial_init(&t, trial->row, trial->storage);
    tv_err err = tv_trial_run(&t, device, &result);
    trial->good = err == TV_OK;
    if (err == TV_OK)
        trial->verdict_count = tv_judge(&t, &result, trial->verdicts);
    else
        snprintf(trial->why, sizeof trial->why, "%s", tv_error_message());
    for (size_t i = 0; i < trial->verdict_count; i++)
        trial->good &= trial->verdicts[i].good;
    tv_trial_result_finish(&result);
    tv_trial_finish(&t);
    return err == TV_ELOST || err == TV_ETIMEOUT ? err : TV_OK;
}

tv_err tv_conformance_run(tv_device *device, const char *op, tv_conformance_progress *progress,
                          void *context, tv_conformance *result)
{
    size_t total = 0;
    *result = (tv_conformance){0};
    for (size_t i = 0; i < tv_case_count; i++)
        total += is_wanted(&tv_cases[i], op) ? TV_STORAGE_COUNT : 0;
    if (total == 0)
        return tv_fail(TV_EUSAGE, "no case is about an op named '%s'", op);
    result->trials = tv_alloc(total, sizeof *result->trials);
    for (size_t i = 0; i < tv_case_count; i++)
        for (int k = 0; k < TV_STORAGE_COUNT && is_wanted(&tv_cases[i], op); k++) {
            tv_conformance_trial *trial = &result->trials[result->count];
            trial->row = &tv_cases[i];
            trial->storage = tv_storages[k];
            progress(context, trial->row, trial->storage, result->count, total);
            TV_TRY(run_trial(trial, device));
            result->count++;
            result->failed += !trial->good;
        }
    return TV_OK;
}

void tv_conformance_finish(tv_conformance *result)
{
    tv_free(result->trials);
    *result = (tv_conformance){0};
}

bool tv_conformance_is_worse(tv_dtype storage, const tv_verdict *a, const tv_verdict *b)
{
    if (!b || (a->unit == storage) != (b->unit == storage))
        return !b || a->unit == storage;
    return a->most > b->most;
}

tv_conformance_cell tv_conformance_cell_of(const tv_conformance *result, tv_op op, tv_dtype storage,
                                           bool gradient)
{
    tv_conformance_cell cell = {.good = true};
    for (size_t i = 0; i < result->count; i++) {
        const tv_conformance_trial *trial = &result->trials[i];
        if (trial->row->op != op || trial->storage != storage)
            continue;
        cell.good &= trial->why[0] == 0;
        for (size_t k = 0; k < trial->verdict_count; k++) {
            const tv_verdict *v = &trial->verdicts[k];
            if (v->gradient != gradient)
                continue;
            cell.good &= v->good;
            cell.verdicts += v->compared > 0;
            if (v->compared > 0 && tv_conformance_is_worse(storage, v, cell.worst)) {
                cell.trial = trial;
                cell.worst = v;
            }
        }
    }
    return cell;
}
