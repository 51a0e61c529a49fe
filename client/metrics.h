/*
 * metrics — the recorded rows of a run, fetched page by page.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/series.h"
#include "client/session.h"
#include "proto/base/error.h"

struct metrics_query {
    int64_t job;
    const char *kind; /* "step", "evaluation", "merge", "checkpoint" */
    int64_t from_step;
    bool has_superseded; /* also rows that a resumed attempt computed again */
};

/* One row, borrowed for the call; a status other than STATUS_OK ends the walk. */
typedef enum status metrics_row_fn(void *context, const json_t *row, struct error *err);

/* Calls take for every row, in order. */
MUST_USE enum status metrics_each(struct session *session, const struct metrics_query *query,
                                  metrics_row_fn *take, void *context, struct error *err);

/* The effective loss curve of a kind ("step" or "evaluation"). */
MUST_USE enum status metrics_loss(struct session *session, int64_t job, const char *kind,
                                  struct series *out, struct error *err);
