#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sys.h"
#include "proto/store/checkpoint.h"
#include "proto/store/store_internal.h"

enum status checkpoint_open_file(struct checkpoint **out, struct store *store,
                                 const struct store_file *file, struct error *err)
{
    struct checkpoint *checkpoint = sys_calloc(1, sizeof *checkpoint);
    if (checkpoint == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "checkpoint: out of memory");
    }
    checkpoint->store = store;
    enum status status = store_manifest_path(checkpoint->path, store, file, err);
    if (status == STATUS_OK) {
        status = manifest_read(&checkpoint->manifest, checkpoint->path, err);
    }
    const struct checkpoint_ref *ref = &checkpoint->manifest.ref;
    if (status == STATUS_OK && (ref->step != file->step || ref->generation != file->generation)) {
        status = error_set(err, STATUS_CORRUPT,
                           "'%s' is corrupt: it is of step %" PRId64 ", attempt %" PRId64,
                           checkpoint->path, ref->step, ref->generation);
    }
    if (status) {
        checkpoint_close(checkpoint);
        return status;
    }
    *out = checkpoint;
    return STATUS_OK;
}

void checkpoint_close(struct checkpoint *checkpoint)
{
    if (checkpoint != NULL) {
        manifest_deinit(&checkpoint->manifest);
        free(checkpoint);
    }
}

/* Puts the checkpoint, tensor and chunk in front of the blob's error. */
static enum status chunk_error(const struct checkpoint *checkpoint,
                               const struct manifest_tensor *tensor, size_t chunk,
                               enum status status, struct error *err)
{
    (void)error_wrap(err, "checkpoint '%s': tensor '%s', chunk %zu", checkpoint->path,
                     tensor->info.name, chunk);
    return status;
}

/* Reads one chunk into dst, or into nothing when dst is NULL, and checks it against the manifest.
 */
static enum status read_chunk(struct checkpoint *checkpoint, const struct manifest_tensor *tensor,
                              size_t chunk, void *dst, struct error *err)
{
    struct store *store = checkpoint->store;
    const struct blob_facts *expected = &checkpoint->manifest.chunks[tensor->chunk_first + chunk];
    size_t size = manifest_chunk_bytes(tensor, chunk);
    enum status status = dst == NULL
                             ? blob_verify(store->blobs, &expected->digest, size, NULL, err)
                             : blob_read(store->blobs, &expected->digest, dst, size, NULL, err);
    if (status) {
        struct digest_set_item *item = digest_set_find(&store->known, &expected->digest);
        if (item != NULL) {
            item->is_present = false;
            item->is_verified = false;
        }
        return chunk_error(checkpoint, tensor, chunk, status, err);
    }
    return STATUS_OK;
}

enum status checkpoint_verify(struct checkpoint *checkpoint, struct error *err)
{
    for (size_t i = 0; i < checkpoint->manifest.tensor_count; i++) {
        const struct manifest_tensor *tensor = &checkpoint->manifest.tensors[i];
        for (size_t k = 0; k < tensor->chunk_count; k++) {
            enum status status = read_chunk(checkpoint, tensor, k, NULL, err);
            if (status) {
                return status;
            }
        }
    }
    return STATUS_OK;
}

enum status checkpoint_verify_news(struct checkpoint *checkpoint, struct error *err)
{
    struct store *store = checkpoint->store;
    for (size_t i = 0; i < checkpoint->manifest.tensor_count; i++) {
        const struct manifest_tensor *tensor = &checkpoint->manifest.tensors[i];
        for (size_t k = 0; k < tensor->chunk_count; k++) {
            const struct blob_facts *facts = &checkpoint->manifest.chunks[tensor->chunk_first + k];
            struct digest_set_item *item = digest_set_put(&store->known, &facts->digest);
            if (item == NULL) {
                return error_set(err, STATUS_NO_MEMORY, "checkpoint: out of memory");
            }
            if (item->is_verified) {
                continue;
            }
            enum status status = read_chunk(checkpoint, tensor, k, NULL, err);
            if (status) {
                return status;
            }
            item->is_verified = true;
        }
    }
    return STATUS_OK;
}

/* Whether a checkpoint that fails like this is passed over; other failures are of this process or
 * machine, and an older checkpoint would only hide them. */
static bool is_damage(enum status status)
{
    return status != STATUS_NO_MEMORY && status != STATUS_PERMISSION && status != STATUS_BUSY;
}

/* Opens the checkpoint of that file and reads all of it. */
static enum status open_verified(struct checkpoint **out, struct store *store,
                                 const struct store_file *file, struct error *err)
{
    struct checkpoint *checkpoint = NULL;
    enum status status = checkpoint_open_file(&checkpoint, store, file, err);
    if (status) {
        return status;
    }
    status = checkpoint_verify(checkpoint, err);
    if (status) {
        checkpoint_close(checkpoint);
        return status;
    }
    *out = checkpoint;
    return STATUS_OK;
}

enum status checkpoint_open_newest(struct checkpoint **out, struct store *store,
                                   checkpoint_skipped_fn *skipped, void *context, struct error *err)
{
    struct store_file *files = NULL;
    size_t count = 0;
    size_t damaged = 0;

    enum status status = store_refresh(store, err);
    if (status) {
        return status;
    }
    status = store_scan(store, &files, &count, err);
    if (status) {
        return status;
    }
    status = error_set(err, STATUS_NOT_FOUND, "there are no checkpoints in '%s'", store->path);
    for (size_t i = 0; i < count; i++) {
        struct error why = {0};
        if (!lineage_has(&store->lineage, files[i].generation, files[i].step)) {
            continue;
        }
        status = open_verified(out, store, &files[i], &why);
        if (status == STATUS_OK || !is_damage(status)) {
            if (status && err != NULL) {
                *err = why;
            }
            goto done;
        }
        damaged++;
        if (skipped != NULL) {
            skipped(context, files[i].step, files[i].generation, &why);
        }
        status = error_set(err, STATUS_CORRUPT, "none of %zu checkpoints in '%s' verifies: %s",
                           damaged, store->path, why.message);
    }
done:
    free(files);
    return status;
}

enum status checkpoint_open_step(struct checkpoint **out, struct store *store, int64_t step,
                                 struct error *err)
{
    struct store_file *files = NULL;
    size_t count = 0;

    enum status status = store_refresh(store, err);
    if (status) {
        return status;
    }
    status = store_scan(store, &files, &count, err);
    if (status) {
        return status;
    }
    status = error_set(err, STATUS_NOT_FOUND, "there is no checkpoint of step %" PRId64 " in '%s'",
                       step, store->path);
    for (size_t i = 0; i < count; i++) {
        if (lineage_has(&store->lineage, files[i].generation, files[i].step)) {
            if (files[i].step == step) {
                status = checkpoint_open_file(out, store, &files[i], err);
                break;
            }
            if (err != NULL && err->hint[0] == '\0') {
                error_set_hint(err, "the newest is of step %" PRId64, files[i].step);
            }
        }
    }
    free(files);
    return status;
}

enum status checkpoint_open_ref(struct checkpoint **out, struct store *store,
                                const struct checkpoint_ref *ref, struct error *err)
{
    const struct store_file file = {ref->step, ref->generation};
    struct checkpoint *checkpoint = NULL;
    enum status status = checkpoint_open_file(&checkpoint, store, &file, err);
    if (status) {
        return status;
    }
    if (!digest_equal(&checkpoint->manifest.ref.digest, &ref->digest)) {
        status = error_set(err, STATUS_CONFLICT,
                           "'%s' is another checkpoint than the one asked for", checkpoint->path);
        checkpoint_close(checkpoint);
        return status;
    }
    *out = checkpoint;
    return STATUS_OK;
}

const struct checkpoint_ref *checkpoint_ref_of(const struct checkpoint *checkpoint)
{
    return &checkpoint->manifest.ref;
}

const json_t *checkpoint_meta(const struct checkpoint *checkpoint)
{
    return checkpoint->manifest.meta;
}

const char *checkpoint_path(const struct checkpoint *checkpoint)
{
    return checkpoint->path;
}

uint64_t checkpoint_stored_bytes(const struct checkpoint *checkpoint)
{
    return checkpoint->manifest.stored_bytes;
}

size_t checkpoint_tensor_count(const struct checkpoint *checkpoint)
{
    return checkpoint->manifest.tensor_count;
}

const struct tensor_info *checkpoint_tensor(const struct checkpoint *checkpoint, size_t index)
{
    assert(index < checkpoint->manifest.tensor_count);
    return &checkpoint->manifest.tensors[index].info;
}

static const struct manifest_tensor *find(const struct checkpoint *checkpoint, const char *name)
{
    for (size_t i = 0; i < checkpoint->manifest.tensor_count; i++) {
        if (strcmp(checkpoint->manifest.tensors[i].info.name, name) == 0) {
            return &checkpoint->manifest.tensors[i];
        }
    }
    return NULL;
}

const struct tensor_info *checkpoint_find(const struct checkpoint *checkpoint, const char *name)
{
    const struct manifest_tensor *tensor = find(checkpoint, name);
    return tensor == NULL ? NULL : &tensor->info;
}

enum status checkpoint_read_tensor(struct checkpoint *checkpoint, const char *name, void *dst,
                                   size_t size, struct error *err)
{
    const struct manifest_tensor *tensor = find(checkpoint, name);
    if (tensor == NULL) {
        return error_set(err, STATUS_NOT_FOUND, "checkpoint '%s' has no tensor '%s'",
                         checkpoint->path, name);
    }
    if (tensor->info.bytes != size) {
        return error_set(err, STATUS_INVALID,
                         "checkpoint '%s': tensor '%s' has %zu bytes, %zu expected",
                         checkpoint->path, name, tensor->info.bytes, size);
    }
    for (size_t k = 0; k < tensor->chunk_count; k++) {
        enum status status = read_chunk(checkpoint, tensor, k, (char *)dst + k * CHUNK_BYTES, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}
