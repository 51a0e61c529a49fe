#include "proto/store/digest_set.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sys.h"

#define CAPACITY_MIN 256

/* Where digest is or would be. A digest is as good as a hash of itself. */
static struct digest_set_item *slot_of(struct digest_set_item *items, size_t capacity,
                                       const struct digest *digest)
{
    size_t index = 0;
    memcpy(&index, digest->bytes, sizeof index);
    for (;; index++) {
        struct digest_set_item *item = &items[index & (capacity - 1)];
        if (!item->is_used || digest_equal(&item->facts.digest, digest)) {
            return item;
        }
    }
}

struct digest_set_item *digest_set_find(const struct digest_set *set, const struct digest *digest)
{
    if (set->capacity == 0) {
        return NULL;
    }
    struct digest_set_item *item = slot_of(set->items, set->capacity, digest);
    return item->is_used ? item : NULL;
}

/* Doubles the table. */
static bool grow(struct digest_set *set)
{
    size_t capacity = set->capacity == 0 ? CAPACITY_MIN : set->capacity * 2;
    struct digest_set_item *items = sys_calloc(capacity, sizeof *items);
    if (items == NULL) {
        return false;
    }
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->items[i].is_used) {
            *slot_of(items, capacity, &set->items[i].facts.digest) = set->items[i];
        }
    }
    free(set->items);
    set->items = items;
    set->capacity = capacity;
    return true;
}

struct digest_set_item *digest_set_put(struct digest_set *set, const struct digest *digest)
{
    struct digest_set_item *item = digest_set_find(set, digest);
    if (item != NULL) {
        return item;
    }
    if (set->count * 2 >= set->capacity && !grow(set)) {
        return NULL;
    }
    item = slot_of(set->items, set->capacity, digest);
    *item = (struct digest_set_item){.is_used = true};
    item->facts.digest = *digest;
    set->count++;
    return item;
}

void digest_set_deinit(struct digest_set *set)
{
    free(set->items);
    *set = (struct digest_set){0};
}
