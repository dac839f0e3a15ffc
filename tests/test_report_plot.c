// Tests of report/chart.h and plot.h: ticks, smoothing, decimation, and pictures by their pixels.
#include "base/file.h"
#include "base/memory.h"
#include "report/chart.h"
#include "report/plot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

// Fontconfig keeps its caches until the process ends.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libfontconfig";
}

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

// -------------------------------------------------------------------------------------- charts

static void test_axis_ticks(void **state)
{
    (void)state;
    static const struct {
        double low, high;
        size_t ticks;
        double tick;
        const char *first, *second; // labels
    } cases[] = {
        {0, 5000, 10, 500, "0", "500"},
        {0, 100000, 10, 10000, "0", "10k"},
        {1.7, 4.2, 8, 0.5, "2.0", "2.5"},
        {3.301, 3.309, 8, 0.001, "3.301", "3.302"},
        {0, 3.3e-4, 4, 1e-4, "0", "1e-4"},
        {0, 5e-6, 4, 2e-6, "0", "2e-6"},
        {0, 2e6, 10, 2e5, "0", "200k"},
        {0, 3e7, 10, 5e6, "0", "5M"},
        {0, 10, 10, 1, "0", "1"},
        {900, 1100, 5, 50, "900", "950"},
        {0, 3.2e-4, 8, 5e-5, "0", "5e-5"},
        {-1, 1, 4, 0.5, "-1.0", "-0.5"},
        {9.5e-5, 1.5e-4, 6, 1e-5, "1e-4", "1.1e-4"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char label[32];
        tv_axis axis = tv_axis_make(cases[i].low, cases[i].high, cases[i].ticks);
        if (fabs(axis.tick / cases[i].tick - 1) > 1e-9)
            fail_msg("case %zu: tick %g", i, axis.tick);
        double first = tv_axis_first_tick(&axis);
        assert_true(first >= cases[i].low - 1e-12);
        tv_axis_label(&axis, first, label);
        assert_string_equal(label, cases[i].first);
        tv_axis_label(&axis, first + axis.tick, label);
        assert_string_equal(label, cases[i].second);
    }
    static const double points[] = {0, 5, -3, 1e-9, 1e12};
    for (size_t i = 0; i < COUNT(points); i++) { // an empty range gets one
        tv_axis axis = tv_axis_make(points[i], points[i], 8);
        assert_true(axis.low < points[i] && axis.high > points[i] && axis.tick > 0);
    }
}

static void test_smoothing(void **state)
{
    (void)state;
    enum { N = 500 };
    static tv_point points[N], smooth[N];
    for (size_t i = 0; i < N; i++)
        points[i] = (tv_point){(double)i, sin((double)i) + 0.01 * (double)i};
    static const size_t radii[] = {0, 1, 7, 100, 1000};
    for (size_t r = 0; r < COUNT(radii); r++) {
        tv_points_smooth(points, N, radii[r], smooth);
        for (size_t i = 0; i < N; i++) {
            size_t left = tv_min_size(radii[r], i), right = tv_min_size(left, N - 1 - i);
            double sum = 0;
            for (size_t j = i - left; j <= i + right; j++)
                sum += points[j].y;
            assert_true(fabs(smooth[i].y - sum / (double)(left + right + 1)) < 1e-9);
            assert_true(smooth[i].x == points[i].x);
        }
    }
}

static void test_decimation_keeps_the_extremes(void **state)
{
    (void)state;
    enum { N = 100003, BUCKETS = 900 };
    tv_point *points = tv_alloc(N, sizeof *points);
    for (size_t i = 0; i < N; i++)
        points[i] = (tv_point){(double)i, sin((double)i * 0.001)};
    points[777].y = 50;
    points[N - 1].y = -50;
    size_t kept = tv_points_decimate(points, N, BUCKETS);
    assert_true(kept > BUCKETS && kept <= 2 * BUCKETS);
    double low = 0, high = 0;
    for (size_t i = 0; i < kept; i++) {
        low = fmin(low, points[i].y);
        high = fmax(high, points[i].y);
        assert_true(i == 0 || points[i].x > points[i - 1].x);
    }
    assert_true(low == -50 && high == 50);
    assert_int_equal(tv_points_decimate(points, 100, BUCKETS), 100); // few enough: untouched
    tv_free(points);
}

// --------------------------------------------------------------------------------------- plots

static tv_metrics *make_lines(size_t count, double level)
{
    tv_metrics *lines = tv_alloc(count, sizeof *lines);
    for (size_t i = 0; i < count; i++) {
        lines[i] = tv_metrics_none(i + 1);
        lines[i].loss = level + 3 * exp(-(double)i / 300) + 0.05 * sin((double)i * 2.7);
        lines[i].lr = 1e-3 / (1 + (double)i / 500);
        if (i % 100 == 99)
            lines[i].val_loss = level + 3 * exp(-(double)i / 300) + 0.1;
    }
    return lines;
}

// How many pixels of the picture have this colour; the number of rows in which it occurs left of
// the legend in *rows.
static size_t look_for(const char *path, uint32_t color, size_t *rows)
{
    cairo_surface_t *surface = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_surface_status(surface), CAIRO_STATUS_SUCCESS);
    assert_int_equal(cairo_image_surface_get_width(surface), 1200);
    assert_int_equal(cairo_image_surface_get_height(surface), 800);
    const unsigned char *data = cairo_image_surface_get_data(surface);
    size_t count = 0, stride = (size_t)cairo_image_surface_get_stride(surface);
    *rows = 0;
    for (size_t y = 0; y < 800; y++) {
        bool seen = false;
        for (size_t x = 0; x < 1200; x++) {
            uint32_t pixel;
            memcpy(&pixel, data + y * stride + 4 * x, 4);
            bool same = (pixel & 0xffffff) == color;
            count += same;
            seen |= same && x < 800;
        }
        *rows += seen;
    }
    cairo_surface_destroy(surface);
    return count;
}

static size_t count_pixels(const char *path, uint32_t color)
{
    size_t rows;
    return look_for(path, color, &rows);
}

static size_t curve_height(const char *path, uint32_t color)
{
    size_t rows;
    look_for(path, color, &rows);
    return rows;
}

enum { BLUE = 0x0072b2, VERMILLION = 0xd55e00, GREEN = 0x009e73 }; // the palette, rounded

static void test_plot_of_one_run(void **state)
{
    tv_text path = {0};
    tv_path_join(&path, *state, "loss.png");
    tv_metrics *lines = make_lines(20000, 1.5);
    lines[5].loss = NAN;
    lines[6].loss = INFINITY;
    for (size_t i = 7; i < 20000; i += 1000)
        lines[i].loss = 1e30; // a few must not flatten the rest
    tv_plot_run run = {"tiny", lines, 20000};
    assert_int_equal(tv_plot_write(path.data, "tiny \xc3\xa9", &run, 1), TV_OK);
    assert_true(count_pixels(path.data, BLUE) > 500);
    assert_true(count_pixels(path.data, VERMILLION) > 500);
    assert_true(count_pixels(path.data, GREEN) > 500);
    for (size_t i = 0; i < run.count; i++)
        lines[i].lr = lines[i].val_loss = NAN;
    assert_int_equal(tv_plot_write(path.data, "replaced", &run, 1), TV_OK);
    assert_true(count_pixels(path.data, BLUE) > 500);
    assert_true(curve_height(path.data, BLUE) > 300);
    assert_int_equal(count_pixels(path.data, VERMILLION), 0);
    assert_int_equal(count_pixels(path.data, GREEN), 0);
    tv_free(lines);
    tv_text_finish(&path);
}

static void test_plot_of_few_points(void **state)
{
    tv_text path = {0};
    tv_path_join(&path, *state, "loss.png");
    tv_metrics line = tv_metrics_none(1);
    tv_plot_run run = {"one", &line, 1};
    assert_int_equal(tv_plot_write(path.data, "none", &run, 1), TV_EDATA);
    assert_int_equal(tv_plot_write(path.data, "none", &run, 0), TV_EDATA);
    assert_false(tv_path_exists(path.data));
    line.loss = 2;
    assert_int_equal(tv_plot_write(path.data, "one point", &run, 1), TV_OK);
    assert_true(count_pixels(path.data, BLUE) > 20); // the dot and the legend
    line.loss = NAN;
    line.val_loss = 2;
    assert_int_equal(tv_plot_write(path.data, "validation only", &run, 1), TV_OK);
    assert_true(count_pixels(path.data, VERMILLION) > 20);
    assert_int_equal(tv_plot_write("/nonexistent/loss.png", "x", &run, 1), TV_EIO);
    tv_text_finish(&path);
}

static void test_plot_of_many_runs(void **state)
{
    enum { RUNS = 20 };
    tv_text path = {0};
    tv_plot_run runs[RUNS];
    char name[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    tv_path_join(&path, *state, "runs.png");
    for (size_t i = 0; i < RUNS; i++)
        runs[i] = (tv_plot_run){i ? "run" : name, make_lines(300, (double)i), 300};
    assert_int_equal(tv_plot_write(path.data, name, runs, RUNS), TV_OK);
    assert_true(count_pixels(path.data, BLUE) > 500);
    assert_true(count_pixels(path.data, VERMILLION) > 500);
    for (size_t i = 0; i < RUNS; i++)
        tv_free((void *)runs[i].lines);
    tv_text_finish(&path);
}

int main(void)
{
#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_axis_ticks),
        cmocka_unit_test(test_smoothing),
        cmocka_unit_test(test_decimation_keeps_the_extremes),
        IN_DIRECTORY(test_plot_of_one_run),
        IN_DIRECTORY(test_plot_of_few_points),
        IN_DIRECTORY(test_plot_of_many_runs),
    };
    return cmocka_run_group_tests_name("plot", tests, NULL, NULL);
}
