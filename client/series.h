/*
 * series — a curve in bounded memory: the value of a metric by step.
 *
 * Holds every point until there are SERIES_POINTS_MAX, then averages neighbours and goes on with
 * half as many; so a run of any length keeps between half and all of them, evenly spaced. Steps
 * ascend: a step at or before the last one drops what it supersedes (a run resumed from a
 * checkpoint computes some steps again). Non-finite values are left out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIES_POINTS_MAX 1024

struct series_point {
    double step;
    double value; /* mean over the steps that the point stands for */
};

/* A zeroed struct is an empty series; nothing to free. */
struct series {
    struct series_point points[SERIES_POINTS_MAX];
    size_t count;
    int64_t stride;              /* steps per point; 0 stands for 1 */
    struct series_point pending; /* sums of the point that is being gathered */
    int64_t pending_count;
    int64_t first_step;
    int64_t last_step;
};

void series_add(struct series *series, int64_t step, double value);

/*
 * The curve at `count` evenly spaced places from the first step to the last: means of the points in
 * each interval, interpolated where an interval has none. False when the series is empty.
 */
bool series_sample(const struct series *series, double *out, size_t count);

/* The curve at one step, interpolated; clamped at the ends. Asserts that there is a point. */
double series_at(const struct series *series, double step);
