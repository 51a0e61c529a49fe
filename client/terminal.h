/*
 * terminal — what the stream that we print to can show: width, colour, Unicode, redrawing.
 *
 * Everything that draws takes a const struct terminal, so that tests render with a width and a
 * character set of their choice. Colour follows https://no-color.org (a non-empty NO_COLOR turns it
 * off) and TERM=dumb; Unicode follows the locale's character set. main calls setlocale(LC_CTYPE,
 * "").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/base/bytes.h"

#define TERMINAL_COLUMNS_DEFAULT 80
#define TERMINAL_COLUMNS_MIN     20
#define TERMINAL_COLUMNS_MAX     500

struct terminal {
    FILE *stream;
    int columns;
    bool can_redraw; /* a terminal that obeys cursor movements */
    bool has_colour;
    bool has_unicode;
};

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN };

/* stream stays the caller's. */
void terminal_init(struct terminal *out, FILE *stream);

/* Asks for the width again; cheap enough for each redraw, so that resizing needs no signal. */
void terminal_update_columns(struct terminal *terminal);

/* The escape sequence that starts a style or ends all of them; "" without colour. Static storage.
 */
const char *terminal_style(const struct terminal *terminal, enum style style);
const char *terminal_style_end(const struct terminal *terminal);

/* Columns that UTF-8 text takes; control characters and malformed bytes count as one. */
int text_columns(const char *text);

/*
 * Appends text cut to at most columns, with "…" ("..." without Unicode) where something was cut.
 * Control characters become '?', so that text from a log or a spec cannot steer the terminal.
 */
void text_append_cut(struct bytes *out, const char *text, int columns, bool has_unicode);
