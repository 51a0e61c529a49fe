/*
 * arena — memory of one request or step: allocated singly, freed at once.
 *
 * Ownership: the caller owns the arena; what it hands out lives until arena_reset or arena_deinit.
 * Threads:   one at a time. A zeroed struct is a valid empty arena.
 */
#pragma once

#include <stddef.h>

#include "proto/base/error.h"

struct arena_block;
struct arena {
    struct arena_block *head;
    size_t bytes_used;
};

/* Zeroed memory aligned to 16 bytes, or NULL when memory is out. size 0 gives a valid pointer. */
MUST_USE void *arena_alloc(struct arena *arena, size_t size);
/* count × size with overflow check. */
MUST_USE void *arena_alloc_array(struct arena *arena, size_t count, size_t size);
MUST_USE char *arena_strdup(struct arena *arena, const char *text);
MUST_USE char *arena_strndup(struct arena *arena, const char *text, size_t size);
MUST_USE char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Gives everything back but keeps one block for the next round. */
void arena_reset(struct arena *arena);
void arena_deinit(struct arena *arena);
