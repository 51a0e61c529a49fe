/*
 * manifest — the file that makes a checkpoint: schemas/manifest.schema.json describes it.
 *
 * Ownership: manifest_read fills the caller's struct, which owns its arena and meta; a zeroed one
 * is empty. Threads: one at a time.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/error.h"
#include "proto/store/blob.h"
#include "proto/store/lineage.h"
#include "proto/store/store.h"
#include "proto/tensors/tensor.h"

#define MANIFEST_FORMAT 1

struct manifest_tensor {
    struct tensor_info info;
    size_t chunk_first; /* index into the manifest's chunks */
    size_t chunk_count;
};

struct manifest {
    struct checkpoint_ref ref;
    struct lineage lineage;
    int64_t created_ms;
    uint64_t logical_bytes;
    uint64_t stored_bytes;
    json_t *meta;
    struct manifest_tensor *tensors;
    size_t tensor_count;
    struct blob_facts *chunks;
    size_t chunk_count;
    struct arena arena;
};

/* Reads and checks the file. STATUS_CORRUPT and STATUS_UNSUPPORTED (of a newer program) name it. */
MUST_USE enum status manifest_read(struct manifest *out, const char *path, struct error *err);
void manifest_deinit(struct manifest *manifest);

/* Bytes of the index-th chunk of a tensor. */
size_t manifest_chunk_bytes(const struct manifest_tensor *tensor, size_t index);

/* Checks meta against the schema and gives a copy with numbers in canonical form. */
MUST_USE enum status manifest_meta_check(json_t **out, const json_t *meta, struct error *err);
