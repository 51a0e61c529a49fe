#include <assert.h>
#include <stdlib.h>

#include "proto/base/checked.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "worker/ops/cpu.h"

enum status backend_cpu_create(struct backend **out, int threads, struct error *err)
{
    return backend_cpu_create_at(out, threads, cpu_level_detect(), err);
}

enum status backend_cpu_create_at(struct backend **out, int threads, enum cpu_level level,
                                  struct error *err)
{
    static const struct backend_table *const tables[] = {
#define X(constant, name) [CPU_LEVEL_##constant] = &cpu_table_##name,
        CPU_LEVEL_LIST(X)
#undef X
    };

    assert(cpu_level_supported(level));
    if (threads < 1 || threads > THREADS_PER_RANK_MAX) {
        return error_set(err, STATUS_LIMIT, "cpu backend: %d threads (1 to %d)", threads,
                         THREADS_PER_RANK_MAX);
    }
    struct backend_cpu *cpu = sys_calloc(1, sizeof *cpu);
    if (cpu == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "cpu backend: no memory");
    }
    cpu->level = level;
    cpu->base = (struct backend){
        .op = tables[level],
        .name = "cpu",
        .has_bf16 = gemm_engine_has_bf16(),
        .isa = cpu_level_name(level),
        .threads = threads,
    };
    enum status status = gemm_cache_create(&cpu->gemm, threads, err);
    if (status) {
        free(cpu);
        return error_wrap(err, "cpu backend");
    }
    cpu->base.gemm_library = gemm_cache_library(cpu->gemm);
    *out = &cpu->base;
    return STATUS_OK;
}

void cpu_destroy(struct backend *backend)
{
    struct backend_cpu *cpu = backend_cpu(backend);
    gemm_cache_destroy(cpu->gemm);
    memory_deinit(&cpu->scratch);
    free(cpu);
}

enum status cpu_finish(struct backend *backend, struct error *err)
{
    if (backend->failure.status && err != NULL) {
        *err = backend->failure;
    }
    return backend->failure.status;
}

enum status cpu_allocate(struct backend *backend, void **out, size_t size, struct error *err)
{
    (void)backend;
    void *memory = memory_map(size == 0 ? 1 : size);
    if (memory == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "cpu backend: no memory for %zu bytes", size);
    }
    *out = memory;
    return STATUS_OK;
}

void cpu_release(struct backend *backend, void *memory, size_t size)
{
    (void)backend;
    memory_unmap(memory, size == 0 ? 1 : size);
}

void cpu_fail(struct backend *backend, const struct error *err)
{
    if (backend->failure.status == STATUS_OK) {
        backend->failure = *err;
    }
}

void *cpu_scratch(struct backend *backend, int64_t count, size_t size)
{
    struct backend_cpu *cpu = backend_cpu(backend);
    struct error err;
    size_t total = 0;

    if (count < 0 || !checked_mul((size_t)count, size, &total) ||
        !memory_reserve(&cpu->scratch, total)) {
        (void)error_set(&err, STATUS_NO_MEMORY,
                        "cpu backend: no memory for %lld x %zu bytes of scratch", (long long)count,
                        size);
        cpu_fail(backend, &err);
        return NULL;
    }
    return cpu->scratch.data;
}

void cpu_plan(struct backend *backend, bool is_planning)
{
    backend_cpu(backend)->is_planning = is_planning;
}

size_t cpu_scratch_bytes(const struct backend *backend)
{
    const struct backend_cpu *cpu = (const struct backend_cpu *)backend;
    return cpu->scratch.size + gemm_cache_scratch_bytes(cpu->gemm);
}

void cpu_gemm(struct backend *backend, void *c, const void *a, const void *b,
              const struct gemm_shape *shape)
{
    struct backend_cpu *cpu = backend_cpu(backend);
    struct error err;
    enum status status = cpu->is_planning ? gemm_cache_prepare(cpu->gemm, shape, &err)
                                          : gemm_cache_run(cpu->gemm, c, a, b, shape, &err);
    if (status) {
        cpu_fail(backend, &err);
    }
}
