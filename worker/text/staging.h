/*
 * staging — a folder that appears whole or not at all.
 *
 * All is built in "OUTPUT.partial", which its builder holds a lock on; commit moves it to OUTPUT,
 * exchanging it with what stands there. A builder that died leaves "OUTPUT.partial", which the next
 * one empties. An existing OUTPUT is only replaced when it holds the marker file or nothing.
 *
 * Ownership: staging_close removes what was not committed. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>

#include "proto/base/error.h"
#include "proto/base/limits.h"

struct staging {
    char output[PATH_BYTES_MAX];
    char folder[PATH_BYTES_MAX]; /* where to build */
    int lock_fd;
    bool is_open;
};

/* CONFLICT when output is something else, BUSY when another process builds it. */
MUST_USE enum status staging_open(struct staging *staging, const char *output, const char *marker,
                                  struct error *err);

/* What was built is durable by itself; this makes the move so. */
MUST_USE enum status staging_commit(struct staging *staging, struct error *err);

/* A zeroed struct is fine. */
void staging_close(struct staging *staging);
