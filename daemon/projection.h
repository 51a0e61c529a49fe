/*
 * projection — the tables jobs and attempts as functions of the event log: one event, one change.
 *
 * Everything in these tables comes from events and nothing else, so that replaying the log into
 * empty tables gives the same rows (projection_compare is how that is shown).
 *
 * Threads: those of the connection.
 */
#pragma once

#include "daemon/db.h"
#include "daemon/event.h"
#include "proto/base/error.h"

/* Applies an appended event to the tables. Asserts that a job's move is allowed. STATUS_CORRUPT
 * for an event about an unknown job or attempt, or with data that this type does not have. */
MUST_USE enum status projection_apply(struct db *db, const struct event *event, struct error *err);

/* STATUS_CORRUPT naming the table and the first row in which the two databases differ. */
MUST_USE enum status projection_compare(struct db *db, struct db *other, struct error *err);
