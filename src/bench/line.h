// Straight lines through what was measured: a fixed cost, and one for each unit of work.
#ifndef TV_BENCH_LINE_H
#define TV_BENCH_LINE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tv_line {
    double fixed, slope;
    double worst; // largest deviation of a point from the line, as a part of it
    size_t at;    // that point
} tv_line;

// Least squares of the deviations as parts of y, which are above 0: so small and large points count
// alike. False where all x are the same, or there are fewer than two.
bool tv_line_fit(const double *x, const double *y, size_t count, tv_line *line);

// For what costs something for each unit, where x is above 0: squares of deviations are divided by
// x, so that a network's buffers, which small messages find empty, do not decide what large ones
// take. Where the fixed part would be below 0 the line goes through the origin.
bool tv_line_fit_cost(const double *x, const double *y, size_t count, tv_line *line);

double tv_line_at(const tv_line *line, double x);

#endif
