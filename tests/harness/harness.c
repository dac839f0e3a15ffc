// The test harness: opening and closing the device, and distances.
#include "harness/harness.h"

#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

tv_device *tv_test_device(const char *mask)
{
    tv_device *device = NULL;
    const char *which = getenv("TRIVIUM_TEST_DEVICE");
    if (tv_device_open(which, mask, &device) != TV_OK) {
        print_error("these tests need a device: %s\n", tv_error_message());
        return NULL;
    }
    const tv_device_info *info = tv_device_get_info(device);
    print_message("device: %s (%s), subgroup %u, range %llu\n", info->name, info->driver,
                  info->caps.subgroup, (unsigned long long)info->caps.max_range);
    return device;
}

bool tv_test_device_done(tv_device **device)
{
    uint64_t messages = *device ? tv_device_validation_messages(*device) : 0;
    tv_device_close(device);
    if (messages > 0)
        print_error("the validation layer had %llu messages\n", (unsigned long long)messages);
    return messages == 0;
}

int tv_test_setup(void **state)
{
    *state = tv_test_device(NULL);
    return *state ? 0 : -1;
}

int tv_test_teardown(void **state)
{
    tv_device *device = *state;
    return tv_test_device_done(&device) ? 0 : -1;
}

bool tv_test_takes(size_t row, size_t every)
{
    const char *text = getenv("TRIVIUM_TEST_EVERY");
    uint64_t asked;
    if (text && tv_parse_u64(text, &asked) && asked > every)
        every = (size_t)asked;
    return row % every == every / 2; // the first rows of an op are single elements
}

tv_distance tv_compare(const float *got, const double *want, size_t count)
{
    tv_distance d = {0};
    double error = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double e = fabs(got[i] - want[i]);
        if (!(e <= d.largest)) {
            d.largest = isnan(e) ? INFINITY : e;
            d.where = i;
        }
        error += e * e;
        norm += want[i] * want[i];
    }
    d.rms = sqrt(norm / (double)count);
    d.relative = sqrt(error) / (norm > 0 ? sqrt(norm) : 1);
    if (isnan(d.relative))
        d.relative = INFINITY;
    return d;
}

bool tv_all_finite(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}
