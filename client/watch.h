/*
 * watch — following a job to its end.
 *
 * On a terminal, progress is redrawn in place with the job's events scrolling by above it;
 * elsewhere events and about twenty progress lines a run are printed. A daemon that goes away and
 * comes back is waited for: the events continue behind the last one seen (from_seq), the steps
 * behind the last one shown, so that none is lost or doubled. An interrupt (Ctrl-C) detaches; the
 * job goes on.
 *
 * Threads: one. While a watch runs, SIGINT is blocked and read from a signalfd.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/job.h"
#include "client/session.h"
#include "client/terminal.h"
#include "proto/base/error.h"

#define WATCH_FOR_EVER (-1)

enum watch_ending {
    WATCH_ENDING_FINAL,    /* the job has ended */
    WATCH_ENDING_DETACHED, /* interrupted */
    WATCH_ENDING_TIMED_OUT,
};

struct watch_options {
    struct terminal *terminal; /* where to show; NULL: shows nothing */
    int64_t timeout_ms;        /* or WATCH_FOR_EVER */
};

struct watch_result {
    enum watch_ending ending;
    json_t *detail; /* the last answer of job.get; owned */
    struct job job; /* borrows from detail */
};

/* Follows job until it is final. The result is to be released in any case. */
MUST_USE enum status watch_job(struct session *session, const struct job_reference *job,
                               const struct watch_options *options, struct watch_result *out,
                               struct error *err);
void watch_result_deinit(struct watch_result *result);

/* The exit code of a command that ends with the watch: 0 succeeded, 1 failed, 11 cancelled,
 * 13 timed out, 130 interrupted. */
int watch_exit_code(const struct watch_result *result);

/* Says on the terminal how it ended ("pubmed-demo (job 3) succeeded: …") and, on stderr, which
 * commands come next. */
void watch_report(const struct watch_result *result, const struct terminal *terminal);

/* The whole of `remora watch`: follows on stream, reports, and sets the exit code. */
MUST_USE enum status watch_command(struct session *session, const struct job_reference *job,
                                   FILE *stream, int *exit_code, struct error *err);
