/*
 * scheduler — who runs next, and on which cores: a pure function of the queue and the free slots.
 *
 * A slot is one core's worth of work. Normally there is one per core that the daemon may use; with
 * more slots than cores, several slots share a core, evenly. First come, first served: the job at
 * the head waits until there is room for it, and nobody overtakes it. A job that needs more slots
 * than there are at all is passed over (the daemon was restarted with fewer of them).
 *
 * A job whose attempt failed waits a while before the next, longer after each failure, in case the
 * cause passes by itself. It keeps its place in the queue, but others go first while it waits,
 * unless that is only for a moment: after a first failure the job is resumed before anybody else
 * takes its cores for hours, and nobody is held up for longer than SCHEDULE_HOLD_MS.
 *
 * Threads: plain data, no state of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/job.h"
#include "proto/base/error.h"

struct slot_set {
    int count;
    int cpus[SLOTS_MAX];     /* core of each slot */
    bool is_busy[SLOTS_MAX]; /* taken by an attempt */
};

/* Slots over these cores; slot_count 0 means one per core. Slot i is on core i modulo the cores. */
void slot_set_init(struct slot_set *out, const struct cpu_list *cores, int slot_count);
/* The cores that this process may run on (sched_getaffinity). */
MUST_USE enum status slot_set_own_cores(struct cpu_list *out, struct error *err);

int slot_set_free_count(const struct slot_set *slots);
/* Marks all slots free. */
void slot_set_clear(struct slot_set *slots);
/* Marks a free slot busy for each core of the list. A core without a free slot is passed over: an
 * attempt that an earlier daemon started may use more than this one was given. So slots are not
 * given back one by one, which might free another's, but cleared and taken by all who are left. */
void slot_set_take(struct slot_set *slots, const struct cpu_list *cpus);

/* A retry that is due within this time is waited for. */
#define SCHEDULE_HOLD_MS 500
/* The longest wait for a retry: whoever has mended the cause need not do more. */
#define RETRY_DELAY_MS_MAX 30000

/* How long to wait after an attempt that was the failures-th to fail in a row: SCHEDULE_HOLD_MS,
 * then twice as long each time, up to RETRY_DELAY_MS_MAX. 0 after 0 failures. */
int64_t retry_delay_ms(int failures);

struct schedule_request {
    int64_t job;
    int slots;
    int64_t wait_ms; /* until it may start; 0: now */
};

/*
 * Whether the next one may start: the index of the first request, in the order of the queue, that
 * could ever run and has not long to wait, when it may start and fits the free slots now, with its
 * cores in *cpus (lowest first, slots on idle cores before slots on shared ones); else -1.
 */
int schedule_next(const struct slot_set *slots, const struct schedule_request *requests,
                  size_t request_count, struct cpu_list *cpus);
