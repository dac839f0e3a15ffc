// Tests of report/: metrics, loggers with resume and a full disk, progress lines.
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "report/logger.h"
#include "report/progress.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int make_directory(void **state)
{
    char *path = tv_strdup("/tmp/trivium-report-XXXXXX");
    *state = path;
    return mkdtemp(path) ? 0 : -1;
}

static int remove_directory(void **state)
{
    tv_err err = tv_remove_tree(*state);
    tv_free(*state);
    return err == TV_OK ? 0 : -1;
}

static char *read_text(const char *directory, const char *name)
{
    tv_text path = {0};
    uint8_t *data = NULL;
    size_t size;
    tv_err err = tv_file_read(tv_path_join(&path, directory, name), 1 << 24, &data, &size);
    tv_text_finish(&path);
    assert_int_equal(err, TV_OK);
    char *text = tv_strdup((char *)data);
    tv_free(data);
    return text;
}

static tv_metrics training_line(uint64_t step)
{
    tv_metrics metrics = tv_metrics_none(step);
    metrics.loss = (float)(2 + 1.0 / (double)(step + 3));
    metrics.lr = 3e-4f;
    metrics.tokens = step * 16384;
    metrics.tokens_per_s = 12345.678f;
    return metrics;
}

// ------------------------------------------------------------------------------------- loggers

static void test_lines_as_written(void **state)
{
    static const char *const names[] = {"csv", "jsonl", "csv"};
    tv_loggers *loggers = NULL;
    assert_int_equal(tv_loggers_create(*state, names, COUNT(names), NULL, &loggers), TV_OK);
    tv_metrics metrics = tv_metrics_none(10);
    metrics.loss = 2.5;
    metrics.lr = 1e-3;
    metrics.grad_norm = INFINITY;
    metrics.tokens = 40960;
    metrics.skipped = 1;
    metrics.loss_scale = 65536;
    assert_int_equal(tv_loggers_write(loggers, &metrics), TV_OK);
    metrics = tv_metrics_none(10);
    metrics.val_loss = 2.75;
    assert_int_equal(tv_loggers_write(loggers, &metrics), TV_OK);
    char *json = read_text(*state, "metrics.jsonl"), *csv = read_text(*state, "metrics.csv");
    assert_string_equal(json, "{\"step\": 10, \"loss\": 2.5, \"lr\": 0.001, \"tokens\": 40960, "
                              "\"skipped\": 1, \"loss_scale\": 65536}\n"
                              "{\"step\": 10, \"val_loss\": 2.75, \"skipped\": 0}\n");
    assert_string_equal(csv, "step,loss,val_loss,lr,grad_norm,tokens,tokens_per_s,flops_per_s,"
                             "step_ms,skipped,loss_scale\n"
                             "10,2.5,,0.001,,40960,,,,1,65536\n"
                             "10,,2.75,,,,,,,0,\n");
    tv_free(json);
    tv_free(csv);
    tv_loggers_destroy(&loggers);
    assert_null(loggers);
    tv_loggers_destroy(&loggers);
}

static void test_floats_read_back_the_same(void **state)
{
    static const char *const names[] = {"jsonl"};
    static const float values[] = {2.3025851f,    1.1754944e-38f, 3.4028235e38f, 0.1f,
                                   1.0000001f,    16777217.0f,    1e-45f,        -0.33333334f,
                                   9.9999997e-5f, 123456.79f};
    tv_loggers *loggers;
    tv_metrics *lines;
    size_t count;
    assert_int_equal(tv_loggers_create(*state, names, 1, NULL, &loggers), TV_OK);
    for (size_t i = 0; i < COUNT(values); i++) {
        tv_metrics metrics = tv_metrics_none(i);
        metrics.loss = values[i];
        assert_int_equal(tv_loggers_write(loggers, &metrics), TV_OK);
    }
    tv_loggers_destroy(&loggers);
    assert_int_equal(tv_metrics_read(*state, &lines, &count), TV_OK);
    assert_int_equal(count, COUNT(values));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(lines[i].step, i);
        assert_true((float)lines[i].loss == values[i]);
        assert_true(isnan(lines[i].val_loss) && lines[i].tokens == 0);
    }
    tv_free(lines);
}

static void test_resume_cuts_to_the_checkpoint(void **state)
{
    static const char *const names[] = {"jsonl", "csv"};
    tv_loggers *loggers;
    assert_int_equal(tv_loggers_create(*state, names, 2, NULL, &loggers), TV_OK);
    tv_logger_sizes sizes = {0};
    for (uint64_t step = 1; step <= 10; step++) {
        tv_metrics metrics = training_line(step);
        assert_int_equal(tv_loggers_write(loggers, &metrics), TV_OK);
        if (step == 6)
            sizes = tv_loggers_sizes(loggers);
    }
    char *json = read_text(*state, "metrics.jsonl"), *csv = read_text(*state, "metrics.csv");
    assert_true(sizes.bytes[TV_LOGGER_JSONL] < strlen(json));
    tv_loggers_destroy(&loggers);

    assert_int_equal(tv_loggers_create(*state, names, 2, &sizes, &loggers), TV_OK);
    for (uint64_t step = 7; step <= 10; step++) {
        tv_metrics metrics = training_line(step);
        assert_int_equal(tv_loggers_write(loggers, &metrics), TV_OK);
    }
    tv_loggers_destroy(&loggers);
    char *json_again = read_text(*state, "metrics.jsonl");
    char *csv_again = read_text(*state, "metrics.csv");
    assert_string_equal(json, json_again); // as if never stopped
    assert_string_equal(csv, csv_again);
    tv_free(json);
    tv_free(csv);
    tv_free(json_again);
    tv_free(csv_again);

    assert_int_equal(tv_loggers_create(*state, names, 1, NULL, &loggers), TV_OK); // anew
    json = read_text(*state, "metrics.jsonl");
    assert_string_equal(json, "");
    tv_logger_sizes anew = tv_loggers_sizes(loggers);
    assert_int_equal(anew.bytes[TV_LOGGER_JSONL] + anew.bytes[TV_LOGGER_CSV], 0);
    tv_free(json);
    tv_loggers_destroy(&loggers);
}

static void test_logger_errors(void **state)
{
    static const char *const wrong[] = {"jsonl", "cvs"}, *const right[] = {"jsonl"};
    tv_loggers *loggers = NULL;
    assert_int_equal(tv_loggers_create(*state, wrong, 2, NULL, &loggers), TV_EUSAGE);
    assert_non_null(strstr(tv_error_message(), "jsonl, csv"));
    assert_int_equal(tv_loggers_create("/nonexistent", right, 1, NULL, &loggers), TV_EIO);
    assert_null(loggers);
    tv_text path = {0};
    assert_int_equal(symlink("/dev/full", tv_path_join(&path, *state, "metrics.csv")), 0);
    static const char *const csv[] = {"csv"};
    assert_int_equal(tv_loggers_create(*state, csv, 1, NULL, &loggers), TV_ENOSPC); // its header
    tv_text_finish(&path);
}

// A file size limit stands in for a disk that fills up in the middle of a line.
static void test_disk_full_within_a_line(void **state)
{
    static const char *const names[] = {"jsonl"};
    struct rlimit before, tight;
    tv_loggers *loggers;
    tv_metrics *lines, metrics = training_line(1);
    size_t count;
    assert_int_equal(tv_loggers_create(*state, names, 1, NULL, &loggers), TV_OK);
    assert_int_equal(tv_loggers_write(loggers, &metrics), TV_OK);
    uint64_t whole = tv_loggers_sizes(loggers).bytes[TV_LOGGER_JSONL];
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)(whole + 9);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    tv_err err = tv_loggers_write(loggers, &metrics);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(err, TV_ENOSPC);
    assert_int_equal(tv_loggers_sizes(loggers).bytes[TV_LOGGER_JSONL], whole);
    tv_loggers_destroy(&loggers);
    assert_int_equal(tv_metrics_read(*state, &lines, &count), TV_OK);
    assert_int_equal(count, 1);
    tv_free(lines);
}

// ------------------------------------------------------------------------------------- metrics

static void test_parse_metrics(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        tv_err err;
        size_t count;
        const char *message; // a part of it
    } cases[] = {
        {"", TV_OK, 0, NULL},
        {"{\"step\": 1, \"loss\": 2}\n", TV_OK, 1, NULL},
        {"{\"step\": 1}\n{\"step\": 2, \"new_key\": [1]}\n", TV_OK, 2, NULL},
        {"{\"step\": 1}\n{\"step\": 2, \"lo", TV_OK, 1, NULL}, // cut off
        {"{\"step\": 1}\n{\"step\": 2}", TV_OK, 2, NULL},      // only the newline is missing
        {"{\"ste", TV_OK, 0, NULL},                            //
        {"{\"step\": 1}\n\n{\"step\": 2}\n", TV_EFORMAT, 0, "f.jsonl: line 2"},
        {"{\"step\": 1}\n{\"step\": 2, \"lo\n{\"step\": 3}\n", TV_EFORMAT, 0, "line 2"},
        {"{\"loss\": 1}\n", TV_EFORMAT, 0, "\"step\" is missing"},
        {"{\"step\": -1}\n", TV_EFORMAT, 0, "\"step\""},
        {"{\"step\": 1.5}\n", TV_EFORMAT, 0, "\"step\""},
        {"{\"step\": 1, \"loss\": \"2\"}\n", TV_EFORMAT, 0, "\"loss\" is not a number"},
        {"{\"step\": 1, \"loss\": null}\n", TV_EFORMAT, 0, "\"loss\""},
        {"{\"step\": 1, \"loss\": 1e999}\n", TV_EFORMAT, 0, "line 1"},
        {"{\"step\": 1, \"step\": 2}\n", TV_EFORMAT, 0, "line 1"},
        {"{\"step\": 1} x\n", TV_EFORMAT, 0, "line 1"},
        {"[1]\n", TV_EFORMAT, 0, "not a JSON object"},
        {"\xff\xfe\n", TV_EFORMAT, 0, "line 1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        tv_metrics *lines = NULL;
        size_t count = 0, length = strlen(cases[i].text);
        const uint8_t *text = (const uint8_t *)cases[i].text;
        tv_err err = tv_metrics_parse(text, length, "f.jsonl", &lines, &count);
        if (err != cases[i].err || count != cases[i].count)
            fail_msg("case %zu: error %d, %zu lines", i, err, count);
        if (cases[i].message && !strstr(tv_error_message(), cases[i].message))
            fail_msg("case %zu: message '%s'", i, tv_error_message());
        tv_free(lines);
    }
}

static void test_metrics_of_a_missing_run(void **state)
{
    tv_metrics *lines;
    size_t count;
    assert_int_equal(tv_metrics_read(*state, &lines, &count), TV_EIO);
    assert_non_null(strstr(tv_error_message(), "no metrics.jsonl"));
    assert_int_equal(tv_metrics_read("/nonexistent", &lines, &count), TV_EIO);
}

// ------------------------------------------------------------------------------------ progress

static tv_progress_view sample_view(const tv_metrics *metrics)
{
    return (tv_progress_view){metrics, 2000, 80, 482};
}

static void test_bar_fits_any_width(void **state)
{
    (void)state;
    tv_metrics metrics = training_line(240);
    metrics.val_loss = 3.25;
    tv_progress_view view = sample_view(&metrics);
    size_t previous = 0;
    for (size_t columns = 1; columns < 200; columns++) {
        tv_text line = {0};
        tv_progress_format_bar(&view, columns, &line);
        assert_true(line.length <= columns);
        assert_int_equal(strlen(line.data), line.length);
        assert_true(columns < 14 || strstr(line.data, "240/2000"));
        assert_true(columns < 28 || strstr(line.data, "loss 2.0041"));
        assert_true(columns < 40 || line.length + 20 >= previous);
        previous = line.length;
        tv_text_finish(&line);
    }
}

static void test_bar_and_plain_line(void **state)
{
    (void)state;
    tv_metrics metrics = training_line(240);
    tv_progress_view view = sample_view(&metrics);
    tv_text line = {0};
    tv_progress_format_bar(&view, 120, &line);
    assert_string_equal(line.data,
                        " 12%  [====>                                 ]  240/2000  loss 2.0041  "
                        "lr 3.00e-04  12.3k tokens/s  1m 20s  8m 02s left");
    tv_text_clear(&line);
    tv_progress_format_bar(&view, 40, &line);
    assert_string_equal(line.data, " 12%  240/2000  loss 2.0041  8m 02s left");
    tv_text_clear(&line);
    tv_progress_format_plain(&view, &line);
    assert_string_equal(line.data, "step 240/2000  loss 2.0041  lr 3.00e-04  12.3k tokens/s  "
                                   "1m 20s  8m 02s left");
    metrics = tv_metrics_none(0);
    view = (tv_progress_view){&metrics, 0, NAN, NAN};
    tv_text_clear(&line);
    tv_progress_format_bar(&view, 60, &line);
    assert_string_equal(line.data, "100%  [======================================]  0/0");
    tv_text_finish(&line);
}

// Sends stderr into `fd` while `use` runs.
static void with_stderr(int fd, void (*use)(void))
{
    int saved = dup(STDERR_FILENO);
    fflush(stderr);
    assert_true(saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    use();
    fflush(stderr);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
}

static void short_run(void)
{
    tv_progress *progress = tv_progress_create(0, 50, true);
    for (size_t i = 0; i <= 40; i++)
        tv_progress_stage(progress, "compiling kernels", i, 40);
    for (uint64_t step = 1; step <= 50; step++) {
        tv_metrics metrics = training_line(step);
        if (step == 50)
            metrics.loss = NAN; // the line before had one
        tv_progress_update(progress, &metrics);
    }
    tv_progress_finish(progress);
    tv_progress_finish(progress); // nothing new: nothing written
    tv_progress_destroy(&progress);
    tv_progress_destroy(&progress);
}

static void test_progress_into_a_file(void **state)
{
    tv_text path = {0};
    tv_path_join(&path, *state, "log");
    int fd = open(path.data, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    with_stderr(fd, short_run);
    char *text = read_text(*state, "log");
    assert_null(strchr(text, '\r'));
    assert_ptr_equal(text, strstr(text, "compiling kernels 0/40\nstep 1/50  loss 2.2500  "));
    size_t lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 3);
    assert_int_equal(text[strlen(text) - 1], '\n');
    text[strlen(text) - 1] = 0;
    assert_true(tv_starts_with(strrchr(text, '\n') + 1, "step 50/50  loss 2.0192  "));
    tv_free(text);

    assert_int_equal(ftruncate(fd, 0), 0);
    tv_log_set_level(TV_LOG_WARN);
    with_stderr(fd, short_run);
    tv_log_set_level(TV_LOG_INFO);
    text = read_text(*state, "log");
    assert_string_equal(text, "");
    tv_free(text);
    close(fd);
    tv_text_finish(&path);
}

// What came out of a terminal up to the first newline: it arrives in pieces.
static size_t read_terminal(int master, char *text, size_t size)
{
    size_t length = 0;
    while (length < size && (length == 0 || text[length - 1] != '\n')) {
        ssize_t got = read(master, text + length, size - length);
        assert_true(got > 0);
        length += (size_t)got;
    }
    return length;
}

static void test_progress_on_a_terminal(void **state)
{
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        print_message("no pseudo-terminals on this machine\n");
        skip();
    }
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    struct winsize size = {.ws_row = 24, .ws_col = 61};
    assert_true(slave >= 0 && ioctl(slave, TIOCSWINSZ, &size) == 0);
    with_stderr(slave, short_run);
    char text[8192] = {0};
    size_t length = read_terminal(master, text, sizeof text - 1);
    // The stage is replaced in place, and only the last line ends.
    assert_non_null(strstr(text, "\r\033[Kcompiling kernels 0/40"));
    assert_non_null(strstr(text, "\r\033[K  2%"));
    char *last = strstr(text, "\r\033[K100%");
    assert_non_null(last);
    assert_non_null(strstr(last, "50/50  loss 2.0192"));
    assert_ptr_equal(strchr(text, '\n'), text + length - 1);
    for (char *at = strtok(text, "\r\n"); at; at = strtok(NULL, "\r\n"))
        assert_true(strlen(at) <= 60 + strlen("\033[K"));
    close(slave);
    close(master);
}

int main(void)
{
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(test_lines_as_written),
        IN_DIRECTORY(test_floats_read_back_the_same),
        IN_DIRECTORY(test_resume_cuts_to_the_checkpoint),
        IN_DIRECTORY(test_logger_errors),
        IN_DIRECTORY(test_disk_full_within_a_line),
        cmocka_unit_test(test_parse_metrics),
        IN_DIRECTORY(test_metrics_of_a_missing_run),
        cmocka_unit_test(test_bar_fits_any_width),
        cmocka_unit_test(test_bar_and_plain_line),
        IN_DIRECTORY(test_progress_into_a_file),
        cmocka_unit_test(test_progress_on_a_terminal),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
