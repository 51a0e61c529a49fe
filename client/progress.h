/*
 * progress — what `remora watch` shows of a job: two lines that are redrawn in place on a terminal,
 * or one plain line at a time elsewhere.
 *
 *   pubmed-demo  running  ━━━━━━━━━━━━━━━━━───────────────  52%  312/600  eta 1m12s
 *   loss 4.312 ▇▆▅▄▃▂▂▁▁  validation 4.410 (perplexity 82.3)  lr 8.1e-4  9.42k tokens/s
 *
 * Rendering depends on the arguments only, so that tests compare whole lines.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/series.h"
#include "client/terminal.h"
#include "proto/base/bytes.h"

#define PROGRESS_LINES 2

/* A zeroed struct is a job of which nothing is known. */
struct progress {
    const char *name;  /* borrowed */
    const char *state; /* borrowed; "" before the first answer */
    const char *note;  /* borrowed; said while there are no numbers yet ("waits for 2 slots") */
    int64_t step;      /* the run's, which a resumed attempt sets back */
    int64_t steps;     /* 0: not known yet */

    bool has_step; /* of the last step record: */
    int64_t step_attempt, step_seen;
    double loss, lr, grad_norm, tokens_per_s, eta_s;

    bool has_evaluation; /* of the last evaluation record: */
    int64_t evaluation_attempt, evaluation_seen;
    double evaluation_loss, perplexity;

    struct series training;
    struct series validation;
};

/*
 * Takes in one record of the run ("start", "step" or "evaluation"; others are ignored). False when
 * it is no news: at or before the last one of its type, ordered by (attempt, step). So a page of
 * metrics and the live stream may overlap, and nothing is shown twice.
 */
bool progress_take(struct progress *progress, const json_t *record);

/* Appends PROGRESS_LINES lines, each ending in '\n' and narrower than the terminal, so that no
 * terminal wraps them. */
void progress_render(const struct progress *progress, const struct terminal *terminal,
                     struct bytes *out);

/* Appends "step 312/600  loss 4.312  …\n": the last step, for logs and pipes. */
void progress_render_plain(const struct progress *progress, struct bytes *out);

/* Whether a log without a terminal should show this step: about twenty lines a run. */
bool progress_is_milestone(const struct progress *progress);
