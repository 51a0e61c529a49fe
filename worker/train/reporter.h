/*
 * reporter — tells the daemon, over its socket, what the run folder says, and hears what is asked.
 *
 * The socket is a courtesy: the records file is the truth, and the daemon can read it by itself.
 * Nothing here waits or fails a run. Lines go out in the order of the file, from the offset that
 * the daemon said it has; after a lost connection that is asked again. A daemon that does not know
 * the attempt or its token is not asked again, one in other trouble (its disk is full) is.
 *
 * Ownership: borrows the records. Threads: rank 0's main thread, at step boundaries.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"

struct records;
struct reporter;

struct reporter_options {
    const char *socket_path;
    const char *token_path; /* file with the attempt's token */
    int64_t job;
    int attempt;
    const struct records *records;
};

/* What the daemon asked for since the last look. */
struct reporter_control {
    bool stop;
    bool checkpoint;
};

/* Reads the token; connects nothing yet. */
MUST_USE enum status reporter_create(struct reporter **out, const struct reporter_options *options,
                                     struct error *err);
void reporter_destroy(struct reporter *reporter); /* NULL is fine */

/* Sends and reads what can be without waiting. NULL is fine, nothing is asked then. */
void reporter_poll(struct reporter *reporter);
struct reporter_control reporter_take_control(struct reporter *reporter);
