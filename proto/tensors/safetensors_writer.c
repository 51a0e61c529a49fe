#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/checked.h"
#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/tensors/safetensors.h"

#define METADATA_KEY           "__metadata__"
#define SAFETENSORS_SIZE_BYTES 8

/*   ADDING ──first write, finish──► WRITING ──finish──► FINISHED
 * At any failure the state stays; destroy removes what lies aside. */
enum writer_state { WRITER_STATE_ADDING, WRITER_STATE_WRITING, WRITER_STATE_FINISHED };

struct safetensors_writer {
    enum writer_state state;
    json_t *header;
    size_t *ends; /* of each tensor's data, in the order of the list */
    char (*names)[TENSOR_NAME_BYTES_MAX];
    size_t count;
    size_t capacity;
    size_t current; /* the tensor whose data is due */
    struct digest_stream *digest;
    size_t data_bytes;    /* of all tensors that were added */
    size_t written_bytes; /* of the data */
    size_t header_bytes;  /* as written: the finished header has as many */
    int fd;               /* -1 while adding */
    char path[PATH_BYTES_MAX];
    char temporary[PATH_BYTES_MAX];
};

static enum status out_of_memory(const struct safetensors_writer *writer, struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", writer->path);
}

enum status safetensors_writer_create(struct safetensors_writer **out, const char *path,
                                      struct error *err)
{
    struct safetensors_writer *writer = sys_calloc(1, sizeof *writer);
    if (writer == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", path);
    }
    writer->fd = -1;
    enum status status = path_printf(writer->path, err, "%s", path);
    if (status == STATUS_OK) {
        status = file_temporary(writer->temporary, path, err);
    }
    if (status == STATUS_OK) {
        writer->header = json_object();
        status = writer->header == NULL ? out_of_memory(writer, err) : STATUS_OK;
    }
    if (status == STATUS_OK) {
        status = digest_stream_create(&writer->digest, err);
    }
    if (status) {
        safetensors_writer_destroy(writer);
        return status;
    }
    *out = writer;
    return STATUS_OK;
}

static enum status set_metadata(struct safetensors_writer *writer, const char *key,
                                const char *value, struct error *err)
{
    json_t *metadata = json_object_get(writer->header, METADATA_KEY);
    if (metadata == NULL) {
        metadata = json_object();
        if (json_object_set_new(writer->header, METADATA_KEY, metadata) != 0) {
            return out_of_memory(writer, err);
        }
    }
    json_t *text = json_string(value); /* NULL also when value is not UTF-8 */
    if (json_object_set_new(metadata, key, text) != 0) {
        return error_set(err, STATUS_INVALID, "'%s': metadata '%s' cannot be stored", writer->path,
                         key);
    }
    return STATUS_OK;
}

enum status safetensors_writer_metadata(struct safetensors_writer *writer, const char *key,
                                        const char *value, struct error *err)
{
    assert(writer->state == WRITER_STATE_ADDING);
    assert(strncmp(key, SAFETENSORS_DIGEST_PREFIX, strlen(SAFETENSORS_DIGEST_PREFIX)) != 0);
    return set_metadata(writer, key, value, err);
}

/* Room for one more tensor. */
static bool reserve(struct safetensors_writer *writer)
{
    if (writer->count < writer->capacity) {
        return true;
    }
    const size_t capacity = writer->capacity == 0 ? 64 : 2 * writer->capacity;
    size_t *ends = sys_realloc(writer->ends, capacity * sizeof *ends);
    if (ends != NULL) {
        writer->ends = ends;
    }
    void *names = sys_realloc(writer->names, capacity * sizeof *writer->names);
    if (names != NULL) {
        writer->names = names;
    }
    if (ends == NULL || names == NULL) {
        return false;
    }
    writer->capacity = capacity;
    return true;
}

/* Enters the digest of the data; before they are there, something as long. */
static enum status set_digest(struct safetensors_writer *writer, const char *name,
                              const struct digest *digest, struct error *err)
{
    char key[TENSOR_NAME_BYTES_MAX + sizeof SAFETENSORS_DIGEST_PREFIX];
    char hex[DIGEST_HEX_BYTES];

    (void)snprintf(key, sizeof key, SAFETENSORS_DIGEST_PREFIX "%s", name);
    digest_to_hex(hex, digest);
    return set_metadata(writer, key, hex, err);
}

/* {"dtype", "shape", "data_offsets"}, or NULL when memory is out. */
static json_t *header_entry(enum tensor_dtype dtype, const struct tensor_shape *shape, size_t begin,
                            size_t end)
{
    json_t *extents = json_array();
    for (int i = 0; i < shape->dims; i++) {
        (void)json_array_append_new(extents, json_integer(shape->extents[i]));
    }
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", tensor_dtype_name(dtype), "shape",
                              extents, "data_offsets", (json_int_t)begin, (json_int_t)end);
    if (entry != NULL && json_array_size(extents) != (size_t)shape->dims) {
        json_decref(entry);
        entry = NULL;
    }
    return entry;
}

enum status safetensors_writer_add(struct safetensors_writer *writer, const char *name,
                                   enum tensor_dtype dtype, const struct tensor_shape *shape,
                                   struct error *err)
{
    size_t bytes = 0;
    size_t end = 0;

    assert(writer->state == WRITER_STATE_ADDING);
    if (!tensor_name_is_valid(name) || strcmp(name, METADATA_KEY) == 0) {
        return error_set(err, STATUS_INVALID, "'%s': bad tensor name '%.64s'", writer->path, name);
    }
    if (json_object_get(writer->header, name) != NULL) {
        return error_set(err, STATUS_CONFLICT, "'%s': tensor '%s' is there twice", writer->path,
                         name);
    }
    enum status status = tensor_shape_bytes(&bytes, dtype, shape, err);
    if (status) {
        return error_wrap(err, "'%s': tensor '%s'", writer->path, name);
    }
    if (writer->data_bytes % tensor_dtype_bytes(dtype) != 0) {
        return error_set(err, STATUS_INVALID,
                         "'%s': tensor '%s' would begin unaligned at byte %zu of the data",
                         writer->path, name, writer->data_bytes);
    }
    if (!checked_add(writer->data_bytes, bytes, &end) || end > (size_t)JSON_INTEGER_MAX) {
        return error_set(err, STATUS_LIMIT, "'%s': tensor '%s' makes the file too large",
                         writer->path, name);
    }
    if (!reserve(writer)) {
        return out_of_memory(writer, err);
    }
    json_t *entry = header_entry(dtype, shape, writer->data_bytes, end);
    if (json_object_set_new(writer->header, name, entry) != 0) {
        return out_of_memory(writer, err);
    }
    (void)snprintf(writer->names[writer->count], TENSOR_NAME_BYTES_MAX, "%s", name);
    writer->ends[writer->count] = end;
    writer->count++;
    writer->data_bytes = end;
    return set_digest(writer, name, &(struct digest){{0}}, err);
}

/* The header, padded. */
static enum status header_text(struct bytes *out, const struct safetensors_writer *writer,
                               struct error *err)
{
    json_canonical(out, writer->header);
    while (out->size % 8 != 0 && !bytes_failed(out)) {
        bytes_append_char(out, ' ');
    }
    return bytes_status(out, "safetensors header", err);
}

/* Opens the file aside and writes its header. */
static enum status start_writing(struct safetensors_writer *writer, struct error *err)
{
    struct bytes json = {.size_max = SAFETENSORS_HEADER_BYTES_MAX};
    struct bytes head = {0};

    enum status status = header_text(&json, writer, err);
    if (status == STATUS_OK) {
        bytes_append_u64(&head, json.size);
        status = bytes_status(&head, "safetensors header", err);
    }
    if (status) {
        goto done;
    }
    writer->fd =
        sys_open(writer->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (writer->fd < 0) {
        status = error_from_errno(err, errno, "create '%s'", writer->temporary);
        goto done;
    }
    writer->state = WRITER_STATE_WRITING;
    writer->header_bytes = json.size;
    if (sys_write_all(writer->fd, head.data, head.size) != 0 ||
        sys_write_all(writer->fd, json.data, json.size) != 0) {
        status = error_from_errno(err, errno, "write '%s'", writer->temporary);
    }
done:
    bytes_deinit(&head);
    bytes_deinit(&json);
    return status;
}

/* Enters the digests of the tensors that are whole. */
static enum status end_tensors(struct safetensors_writer *writer, struct error *err)
{
    enum status status = STATUS_OK;

    while (status == STATUS_OK && writer->current < writer->count &&
           writer->ends[writer->current] == writer->written_bytes) {
        struct digest digest;
        digest_stream_finish(writer->digest, &digest);
        status = set_digest(writer, writer->names[writer->current], &digest, err);
        writer->current++;
    }
    return status;
}

/* Counts data that were written, tensor by tensor. */
static enum status take_digests(struct safetensors_writer *writer, const char *data, size_t size,
                                struct error *err)
{
    enum status status = end_tensors(writer, err);

    while (status == STATUS_OK && size > 0) {
        const size_t left = writer->ends[writer->current] - writer->written_bytes;
        const size_t part = size < left ? size : left;
        digest_stream_update(writer->digest, data, part);
        writer->written_bytes += part;
        data += part;
        size -= part;
        status = end_tensors(writer, err);
    }
    return status;
}

enum status safetensors_writer_write(struct safetensors_writer *writer, const void *data,
                                     size_t size, struct error *err)
{
    assert(writer->state != WRITER_STATE_FINISHED);
    if (writer->state == WRITER_STATE_ADDING) {
        enum status status = start_writing(writer, err);
        if (status) {
            return status;
        }
    }
    if (size > writer->data_bytes - writer->written_bytes) {
        return error_set(err, STATUS_INVALID, "'%s': more than the %zu bytes of its tensors",
                         writer->path, writer->data_bytes);
    }
    if (sys_write_all(writer->fd, data, size) != 0) {
        return error_from_errno(err, errno, "write '%s'", writer->temporary);
    }
    return take_digests(writer, data, size, err);
}

/* Writes the header again, now with the digests. */
static enum status write_digests(const struct safetensors_writer *writer, struct error *err)
{
    struct bytes json = {.size_max = SAFETENSORS_HEADER_BYTES_MAX};

    enum status status = header_text(&json, writer, err);
    if (status == STATUS_OK) {
        assert(json.size == writer->header_bytes);
        if (lseek(writer->fd, SAFETENSORS_SIZE_BYTES, SEEK_SET) < 0 ||
            sys_write_all(writer->fd, json.data, json.size) != 0) {
            status = error_from_errno(err, errno, "write '%s'", writer->temporary);
        }
    }
    bytes_deinit(&json);
    return status;
}

enum status safetensors_writer_finish(struct safetensors_writer *writer, struct error *err)
{
    enum status status = safetensors_writer_write(writer, "", 0, err);
    if (status) {
        return status;
    }
    if (writer->written_bytes != writer->data_bytes) {
        return error_set(err, STATUS_INVALID, "'%s': %zu of the %zu bytes of its tensors came",
                         writer->path, writer->written_bytes, writer->data_bytes);
    }
    status = write_digests(writer, err);
    if (status) {
        return status;
    }
    if (sys_fdatasync(writer->fd) != 0) {
        return error_from_errno(err, errno, "sync '%s'", writer->temporary);
    }
    (void)close(writer->fd);
    writer->fd = -1;
    writer->state = WRITER_STATE_FINISHED;
    return file_replace(writer->temporary, writer->path, err);
}

void safetensors_writer_destroy(struct safetensors_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    if (writer->fd >= 0) {
        (void)close(writer->fd);
        (void)unlink(writer->temporary);
    }
    json_decref(writer->header);
    digest_stream_destroy(writer->digest);
    free(writer->ends);
    free(writer->names);
    free(writer);
}
