#include "daemon/ingest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"

static_assert(INGEST_SLICE_BYTES > RECORD_BYTES_MAX, "a slice holds at least one whole line");

static enum status take_line(const struct ingest *ingest, int64_t job, int64_t offset,
                             const char *line, size_t size, struct error *err)
{
    json_t *record = NULL;

    enum status status = metrics_ingest(ingest->metrics, job, offset, line, size, &record, err);
    if (record && ingest->on_record) {
        ingest->on_record(ingest->context, job, record);
    }
    json_decref(record);
    return status;
}

/* Takes the whole lines of data, which starts at offset; *taken is how many bytes they were. */
static enum status take_lines(const struct ingest *ingest, int64_t job, int64_t offset,
                              const struct bytes *data, size_t *taken, struct error *err)
{
    *taken = 0;
    for (;;) {
        const char *line = data->data + *taken;
        const char *newline = memchr(line, '\n', data->size - *taken);
        if (!newline) {
            return STATUS_OK;
        }
        size_t size = (size_t)(newline - line);
        enum status status = take_line(ingest, job, offset + (int64_t)*taken, line, size, err);
        if (status) {
            return status;
        }
        *taken += size + 1;
    }
}

/* Appends up to a slice from offset on to *out. */
static enum status read_slice(struct bytes *out, int fd, const char *path, int64_t offset,
                              struct error *err)
{
    if (!bytes_reserve(out, INGEST_SLICE_BYTES)) {
        return error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", path);
    }
    ssize_t count = pread(fd, out->data, INGEST_SLICE_BYTES, (off_t)offset);
    if (count < 0) {
        return error_from_errno(err, errno, "read '%s'", path);
    }
    out->size = (size_t)count;
    return STATUS_OK;
}

static enum status ingest_open_file(const struct ingest *ingest, int64_t job, int fd,
                                    const char *path, bool *is_at_end, struct error *err)
{
    struct stat info;
    struct bytes data = {0};
    int64_t offset = 0;
    size_t taken = 0;

    enum status status = metrics_offset(ingest->metrics, job, &offset, err);
    if (status == STATUS_OK && fstat(fd, &info) < 0) {
        status = error_from_errno(err, errno, "stat '%s'", path);
    }
    if (status == STATUS_OK && info.st_size < offset) {
        status = metrics_forget(ingest->metrics, job, err);
        offset = 0;
    }
    if (status == STATUS_OK) {
        status = read_slice(&data, fd, path, offset, err);
    }
    if (status == STATUS_OK && data.size > 0) {
        status = take_lines(ingest, job, offset, &data, &taken, err);
    }
    if (status == STATUS_OK && taken == 0 && data.size == INGEST_SLICE_BYTES) {
        /* No writer of ours makes such a line: pass over this much of it. */
        status = take_line(ingest, job, offset, "", data.size - 1, err);
        taken = data.size;
    }
    if (status == STATUS_OK) {
        /* What is left is a torn tail, or a line that is being written. */
        *is_at_end = data.size < INGEST_SLICE_BYTES;
    }
    bytes_deinit(&data);
    return status;
}

enum status ingest_file(const struct ingest *ingest, int64_t job, const char *run_folder,
                        bool *is_at_end, struct error *err)
{
    char path[PATH_BYTES_MAX];

    *is_at_end = true;
    enum status status = path_printf(path, err, "%s/records.jsonl", run_folder);
    if (status) {
        return status;
    }
    int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return errno == ENOENT ? STATUS_OK : error_from_errno(err, errno, "open '%s'", path);
    }
    status = ingest_open_file(ingest, job, fd, path, is_at_end, err);
    (void)close(fd);
    return status;
}

enum status ingest_lines(const struct ingest *ingest, int64_t job, int64_t offset,
                         const json_t *lines, bool *has_gap, struct error *err)
{
    int64_t known = 0;

    *has_gap = false;
    enum status status = metrics_offset(ingest->metrics, job, &known, err);
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(lines); i++) {
        const char *line = json_string_value(json_array_get(lines, i));
        if (!line || strchr(line, '\n')) {
            (void)error_set(err, STATUS_INVALID, "lines[%zu]: is not one line of text", i);
            error_set_field(err, "lines[%zu]", i);
            return STATUS_INVALID;
        }
        size_t size = strlen(line);
        if (offset > known) {
            *has_gap = true;
            return STATUS_OK;
        }
        if (offset == known) {
            status = take_line(ingest, job, offset, line, size, err);
            known += (int64_t)size + 1;
        }
        offset += (int64_t)size + 1;
    }
    return status;
}
