/*
 * chart — the loss curve as text: a sparkline for one line, a chart with axes for a page.
 *
 * The chart draws in braille dots (2 × 4 a character), or with '*' where the terminal has no
 * Unicode. Rendering depends on its arguments only.
 */
#pragma once

#include <stdbool.h>

#include "client/series.h"
#include "client/terminal.h"
#include "proto/base/bytes.h"

#define SPARKLINE_COLUMNS_MAX 64
#define CHART_COLUMNS_MIN     20
#define CHART_ROWS_MIN        3
#define CHART_ROWS_MAX        40

/* Appends at most columns characters, fewer when there are fewer points; nothing for none. */
void sparkline_render(const struct series *series, int columns, bool has_unicode,
                      struct bytes *out);

struct chart {
    const struct series *training;   /* drawn as a line; at least one point */
    const struct series *validation; /* drawn as marks; may be empty */
    int rows;                        /* of the plot, in [CHART_ROWS_MIN, CHART_ROWS_MAX] */
};

/* Appends the plot, its axes and a legend: rows + 3 lines, each at most terminal->columns wide. */
void chart_render(const struct chart *chart, const struct terminal *terminal, struct bytes *out);
