/*
 * memory_plan — every tensor is planned before the first is allocated.
 *
 * A layout function asks for its tensors with memory_plan_floats() and is run twice: first over a
 * plan without memory, where it gets NULLs and the plan adds up the bytes; then, after
 * memory_plan_allocate(), over the same plan, where it gets the tensors. The same code plans and
 * binds, so the two cannot disagree (asserted: the second pass takes exactly what the first did).
 *
 * One mapping holds all: zeroed, tensors on 64-byte boundaries, huge pages asked for (the first
 * touch of gigabytes in small pages costs seconds on virtual machines).
 *
 * Ownership: the plan owns the memory; tensors live until memory_plan_deinit.
 * Threads:   one at a time. A zeroed struct is a valid empty plan.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

#define MEMORY_ALIGNMENT 64

#define MEMORY_KIND_LIST(X)      \
 X(PARAMETERS, "parameters")     \
 X(WEIGHTS, "effective weights") \
 X(GRADIENTS, "gradients")       \
 X(OPTIMIZER, "optimizer state") \
 X(ACTIVATIONS, "activations")   \
 X(WORKSPACE, "workspace")       \
 X(SCRATCH, "scratch")           \
 X(PROGRAM, "program")

enum memory_kind {
#define X(constant, name) MEMORY_KIND_##constant,
    MEMORY_KIND_LIST(X)
#undef X
        MEMORY_KIND_COUNT
};

struct memory_plan {
    size_t bytes[MEMORY_KIND_COUNT]; /* planned, per kind */
    size_t bytes_mapped;             /* of the tensors */
    size_t bytes_total;              /* these and what memory_plan_note was told */
    size_t offset;                   /* of the running pass */
    unsigned char *memory;           /* NULL until allocated */
    bool overflowed;
};

const char *memory_kind_name(enum memory_kind kind);

/* count zeroed elements; NULL in the first pass. count 0 gives NULL in both. */
void *memory_plan_take(struct memory_plan *plan, enum memory_kind kind, int64_t count,
                       size_t element_bytes);

static inline float *memory_plan_floats(struct memory_plan *plan, enum memory_kind kind,
                                        int64_t count)
{
    return memory_plan_take(plan, kind, count, sizeof(float));
}

/* Counts memory that is not the plan's own. After the first pass. */
void memory_plan_note(struct memory_plan *plan, enum memory_kind kind, size_t size);
/* STATUS_LIMIT when all that was planned and noted is more than limit_bytes (0: no limit). */
MUST_USE enum status memory_plan_check(const struct memory_plan *plan, size_t limit_bytes,
                                       struct error *err);

/* Between the passes. STATUS_LIMIT when the plan is larger than limit_bytes (0: no limit); the
 * message lists the bytes per kind, the hint what to change. */
MUST_USE enum status memory_plan_allocate(struct memory_plan *plan, size_t limit_bytes,
                                          struct error *err);
/* True when the second pass took exactly what the first had planned. */
bool memory_plan_complete(const struct memory_plan *plan);
void memory_plan_deinit(struct memory_plan *plan);

/* What this process may still allocate: MemAvailable, or what the control group leaves when that is
 * less; SIZE_MAX where neither can be read. */
size_t memory_available_bytes(void);

/* What this process has resident now, and the most it ever had; 0 where it cannot be read. */
size_t memory_resident_bytes(void);
size_t memory_peak_bytes(void);
