#include "worker/model/memory_plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "proto/base/checked.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"

const char *memory_kind_name(enum memory_kind kind)
{
    static const char *const names[] = {
#define X(constant, name) [MEMORY_KIND_##constant] = name,
        MEMORY_KIND_LIST(X)
#undef X
    };
    assert(kind < MEMORY_KIND_COUNT);
    return names[kind];
}

/* Bytes of count elements, up to the next boundary; false on overflow. */
static bool padded_bytes(size_t count, size_t element_bytes, size_t *out)
{
    size_t size = 0;
    if (!checked_mul(count, element_bytes, &size) ||
        !checked_add(size, MEMORY_ALIGNMENT - 1, &size)) {
        return false;
    }
    *out = size - size % MEMORY_ALIGNMENT;
    return true;
}

void *memory_plan_take(struct memory_plan *plan, enum memory_kind kind, int64_t count,
                       size_t element_bytes)
{
    size_t size = 0;
    size_t end = 0;

    assert(count >= 0);
    assert(kind < MEMORY_KIND_COUNT);
    if (!padded_bytes((size_t)count, element_bytes, &size) ||
        !checked_add(plan->offset, size, &end)) {
        plan->overflowed = true;
        return NULL;
    }
    const size_t start = plan->offset;
    plan->offset = end;
    if (plan->memory == NULL) {
        plan->bytes[kind] += size;
        plan->bytes_mapped = end;
        plan->bytes_total += size;
        return NULL;
    }
    assert(end <= plan->bytes_mapped);
    return count == 0 ? NULL : plan->memory + start;
}

static enum status too_large(const struct memory_plan *plan, size_t limit_bytes, struct error *err)
{
    char kinds[512];
    size_t used = 0;

    for (int kind = 0; kind < MEMORY_KIND_COUNT; kind++) {
        const int length =
            snprintf(kinds + used, sizeof kinds - used, "%s%s %zu MiB", kind == 0 ? "" : ", ",
                     memory_kind_name((enum memory_kind)kind), plan->bytes[kind] / MIB);
        if (length < 0 || (size_t)length >= sizeof kinds - used) {
            break;
        }
        used += (size_t)length;
    }
    (void)error_set(err, STATUS_LIMIT, "the run needs %zu MiB of memory and %zu MiB are there (%s)",
                    plan->bytes_total / MIB, limit_bytes / MIB, kinds);
    /* Activations go with the micro-batch; the rest with the model. */
    if (plan->bytes_total - plan->bytes[MEMORY_KIND_ACTIVATIONS] < limit_bytes / 4 * 3) {
        error_set_field(err, "batch.micro");
        error_set_hint(
            err, "lower batch.micro or data.sequence_length: activations grow with both; or set "
                 "compute.recompute to layer, which keeps few of them");
    } else {
        error_set_field(err, "model");
        error_set_hint(err, "take a smaller model, fewer ranks on this machine, or (for full) mora "
                            "or remora, which keep no optimizer state for the linears");
    }
    return STATUS_LIMIT;
}

void memory_plan_note(struct memory_plan *plan, enum memory_kind kind, size_t size)
{
    plan->bytes[kind] += size;
    plan->bytes_total += size;
}

enum status memory_plan_check(const struct memory_plan *plan, size_t limit_bytes, struct error *err)
{
    return limit_bytes != 0 && plan->bytes_total > limit_bytes ? too_large(plan, limit_bytes, err)
                                                               : STATUS_OK;
}

static size_t mapping_bytes(const struct memory_plan *plan)
{
    return plan->bytes_mapped == 0 ? MEMORY_ALIGNMENT : plan->bytes_mapped;
}

enum status memory_plan_allocate(struct memory_plan *plan, size_t limit_bytes, struct error *err)
{
    assert(plan->memory == NULL);
    if (plan->overflowed) {
        return error_set(err, STATUS_LIMIT, "the size of the run's tensors overflows");
    }
    enum status status = memory_plan_check(plan, limit_bytes, err);
    if (status) {
        return status;
    }
    /* Not reserved: what may be used was checked above, and a plan that is only looked at uses
     * nothing. */
    const size_t size = mapping_bytes(plan);
    void *memory =
        sys_mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return error_set(err, STATUS_NO_MEMORY, "cannot map %zu MiB for the run's tensors",
                         plan->bytes_mapped / MIB);
    }
    /* Only advice: kernels without huge pages refuse it, and all works the same. */
    (void)madvise(memory, size, MADV_HUGEPAGE);
    plan->memory = memory;
    plan->offset = 0;
    return STATUS_OK;
}

bool memory_plan_complete(const struct memory_plan *plan)
{
    return plan->memory != NULL && plan->offset == plan->bytes_mapped;
}

void memory_plan_deinit(struct memory_plan *plan)
{
    if (plan->memory != NULL) {
        (void)munmap(plan->memory, mapping_bytes(plan));
    }
    *plan = (struct memory_plan){0};
}

/* The number in the first line of path that starts with key, times unit; SIZE_MAX without one. */
static size_t read_number(const char *path, const char *key, size_t unit)
{
    char line[256];
    size_t value = SIZE_MAX;

    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return SIZE_MAX;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        uintmax_t number = 0;
        if (strncmp(line, key, strlen(key)) == 0 &&
            sscanf(line + strlen(key), "%" SCNuMAX, &number) == 1 && number < SIZE_MAX / unit) {
            value = (size_t)number * unit;
            break;
        }
    }
    (void)fclose(file);
    return value;
}

/* What a control group leaves, from its limit and what is used; SIZE_MAX where it has no limit. */
static size_t group_available(const char *limit_path, const char *used_path)
{
    const size_t limit = read_number(limit_path, "", 1);
    const size_t used = read_number(used_path, "", 1);
    if (limit == SIZE_MAX || used == SIZE_MAX) {
        return SIZE_MAX;
    }
    return used < limit ? limit - used : 0;
}

size_t memory_resident_bytes(void)
{
    const size_t size = read_number("/proc/self/status", "VmRSS:", 1024);
    return size == SIZE_MAX ? 0 : size;
}

size_t memory_peak_bytes(void)
{
    const size_t size = read_number("/proc/self/status", "VmHWM:", 1024);
    return size == SIZE_MAX ? 0 : size;
}

size_t memory_available_bytes(void)
{
    const size_t candidates[] = {
        read_number("/proc/meminfo", "MemAvailable:", 1024),
        group_available("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        group_available("/sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    };
    size_t available = SIZE_MAX;
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        available = candidates[i] < available ? candidates[i] : available;
    }
    return available;
}
