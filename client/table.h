/*
 * table — rows of text in aligned columns, for a terminal or a pipe.
 *
 * On a terminal the flexible column gives way so that rows fit the width; in a pipe nothing is cut.
 * Cells are copied. Memory that runs out shows when printing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "client/terminal.h"
#include "proto/base/bytes.h"
#include "proto/base/error.h"

struct table_column {
    const char *title;
    bool is_number;   /* right-aligned */
    bool is_flexible; /* may be cut to fit; at most one */
};

struct table {
    const struct table_column *columns; /* borrowed */
    size_t column_count;
    struct bytes text;  /* cells, each NUL-terminated, row by row */
    struct bytes style; /* one byte per cell */
};

void table_init(struct table *out, const struct table_column *columns, size_t column_count);

/* The next cell, left to right; a row is full after column_count of them. */
void table_cell(struct table *table, enum style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends titles (dim) and rows; asserts that the last row is full. */
MUST_USE enum status table_render(const struct table *table, const struct terminal *terminal,
                                  struct bytes *out, struct error *err);

/* Renders to the terminal's stream. */
MUST_USE enum status table_print(const struct table *table, const struct terminal *terminal,
                                 struct error *err);

void table_deinit(struct table *table);
