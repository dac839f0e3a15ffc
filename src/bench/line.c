// Straight lines: weighted least squares.
#include "bench/line.h"

#include "base/memory.h"

#include <math.h>

double tv_line_at(const tv_line *line, double x)
{
    return line->fixed + line->slope * x;
}

static void find_worst(const double *x, const double *y, size_t count, tv_line *line)
{
    line->worst = 0;
    line->at = 0;
    for (size_t i = 0; i < count; i++) {
        double off = fabs(y[i] / tv_line_at(line, x[i]) - 1);
        if (off <= line->worst)
            continue;
        line->worst = off;
        line->at = i;
    }
}

// Weighted least squares.
static bool fit(const double *x, const double *y, const double *weights, size_t count,
                tv_line *line)
{
    double s1 = 0, sx = 0, sxx = 0, sy = 0, sxy = 0;
    for (size_t i = 0; i < count; i++) {
        double w = weights[i];
        s1 += w;
        sx += w * x[i];
        sxx += w * x[i] * x[i];
        sy += w * y[i];
        sxy += w * x[i] * y[i];
    }
    double determinant = s1 * sxx - sx * sx;
    if (count < 2 || !(determinant > 1e-9 * s1 * sxx))
        return false;
    line->fixed = (sy * sxx - sxy * sx) / determinant;
    line->slope = (s1 * sxy - sx * sy) / determinant;
    return true;
}

bool tv_line_fit(const double *x, const double *y, size_t count, tv_line *line)
{
    double *weights = tv_alloc(count, sizeof *weights);
    for (size_t i = 0; i < count; i++)
        weights[i] = 1 / (y[i] * y[i]);
    bool found = fit(x, y, weights, count, line);
    tv_free(weights);
    if (found)
        find_worst(x, y, count, line);
    return found;
}

bool tv_line_fit_cost(const double *x, const double *y, size_t count, tv_line *line)
{
    double *weights = tv_alloc(count, sizeof *weights), sum_x = 0, sum_y = 0;
    for (size_t i = 0; i < count; i++) {
        weights[i] = 1 / x[i];
        sum_x += x[i];
        sum_y += y[i];
    }
    bool found = fit(x, y, weights, count, line);
    tv_free(weights);
    if (found && line->fixed < 0)
        *line = (tv_line){.slope = sum_y / sum_x};
    if (found)
        find_worst(x, y, count, line);
    return found;
}
