#include "worker/train/records.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"

static enum status read_at(const struct records *records, int64_t offset, void *data, size_t size,
                           size_t *read_bytes, struct error *err)
{
    *read_bytes = 0;
    while (*read_bytes < size) {
        ssize_t part = pread(records->fd, (char *)data + *read_bytes, size - *read_bytes,
                             (off_t)(offset + (int64_t)*read_bytes));
        if (part < 0 && errno == EINTR) {
            continue;
        }
        if (part < 0) {
            return error_from_errno(err, errno, "read '%s'", records->path);
        }
        if (part == 0) {
            break;
        }
        *read_bytes += (size_t)part;
    }
    return STATUS_OK;
}

/* True for the one line data[size], newline included, of a JSON object. */
static bool is_record(const char *data, size_t size)
{
    json_t *value = NULL;

    bool is_object =
        json_parse(&value, data, size, "record", NULL) == STATUS_OK && json_is_object(value);
    json_decref(value);
    return is_object;
}

/* Finds the end of the last whole record at or before end. Looks back over at most two lines' worth
 * of bytes: a kill tears one line, a crash of the machine zeroes the end of the last one. */
static enum status find_whole_size(const struct records *records, int64_t end, int64_t *whole,
                                   struct error *err)
{
    struct bytes tail = {0};
    int64_t start =
        end > (int64_t)(2 * RECORD_BYTES_MAX) ? end - (int64_t)(2 * RECORD_BYTES_MAX) : 0;
    size_t size = 0;
    enum status status = STATUS_OK;

    if (!bytes_reserve(&tail, (size_t)(end - start))) {
        return error_set(err, STATUS_NO_MEMORY, "no memory to read '%s'", records->path);
    }
    status = read_at(records, start, tail.data, (size_t)(end - start), &size, err);
    if (status) {
        goto done;
    }
    while (size > 0) {
        size_t line = size - 1;
        while (line > 0 && tail.data[line - 1] != '\n') {
            line--;
        }
        bool starts_here = line > 0 || start == 0;
        if (starts_here && tail.data[size - 1] == '\n' &&
            is_record(tail.data + line, size - line)) {
            break;
        }
        size = line;
    }
    if (size == 0 && start > 0) {
        status = error_set(err, STATUS_CORRUPT, "'%s': no record in its last %zu bytes",
                           records->path, (size_t)(end - start));
        goto done;
    }
    *whole = start + (int64_t)size;
done:
    bytes_deinit(&tail);
    return status;
}

static enum status drop_torn_tail(struct records *records, struct error *err)
{
    int64_t size = (int64_t)lseek(records->fd, 0, SEEK_END);

    if (size < 0) {
        return error_from_errno(err, errno, "size of '%s'", records->path);
    }
    enum status status = find_whole_size(records, size, &records->size, err);
    if (!status && records->size < size && sys_ftruncate(records->fd, (off_t)records->size) != 0) {
        status = error_from_errno(err, errno, "drop the torn tail of '%s'", records->path);
    }
    return status;
}

enum status records_open(struct records *records, const char *folder, int attempt,
                         struct error *err)
{
    *records = (struct records){.fd = -1, .attempt = attempt};
    enum status status = path_printf(records->path, err, "%s/%s", folder, RECORDS_FILE);
    if (status) {
        return status;
    }
    records->fd = sys_open(records->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (records->fd < 0) {
        return error_from_errno(err, errno, "open '%s'", records->path);
    }
    status = drop_torn_tail(records, err);
    if (!status) {
        status = folder_sync(folder, err);
    }
    if (status) {
        records_close(records);
    }
    return status;
}

void records_close(struct records *records)
{
    if (records->fd >= 0) {
        (void)close(records->fd);
    }
    records->fd = -1;
    bytes_deinit(&records->line);
}

enum status records_append(struct records *records, const char *type, int64_t step, json_t *fields,
                           struct error *err)
{
    struct bytes *line = &records->line;
    enum status status = STATUS_OK;

    assert(records->fd >= 0);
    bytes_clear(line);
    if (fields == NULL || json_object_set_new(fields, "type", json_string(type)) != 0 ||
        json_object_set_new(fields, "attempt", json_integer(records->attempt)) != 0 ||
        json_object_set_new(fields, "step", json_integer(step)) != 0 ||
        json_object_set_new(fields, "time_ms", json_integer(sys_realtime_ms())) != 0) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a record");
        goto done;
    }
    json_canonical(line, fields);
    bytes_append_char(line, '\n');
    status = bytes_status(line, "a record", err);
    if (status) {
        goto done;
    }
    if (line->size > RECORD_BYTES_MAX) {
        status = error_set(err, STATUS_LIMIT, "a record of %zu bytes, the limit is %zu", line->size,
                           RECORD_BYTES_MAX);
        goto done;
    }
    if (sys_write_all(records->fd, line->data, line->size) != 0) {
        status = error_from_errno(err, errno, "append to '%s'", records->path);
        goto done;
    }
    records->size += (int64_t)line->size;
done:
    json_decref(fields);
    return status;
}

enum status records_sync(struct records *records, struct error *err)
{
    if (sys_fdatasync(records->fd) != 0) {
        return error_from_errno(err, errno, "sync '%s'", records->path);
    }
    return STATUS_OK;
}

enum status records_read(const struct records *records, int64_t offset, size_t size_max,
                         struct bytes *out, struct error *err)
{
    size_t got = 0;
    size_t want = (size_t)(records->size - offset);

    assert(0 <= offset && offset <= records->size);
    assert(size_max >= RECORD_BYTES_MAX);
    want = want < size_max ? want : size_max;
    if (want == 0) {
        return STATUS_OK;
    }
    if (!bytes_reserve(out, want)) {
        return error_set(err, STATUS_NO_MEMORY, "no memory to read '%s'", records->path);
    }
    char *start = out->data + out->size;
    enum status status = read_at(records, offset, start, want, &got, err);
    if (status) {
        return status;
    }
    while (got > 0 && start[got - 1] != '\n') {
        got--;
    }
    out->size += got;
    out->data[out->size] = '\0';
    return STATUS_OK;
}

void records_set_exact(json_t *fields, const char *key, double value)
{
    char bits_key[64];
    char bits_text[24];
    uint64_t bits = 0;

    memcpy(&bits, &value, sizeof bits);
    (void)snprintf(bits_key, sizeof bits_key, "%s_bits", key);
    (void)snprintf(bits_text, sizeof bits_text, "0x%016" PRIx64, bits);
    json_set_real(fields, key, value);
    (void)json_object_set_new(fields, bits_key, json_string(bits_text));
}
