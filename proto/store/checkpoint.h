/*
 * checkpoint — writing one into the store and reading it back.
 *
 * The meta object is the caller's account of the run at that step; schemas/manifest.schema.json
 * describes it (property "meta") and the writer refuses one that lacks a required member: run,
 * digests {spec, data, tokenizer}, world, micro, lanes, dtype, isa, onednn, group {kind, cycle,
 * permutation_seed}, rng {version, seed, counters}, sampler {version, step}, receipt. More may be
 * in it. The store adds format, step, generation, parent, lineage, times, sizes, chunks and the
 * digest.
 *
 * Every byte that is read is checked against its digest; an error names the tensor, the chunk and
 * the file. Memory is bounded by a few chunks beside the manifest.
 *
 * Ownership: begin/open hands out, destroy/close takes back (NULL is fine); not after the store.
 * Threads:   one at a time per store.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/limits.h"
#include "proto/store/store.h"
#include "proto/tensors/tensor.h"

struct checkpoint_writer;
struct checkpoint;

struct checkpoint_written {
    struct checkpoint_ref ref;
    char path[PATH_BYTES_MAX]; /* of the manifest */
    uint64_t logical_bytes;    /* of all tensors */
    uint64_t stored_bytes;     /* of all their blobs */
    uint64_t new_bytes;        /* of the blobs that were not there before */
};

/* Starts the checkpoint of step; the store's generation must have begun here. meta is read, not
 * kept. */
MUST_USE enum status checkpoint_writer_begin(struct checkpoint_writer **out, struct store *store,
                                             int64_t step, const json_t *meta, struct error *err);

/* Stores one tensor: its data in chunks of CHUNK_BYTES, each under its digest. A chunk that is
 * there and verifies is not written again. Names may come once. */
MUST_USE enum status checkpoint_writer_tensor(struct checkpoint_writer *writer, const char *name,
                                              enum tensor_dtype dtype,
                                              const struct tensor_shape *shape, const void *data,
                                              struct error *err);

/*
 * Makes the checkpoint exist, durably. Ends the writing either way. STATUS_CONFLICT when a newer
 * generation began meanwhile: this process is not the writer any more. Writing the same step
 * of the same generation again replaces it.
 */
MUST_USE enum status checkpoint_writer_commit(struct checkpoint_writer *writer,
                                              struct checkpoint_written *out, struct error *err);

/* Without a commit before it there is no checkpoint (blobs may stay until the next store_retain).
 */
void checkpoint_writer_destroy(struct checkpoint_writer *writer);

/* Told of each checkpoint that checkpoint_open_newest passed over. */
typedef void checkpoint_skipped_fn(void *context, int64_t step, int64_t generation,
                                   const struct error *why);

/* Opens the newest checkpoint whose every byte verifies. STATUS_NOT_FOUND when there is none at
 * all, STATUS_CORRUPT when there are some and none verifies. skipped may be NULL. */
MUST_USE enum status checkpoint_open_newest(struct checkpoint **out, struct store *store,
                                            checkpoint_skipped_fn *skipped, void *context,
                                            struct error *err);

/* Opens the checkpoint of step in the current ancestry (of equals, the newest generation's). Only
 * the manifest is verified; reading or checkpoint_verify does the rest. */
MUST_USE enum status checkpoint_open_step(struct checkpoint **out, struct store *store,
                                          int64_t step, struct error *err);

/* Opens exactly that one, as another rank chose it. */
MUST_USE enum status checkpoint_open_ref(struct checkpoint **out, struct store *store,
                                         const struct checkpoint_ref *ref, struct error *err);

void checkpoint_close(struct checkpoint *checkpoint);

const struct checkpoint_ref *checkpoint_ref_of(const struct checkpoint *checkpoint);
/* Borrowed; lives as long as the checkpoint. */
const json_t *checkpoint_meta(const struct checkpoint *checkpoint);
const char *checkpoint_path(const struct checkpoint *checkpoint); /* of the manifest */
uint64_t checkpoint_stored_bytes(const struct checkpoint *checkpoint);

size_t checkpoint_tensor_count(const struct checkpoint *checkpoint);
/* In the order in which they were written. */
const struct tensor_info *checkpoint_tensor(const struct checkpoint *checkpoint, size_t index);
/* NULL when there is none of that name. */
const struct tensor_info *checkpoint_find(const struct checkpoint *checkpoint, const char *name);

/* Reads the whole tensor into dst[size]; size must be the tensor's, else STATUS_INVALID. */
MUST_USE enum status checkpoint_read_tensor(struct checkpoint *checkpoint, const char *name,
                                            void *dst, size_t size, struct error *err);

/* Reads and checks every byte. */
MUST_USE enum status checkpoint_verify(struct checkpoint *checkpoint, struct error *err);
