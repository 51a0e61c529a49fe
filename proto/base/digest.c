#include "proto/base/digest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/limits.h"
#include "proto/base/sys.h"

#define FILE_PIECE_BYTES (1 * MIB)

struct digest_stream {
    EVP_MD_CTX *context;
};

/* SHA-256 over memory fails only where libcrypto itself is broken, so that is asserted. */
static void stream_begin(struct digest_stream *stream)
{
    int done = EVP_DigestInit_ex(stream->context, EVP_sha256(), NULL);
    assert(done == 1);
    (void)done;
}

enum status digest_stream_create(struct digest_stream **out, struct error *err)
{
    struct digest_stream *stream = sys_calloc(1, sizeof *stream);
    EVP_MD_CTX *context = stream == NULL ? NULL : EVP_MD_CTX_new();
    if (context == NULL) {
        free(stream);
        return error_set(err, STATUS_NO_MEMORY, "digest: out of memory");
    }
    stream->context = context;
    stream_begin(stream);
    *out = stream;
    return STATUS_OK;
}

void digest_stream_update(struct digest_stream *stream, const void *data, size_t size)
{
    int done = EVP_DigestUpdate(stream->context, data, size);
    assert(done == 1);
    (void)done;
}

void digest_stream_finish(struct digest_stream *stream, struct digest *out)
{
    unsigned size = 0;
    int done = EVP_DigestFinal_ex(stream->context, out->bytes, &size);
    assert(done == 1);
    assert(size == DIGEST_BYTES);
    (void)done;
    stream_begin(stream);
}

void digest_stream_destroy(struct digest_stream *stream)
{
    if (stream != NULL) {
        EVP_MD_CTX_free(stream->context);
        free(stream);
    }
}

void digest_of(struct digest *out, const void *data, size_t size)
{
    unsigned written = 0;
    int done = EVP_Digest(data, size, out->bytes, &written, EVP_sha256(), NULL);
    assert(done == 1);
    assert(written == DIGEST_BYTES);
    (void)done;
}

/* Feeds all of fd to stream, through a piece of memory. */
static enum status digest_fd(struct digest_stream *stream, int fd, const char *path,
                             struct error *err)
{
    unsigned char *piece = sys_malloc(FILE_PIECE_BYTES);
    if (piece == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "digest of '%s': out of memory", path);
    }
    enum status status = STATUS_OK;
    ssize_t count = 0;
    while ((count = sys_read(fd, piece, FILE_PIECE_BYTES)) > 0) {
        digest_stream_update(stream, piece, (size_t)count);
    }
    if (count < 0) {
        status = error_from_errno(err, errno, "read '%s'", path);
    }
    free(piece);
    return status;
}

enum status digest_of_file(struct digest *out, const char *path, struct error *err)
{
    struct digest_stream *stream = NULL;

    int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return error_from_errno(err, errno, "open '%s'", path);
    }
    enum status status = digest_stream_create(&stream, err);
    if (status) {
        goto done;
    }
    status = digest_fd(stream, fd, path, err);
    if (status) {
        goto done;
    }
    digest_stream_finish(stream, out);
done:
    digest_stream_destroy(stream);
    (void)close(fd);
    return status;
}

void digest_to_hex(char out[DIGEST_HEX_BYTES], const struct digest *digest)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        out[2 * i] = digits[digest->bytes[i] >> 4];
        out[2 * i + 1] = digits[digest->bytes[i] & 15U];
    }
    out[2 * DIGEST_BYTES] = '\0';
}

/* 0…15, or -1: lower case only, so that a digest has one spelling. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool digest_from_hex(struct digest *out, const char *hex)
{
    struct digest digest;
    if (strnlen(hex, DIGEST_HEX_BYTES) != DIGEST_HEX_BYTES - 1) {
        return false;
    }
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_value(hex[2 * i]);
        int low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        digest.bytes[i] = (uint8_t)(high * 16 + low);
    }
    *out = digest;
    return true;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}
