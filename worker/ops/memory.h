/*
 * memory — large blocks for tensors and scratch: zeroed pages, aligned to a page, huge ones where
 * that pays. A zeroed struct is a valid empty block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct memory {
    void *data; /* NULL while size is 0 */
    size_t size;
};

/* Pages of size > 0 bytes, or NULL. */
void *memory_map(size_t size);
void memory_unmap(void *data, size_t size);

/* Makes the block at least that large; its contents are lost when it grows. False when memory is
 * out, and the block is as before. */
bool memory_reserve(struct memory *memory, size_t size);
void memory_deinit(struct memory *memory);
