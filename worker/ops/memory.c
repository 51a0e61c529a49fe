#include "worker/ops/memory.h"

#include <sys/mman.h>

#include "proto/base/limits.h"
#include "proto/base/sys.h"

/* The size of a huge page on x86-64; smaller blocks cannot hold one. */
#define HUGE_PAGE_BYTES (2 * MIB)

void *memory_map(size_t size)
{
    void *data = sys_mmap(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        return NULL;
    }
    if (size >= HUGE_PAGE_BYTES) {
        (void)madvise(data, size, MADV_HUGEPAGE); /* only advice: without it we are slower */
    }
    return data;
}

void memory_unmap(void *data, size_t size)
{
    if (data != NULL) {
        (void)munmap(data, size);
    }
}

bool memory_reserve(struct memory *memory, size_t size)
{
    if (size <= memory->size) {
        return true;
    }
    void *data = memory_map(size);
    if (data == NULL) {
        return false;
    }
    memory_deinit(memory);
    *memory = (struct memory){.data = data, .size = size};
    return true;
}

void memory_deinit(struct memory *memory)
{
    memory_unmap(memory->data, memory->size);
    *memory = (struct memory){0};
}
