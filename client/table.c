#include "client/table.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MAX  16
#define GAP_COLUMNS  2
#define FLEXIBLE_MIN 8

void table_init(struct table *out, const struct table_column *columns, size_t column_count)
{
    assert(column_count > 0 && column_count <= COLUMNS_MAX);
    *out = (struct table){.columns = columns, .column_count = column_count};
}

void table_cell(struct table *table, enum style style, const char *format, ...)
{
    char text[ERROR_MESSAGE_BYTES + ERROR_HINT_BYTES]; /* the longest that we show is an error */
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bytes_append(&table->text, text, strlen(text) + 1);
    bytes_append_char(&table->style, (char)style);
}

/* widths[column_count] <- the widest cell of each, shrunk to the terminal where one may shrink. */
static void measure(const struct table *table, const struct terminal *terminal, int *widths)
{
    int total = 0;

    for (size_t c = 0; c < table->column_count; c++) {
        widths[c] = text_columns(table->columns[c].title);
    }
    const char *cell = table->text.data;
    for (size_t i = 0; i < table->style.size; i++, cell += strlen(cell) + 1) {
        int columns = text_columns(cell);
        int *width = &widths[i % table->column_count];
        *width = columns > *width ? columns : *width;
    }
    for (size_t c = 0; c < table->column_count; c++) {
        total += widths[c] + (c > 0 ? GAP_COLUMNS : 0);
    }
    for (size_t c = 0; c < table->column_count && terminal->can_redraw; c++) {
        int excess = total - terminal->columns;
        if (table->columns[c].is_flexible && excess > 0) {
            int shrunk = widths[c] - excess;
            widths[c] = shrunk > FLEXIBLE_MIN ? shrunk : FLEXIBLE_MIN;
        }
    }
}

static void append_cell(struct bytes *out, const struct table *table,
                        const struct terminal *terminal, size_t column, const int *widths,
                        enum style style, const char *text)
{
    int columns = text_columns(text);
    int pad = columns < widths[column] ? widths[column] - columns : 0;
    bool is_last = column + 1 == table->column_count;
    bool is_styled = style != STYLE_PLAIN && columns > 0 && terminal->has_colour;

    if (column > 0) {
        bytes_printf(out, "%*s", GAP_COLUMNS, "");
    }
    if (table->columns[column].is_number) {
        bytes_printf(out, "%*s", pad, "");
    }
    bytes_append_text(out, is_styled ? terminal_style(terminal, style) : "");
    text_append_cut(out, text, widths[column], terminal->has_unicode || !terminal->can_redraw);
    bytes_append_text(out, is_styled ? terminal_style_end(terminal) : "");
    if (!is_last) {
        bytes_printf(out, "%*s", table->columns[column].is_number ? 0 : pad, "");
        return;
    }
    while (out->size > 0 && out->data[out->size - 1] == ' ') { /* no trailing blanks */
        out->size--;
    }
    bytes_append_char(out, '\n');
}

enum status table_render(const struct table *table, const struct terminal *terminal,
                         struct bytes *out, struct error *err)
{
    int widths[COLUMNS_MAX];

    if (bytes_failed(&table->text) || bytes_failed(&table->style)) {
        return error_set(err, STATUS_NO_MEMORY, "table: out of memory");
    }
    assert(table->style.size % table->column_count == 0);
    measure(table, terminal, widths);
    for (size_t c = 0; c < table->column_count; c++) {
        append_cell(out, table, terminal, c, widths, STYLE_DIM, table->columns[c].title);
    }
    const char *cell = table->text.data;
    for (size_t i = 0; i < table->style.size; i++, cell += strlen(cell) + 1) {
        append_cell(out, table, terminal, i % table->column_count, widths,
                    (enum style)table->style.data[i], cell);
    }
    return bytes_status(out, "table", err);
}

enum status table_print(const struct table *table, const struct terminal *terminal,
                        struct error *err)
{
    struct bytes out = {0};

    enum status status = table_render(table, terminal, &out, err);
    if (!status) {
        (void)fwrite(out.data, 1, out.size,
                     terminal->stream); /* main checks the stream at the end */
    }
    bytes_deinit(&out);
    return status;
}

void table_deinit(struct table *table)
{
    bytes_deinit(&table->text);
    bytes_deinit(&table->style);
    *table = (struct table){0};
}
