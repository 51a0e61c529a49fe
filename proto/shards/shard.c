#include "proto/shards/shard.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/reader.h"
#include "proto/base/sys.h"

#define HEADER_RESERVED_BYTES 24
#define DOCUMENT_START_BYTES  8
#define VERIFY_TOKENS         4096

static_assert(sizeof(size_t) == 8, "a file of SHARD_TOKENS_MAX tokens has a size");
static_assert(SHARD_HEADER_BYTES == SHARD_DIGEST_AT + DIGEST_BYTES + HEADER_RESERVED_BYTES,
              "the header's fields fill it");
static_assert(VOCAB_SIZE_MAX > UINT16_MAX, "both token widths occur");

struct shard {
    struct shard_header header;
    char *path;
    const uint8_t *map;
    size_t map_bytes;
    const uint8_t *tokens;    /* in map */
    const uint8_t *documents; /* in map */
};

uint32_t shard_token_bytes(uint32_t vocab_size)
{
    return vocab_size <= (uint32_t)UINT16_MAX + 1 ? 2 : 4;
}

/* Where the document offsets start: behind the tokens, on a multiple of 8. */
static size_t documents_at(const struct shard_header *header)
{
    size_t end = SHARD_HEADER_BYTES + (size_t)header->token_count * header->token_bytes;
    return (end + 7) & ~(size_t)7;
}

size_t shard_file_bytes(const struct shard_header *header)
{
    assert(0 <= header->token_count && header->token_count <= SHARD_TOKENS_MAX);
    assert(0 <= header->document_count && header->document_count <= header->token_count);
    return documents_at(header) + (size_t)header->document_count * DOCUMENT_START_BYTES;
}

static uint8_t *put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        *out++ = (uint8_t)(value >> (8 * i));
    }
    return out;
}

static uint8_t *put_u64(uint8_t *out, uint64_t value)
{
    out = put_u32(out, (uint32_t)value);
    return put_u32(out, (uint32_t)(value >> 32));
}

static uint8_t *put_digest(uint8_t *out, const struct digest *digest)
{
    memcpy(out, digest->bytes, DIGEST_BYTES);
    return out + DIGEST_BYTES;
}

void shard_header_encode(uint8_t out[SHARD_HEADER_BYTES], struct shard_header *header)
{
    uint8_t *at = out;

    memset(out, 0, SHARD_HEADER_BYTES);
    memcpy(at, SHARD_MAGIC, 8);
    at = put_u32(at + 8, SHARD_VERSION);
    at = put_u32(at, header->token_bytes);
    at = put_u32(at, header->vocab_size);
    at = put_u32(at, header->eos_id);
    at = put_u64(at, (uint64_t)header->token_count);
    at = put_u64(at, (uint64_t)header->document_count);
    at = put_digest(at, &header->tokenizer_digest);
    at = put_digest(at, &header->tokens_digest);
    at = put_digest(at, &header->documents_digest);
    assert(at == out + SHARD_DIGEST_AT);
    digest_of(&header->digest, out, SHARD_DIGEST_AT);
    (void)put_digest(at, &header->digest);
}

static void read_digest(struct digest *out, struct reader *reader)
{
    const uint8_t *raw = reader_raw(reader, DIGEST_BYTES);
    if (raw) {
        memcpy(out->bytes, raw, DIGEST_BYTES);
    }
}

/* Each field against its limits; the header is known to be as it was written. */
static enum status check_fields(const struct shard_header *header, uint64_t token_count,
                                uint64_t document_count, struct error *err)
{
    if (header->vocab_size == 0 || header->vocab_size > VOCAB_SIZE_MAX) {
        return error_set(err, STATUS_CORRUPT, "vocab_size: %u is not in 1 … %d", header->vocab_size,
                         VOCAB_SIZE_MAX);
    }
    if (header->token_bytes != shard_token_bytes(header->vocab_size)) {
        return error_set(err, STATUS_CORRUPT, "token_bytes: %u, but %u for a vocabulary of %u",
                         header->token_bytes, shard_token_bytes(header->vocab_size),
                         header->vocab_size);
    }
    if (header->eos_id >= header->vocab_size) {
        return error_set(err, STATUS_CORRUPT, "eos_id: %u is not below the vocabulary size %u",
                         header->eos_id, header->vocab_size);
    }
    if (token_count == 0 || token_count > (uint64_t)SHARD_TOKENS_MAX) {
        return error_set(err, STATUS_CORRUPT, "token_count: %llu is not in 1 … %lld",
                         (unsigned long long)token_count, (long long)SHARD_TOKENS_MAX);
    }
    if (document_count > token_count) {
        return error_set(err, STATUS_CORRUPT, "document_count: %llu documents in %llu tokens",
                         (unsigned long long)document_count, (unsigned long long)token_count);
    }
    return STATUS_OK;
}

/* What tells a shard of ours: checked before any other field is believed. */
static enum status check_identity(struct reader *reader, const void *data, struct error *err)
{
    const uint8_t *magic = reader_raw(reader, 8);
    if (!magic || memcmp(magic, SHARD_MAGIC, 8) != 0) {
        return error_set(err, STATUS_CORRUPT, "magic: not a file of tokens");
    }
    uint32_t version = reader_u32(reader);
    if (version != SHARD_VERSION) {
        enum status status = version > SHARD_VERSION ? STATUS_UNSUPPORTED : STATUS_CORRUPT;
        return error_set(err, status, "version: %u, but this program reads version %d", version,
                         SHARD_VERSION);
    }
    struct digest digest;
    digest_of(&digest, data, SHARD_DIGEST_AT);
    if (memcmp(digest.bytes, (const uint8_t *)data + SHARD_DIGEST_AT, DIGEST_BYTES) != 0) {
        return error_set(err, STATUS_CORRUPT, "digest: the header's bytes do not match it");
    }
    return STATUS_OK;
}

enum status shard_header_decode(struct shard_header *out, const void *data, size_t size,
                                struct error *err)
{
    static const uint8_t zeros[HEADER_RESERVED_BYTES] = {0};

    if (size < SHARD_HEADER_BYTES) {
        return error_set(err, STATUS_CORRUPT, "header: %zu bytes of %d are there", size,
                         SHARD_HEADER_BYTES);
    }
    struct reader reader = reader_over(data, SHARD_HEADER_BYTES);
    enum status status = check_identity(&reader, data, err);
    if (status) {
        return status;
    }
    struct shard_header header = {0};
    header.token_bytes = reader_u32(&reader);
    header.vocab_size = reader_u32(&reader);
    header.eos_id = reader_u32(&reader);
    uint64_t token_count = reader_u64(&reader);
    uint64_t document_count = reader_u64(&reader);
    read_digest(&header.tokenizer_digest, &reader);
    read_digest(&header.tokens_digest, &reader);
    read_digest(&header.documents_digest, &reader);
    read_digest(&header.digest, &reader);
    const uint8_t *reserved = reader_raw(&reader, HEADER_RESERVED_BYTES);
    assert(reader_finished(&reader));
    if (memcmp(reserved, zeros, HEADER_RESERVED_BYTES) != 0) {
        return error_set(err, STATUS_CORRUPT, "reserved: not zero");
    }
    status = check_fields(&header, token_count, document_count, err);
    if (status) {
        return status;
    }
    header.token_count = (int64_t)token_count;
    header.document_count = (int64_t)document_count;
    *out = header;
    return STATUS_OK;
}

/* Maps the whole file; fewer bytes than a header are left to the decoder to name. */
static enum status map_file(struct shard *shard, struct error *err)
{
    enum status status = STATUS_OK;
    int fd = sys_open(shard->path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return error_from_errno(err, errno, "open");
    }
    struct stat info;
    if (fstat(fd, &info) != 0) {
        status = error_from_errno(err, errno, "stat");
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        status = error_set(err, STATUS_CORRUPT, "not a regular file");
        goto done;
    }
    if (info.st_size == 0) {
        status = error_set(err, STATUS_CORRUPT, "header: the file is empty");
        goto done;
    }
    void *map = sys_mmap((size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        status = error_from_errno(err, errno, "map %lld bytes", (long long)info.st_size);
        goto done;
    }
    shard->map = map;
    shard->map_bytes = (size_t)info.st_size;
done:
    (void)close(fd);
    return status;
}

static enum status open_file(struct shard *shard, struct error *err)
{
    enum status status = map_file(shard, err);
    if (status) {
        return status;
    }
    status = shard_header_decode(&shard->header, shard->map, shard->map_bytes, err);
    if (status) {
        return status;
    }
    size_t expected = shard_file_bytes(&shard->header);
    if (shard->map_bytes != expected) {
        return error_set(err, STATUS_CORRUPT,
                         "token_count: %lld tokens and %lld documents need a file of %zu bytes, "
                         "but it has %zu",
                         (long long)shard->header.token_count,
                         (long long)shard->header.document_count, expected, shard->map_bytes);
    }
    shard->tokens = shard->map + SHARD_HEADER_BYTES;
    shard->documents = shard->map + documents_at(&shard->header);
    return STATUS_OK;
}

enum status shard_open(struct shard **out, const char *path, struct error *err)
{
    struct shard *shard = sys_calloc(1, sizeof *shard);
    if (shard) {
        shard->path = sys_strdup(path);
    }
    if (!shard || !shard->path) {
        shard_close(shard);
        return error_set(err, STATUS_NO_MEMORY, "shard '%s': out of memory", path);
    }
    enum status status = open_file(shard, err);
    if (status) {
        shard_close(shard);
        (void)error_wrap(err, "shard '%s'", path);
        return status;
    }
    *out = shard;
    return STATUS_OK;
}

void shard_close(struct shard *shard)
{
    if (!shard) {
        return;
    }
    if (shard->map) {
        /* munmap takes what mmap gave, const or not. */
        (void)munmap((void *)(uintptr_t)shard->map, shard->map_bytes);
    }
    free(shard->path);
    free(shard);
}

const struct shard_header *shard_header_of(const struct shard *shard)
{
    return &shard->header;
}

static uint32_t token_at(const struct shard *shard, int64_t index)
{
    const uint8_t *at = shard->tokens + (size_t)index * shard->header.token_bytes;
    uint32_t token = (uint32_t)at[0] | (uint32_t)at[1] << 8;
    if (shard->header.token_bytes == 4) {
        token |= (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
    }
    return token;
}

enum status shard_read(const struct shard *shard, int64_t first, int64_t count, uint32_t *out,
                       struct error *err)
{
    assert(0 <= first && 0 <= count && count <= shard->header.token_count - first);
    uint32_t vocab_size = shard->header.vocab_size;
    for (int64_t i = 0; i < count; i++) {
        uint32_t token = token_at(shard, first + i);
        if (token >= vocab_size) {
            return error_set(err, STATUS_CORRUPT,
                             "shard '%s': token %lld: %u is not below the vocabulary size %u",
                             shard->path, (long long)(first + i), token, vocab_size);
        }
        out[i] = token;
    }
    return STATUS_OK;
}

int64_t shard_document_start(const struct shard *shard, int64_t document)
{
    assert(0 <= document && document < shard->header.document_count);
    const uint8_t *at = shard->documents + (size_t)document * DOCUMENT_START_BYTES;
    struct reader reader = reader_over(at, DOCUMENT_START_BYTES);
    return (int64_t)reader_u64(&reader);
}

static enum status verify_digest(const char *field, const struct digest *expected, const void *data,
                                 size_t size, struct error *err)
{
    struct digest digest;
    digest_of(&digest, data, size);
    if (!digest_equal(&digest, expected)) {
        return error_set(err, STATUS_CORRUPT, "%s: the file's bytes do not match it", field);
    }
    return STATUS_OK;
}

static enum status verify_documents(const struct shard *shard, struct error *err)
{
    int64_t previous = -1;
    for (int64_t document = 0; document < shard->header.document_count; document++) {
        int64_t start = shard_document_start(shard, document);
        if (start <= previous || start >= shard->header.token_count) {
            return error_set(err, STATUS_CORRUPT,
                             "document offset %lld: %lld does not follow %lld within %lld tokens",
                             (long long)document, (long long)start, (long long)previous,
                             (long long)shard->header.token_count);
        }
        previous = start;
    }
    return STATUS_OK;
}

static enum status verify_bytes(const struct shard *shard, struct error *err)
{
    const struct shard_header *header = &shard->header;
    size_t token_bytes = (size_t)header->token_count * header->token_bytes;

    enum status status =
        verify_digest("tokens_digest", &header->tokens_digest, shard->tokens, token_bytes, err);
    if (status) {
        return status;
    }
    for (const uint8_t *pad = shard->tokens + token_bytes; pad < shard->documents; pad++) {
        if (*pad != 0) {
            return error_set(err, STATUS_CORRUPT, "padding: not zero");
        }
    }
    status = verify_digest("documents_digest", &header->documents_digest, shard->documents,
                           (size_t)header->document_count * DOCUMENT_START_BYTES, err);
    if (status) {
        return status;
    }
    return verify_documents(shard, err);
}

enum status shard_verify(const struct shard *shard, struct error *err)
{
    uint32_t tokens[VERIFY_TOKENS];

    enum status status = verify_bytes(shard, err);
    if (status) {
        (void)error_wrap(err, "shard '%s'", shard->path);
        return status;
    }
    for (int64_t first = 0; first < shard->header.token_count; first += VERIFY_TOKENS) {
        int64_t left = shard->header.token_count - first;
        status = shard_read(shard, first, left < VERIFY_TOKENS ? left : VERIFY_TOKENS, tokens, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}
