// Running rows of the table of cases on a device.
#include "harness/cases.h"

#include "conformance/judge.h"
#include "harness/harness.h"

bool tv_test_case(tv_device *device, const tv_case *row, tv_dtype storage, const char *what)
{
    tv_trial trial;
    tv_trial_result result;
    tv_verdict verdicts[TV_VERDICTS];
    char name[128];
    tv_trial_init(&trial, row, storage);
    bool good = tv_trial_run(&trial, device, &result) == TV_OK;
    if (!good)
        print_error("  %s\n", tv_error_message());
    size_t count = good ? tv_judge(&trial, &result, verdicts) : 0;
    for (size_t i = 0; i < count; i++) {
        tv_verdict_name(&verdicts[i], name);
        if (!verdicts[i].good)
            print_error("  %s: %s\n", name, verdicts[i].why);
        good &= verdicts[i].good;
    }
    tv_case_name(row, name);
    if (!good)
        print_error("  in %s as %s%s%s\n", name, tv_dtype_name(storage), what ? ": " : "",
                    what ? what : "");
    tv_trial_result_finish(&result);
    tv_trial_finish(&trial);
    return good;
}

size_t tv_test_cases(tv_device *device, tv_op op, size_t every, const char *what)
{
    size_t failed = 0, seen = 0;
    for (size_t i = 0; i < tv_case_count; i++)
        if (tv_cases[i].op == op && tv_test_takes(seen++, every))
            for (int k = 0; k < TV_STORAGE_COUNT; k++)
                failed += !tv_test_case(device, &tv_cases[i], tv_storages[k], what);
    return failed;
}

tv_case tv_test_large_scores(uint32_t seed)
{
    size_t i = 0;
    while (tv_cases[i].op != TV_OP_ATTENTION || tv_cases[i].spread == 0)
        i++;
    tv_case row = tv_cases[i];
    row.size[TV_CASE_SIZES - 1] = seed; // attention has fewer sizes, but all seed its leaves
    return row;
}
