#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/store/checkpoint.h"
#include "proto/store/sealed.h"
#include "proto/store/store_internal.h"

struct checkpoint_writer {
    struct store *store;
    int64_t step;
    json_t *meta;
    json_t *tensors; /* as in the manifest */
    json_t *names;   /* an object, to find a name that comes twice */
    struct checkpoint_written sums;
};

static enum status out_of_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "checkpoint: out of memory");
}

enum status checkpoint_writer_begin(struct checkpoint_writer **out, struct store *store,
                                    int64_t step, const json_t *meta, struct error *err)
{
    assert(store->begun > 0);
    if (step < 0 || step > STEPS_MAX) {
        return error_set(err, STATUS_INVALID, "checkpoint: step %" PRId64 " is not in 0…2^40",
                         step);
    }
    enum status status = store_check_writer(store, err);
    if (status) {
        return status;
    }
    struct checkpoint_writer *writer = sys_calloc(1, sizeof *writer);
    if (writer == NULL) {
        return out_of_memory(err);
    }
    writer->store = store;
    writer->step = step;
    status = manifest_meta_check(&writer->meta, meta, err);
    if (status) {
        goto fail;
    }
    writer->tensors = json_array();
    writer->names = json_object();
    if (writer->tensors == NULL || writer->names == NULL) {
        status = out_of_memory(err);
        goto fail;
    }
    *out = writer;
    return STATUS_OK;
fail:
    checkpoint_writer_destroy(writer);
    return status;
}

void checkpoint_writer_destroy(struct checkpoint_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    json_decref(writer->meta);
    json_decref(writer->tensors);
    json_decref(writer->names);
    free(writer);
}

/* Whether the blob of a known chunk is still what this process left there, by its size. */
static bool is_still_there(const struct store *store, const struct blob_facts *facts)
{
    char path[PATH_BYTES_MAX];
    return blob_path(path, store->blobs, &facts->digest, NULL) == STATUS_OK &&
           file_size(path) == (int64_t)facts->stored_bytes;
}

/* Takes over a blob of an earlier process when it is there and every byte verifies. */
static bool adopt_existing(struct store *store, struct digest_set_item *item, size_t size)
{
    char path[PATH_BYTES_MAX];
    struct blob_facts facts;
    if (blob_path(path, store->blobs, &item->facts.digest, NULL) || !file_exists(path) ||
        blob_verify(store->blobs, &item->facts.digest, size, &facts, NULL) ||
        blob_adopt(store->blobs, &item->facts.digest, NULL)) {
        return false;
    }
    item->facts = facts;
    item->is_present = true;
    item->is_verified = true;
    return true;
}

/* Makes sure that the chunk's blob is in the store. A blob whose name is there is not trusted for
 * that: unless this process wrote or read it, it is read now, and replaced when it is damaged. */
static enum status put_chunk(struct checkpoint_writer *writer, enum blob_codec codec,
                             const void *data, size_t size, struct blob_facts *facts,
                             struct error *err)
{
    struct store *store = writer->store;
    struct digest digest;
    digest_of(&digest, data, size);
    struct digest_set_item *item = digest_set_put(&store->known, &digest);
    if (item == NULL) {
        return out_of_memory(err);
    }
    bool is_known = item->is_present && is_still_there(store, &item->facts);
    if (!is_known && !adopt_existing(store, item, size)) {
        item->is_present = false;
        item->is_verified = false;
        enum status status =
            blob_write(store->blobs, &digest, codec, data, size, &item->facts, err);
        if (status) {
            return status;
        }
        item->is_present = true;
        writer->sums.new_bytes += item->facts.stored_bytes;
    }
    *facts = item->facts;
    writer->sums.logical_bytes += size;
    writer->sums.stored_bytes += facts->stored_bytes;
    return STATUS_OK;
}

/* Stores data[size] chunk by chunk; *out is the list for the manifest. */
static enum status put_chunks(struct checkpoint_writer *writer, enum blob_codec codec,
                              const void *data, size_t size, json_t **out, struct error *err)
{
    json_t *chunks = json_array();
    enum status status = chunks == NULL ? out_of_memory(err) : STATUS_OK;
    for (size_t offset = 0; status == STATUS_OK && offset < size; offset += CHUNK_BYTES) {
        struct blob_facts facts;
        char hex[DIGEST_HEX_BYTES];
        size_t bytes = size - offset < CHUNK_BYTES ? size - offset : CHUNK_BYTES;
        status = put_chunk(writer, codec, (const char *)data + offset, bytes, &facts, err);
        if (status) {
            (void)error_wrap(err, "chunk %zu", offset / CHUNK_BYTES);
            break;
        }
        digest_to_hex(hex, &facts.digest);
        json_t *chunk =
            json_pack("{s:s, s:s, s:I}", "digest", hex, "codec", blob_codec_name(facts.codec),
                      "stored", (json_int_t)facts.stored_bytes);
        if (json_array_append_new(chunks, chunk) != 0) {
            status = out_of_memory(err);
        }
    }
    if (status) {
        json_decref(chunks);
        return status;
    }
    *out = chunks;
    return STATUS_OK;
}

/* Adds the tensor's entry, whose chunks are handed over. */
static enum status add_entry(struct checkpoint_writer *writer, const char *name,
                             enum tensor_dtype dtype, const struct tensor_shape *shape,
                             json_t *chunks, struct error *err)
{
    json_t *extents = json_array();
    bool done = true;
    for (int i = 0; i < shape->dims; i++) {
        done = json_array_append_new(extents, json_integer(shape->extents[i])) == 0 && done;
    }
    /* The "o" members are let go also when packing fails. */
    json_t *entry = json_pack("{s:s, s:s, s:o, s:o}", "name", name, "dtype",
                              tensor_dtype_name(dtype), "shape", extents, "chunks", chunks);
    done = json_array_append_new(writer->tensors, entry) == 0 && done;
    done = json_object_set_new(writer->names, name, json_true()) == 0 && done;
    return done ? STATUS_OK : out_of_memory(err);
}

enum status checkpoint_writer_tensor(struct checkpoint_writer *writer, const char *name,
                                     enum tensor_dtype dtype, const struct tensor_shape *shape,
                                     const void *data, struct error *err)
{
    size_t size = 0;
    json_t *chunks = NULL;

    if (!tensor_name_is_valid(name)) {
        return error_set(err, STATUS_INVALID, "checkpoint: bad tensor name '%.64s'", name);
    }
    if (json_object_get(writer->names, name) != NULL) {
        return error_set(err, STATUS_CONFLICT, "checkpoint: tensor '%s' comes twice", name);
    }
    enum status status = tensor_shape_bytes(&size, dtype, shape, err);
    if (status == STATUS_OK) {
        status = put_chunks(writer, blob_codec_for(dtype), data, size, &chunks, err);
    }
    if (status) {
        (void)error_wrap(err, "checkpoint of step %" PRId64 ": tensor '%s'", writer->step, name);
        return status;
    }
    return add_entry(writer, name, dtype, shape, chunks, err);
}

/* The whole manifest, or NULL when memory is out. */
static json_t *build_document(const struct checkpoint_writer *writer)
{
    const struct store *store = writer->store;
    struct lineage lineage = store->lineage;
    lineage.has_parent = store->has_head;
    lineage.parent = store->head;

    json_t *document = json_pack(
        "{s:i, s:I, s:I, s:I, s:I, s:I, s:O, s:O}", "format", MANIFEST_FORMAT, "step",
        (json_int_t)writer->step, "created_ms", (json_int_t)sys_realtime_ms(), "chunk_bytes",
        (json_int_t)CHUNK_BYTES, "logical_bytes", (json_int_t)writer->sums.logical_bytes,
        "stored_bytes", (json_int_t)writer->sums.stored_bytes, "meta", writer->meta, "tensors",
        writer->tensors);
    if (document != NULL && !lineage_to_json(&lineage, document)) {
        json_decref(document);
        document = NULL;
    }
    return document;
}

enum status checkpoint_writer_commit(struct checkpoint_writer *writer,
                                     struct checkpoint_written *out, struct error *err)
{
    struct store *store = writer->store;
    const struct store_file file = {writer->step, store->begun};
    struct digest digest;
    json_t *document = NULL;

    enum status status = blob_folders_sync(store->blobs, err);
    if (status) {
        goto done;
    }
    status = store_manifest_path(writer->sums.path, store, &file, err);
    if (status) {
        goto done;
    }
    document = build_document(writer);
    if (document == NULL) {
        status = out_of_memory(err);
        goto done;
    }
    status = store_check_writer(store, err);
    if (status) {
        goto done;
    }
    status = sealed_write(writer->sums.path, document, false, &digest, err);
    if (status) {
        goto done;
    }
    store->has_head = true;
    store->head = (struct checkpoint_ref){file.step, file.generation, digest};
    writer->sums.ref = store->head;
    *out = writer->sums;
done:
    if (status) {
        (void)error_wrap(err, "checkpoint of step %" PRId64, file.step);
    }
    json_decref(document);
    checkpoint_writer_destroy(writer);
    return status;
}
