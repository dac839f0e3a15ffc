// Straight lines: least squares of relative deviations.
#include "bench/line.h"

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

bool tv_line_fit(const double *x, const double *y, size_t count, tv_line *line)
{
    // (a + b x - y) / y, that is a u + b v = 1.
    double s1 = 0, sx = 0, sxx = 0, sy = 0, sxy = 0;
    for (size_t i = 0; i < count; i++) {
        double u = 1 / y[i], v = x[i] / y[i];
        s1 += u * u;
        sx += u * v;
        sxx += v * v;
        sy += u;
        sxy += v;
    }
    double determinant = s1 * sxx - sx * sx;
    if (count < 2 || !(determinant > 1e-9 * s1 * sxx))
        return false;
    line->fixed = (sy * sxx - sxy * sx) / determinant;
    line->slope = (s1 * sxy - sx * sy) / determinant;
    find_worst(x, y, count, line);
    return true;
}

bool tv_line_fit_cost(const double *x, const double *y, size_t count, tv_line *line)
{
    double sxx = 0, sxy = 0;
    if (!tv_line_fit(x, y, count, line))
        return false;
    if (line->fixed >= 0)
        return true;
    for (size_t i = 0; i < count; i++) {
        sxx += x[i] / y[i] * (x[i] / y[i]);
        sxy += x[i] / y[i];
    }
    line->fixed = 0;
    line->slope = sxy / sxx;
    find_worst(x, y, count, line);
    return true;
}
