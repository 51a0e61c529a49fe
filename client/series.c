#include "client/series.h"

#include <assert.h>
#include <math.h>

/* Drops the points that lie at or behind step, with what was being gathered. */
static void drop_from(struct series *series, int64_t step)
{
    while (series->count > 0 && series->points[series->count - 1].step >= (double)step) {
        series->count--;
    }
    series->pending = (struct series_point){0};
    series->pending_count = 0;
}

static void halve(struct series *series)
{
    for (size_t i = 0; i < SERIES_POINTS_MAX / 2; i++) {
        const struct series_point *a = &series->points[2 * i];
        const struct series_point *b = &series->points[2 * i + 1];
        series->points[i] =
            (struct series_point){(a->step + b->step) / 2, (a->value + b->value) / 2};
    }
    series->count = SERIES_POINTS_MAX / 2;
    series->stride *= 2;
}

void series_add(struct series *series, int64_t step, double value)
{
    if (!isfinite(value)) {
        return;
    }
    if (series->stride == 0) {
        series->stride = 1;
        series->first_step = step;
    } else if (step <= series->last_step) {
        drop_from(series, step);
    }
    series->last_step = step;
    series->pending.step += (double)step;
    series->pending.value += value;
    series->pending_count++;
    if (series->pending_count < series->stride) {
        return;
    }
    if (series->count == SERIES_POINTS_MAX) {
        halve(series);
    }
    double n = (double)series->pending_count;
    series->points[series->count++] =
        (struct series_point){series->pending.step / n, series->pending.value / n};
    series->pending = (struct series_point){0};
    series->pending_count = 0;
}

double series_at(const struct series *series, double step)
{
    assert(series->count > 0);
    size_t low = 0;
    size_t high = series->count - 1;

    if (step <= series->points[low].step) {
        return series->points[low].value;
    }
    if (step >= series->points[high].step) {
        return series->points[high].value;
    }
    while (high - low > 1) { /* points[low].step <= step < points[high].step */
        size_t middle = (low + high) / 2;
        if (series->points[middle].step <= step) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const struct series_point *a = &series->points[low];
    const struct series_point *b = &series->points[high];
    double share = (step - a->step) / (b->step - a->step);
    return a->value + share * (b->value - a->value);
}

bool series_sample(const struct series *series, double *out, size_t count)
{
    if (series->count == 0 || count == 0) {
        return false;
    }
    double first = series->points[0].step;
    double interval = (series->points[series->count - 1].step - first) / (double)count;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        double end = i + 1 == count ? (double)INFINITY : first + interval * (double)(i + 1);
        double sum = 0;
        size_t gathered = 0;
        for (; at < series->count && series->points[at].step < end; at++, gathered++) {
            sum += series->points[at].value;
        }
        out[i] = gathered > 0 ? sum / (double)gathered
                              : series_at(series, first + interval * ((double)i + 0.5));
    }
    return true;
}
