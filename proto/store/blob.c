#include "proto/store/blob.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/reader.h"
#include "proto/base/sys.h"
#include "proto/store/blob_internal.h"

#define BLOB_VERSION 1

static const char magic[8] = {'R', 'M', 'R', 'A', 'B', 'L', 'O', 'B'};

enum status blob_folder_create(struct blob_folder **out, const char *path, struct error *err)
{
    struct blob_folder *folder = sys_calloc(1, sizeof *folder);
    if (folder == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "blobs '%s': out of memory", path);
    }
    enum status status = path_printf(folder->path, err, "%s", path);
    /* A process that was killed may have made subfolders without syncing them. */
    folder->is_dirty = true;
    folder->file_bytes = BLOB_HEADER_BYTES + blob_encode_bound(CHUNK_BYTES);
    folder->file = sys_malloc(folder->file_bytes);
    folder->content = sys_malloc(CHUNK_BYTES);
    if (status == STATUS_OK && (folder->file == NULL || folder->content == NULL)) {
        status = error_set(err, STATUS_NO_MEMORY, "blobs '%s': out of memory", path);
    }
    if (status == STATUS_OK) {
        status = blob_coder_create(&folder->coder, err);
    }
    if (status) {
        blob_folder_destroy(folder);
        return status;
    }
    *out = folder;
    return STATUS_OK;
}

void blob_folder_destroy(struct blob_folder *folder)
{
    if (folder == NULL) {
        return;
    }
    blob_coder_destroy(folder->coder);
    free(folder->content);
    free(folder->file);
    free(folder);
}

enum status blob_path(char *out, const struct blob_folder *folder, const struct digest *digest,
                      struct error *err)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(hex, digest);
    return path_printf(out, err, "%s/%.2s/%s", folder->path, hex, hex);
}

/* The little-endian bytes of value into out[width]. */
static void put_integer(uint8_t *out, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        out[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Fills the file buffer; the bytes of the file. */
static size_t encode(struct blob_folder *folder, const struct digest *digest, const void *data,
                     size_t size, enum blob_codec *codec)
{
    uint8_t *file = folder->file;
    size_t payload_bytes = blob_encode(folder->coder, codec, file + BLOB_HEADER_BYTES, data, size);
    memset(file, 0, BLOB_HEADER_BYTES);
    memcpy(file, magic, sizeof magic);
    put_integer(file + 8, BLOB_VERSION, 2);
    put_integer(file + 10, (uint64_t)*codec, 2);
    put_integer(file + 16, size, 8);
    put_integer(file + 24, payload_bytes, 8);
    memcpy(file + 32, digest->bytes, DIGEST_BYTES);
    return BLOB_HEADER_BYTES + payload_bytes;
}

/* Makes the two-digit folder of digest when it is missing. */
static enum status make_subfolder(struct blob_folder *folder, const struct digest *digest,
                                  struct error *err)
{
    char path[PATH_BYTES_MAX];
    enum status status = path_printf(path, err, "%s/%02x", folder->path, digest->bytes[0]);
    if (status) {
        return status;
    }
    if (sys_mkdir(path, 0777) == 0) {
        folder->is_dirty = true;
        return STATUS_OK;
    }
    if (errno != EEXIST) {
        return error_from_errno(err, errno, "create folder '%s'", path);
    }
    return STATUS_OK;
}

/* Writes size bytes of the file buffer aside and renames them to path. */
static enum status write_file(const struct blob_folder *folder, const char *path, size_t size,
                              struct error *err)
{
    char temporary[PATH_BYTES_MAX];

    enum status status = file_temporary(temporary, path, err);
    if (status) {
        return status;
    }
    int fd = sys_open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) {
        return error_from_errno(err, errno, "create '%s'", temporary);
    }
    if (sys_write_all(fd, folder->file, size) != 0) {
        status = error_from_errno(err, errno, "write '%s'", temporary);
    } else if (sys_fdatasync(fd) != 0) {
        status = error_from_errno(err, errno, "sync '%s'", temporary);
    }
    (void)close(fd);
    if (status == STATUS_OK && sys_rename(temporary, path) != 0) {
        status = error_from_errno(err, errno, "create '%s'", path);
    }
    if (status) {
        (void)unlink(temporary);
    }
    return status;
}

enum status blob_write(struct blob_folder *folder, const struct digest *digest,
                       enum blob_codec codec, const void *data, size_t size,
                       struct blob_facts *facts, struct error *err)
{
    char path[PATH_BYTES_MAX];

    assert(size > 0);
    assert(size <= CHUNK_BYTES);
    enum status status = blob_path(path, folder, digest, err);
    if (status) {
        return status;
    }
    status = make_subfolder(folder, digest, err);
    if (status) {
        return status;
    }
    *facts = (struct blob_facts){.digest = *digest, .codec = codec};
    facts->stored_bytes = encode(folder, digest, data, size, &facts->codec);
    status = write_file(folder, path, (size_t)facts->stored_bytes, err);
    if (status == STATUS_OK) {
        folder->is_subfolder_dirty[digest->bytes[0]] = true;
    }
    return status;
}

/* A blob file's header, as it stands. */
struct header {
    bool is_blob; /* magic and reserved bytes are right */
    uint16_t version;
    uint16_t codec;
    uint64_t content_bytes;
    uint64_t payload_bytes;
    struct digest digest;
};

static struct header decode_header(const uint8_t *bytes)
{
    struct header header = {0};
    struct reader reader = reader_over(bytes, BLOB_HEADER_BYTES);
    const uint8_t *text = reader_raw(&reader, sizeof magic);
    header.is_blob = memcmp(text, magic, sizeof magic) == 0;
    header.version = reader_u16(&reader);
    header.codec = reader_u16(&reader);
    header.is_blob = reader_u32(&reader) == 0 && header.is_blob;
    header.content_bytes = reader_u64(&reader);
    header.payload_bytes = reader_u64(&reader);
    memcpy(header.digest.bytes, reader_raw(&reader, DIGEST_BYTES), DIGEST_BYTES);
    assert(reader_finished(&reader));
    return header;
}

/* Whether a file of file_bytes can be the blob of digest with size content bytes. */
static enum status check_header(const struct header *header, const char *path, size_t file_bytes,
                                const struct digest *digest, size_t size, enum blob_codec *codec,
                                struct error *err)
{
    if (!header->is_blob) {
        return error_set(err, STATUS_CORRUPT, "'%s' is not a blob", path);
    }
    if (header->version != BLOB_VERSION || !blob_codec_from_number(codec, header->codec)) {
        return error_set(err, STATUS_UNSUPPORTED,
                         "'%s' has blob version %u, codec %u, which this program does not know",
                         path, header->version, header->codec);
    }
    if (header->payload_bytes != file_bytes - BLOB_HEADER_BYTES) {
        return error_set(err, STATUS_CORRUPT, "'%s' is torn: %zu bytes, %" PRIu64 " expected", path,
                         file_bytes, header->payload_bytes + BLOB_HEADER_BYTES);
    }
    if (header->content_bytes != size || !digest_equal(&header->digest, digest)) {
        return error_set(err, STATUS_CORRUPT, "'%s' holds something else than its name says", path);
    }
    return STATUS_OK;
}

/* The whole file into the buffer. */
static enum status load_file(struct blob_folder *folder, const char *path, size_t *file_bytes,
                             struct error *err)
{
    int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0 && errno == ENOENT) {
        return error_set(err, STATUS_CORRUPT, "'%s' is missing", path);
    }
    if (fd < 0) {
        return error_from_errno(err, errno, "open '%s'", path);
    }
    enum status status = STATUS_OK;
    struct stat facts = {0};
    ssize_t got = fstat(fd, &facts) == 0 ? 0 : -1;
    if (got == 0 &&
        (facts.st_size < BLOB_HEADER_BYTES || (uint64_t)facts.st_size > folder->file_bytes)) {
        status = error_set(err, STATUS_CORRUPT, "'%s' is torn: %" PRId64 " bytes", path,
                           (int64_t)facts.st_size);
    } else if (got == 0) {
        got = sys_read_all(fd, folder->file, (size_t)facts.st_size);
    }
    if (got < 0) {
        status = error_from_errno(err, errno, "read '%s'", path);
    } else if (status == STATUS_OK && got != facts.st_size) {
        status = error_set(err, STATUS_CORRUPT, "'%s' is torn: %zd of %" PRId64 " bytes", path, got,
                           (int64_t)facts.st_size);
    }
    (void)close(fd);
    *file_bytes = (size_t)facts.st_size;
    return status;
}

enum status blob_unpack(struct blob_coder *coder, const struct digest *digest, void *dst,
                        size_t size, const uint8_t *file, size_t file_bytes, const char *name,
                        struct blob_facts *facts, struct error *err)
{
    enum blob_codec codec = BLOB_CODEC_RAW;
    struct digest found;

    if (file_bytes < BLOB_HEADER_BYTES) {
        return error_set(err, STATUS_CORRUPT, "'%s' is torn: %zu bytes", name, file_bytes);
    }
    const struct header header = decode_header(file);
    enum status status = check_header(&header, name, file_bytes, digest, size, &codec, err);
    if (status) {
        return status;
    }
    status = blob_decode(coder, codec, dst, size, file + BLOB_HEADER_BYTES,
                         file_bytes - BLOB_HEADER_BYTES, err);
    if (status) {
        return error_wrap(err, "'%s' is corrupt", name);
    }
    digest_of(&found, dst, size);
    if (!digest_equal(&found, digest)) {
        return error_set(err, STATUS_CORRUPT, "'%s' is corrupt: its digest does not match", name);
    }
    if (facts != NULL) {
        *facts = (struct blob_facts){*digest, codec, file_bytes};
    }
    return STATUS_OK;
}

enum status blob_read(struct blob_folder *folder, const struct digest *digest, void *dst,
                      size_t size, struct blob_facts *facts, struct error *err)
{
    char path[PATH_BYTES_MAX];
    size_t file_bytes = 0;

    enum status status = blob_path(path, folder, digest, err);
    if (status == STATUS_OK) {
        status = load_file(folder, path, &file_bytes, err);
    }
    if (status) {
        return status;
    }
    return blob_unpack(folder->coder, digest, dst, size, folder->file, file_bytes, path, facts,
                       err);
}

enum status blob_verify(struct blob_folder *folder, const struct digest *digest, size_t size,
                        struct blob_facts *facts, struct error *err)
{
    assert(size <= CHUNK_BYTES);
    return blob_read(folder, digest, folder->content, size, facts, err);
}
