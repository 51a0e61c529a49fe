#include "client/chart.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "client/format.h"

#define SPARK_LEVELS       8
#define DOTS_ACROSS        2 /* of a braille character */
#define DOTS_DOWN          4
#define LABEL_COLUMNS      8 /* "  4.312 " */
#define PLOT_COLUMNS_MAX   120
#define BRAILLE_BLANK      0x2800U
#define ROWS_BETWEEN_TICKS 3

static const char *const spark_blocks[SPARK_LEVELS] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char *const spark_ascii[SPARK_LEVELS] = {"_", ".", "-", "~", "=", "+", "*", "#"};

void sparkline_render(const struct series *series, int columns, bool has_unicode, struct bytes *out)
{
    double values[SPARKLINE_COLUMNS_MAX];
    size_t count = columns > SPARKLINE_COLUMNS_MAX ? SPARKLINE_COLUMNS_MAX
                   : columns > 0                   ? (size_t)columns
                                                   : 0;

    count = count < series->count ? count : series->count;
    if (!series_sample(series, values, count)) {
        return;
    }
    double low = values[0];
    double high = values[0];
    for (size_t i = 1; i < count; i++) {
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    for (size_t i = 0; i < count; i++) {
        double share = high > low ? (values[i] - low) / (high - low) : 0;
        size_t level = (size_t)(share * (SPARK_LEVELS - 1) + 0.5);
        bytes_append_text(out, has_unicode ? spark_blocks[level] : spark_ascii[level]);
    }
}

/* ------------------------------------------------------------------------------------ chart --- */

/* What the plot's area shows, in characters. Columns and rows count from the top left. */
struct plot {
    int columns;
    int rows;
    int dots_across; /* dots per character: braille's, or 1 × 1 */
    int dots_down;
    double step_first, step_last;
    double low, high;
    uint8_t dots[CHART_ROWS_MAX][PLOT_COLUMNS_MAX]; /* braille's bits, or 1 */
    bool marks[CHART_ROWS_MAX][PLOT_COLUMNS_MAX];
};

static void widen(struct plot *plot, const struct series *series)
{
    for (size_t i = 0; i < series->count; i++) {
        const struct series_point *point = &series->points[i];
        plot->low = fmin(plot->low, point->value);
        plot->high = fmax(plot->high, point->value);
    }
    if (series->count > 0) { /* not the first and last point's: these may be means of several */
        plot->step_first = fmin(plot->step_first, (double)series->first_step);
        plot->step_last = fmax(plot->step_last, (double)series->last_step);
    }
}

/* Row of dots (or characters, with 1 dot down) at which a value lies; 0 is the top. */
static int row_of(const struct plot *plot, double value, int dots_down)
{
    int last = plot->rows * dots_down - 1;
    double share = plot->high > plot->low ? (value - plot->low) / (plot->high - plot->low) : 0.5;
    return last - (int)lround(share * last);
}

static void set_dot(struct plot *plot, int x, int y)
{
    /* Unicode's numbering of the dots: 1 2 3 7 down the left, 4 5 6 8 down the right. */
    static const uint8_t bits[DOTS_DOWN][DOTS_ACROSS] = {
        {0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    uint8_t bit = plot->dots_down == 1 ? 1 : bits[y % DOTS_DOWN][x % DOTS_ACROSS];

    plot->dots[y / plot->dots_down][x / plot->dots_across] |= bit;
}

/* One dot per column of dots, joined vertically to its neighbour so that steep parts stay whole. */
static void draw_line(struct plot *plot, const struct series *series)
{
    int across = plot->columns * plot->dots_across;
    double span = plot->step_last - plot->step_first;
    int previous = -1;

    for (int x = 0; x < across; x++) {
        double step = plot->step_first + span * x / (across > 1 ? across - 1 : 1);
        double slack = span / across;
        if (step < (double)series->first_step - slack || step > (double)series->last_step + slack) {
            continue; /* the other series reaches further */
        }
        int y = row_of(plot, series_at(series, step), plot->dots_down);
        int towards = previous < 0 || previous == y ? y : previous + (previous < y ? 1 : -1);
        for (int at = towards; at != y; at += at < y ? 1 : -1) {
            set_dot(plot, x, at);
        }
        set_dot(plot, x, y);
        previous = y;
    }
}

static void draw_marks(struct plot *plot, const struct series *series)
{
    double span = plot->step_last - plot->step_first;

    for (size_t i = 0; i < series->count; i++) {
        double share = span > 0 ? (series->points[i].step - plot->step_first) / span : 0;
        int column = (int)lround(share * (plot->columns - 1));
        plot->marks[row_of(plot, series->points[i].value, 1)][column] = true;
    }
}

static void append_cell(const struct plot *plot, const struct terminal *terminal, int row,
                        int column, struct bytes *out)
{
    uint8_t dots = plot->dots[row][column];

    if (plot->marks[row][column]) {
        bytes_append_text(out, terminal_style(terminal, STYLE_YELLOW));
        bytes_append_text(out, terminal->has_unicode ? "●" : "o");
        bytes_append_text(out, terminal_style_end(terminal));
    } else if (dots == 0) {
        bytes_append_char(out, ' ');
    } else if (terminal->has_unicode) { /* U+2800 + dots, as UTF-8 */
        uint32_t c = BRAILLE_BLANK + dots;
        bytes_append_char(out, (char)(0xe0 | c >> 12));
        bytes_append_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
        bytes_append_char(out, (char)(0x80 | (c & 0x3f)));
    } else {
        bytes_append_char(out, '*');
    }
}

static void append_rows(const struct plot *plot, const struct terminal *terminal, struct bytes *out)
{
    for (int row = 0; row < plot->rows; row++) {
        char number[FORMAT_BYTES];
        bool is_tick = row == 0 || row == plot->rows - 1 ||
                       (row % ROWS_BETWEEN_TICKS == 0 && row + 1 < plot->rows - 1);
        double share = 1.0 - (double)row / (plot->rows - 1);
        double value = plot->low + share * (plot->high - plot->low);

        int blanks = LABEL_COLUMNS - 1;
        if (is_tick) {
            blanks -= (int)strlen(format_loss(number, value));
        }
        bytes_printf(out, "%*s%s ", blanks > 0 ? blanks : 0, "", is_tick ? number : "");
        bytes_append_text(out, !terminal->has_unicode ? (is_tick ? "+" : "|")
                               : is_tick              ? "┤"
                                                      : "│");
        int last = plot->columns - 1;
        while (last >= 0 && plot->dots[row][last] == 0 && !plot->marks[row][last]) {
            last--; /* no trailing blanks */
        }
        for (int column = 0; column <= last; column++) {
            append_cell(plot, terminal, row, column, out);
        }
        bytes_append_char(out, '\n');
    }
}

static void append_axis(const struct plot *plot, bool has_marks, const struct terminal *terminal,
                        struct bytes *out)
{
    char first[FORMAT_BYTES];
    char last[FORMAT_BYTES];

    bytes_printf(out, "%*s%s", LABEL_COLUMNS, "", terminal->has_unicode ? "└" : "+");
    for (int column = 0; column < plot->columns; column++) {
        bytes_append_text(out, terminal->has_unicode ? "─" : "-");
    }
    (void)snprintf(first, sizeof first, "%.0f", plot->step_first);
    (void)snprintf(last, sizeof last, "%.0f", plot->step_last);
    bytes_printf(out, "\n%*s%s%*s\n", LABEL_COLUMNS + 1, "", first,
                 plot->columns - (int)strlen(first), last);

    bytes_printf(out, "%*s%s loss by step", LABEL_COLUMNS + 1, "",
                 terminal->has_unicode ? "⠒⠒" : "**");
    if (has_marks) {
        bytes_printf(out, "   %s%s%s validation loss", terminal_style(terminal, STYLE_YELLOW),
                     terminal->has_unicode ? "●" : "o", terminal_style_end(terminal));
    }
    bytes_append_char(out, '\n');
}

void chart_render(const struct chart *chart, const struct terminal *terminal, struct bytes *out)
{
    assert(chart->training->count > 0);
    assert(chart->rows >= CHART_ROWS_MIN && chart->rows <= CHART_ROWS_MAX);
    int columns = terminal->columns - LABEL_COLUMNS - 1;
    struct plot plot = {
        .columns = columns < CHART_COLUMNS_MIN  ? CHART_COLUMNS_MIN
                   : columns > PLOT_COLUMNS_MAX ? PLOT_COLUMNS_MAX
                                                : columns,
        .rows = chart->rows,
        .dots_across = terminal->has_unicode ? DOTS_ACROSS : 1,
        .dots_down = terminal->has_unicode ? DOTS_DOWN : 1,
        .step_first = INFINITY,
        .step_last = -INFINITY,
        .low = INFINITY,
        .high = -INFINITY,
    };

    widen(&plot, chart->training);
    widen(&plot, chart->validation);
    draw_line(&plot, chart->training);
    draw_marks(&plot, chart->validation);
    append_rows(&plot, terminal, out);
    append_axis(&plot, chart->validation->count > 0, terminal, out);
}
