/*
 * profile — where the time of a backend's operations goes.
 *
 * While attached, a profile stands between callers and a backend's table and measures each call. A
 * matrix product is an entry per shape, any other operation one by its name; FLOPs are counted
 * where an operation multiplies matrices, as many as are needed (of attention the half below the
 * diagonal). Products inside of another operation are part of that one.
 *
 * Ownership: the caller owns the profile and detaches it before the backend is destroyed.
 * Threads:   those of the backend.
 */
#pragma once

#include <stdint.h>

#include "worker/ops/backend.h"

#define PROFILE_ENTRIES_MAX 96

struct profile_entry {
    char name[56]; /* "gemm 4096x2304x768 NT", "rmsnorm_forward" */
    int64_t calls;
    int64_t ns;
    double flop; /* of all calls; 0: memory is what they wait for */
};

struct profile;

MUST_USE enum status profile_attach(struct profile **out, struct backend *backend,
                                    struct error *err);
/* Gives the backend its own table back; NULL is fine. */
void profile_detach(struct profile *profile);

/* Forgets what was measured. */
void profile_clear(struct profile *profile);
/* The entries in order of their first call. */
const struct profile_entry *profile_entries(const struct profile *profile, int64_t *count);
