/*
 * store_internal — the insides of a store, shared by its files.
 */
#pragma once

#include "proto/base/limits.h"
#include "proto/store/blob.h"
#include "proto/store/checkpoint.h"
#include "proto/store/digest_set.h"
#include "proto/store/lineage.h"
#include "proto/store/manifest.h"
#include "proto/store/store.h"

struct store {
    char path[PATH_BYTES_MAX];
    struct blob_folder *blobs;
    struct digest_set known; /* what this process knows about blobs */
    struct lineage lineage;  /* of the newest generation, as store_refresh found it */
    struct arena lineage_arena;
    int64_t begun; /* the generation that this process writes; 0: none */
    bool has_head; /* the next checkpoint has a parent */
    struct checkpoint_ref head;
};

/* A manifest by its file name. */
struct store_file {
    int64_t step;
    int64_t generation;
};

struct checkpoint {
    struct store *store;
    struct manifest manifest;
    char path[PATH_BYTES_MAX];
};

/* out[PATH_BYTES_MAX] */
MUST_USE enum status store_manifest_path(char *out, const struct store *store,
                                         const struct store_file *file, struct error *err);

/* Finds out which generation is the newest, since another process may have begun one. */
MUST_USE enum status store_refresh(struct store *store, struct error *err);

/* The manifests, newest step first, of equals the newest generation; the caller frees *out. */
MUST_USE enum status store_scan(const struct store *store, struct store_file **out, size_t *count,
                                struct error *err);

/* STATUS_CONFLICT unless this process is still the writer. */
MUST_USE enum status store_check_writer(struct store *store, struct error *err);

/* Opens the manifest of that name; one that says another step or generation is corrupt. */
MUST_USE enum status checkpoint_open_file(struct checkpoint **out, struct store *store,
                                          const struct store_file *file, struct error *err);

/* As checkpoint_verify, but passes over blobs that this process has read back before. */
MUST_USE enum status checkpoint_verify_news(struct checkpoint *checkpoint, struct error *err);
