/*
 * event_text — events of the daemon's log in words.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "proto/base/bytes.h"

/*
 * Appends one line without its end: "attempt 2 started on cores 0, 1, resuming from step 40". An
 * event of a newer daemon comes out as its type and data, so nothing is ever hidden.
 */
void event_text_append(struct bytes *out, const json_t *event);

/* Whether the event is told by the progress lines anyhow (checkpoints, evaluations). */
bool event_text_is_routine(const json_t *event);
