/*
 * screen — a few lines at the bottom of a terminal that are redrawn in place, with ordinary lines
 * scrolling by above them. Where the stream cannot redraw, only the ordinary lines appear.
 *
 * Each change is one write, so that nothing flickers and other processes' output stays whole.
 * Nothing is done to the terminal that a killed program would leave behind.
 */
#pragma once

#include "client/terminal.h"
#include "proto/base/bytes.h"

struct screen {
    struct terminal *terminal; /* borrowed */
    int line_count;            /* drawn at the moment */
    struct bytes drawn;        /* what they say */
};

void screen_init(struct screen *out, struct terminal *terminal);

/* Replaces the lines; each ends in '\n' and is narrower than the terminal. Unchanged ones cost
 * nothing. Ignored where the stream cannot redraw. */
void screen_draw(struct screen *screen, const struct bytes *lines);

/* Prints text, which ends in '\n', above the lines. */
void screen_print(struct screen *screen, const struct bytes *text);

/* Takes the lines away (they come again with the next draw). */
void screen_erase(struct screen *screen);

void screen_deinit(struct screen *screen);
