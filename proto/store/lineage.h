/*
 * lineage — which checkpoints the current generation descends from.
 *
 * A generation is one attempt's writing, a straight line of checkpoints. It begins at its parent, a
 * checkpoint of an older generation, whose later ones it thereby leaves behind:
 *
 *     generation 1   0 ── 100 ── 200 ── 300        left at 200: 300 is not an ancestor
 *     generation 2                └── 300 ── 400   left at 300: 400 is not
 *     generation 3                     └── 400 ──  lineage: (1, 200), (2, 300)
 *
 * So a pair (generation, step) for each left generation says all, also when the checkpoints
 * themselves have been removed. Plain data; a zeroed struct has no ancestors.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/error.h"
#include "proto/store/store.h"

struct lineage_branch {
    int64_t generation;
    int64_t step; /* where it was left */
};

struct lineage {
    int64_t generation; /* whose ancestry this is; 0: nobody's */
    bool has_parent;
    struct checkpoint_ref parent;          /* of the checkpoint or generation that says so */
    const struct lineage_branch *branches; /* in the arena that it was read into */
    size_t branch_count;
};

/* Whether a checkpoint of step by generation is the generation's own or an ancestor's. */
bool lineage_has(const struct lineage *lineage, int64_t generation, int64_t step);

/* The lineage of generation beginning at parent, a checkpoint whose own lineage is given. */
MUST_USE enum status lineage_continue(struct lineage *out, int64_t generation,
                                      const struct checkpoint_ref *parent,
                                      const struct lineage *of_parent, struct arena *arena,
                                      struct error *err);

/* Sets the members generation, parent and lineage; false when memory is out. */
MUST_USE bool lineage_to_json(const struct lineage *lineage, json_t *object);

/* Reads them; STATUS_CORRUPT without a file's name. */
MUST_USE enum status lineage_from_json(struct lineage *out, const json_t *object,
                                       struct arena *arena, struct error *err);
