// The start of a run: what its line says of the stages.
#include "harness/harness.h"

#include "base/log.h"
#include "train/startup.h"

#include <string.h>

static void each_stage_has_its_seconds(void **state)
{
    (void)state;
    tv_startup startup;
    tv_text line = {0};
    tv_progress *progress = tv_progress_create(0, 10, false);
    tv_log_set_level(TV_LOG_WARN);
    tv_startup_begin(&startup, progress);
    tv_startup_summarize(&startup, &line);
    assert_string_equal(line.data, "ready in 0.0 s:");
    tv_stage(&startup.stages, "opening data", 0, 0);
    for (size_t i = 0; i <= 3; i++)
        tv_stage(&startup.stages, "compiling kernels", i, 3);
    startup.list[0].since -= 1.5;
    startup.began -= 2;
    tv_text_clear(&line);
    tv_startup_summarize(&startup, &line);
    assert_string_equal(line.data, "ready in 2.0 s: opening data 1.5, compiling kernels 0.0");
    for (size_t i = 0; i < 2 * TV_STARTUP_STAGES; i++) // those that find no room go on the last
        tv_stage(&startup.stages, i % 2 ? "odd" : "even", 0, 0);
    assert_int_equal(startup.count, TV_STARTUP_STAGES);
    tv_text_finish(&line);
    tv_progress_destroy(&progress);
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    tv_stage(NULL, "work", 1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stage_has_its_seconds),
        cmocka_unit_test(nobody_has_to_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
