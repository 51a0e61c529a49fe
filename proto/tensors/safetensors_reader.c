#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/checked.h"
#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/reader.h"
#include "proto/base/sys.h"
#include "proto/tensors/safetensors.h"

#define METADATA_KEY "__metadata__"
#define SIZE_BYTES   8

struct entry {
    struct tensor_info info; /* the name is a key of the header */
    size_t begin;            /* of the data, from the beginning of all data */
};

struct safetensors_reader {
    int fd;
    json_t *header;
    struct entry *entries; /* in the order of their data */
    size_t *by_name;       /* indices of entries, sorted by name */
    size_t count;
    size_t data_offset; /* in the file */
    size_t data_bytes;
    struct digest digest; /* of the header */
    char path[PATH_BYTES_MAX];
};

__attribute__((format(printf, 4, 5))) static enum status bad_tensor(
    const struct safetensors_reader *reader, const char *name, struct error *err,
    const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(err, STATUS_CORRUPT, "'%s': tensor '%.*s': %s", reader->path,
                     TENSOR_NAME_BYTES_MAX, name, text);
}

static enum status parse_shape(struct tensor_shape *out, const struct safetensors_reader *reader,
                               const char *name, const json_t *value, struct error *err)
{
    if (!json_is_array(value) || json_array_size(value) > TENSOR_DIMS_MAX) {
        return bad_tensor(reader, name, err, "shape is not a list of at most %d numbers",
                          TENSOR_DIMS_MAX);
    }
    *out = (struct tensor_shape){.dims = (int)json_array_size(value)};
    for (int i = 0; i < out->dims; i++) {
        const json_t *extent = json_array_get(value, (size_t)i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0) {
            return bad_tensor(reader, name, err, "extent %d of its shape is not a whole number", i);
        }
        out->extents[i] = json_integer_value(extent);
    }
    return STATUS_OK;
}

/* [begin, end) must lie in the data and hold exactly the bytes that the shape says. */
static enum status parse_offsets(struct entry *out, const struct safetensors_reader *reader,
                                 const json_t *value, struct error *err)
{
    const char *name = out->info.name;
    const json_t *begin = json_array_get(value, 0);
    const json_t *end = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(begin) || !json_is_integer(end)) {
        return bad_tensor(reader, name, err, "data_offsets are not two whole numbers");
    }
    json_int_t from = json_integer_value(begin);
    json_int_t to = json_integer_value(end);
    if (from < 0 || to < from || (uint64_t)to > reader->data_bytes) {
        return bad_tensor(reader, name, err,
                          "data_offsets [%" PRId64 ", %" PRId64
                          "] are not inside the file's %zu bytes of data",
                          (int64_t)from, (int64_t)to, reader->data_bytes);
    }
    if ((size_t)(to - from) != out->info.bytes) {
        char shape[128];
        tensor_shape_text(shape, sizeof shape, &out->info.shape);
        return bad_tensor(reader, name, err, "%zu bytes at data_offsets, %zu by its shape %s %s",
                          (size_t)(to - from), out->info.bytes, tensor_dtype_name(out->info.dtype),
                          shape);
    }
    out->begin = (size_t)from;
    return STATUS_OK;
}

static enum status parse_entry(struct entry *out, const struct safetensors_reader *reader,
                               const char *name, const json_t *value, struct error *err)
{
    struct error detail;

    if (!tensor_name_is_valid(name)) {
        return bad_tensor(reader, "?", err, "a name is empty, too long or not printable ASCII");
    }
    out->info.name = name;
    const char *dtype = json_get_text(value, "dtype", NULL);
    if (dtype == NULL) {
        return bad_tensor(reader, name, err, "dtype is missing");
    }
    if (!tensor_dtype_from_name(&out->info.dtype, dtype)) {
        return error_set(err, STATUS_UNSUPPORTED, "'%s': tensor '%s': unknown dtype '%.16s'",
                         reader->path, name, dtype);
    }
    enum status status =
        parse_shape(&out->info.shape, reader, name, json_object_get(value, "shape"), err);
    if (status) {
        return status;
    }
    if (tensor_shape_bytes(&out->info.bytes, out->info.dtype, &out->info.shape, &detail)) {
        return bad_tensor(reader, name, err, "%.200s", detail.message);
    }
    return parse_offsets(out, reader, json_object_get(value, "data_offsets"), err);
}

static int compare_begin(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;
    if (left->begin != right->begin) {
        return left->begin < right->begin ? -1 : 1;
    }
    /* An empty tensor lies before the one that begins where it does. */
    if (left->info.bytes != right->info.bytes) {
        return left->info.bytes < right->info.bytes ? -1 : 1;
    }
    return strcmp(left->info.name, right->info.name);
}

static int compare_name(const void *a, const void *b, void *context)
{
    const struct entry *entries = context;
    return strcmp(entries[*(const size_t *)a].info.name, entries[*(const size_t *)b].info.name);
}

/* The data must be tiled: no byte is in two tensors or in none. */
static enum status check_tiling(const struct safetensors_reader *reader, struct error *err)
{
    size_t expected = 0;
    for (size_t i = 0; i < reader->count; i++) {
        const struct entry *entry = &reader->entries[i];
        if (entry->begin != expected) {
            return bad_tensor(reader, entry->info.name, err,
                              "its data begins at %zu, not behind its neighbour's at %zu",
                              entry->begin, expected);
        }
        expected += entry->info.bytes;
    }
    if (expected != reader->data_bytes) {
        return error_set(err, STATUS_CORRUPT, "'%s': %zu bytes of data, of which tensors take %zu",
                         reader->path, reader->data_bytes, expected);
    }
    return STATUS_OK;
}

static enum status check_metadata(const struct safetensors_reader *reader, const json_t *value,
                                  struct error *err)
{
    json_t *metadata = json_incref((json_t *)(uintptr_t)value);
    bool all_text = json_is_object(metadata);
    for (void *at = json_object_iter(metadata); at != NULL;
         at = json_object_iter_next(metadata, at)) {
        all_text = all_text && json_is_string(json_object_iter_value(at));
    }
    json_decref(metadata);
    if (!all_text) {
        return error_set(err, STATUS_CORRUPT, "'%s': __metadata__ is not a list of texts",
                         reader->path);
    }
    return STATUS_OK;
}

/* A digest that is none, or of a tensor that is not there, would let a damaged file pass. */
static enum status check_digests(const struct safetensors_reader *reader, struct error *err)
{
    const size_t prefix = strlen(SAFETENSORS_DIGEST_PREFIX);
    json_t *metadata = json_object_get(reader->header, METADATA_KEY);
    const char *key = NULL;
    json_t *value = NULL;

    json_object_foreach(metadata, key, value)
    {
        struct digest digest;
        if (strncmp(key, SAFETENSORS_DIGEST_PREFIX, prefix) != 0) {
            continue;
        }
        if (safetensors_reader_find(reader, key + prefix, NULL) == NULL) {
            return error_set(err, STATUS_CORRUPT,
                             "'%s': __metadata__ has '%.*s', and there is no such tensor",
                             reader->path, TENSOR_NAME_BYTES_MAX, key);
        }
        if (!digest_from_hex(&digest, json_string_value(value))) {
            return bad_tensor(reader, key + prefix, err,
                              "its sha256 in __metadata__ is not 64 hexadecimal digits");
        }
    }
    return STATUS_OK;
}

/* Fills entries and by_name from the header. */
static enum status parse_entries(struct safetensors_reader *reader, struct error *err)
{
    size_t slots = json_object_size(reader->header) + 1;
    reader->entries = sys_calloc(slots, sizeof *reader->entries);
    reader->by_name = sys_calloc(slots, sizeof *reader->by_name);
    if (reader->entries == NULL || reader->by_name == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", reader->path);
    }
    enum status status = STATUS_OK;
    for (void *at = json_object_iter(reader->header); at != NULL && status == STATUS_OK;
         at = json_object_iter_next(reader->header, at)) {
        const char *name = json_object_iter_key(at);
        const json_t *value = json_object_iter_value(at);
        if (strcmp(name, METADATA_KEY) == 0) {
            status = check_metadata(reader, value, err);
            continue;
        }
        status = parse_entry(&reader->entries[reader->count], reader, name, value, err);
        reader->count++;
    }
    if (status) {
        return status;
    }
    qsort(reader->entries, reader->count, sizeof *reader->entries, compare_begin);
    for (size_t i = 0; i < reader->count; i++) {
        reader->by_name[i] = i;
    }
    qsort_r(reader->by_name, reader->count, sizeof *reader->by_name, compare_name, reader->entries);
    status = check_tiling(reader, err);
    return status ? status : check_digests(reader, err);
}

/* Every value of JSON but the first has a bracket, brace, comma or colon in front of it, and takes
 * up to 400 bytes when parsed. Even a header of tiny tensors has three bytes a mark. */
static bool is_too_dense(const char *text, size_t size)
{
    size_t marks = 0;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        marks += (size_t)(c == ',' || c == ':' || c == '[' || c == '{');
    }
    return marks > 64 && marks > size / 3;
}

/* Reads and parses the header; sets data_offset and data_bytes from the file's size. */
static enum status read_header(struct safetensors_reader *reader, size_t file_bytes,
                               struct error *err)
{
    uint8_t size_field[SIZE_BYTES] = {0};
    char *text = NULL;

    ssize_t got = sys_pread_all(reader->fd, size_field, sizeof size_field, 0);
    if (got < 0) {
        return error_from_errno(err, errno, "read '%s'", reader->path);
    }
    struct reader cursor = reader_over(size_field, (size_t)got);
    uint64_t header_bytes = reader_u64(&cursor);
    if (!reader_finished(&cursor) || header_bytes > file_bytes - SIZE_BYTES) {
        return error_set(err, STATUS_CORRUPT, "'%s': ends inside its header", reader->path);
    }
    if (header_bytes > SAFETENSORS_HEADER_BYTES_MAX) {
        return error_set(err, STATUS_LIMIT, "'%s': a header of %" PRIu64 " bytes, more than %zu",
                         reader->path, header_bytes, SAFETENSORS_HEADER_BYTES_MAX);
    }
    reader->data_offset = SIZE_BYTES + (size_t)header_bytes;
    reader->data_bytes = file_bytes - reader->data_offset;

    text = sys_malloc((size_t)header_bytes + 1);
    if (text == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", reader->path);
    }
    enum status status = STATUS_OK;
    got = sys_pread_all(reader->fd, text, (size_t)header_bytes, SIZE_BYTES);
    if (got < 0) {
        status = error_from_errno(err, errno, "read '%s'", reader->path);
    } else if ((uint64_t)got != header_bytes || got == 0 || text[0] != '{') {
        status = error_set(err, STATUS_CORRUPT, "'%s': the header is no JSON object", reader->path);
    } else if (is_too_dense(text, (size_t)got)) {
        status =
            error_set(err, STATUS_CORRUPT,
                      "'%s': the header has more values than tensors could need", reader->path);
    } else {
        digest_of(&reader->digest, text, (size_t)got);
        status = json_parse(&reader->header, text, (size_t)got, reader->path, err);
        if (status == STATUS_INVALID) {
            err->status = STATUS_CORRUPT;
            status = STATUS_CORRUPT;
        }
    }
    free(text);
    return status;
}

enum status safetensors_reader_open(struct safetensors_reader **out, const char *path,
                                    struct error *err)
{
    struct stat facts;
    struct error local;
    struct error *problem = err == NULL ? &local : err;

    struct safetensors_reader *reader = sys_calloc(1, sizeof *reader);
    if (reader == NULL) {
        return error_set(problem, STATUS_NO_MEMORY, "'%s': out of memory", path);
    }
    reader->fd = -1;
    enum status status = path_printf(reader->path, problem, "%s", path);
    if (status) {
        goto fail;
    }
    /* O_NONBLOCK: a pipe of that name does not hold us up. */
    reader->fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);
    if (reader->fd < 0 && errno == ELOOP) {
        status = error_set(problem, STATUS_INVALID, "'%s' is a symbolic link", path);
        error_set_hint(problem, "name the file itself, or copy it");
        goto fail;
    }
    if (reader->fd < 0 || fstat(reader->fd, &facts) != 0) {
        status = error_from_errno(problem, errno, "open '%s'", path);
        goto fail;
    }
    if (!S_ISREG(facts.st_mode)) {
        status = error_set(problem, STATUS_INVALID, "'%s' is not a file", path);
        goto fail;
    }
    if (facts.st_size < SIZE_BYTES) {
        status = error_set(problem, STATUS_CORRUPT, "'%s': ends inside its header", path);
        goto fail;
    }
    status = read_header(reader, (size_t)facts.st_size, problem);
    if (status) {
        goto fail;
    }
    status = parse_entries(reader, problem);
    if (status) {
        goto fail;
    }
    *out = reader;
    return STATUS_OK;
fail:
    safetensors_reader_close(reader);
    return status;
}

size_t safetensors_reader_count(const struct safetensors_reader *reader)
{
    return reader->count;
}

const struct tensor_info *safetensors_reader_tensor(const struct safetensors_reader *reader,
                                                    size_t index)
{
    assert(index < reader->count);
    return &reader->entries[index].info;
}

const struct tensor_info *safetensors_reader_find(const struct safetensors_reader *reader,
                                                  const char *name, size_t *index_out)
{
    size_t low = 0;
    size_t high = reader->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        size_t index = reader->by_name[middle];
        int order = strcmp(name, reader->entries[index].info.name);
        if (order == 0) {
            if (index_out != NULL) {
                *index_out = index;
            }
            return &reader->entries[index].info;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const char *safetensors_reader_metadata(const struct safetensors_reader *reader, const char *key)
{
    return json_get_text(json_object_get(reader->header, METADATA_KEY), key, NULL);
}

const struct digest *safetensors_reader_digest(const struct safetensors_reader *reader)
{
    return &reader->digest;
}

enum status safetensors_reader_read(struct safetensors_reader *reader, size_t index, size_t offset,
                                    void *dst, size_t size, struct error *err)
{
    assert(index < reader->count);
    const struct entry *entry = &reader->entries[index];
    if (offset > entry->info.bytes || size > entry->info.bytes - offset) {
        return error_set(err, STATUS_INVALID,
                         "'%s': tensor '%s': bytes %zu to %zu are not in its %zu", reader->path,
                         entry->info.name, offset, offset + size, entry->info.bytes);
    }
    off_t at = (off_t)(reader->data_offset + entry->begin + offset);
    ssize_t got = sys_pread_all(reader->fd, dst, size, at);
    if (got < 0) {
        return error_from_errno(err, errno, "read '%s': tensor '%s'", reader->path,
                                entry->info.name);
    }
    if ((size_t)got != size) {
        return bad_tensor(reader, entry->info.name, err, "the file was cut while it was open");
    }
    return STATUS_OK;
}

/* The digest of the tensor that the file has; false where it has none. */
static bool stored_digest(const struct safetensors_reader *reader, const char *name,
                          struct digest *out)
{
    char key[TENSOR_NAME_BYTES_MAX + sizeof SAFETENSORS_DIGEST_PREFIX];

    (void)snprintf(key, sizeof key, SAFETENSORS_DIGEST_PREFIX "%s", name);
    const char *hex = safetensors_reader_metadata(reader, key);
    return hex != NULL && digest_from_hex(out, hex);
}

enum status safetensors_reader_stream(struct safetensors_reader *reader, size_t index,
                                      safetensors_piece_fn *take, void *context, struct error *err)
{
    assert(index < reader->count);
    const struct tensor_info *info = &reader->entries[index].info;
    struct digest_stream *stream = NULL;
    struct digest stored = {{0}};
    struct digest found = {{0}};
    const bool is_known = stored_digest(reader, info->name, &stored);
    const size_t room =
        info->bytes < SAFETENSORS_PIECE_BYTES ? info->bytes : SAFETENSORS_PIECE_BYTES;

    void *piece = sys_malloc(room + 1);
    enum status status = piece == NULL
                             ? error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", reader->path)
                             : digest_stream_create(&stream, err);
    for (size_t offset = 0; offset < info->bytes && !status; offset += room) {
        const size_t left = info->bytes - offset;
        const size_t size = left < room ? left : room;
        status = safetensors_reader_read(reader, index, offset, piece, size, err);
        if (!status && is_known) {
            digest_stream_update(stream, piece, size);
        }
        if (!status && take != NULL) {
            status = take(context, piece, size, err);
        }
    }
    if (!status && is_known) {
        digest_stream_finish(stream, &found);
    }
    if (!status && !digest_equal(&stored, &found)) {
        status = bad_tensor(reader, info->name, err,
                            "its data are not those of its sha256 in __metadata__");
    }
    digest_stream_destroy(stream);
    free(piece);
    return status;
}

void safetensors_reader_close(struct safetensors_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    if (reader->fd >= 0) {
        (void)close(reader->fd);
    }
    json_decref(reader->header);
    free(reader->entries);
    free(reader->by_name);
    free(reader);
}
