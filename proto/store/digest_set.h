/*
 * digest_set — a hash table from digests to what is known about them. Nothing is taken out singly.
 * A zeroed struct is an empty set. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/store/blob.h"

struct digest_set_item {
    struct blob_facts facts; /* facts.digest is the key */
    bool is_used;
    bool is_present;  /* this process wrote the blob or found it right */
    bool is_verified; /* this process read it back and found it right */
};

struct digest_set {
    struct digest_set_item *items;
    size_t capacity; /* 0 or a power of two */
    size_t count;
};

/* The item of digest, or NULL. Valid until the next digest_set_put. */
struct digest_set_item *digest_set_find(const struct digest_set *set, const struct digest *digest);

/* The item of digest, which is added when missing; NULL when memory is out. */
MUST_USE struct digest_set_item *digest_set_put(struct digest_set *set,
                                                const struct digest *digest);
void digest_set_deinit(struct digest_set *set);
