#include "proto/base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/checked.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"

#define ALIGNMENT   ((size_t)16)
#define BLOCK_BYTES (64 * KIB)

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    size_t used;
    _Alignas(16) unsigned char data[];
};

static struct arena_block *block_add(struct arena *arena, size_t size)
{
    size_t capacity = size < BLOCK_BYTES ? BLOCK_BYTES : size;
    size_t total = 0;
    if (!checked_add(sizeof(struct arena_block), capacity, &total)) {
        return NULL;
    }
    struct arena_block *block = sys_malloc(total);
    if (block == NULL) {
        return NULL;
    }
    block->capacity = capacity;
    block->used = 0;
    block->next = arena->head;
    arena->head = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t padded = 0;
    if (!checked_add(size == 0 ? 1 : size, ALIGNMENT - 1, &padded)) {
        return NULL;
    }
    padded &= ~(ALIGNMENT - 1);
    struct arena_block *block = arena->head;
    if (block == NULL || block->capacity - block->used < padded) {
        block = block_add(arena, padded);
        if (block == NULL) {
            return NULL;
        }
    }
    void *memory = block->data + block->used;
    block->used += padded;
    arena->bytes_used += padded;
    return memset(memory, 0, padded);
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
    size_t total = 0;
    if (!checked_mul(count, size, &total)) {
        return NULL;
    }
    return arena_alloc(arena, total);
}

char *arena_strndup(struct arena *arena, const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    char *copy = arena_alloc(arena, length + 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
    }
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);

    char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
    if (text != NULL) {
        (void)vsnprintf(text, (size_t)length + 1, format, again);
    }
    va_end(again);
    return text;
}

/* Frees all blocks from first on. */
static void blocks_free(struct arena_block *first)
{
    while (first != NULL) {
        struct arena_block *next = first->next;
        free(first);
        first = next;
    }
}

void arena_reset(struct arena *arena)
{
    if (arena->head != NULL) {
        blocks_free(arena->head->next);
        arena->head->next = NULL;
        arena->head->used = 0;
    }
    arena->bytes_used = 0;
}

void arena_deinit(struct arena *arena)
{
    blocks_free(arena->head);
    *arena = (struct arena){0};
}
