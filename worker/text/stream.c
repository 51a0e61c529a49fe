#include "worker/text/stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <zstd.h>

#include "proto/base/limits.h"
#include "proto/base/sys.h"

#define RAW_BYTES   (256 * KIB)
#define BLOCK_BYTES (256 * KIB)
static_assert(RAW_BYTES <= UINT_MAX && BLOCK_BYTES <= UINT_MAX, "zlib counts in unsigned int");

enum codec { CODEC_NONE, CODEC_GZIP, CODEC_ZSTD };

struct stream {
    char *path;
    int fd;
    enum codec codec;
    z_stream gzip;
    ZSTD_DCtx *zstd;
    char *raw; /* [RAW_BYTES] as on disk */
    size_t raw_at;
    size_t raw_size;
    char *block; /* [BLOCK_BYTES] decoded */
    size_t block_size;
    int64_t bytes_read;
    bool is_raw_ended;
    bool is_in_member; /* inside a gzip member or zstd frame */
    bool is_peeked;    /* block is the first one, not handed out yet */
};

/* Fills raw as far as the file goes. */
static enum status read_raw(struct stream *stream, struct error *err)
{
    assert(stream->raw_at == stream->raw_size);
    stream->raw_at = 0;
    stream->raw_size = 0;
    while (stream->raw_size < RAW_BYTES && !stream->is_raw_ended) {
        ssize_t got =
            sys_read(stream->fd, stream->raw + stream->raw_size, RAW_BYTES - stream->raw_size);
        if (got < 0) {
            return error_from_errno(err, errno, "'%s': read", stream->path);
        }
        stream->is_raw_ended = got == 0;
        stream->raw_size += (size_t)got;
    }
    stream->bytes_read += (int64_t)stream->raw_size;
    return STATUS_OK;
}

static enum status refuse(const struct stream *stream, const char *what, struct error *err)
{
    return error_set(
        err, STATUS_CORRUPT, "'%s': %s at byte %lld of the file", stream->path, what,
        (long long)(stream->bytes_read - (int64_t)(stream->raw_size - stream->raw_at)));
}

/* Decodes from raw behind the block, at most up to its end. */
static enum status decode_gzip(struct stream *stream, struct error *err)
{
    z_stream *gzip = &stream->gzip;
    if (!stream->is_in_member && inflateReset(gzip) != Z_OK) {
        return refuse(stream, "gzip: cannot start a member", err);
    }
    stream->is_in_member = true;
    gzip->next_in = (Bytef *)stream->raw + stream->raw_at;
    gzip->avail_in = (uInt)(stream->raw_size - stream->raw_at);
    gzip->next_out = (Bytef *)stream->block + stream->block_size;
    gzip->avail_out = (uInt)(BLOCK_BYTES - stream->block_size);
    int result = inflate(gzip, Z_NO_FLUSH);
    stream->raw_at = stream->raw_size - gzip->avail_in;
    stream->block_size = BLOCK_BYTES - gzip->avail_out;
    if (result == Z_MEM_ERROR) {
        return error_set(err, STATUS_NO_MEMORY, "'%s': gzip: out of memory", stream->path);
    }
    if (result != Z_OK && result != Z_STREAM_END) {
        return refuse(stream, "bad gzip data", err);
    }
    stream->is_in_member = result != Z_STREAM_END;
    return STATUS_OK;
}

static enum status decode_zstd(struct stream *stream, struct error *err)
{
    ZSTD_inBuffer in = {stream->raw, stream->raw_size, stream->raw_at};
    ZSTD_outBuffer out = {stream->block, BLOCK_BYTES, stream->block_size};
    size_t result = ZSTD_decompressStream(stream->zstd, &out, &in);
    stream->raw_at = in.pos;
    stream->block_size = out.pos;
    if (ZSTD_isError(result)) {
        return refuse(stream, ZSTD_getErrorName(result), err);
    }
    stream->is_in_member = result != 0;
    return STATUS_OK;
}

static enum status decode(struct stream *stream, struct error *err)
{
    switch (stream->codec) {
    case CODEC_NONE: {
        size_t left = stream->raw_size - stream->raw_at;
        size_t room = BLOCK_BYTES - stream->block_size;
        size_t size = left < room ? left : room;
        memcpy(stream->block + stream->block_size, stream->raw + stream->raw_at, size);
        stream->raw_at += size;
        stream->block_size += size;
        return STATUS_OK;
    }
    case CODEC_GZIP:
        return decode_gzip(stream, err);
    case CODEC_ZSTD:
        return decode_zstd(stream, err);
    }
    assert(false);
    return STATUS_OK;
}

/* A decoder may hold output back when raw is used up, so inside a member it is asked once more;
 * when that gives nothing and the file is at its end, the member is cut. */
static enum status fill_block(struct stream *stream, struct error *err)
{
    stream->block_size = 0;
    while (stream->block_size < BLOCK_BYTES) {
        enum status status = STATUS_OK;
        if (stream->raw_at == stream->raw_size && !stream->is_raw_ended) {
            status = read_raw(stream, err);
            if (status) {
                return status;
            }
        }
        bool is_dry = stream->raw_at == stream->raw_size;
        if (is_dry && !stream->is_in_member) {
            break;
        }
        size_t before = stream->block_size;
        status = decode(stream, err);
        if (status && !(is_dry && status == STATUS_CORRUPT)) {
            return status;
        }
        if (is_dry && stream->block_size == before && stream->is_in_member) {
            return refuse(stream, "the compressed data ends in the middle,", err);
        }
    }
    return STATUS_OK;
}

static enum codec codec_of(const char *raw, size_t size)
{
    if (size >= 2 && memcmp(raw, "\x1f\x8b", 2) == 0) {
        return CODEC_GZIP;
    }
    if (size >= 4 && memcmp(raw, "\x28\xb5\x2f\xfd", 4) == 0) {
        return CODEC_ZSTD;
    }
    return CODEC_NONE;
}

static enum status start_codec(struct stream *stream, struct error *err)
{
    stream->codec = codec_of(stream->raw, stream->raw_size);
    bool is_started = true;
    if (stream->codec == CODEC_GZIP) {
        is_started =
            inflateInit2(&stream->gzip, 15 + 16) == Z_OK; /* 16: gzip's header, not zlib's */
    } else if (stream->codec == CODEC_ZSTD) {
        stream->zstd = ZSTD_createDCtx();
        is_started = stream->zstd != NULL;
    }
    if (!is_started) {
        stream->codec = CODEC_NONE;
        return error_set(err, STATUS_NO_MEMORY, "'%s': decoder: out of memory", stream->path);
    }
    return STATUS_OK;
}

static enum status open_stream(struct stream *stream, const char *path, struct error *err)
{
    stream->path = sys_strdup(path);
    stream->raw = sys_malloc(RAW_BYTES);
    stream->block = sys_malloc(BLOCK_BYTES);
    if (!stream->path || !stream->raw || !stream->block) {
        return error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", path);
    }
    stream->fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (stream->fd < 0) {
        return error_from_errno(err, errno, "'%s': open", path);
    }
    enum status status = read_raw(stream, err);
    if (!status) {
        status = start_codec(stream, err);
    }
    if (!status) {
        status = fill_block(stream, err);
    }
    stream->is_peeked = true;
    return status;
}

enum status stream_open(struct stream **out, const char *path, struct error *err)
{
    struct stream *stream = sys_calloc(1, sizeof *stream);
    if (!stream) {
        return error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", path);
    }
    stream->fd = -1;
    enum status status = open_stream(stream, path, err);
    if (status) {
        stream_close(stream);
        return status;
    }
    *out = stream;
    return STATUS_OK;
}

void stream_peek(const struct stream *stream, const char **data, size_t *size)
{
    assert(stream->is_peeked);
    *data = stream->block;
    *size = stream->block_size;
}

enum status stream_next(struct stream *stream, const char **data, size_t *size, struct error *err)
{
    if (!stream->is_peeked) {
        enum status status = fill_block(stream, err);
        if (status) {
            return status;
        }
    }
    stream->is_peeked = false;
    *data = stream->block;
    *size = stream->block_size;
    return STATUS_OK;
}

int64_t stream_bytes_read(const struct stream *stream)
{
    return stream->bytes_read;
}

void stream_close(struct stream *stream)
{
    if (!stream) {
        return;
    }
    if (stream->codec == CODEC_GZIP) {
        (void)inflateEnd(&stream->gzip);
    }
    (void)ZSTD_freeDCtx(stream->zstd);
    if (stream->fd >= 0) {
        (void)close(stream->fd);
    }
    free(stream->raw);
    free(stream->block);
    free(stream->path);
    free(stream);
}
