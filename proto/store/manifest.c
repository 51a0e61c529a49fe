#include "proto/store/manifest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "embedded/manifest_schema_json.h"
#include "proto/base/checked.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/spec/schema.h"
#include "proto/store/sealed.h"

static size_t chunk_count_of(size_t bytes)
{
    return bytes / CHUNK_BYTES + (bytes % CHUNK_BYTES != 0 ? 1 : 0);
}

size_t manifest_chunk_bytes(const struct manifest_tensor *tensor, size_t index)
{
    assert(index < tensor->chunk_count);
    size_t rest = tensor->info.bytes - index * CHUNK_BYTES;
    return rest < CHUNK_BYTES ? rest : CHUNK_BYTES;
}

static enum status parse_shape(struct tensor_info *out, const json_t *value, struct error *err)
{
    if (!json_is_array(value) || json_array_size(value) > TENSOR_DIMS_MAX) {
        return error_set(err, STATUS_CORRUPT, "bad shape");
    }
    out->shape.dims = (int)json_array_size(value);
    for (int i = 0; i < out->shape.dims; i++) {
        const json_t *extent = json_array_get(value, (size_t)i);
        out->shape.extents[i] = json_is_integer(extent) ? json_integer_value(extent) : -1;
    }
    if (tensor_shape_bytes(&out->bytes, out->dtype, &out->shape, err)) {
        return error_set(err, STATUS_CORRUPT, "bad shape");
    }
    return STATUS_OK;
}

static enum status parse_chunk(struct blob_facts *out, const json_t *value, size_t index,
                               struct error *err)
{
    int64_t stored = json_get_int(value, "stored", -1);
    if (!digest_from_hex(&out->digest, json_get_text(value, "digest", "")) ||
        !blob_codec_from_name(&out->codec, json_get_text(value, "codec", "")) || stored < 1) {
        return error_set(err, STATUS_CORRUPT, "chunk %zu: bad digest, codec or size", index);
    }
    out->stored_bytes = (uint64_t)stored;
    return STATUS_OK;
}

/* Name, dtype and shape of one tensor, and how many chunks these demand. */
static enum status parse_tensor(struct manifest *manifest, struct manifest_tensor *out,
                                const json_t *value, struct error *err)
{
    const char *name = json_get_text(value, "name", "");
    if (!tensor_name_is_valid(name)) {
        return error_set(err, STATUS_CORRUPT, "bad name");
    }
    if (!tensor_dtype_from_name(&out->info.dtype, json_get_text(value, "dtype", ""))) {
        return error_set(err, STATUS_CORRUPT, "tensor '%s': bad dtype", name);
    }
    out->info.name = arena_strdup(&manifest->arena, name);
    if (out->info.name == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    enum status status = parse_shape(&out->info, json_object_get(value, "shape"), err);
    if (status) {
        return error_wrap(err, "tensor '%s'", name);
    }
    out->chunk_first = manifest->chunk_count;
    out->chunk_count = chunk_count_of(out->info.bytes);
    size_t listed = json_array_size(json_object_get(value, "chunks"));
    if (listed != out->chunk_count) {
        return error_set(err, STATUS_CORRUPT, "tensor '%s': %zu chunks, %zu by its shape", name,
                         listed, out->chunk_count);
    }
    manifest->chunk_count += listed;
    return STATUS_OK;
}

/* Fills chunks, whose number parse_tensor has counted, and the sums of bytes. */
static enum status parse_chunks(struct manifest *manifest, const json_t *tensors, struct error *err)
{
    manifest->chunks =
        arena_alloc_array(&manifest->arena, manifest->chunk_count, sizeof *manifest->chunks);
    if (manifest->chunks == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < manifest->tensor_count; i++) {
        const struct manifest_tensor *tensor = &manifest->tensors[i];
        const json_t *chunks = json_object_get(json_array_get(tensors, i), "chunks");
        for (size_t k = 0; k < tensor->chunk_count; k++) {
            struct blob_facts *chunk = &manifest->chunks[tensor->chunk_first + k];
            enum status status = parse_chunk(chunk, json_array_get(chunks, k), k, err);
            if (status) {
                return error_wrap(err, "tensor '%s'", tensor->info.name);
            }
            manifest->stored_bytes += chunk->stored_bytes;
        }
        manifest->logical_bytes += tensor->info.bytes;
    }
    return STATUS_OK;
}

static enum status parse_tensors(struct manifest *manifest, const json_t *tensors,
                                 struct error *err)
{
    if (!json_is_array(tensors)) {
        return error_set(err, STATUS_CORRUPT, "tensors are missing");
    }
    manifest->tensor_count = json_array_size(tensors);
    manifest->tensors =
        arena_alloc_array(&manifest->arena, manifest->tensor_count, sizeof *manifest->tensors);
    if (manifest->tensors == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < manifest->tensor_count; i++) {
        enum status status =
            parse_tensor(manifest, &manifest->tensors[i], json_array_get(tensors, i), err);
        if (status) {
            return error_wrap(err, "entry %zu of tensors", i);
        }
    }
    return parse_chunks(manifest, tensors, err);
}

static enum status parse_document(struct manifest *manifest, const json_t *document,
                                  struct error *err)
{
    int64_t format = json_get_int(document, "format", -1);
    if (format > MANIFEST_FORMAT) {
        return error_set(err, STATUS_UNSUPPORTED,
                         "format %" PRId64 " is of a newer program; this one knows %d", format,
                         MANIFEST_FORMAT);
    }
    manifest->ref.step = json_get_int(document, "step", -1);
    manifest->created_ms = json_get_int(document, "created_ms", 0);
    json_t *meta = json_object_get(document, "meta");
    if (format != MANIFEST_FORMAT || manifest->ref.step < 0 || manifest->ref.step > STEPS_MAX ||
        !json_is_object(meta)) {
        return error_set(err, STATUS_CORRUPT, "format, step or meta is missing");
    }
    int64_t chunk_bytes = json_get_int(document, "chunk_bytes", -1);
    if (chunk_bytes != (int64_t)CHUNK_BYTES) {
        return error_set(err, STATUS_UNSUPPORTED,
                         "chunks of %" PRId64 " bytes; this program has %zu", chunk_bytes,
                         CHUNK_BYTES);
    }
    enum status status = lineage_from_json(&manifest->lineage, document, &manifest->arena, err);
    if (status) {
        return status;
    }
    manifest->ref.generation = manifest->lineage.generation;
    manifest->meta = json_incref(meta);
    return parse_tensors(manifest, json_object_get(document, "tensors"), err);
}

enum status manifest_read(struct manifest *out, const char *path, struct error *err)
{
    json_t *document = NULL;
    struct manifest manifest = {0};

    enum status status = sealed_read(&document, path, &manifest.ref.digest, err);
    if (status) {
        return status;
    }
    status = parse_document(&manifest, document, err);
    json_decref(document);
    if (status) {
        (void)error_wrap(err, "'%s'", path);
        manifest_deinit(&manifest);
        return status;
    }
    *out = manifest;
    return STATUS_OK;
}

void manifest_deinit(struct manifest *manifest)
{
    json_decref(manifest->meta);
    arena_deinit(&manifest->arena);
    *manifest = (struct manifest){0};
}

enum status manifest_meta_check(json_t **out, const json_t *meta, struct error *err)
{
    struct schema *schema = NULL;
    struct schema_problems *problems = NULL;

    json_t *copy = json_deep_copy(meta);
    if (copy == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "checkpoint meta: out of memory");
    }
    enum status status = schema_create(&schema, manifest_schema_json, manifest_schema_json_size,
                                       "manifest.schema.json", err);
    if (status) {
        goto done;
    }
    problems = sys_calloc(1, sizeof *problems);
    if (problems == NULL) {
        status = error_set(err, STATUS_NO_MEMORY, "checkpoint meta: out of memory");
        goto done;
    }
    const json_t *root = schema_document(schema);
    const json_t *node = json_object_get(json_object_get(root, "$defs"), "meta");
    status = schema_apply(schema, node, copy, "meta", problems, err);
    if (status) {
        (void)error_wrap(err, "checkpoint");
        goto done;
    }
    *out = json_incref(copy);
done:
    free(problems);
    schema_destroy(schema);
    json_decref(copy);
    return status;
}
