/*
 * store — the checkpoints of one run, in one folder.
 *
 *   blobs/ab/<digest>                      chunks of tensors under the SHA-256 of their bytes
 * (blob.h) manifests/<step>-<generation>.json     one checkpoint each: what it consists of
 * (manifest.h) generations/<generation>.json          one attempt each: which checkpoint it
 * continues
 *
 * A checkpoint exists when its manifest does: blobs, fdatasync each, fsync of their folders;
 * manifest aside, fdatasync, rename, fsync of the folder. Deletion goes the other way round. So a
 * crash between any two calls leaves each checkpoint whole or absent.
 *
 * Generations fence off writers that do not know yet that they were replaced. An attempt that
 * starts to write says so with store_begin, naming the checkpoint that it continues. From then on
 * the store knows those checkpoints only that the newest generation wrote or descends from: what an
 * older attempt adds later, or had added behind the point of resumption, is ignored and in time
 * removed. The generation is in the manifest's name, so an older one never replaces a newer.
 *
 * Nothing deletes the last checkpoint that verifies.
 *
 * Ownership: open hands out, close takes back; close what was opened from a store before it.
 * Threads:   one at a time per store. Processes: many readers and one writer at a time; older
 *            writers do no harm.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/digest.h"
#include "proto/base/error.h"

/* Attempts are numbered from 1; at most this many. */
#define STORE_GENERATION_MAX 999999

struct store;

/* Names one checkpoint for good: digest is that of its manifest. */
struct checkpoint_ref {
    int64_t step;
    int64_t generation;
    struct digest digest;
};

/* A line of the listing. */
struct store_entry {
    struct checkpoint_ref ref; /* the digest is zero where there is a problem */
    const char *path;          /* of the manifest */
    int64_t created_ms;
    uint64_t logical_bytes; /* of all tensors */
    uint64_t stored_bytes;  /* of all their blobs, shared ones included */
    bool is_fenced;         /* outside the current generation's ancestry: never selected */
    struct error problem;   /* its status is STATUS_OK, or why the manifest cannot be read */
};

/* Opens the store in folder, to read; STATUS_NOT_FOUND when there is none. */
MUST_USE enum status store_open(struct store **out, const char *folder, struct error *err);

/* Opens the store in folder, which is made when missing. */
MUST_USE enum status store_create(struct store **out, const char *folder, struct error *err);

void store_close(struct store *store);

/* The newest generation that began here, 0 when none did: the next attempt is one above. */
int64_t store_generation(const struct store *store);

/*
 * Begins generation, which continues parent (NULL: starts at step 0), durably. Checkpoints can be
 * written from then on. STATUS_CONFLICT when this generation or a newer one began before.
 */
MUST_USE enum status store_begin(struct store *store, int64_t generation,
                                 const struct checkpoint_ref *parent, struct error *err);

/* All checkpoints, newest step first, in the arena; unreadable and fenced ones too. Only manifests
 * are read. */
MUST_USE enum status store_list(struct store *store, struct arena *arena, struct store_entry **out,
                                size_t *count, struct error *err);

/*
 * Deletes all checkpoints but step 0 and the newest keep_last (at least 1), the ignored and the
 * corrupt included, and then the blobs that no manifest names. Before anything goes, one of the
 * newest that stay must verify; if none does, nothing is deleted and the status is STATUS_CORRUPT.
 * *removed counts manifests and may be NULL. Only for the writer (after store_begin).
 */
MUST_USE enum status store_retain(struct store *store, int keep_last, size_t *removed,
                                  struct error *err);
