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
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/tensors/safetensors.h"

#define METADATA_KEY "__metadata__"

/*   ADDING ──first write, finish──► WRITING ──finish──► FINISHED
 * At any failure the state stays; destroy removes what lies aside. */
enum writer_state { WRITER_STATE_ADDING, WRITER_STATE_WRITING, WRITER_STATE_FINISHED };

struct safetensors_writer {
    enum writer_state state;
    json_t *header;
    size_t data_bytes;    /* of all tensors that were added */
    size_t written_bytes; /* of the data */
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
    if (status) {
        safetensors_writer_destroy(writer);
        return status;
    }
    *out = writer;
    return STATUS_OK;
}

enum status safetensors_writer_metadata(struct safetensors_writer *writer, const char *key,
                                        const char *value, struct error *err)
{
    assert(writer->state == WRITER_STATE_ADDING);
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
    json_t *entry = header_entry(dtype, shape, writer->data_bytes, end);
    if (json_object_set_new(writer->header, name, entry) != 0) {
        return out_of_memory(writer, err);
    }
    writer->data_bytes = end;
    return STATUS_OK;
}

/* Opens the file aside and writes its header. */
static enum status start_writing(struct safetensors_writer *writer, struct error *err)
{
    struct bytes json = {.size_max = SAFETENSORS_HEADER_BYTES_MAX};
    struct bytes head = {0};

    json_canonical(&json, writer->header);
    while (json.size % 8 != 0 && !bytes_failed(&json)) {
        bytes_append_char(&json, ' ');
    }
    bytes_append_u64(&head, json.size);
    enum status status = bytes_status(&json, "safetensors header", err);
    if (status == STATUS_OK) {
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
    if (sys_write_all(writer->fd, head.data, head.size) != 0 ||
        sys_write_all(writer->fd, json.data, json.size) != 0) {
        status = error_from_errno(err, errno, "write '%s'", writer->temporary);
    }
done:
    bytes_deinit(&head);
    bytes_deinit(&json);
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
    writer->written_bytes += size;
    return STATUS_OK;
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
    free(writer);
}
