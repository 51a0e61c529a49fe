#include "worker/ops/backend.h"

void backend_destroy(struct backend *backend)
{
    if (backend != NULL) {
        backend->op->destroy(backend);
    }
}

enum status backend_finish(struct backend *backend, struct error *err)
{
    return backend->op->finish(backend, err);
}

enum status backend_allocate(struct backend *backend, void **out, size_t size, struct error *err)
{
    return backend->op->allocate(backend, out, size, err);
}

void backend_release(struct backend *backend, void *memory, size_t size)
{
    backend->op->release(backend, memory, size);
}

void backend_plan(struct backend *backend, bool is_planning)
{
    backend->op->plan(backend, is_planning);
}

size_t backend_scratch_bytes(const struct backend *backend)
{
    return backend->op->scratch_bytes(backend);
}
