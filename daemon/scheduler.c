#include "daemon/scheduler.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

void slot_set_init(struct slot_set *out, const struct cpu_list *cores, int slot_count)
{
    assert(cores->count > 0);
    assert(slot_count >= 0);
    assert(slot_count <= SLOTS_MAX);
    memset(out, 0, sizeof *out);
    out->count = slot_count > 0 ? slot_count : cores->count;
    for (int i = 0; i < out->count; i++) {
        out->cpus[i] = cores->cpus[i % cores->count];
    }
}

enum status slot_set_own_cores(struct cpu_list *out, struct error *err)
{
    cpu_set_t *mask = CPU_ALLOC(SLOTS_MAX);
    size_t size = CPU_ALLOC_SIZE(SLOTS_MAX);

    if (!mask) {
        return error_set(err, STATUS_NO_MEMORY, "affinity mask: out of memory");
    }
    if (sched_getaffinity(0, size, mask) < 0) {
        int errno_value = errno;
        CPU_FREE(mask);
        return error_from_errno(err, errno_value, "sched_getaffinity");
    }
    out->count = 0;
    for (int cpu = 0; cpu < SLOTS_MAX; cpu++) {
        if (CPU_ISSET_S((size_t)cpu, size, mask)) {
            out->cpus[out->count] = cpu;
            out->count++;
        }
    }
    CPU_FREE(mask);
    return STATUS_OK;
}

int slot_set_free_count(const struct slot_set *slots)
{
    int count = 0;
    for (int i = 0; i < slots->count; i++) {
        count += slots->is_busy[i] ? 0 : 1;
    }
    return count;
}

void slot_set_clear(struct slot_set *slots)
{
    memset(slots->is_busy, 0, sizeof slots->is_busy);
}

void slot_set_take(struct slot_set *slots, const struct cpu_list *cpus)
{
    for (int i = 0; i < cpus->count; i++) {
        for (int slot = 0; slot < slots->count; slot++) {
            if (slots->cpus[slot] == cpus->cpus[i] && !slots->is_busy[slot]) {
                slots->is_busy[slot] = true;
                break;
            }
        }
    }
}

/* Takes count free slots, always one on the least loaded core. slots is a copy. */
static void pick(struct slot_set *slots, int count, struct cpu_list *cpus)
{
    int load[SLOTS_MAX] = {0}; /* by core: how many of its slots are busy */

    for (int slot = 0; slot < slots->count; slot++) {
        load[slots->cpus[slot]] += slots->is_busy[slot] ? 1 : 0;
    }
    cpus->count = 0;
    while (cpus->count < count) {
        int best = -1;
        for (int slot = 0; slot < slots->count; slot++) {
            if (!slots->is_busy[slot] &&
                (best < 0 || load[slots->cpus[slot]] < load[slots->cpus[best]])) {
                best = slot;
            }
        }
        assert(best >= 0); /* the caller counted */
        slots->is_busy[best] = true;
        load[slots->cpus[best]]++;
        cpus->cpus[cpus->count] = slots->cpus[best];
        cpus->count++;
    }
}

int64_t retry_delay_ms(int failures)
{
    int64_t delay_ms = failures > 0 ? SCHEDULE_HOLD_MS : 0;

    for (int i = 1; i < failures && delay_ms < RETRY_DELAY_MS_MAX; i++) {
        delay_ms *= 2;
    }
    return delay_ms < RETRY_DELAY_MS_MAX ? delay_ms : RETRY_DELAY_MS_MAX;
}

int schedule_next(const struct slot_set *slots, const struct schedule_request *requests,
                  size_t request_count, struct cpu_list *cpus)
{
    for (size_t i = 0; i < request_count; i++) {
        assert(requests[i].slots > 0);
        if (requests[i].slots > slots->count || requests[i].wait_ms > SCHEDULE_HOLD_MS) {
            continue;
        }
        if (requests[i].wait_ms > 0 || requests[i].slots > slot_set_free_count(slots)) {
            return -1;
        }
        struct slot_set copy = *slots;
        pick(&copy, requests[i].slots, cpus);
        return (int)i;
    }
    return -1;
}
