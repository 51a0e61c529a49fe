/*
 * prepare_view — what a person sees of a preparation: a progress bar on a terminal, the report.
 *
 * Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/text/prepare.h"

struct prepare_view {
    bool is_terminal; /* stderr: where the bar goes */
    bool is_bar_open; /* its line has no newline yet */
    int width;        /* columns of the terminal */
    int64_t start_ns; /* of the phase */
    enum prepare_phase phase;
};

void prepare_view_init(struct prepare_view *view);

/* Draws the bar over itself; does nothing where stderr is no terminal. */
void prepare_view_progress(struct prepare_view *view, const struct prepare_progress *progress);

/* A line on stderr, above the bar. */
void prepare_view_notice(struct prepare_view *view, const char *text);

/* Takes the bar away. */
void prepare_view_end(struct prepare_view *view);

/* The report for people, on stdout. */
void prepare_view_report(const struct prepare_report *report, const char *output);
