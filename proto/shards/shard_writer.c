#include "proto/shards/shard_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/shards/shard.h"
#include "proto/shards/shard_set.h"

#define FLUSH_BYTES (1 * MIB)

/*
 *   OPEN ──finish──► FINISHED
 *     └──failure──► FAILED, good for destroy only
 */
enum writer_state { WRITER_STATE_OPEN, WRITER_STATE_FAILED, WRITER_STATE_FINISHED };

struct shard_writer {
    struct shard_writer_options options;
    char *folder;
    bool is_folder_ours;
    bool is_in_document;
    enum writer_state state;
    int64_t token_count; /* of all files */
    int64_t document_count;

    struct shard_header *files; /* closed ones, for the index */
    size_t file_count;
    size_t file_capacity;

    int fd; /* the open file, -1: none */
    struct shard_header header;
    struct digest_stream *digest;
    struct bytes tokens;    /* not yet written */
    struct bytes documents; /* offsets of the open file */
};

static enum status fail(struct shard_writer *writer, enum status status)
{
    if (status) {
        writer->state = WRITER_STATE_FAILED;
    }
    return status;
}

static enum status file_path(char *out, const struct shard_writer *writer, size_t index,
                             const char *suffix, struct error *err)
{
    return path_printf(out, err, "%s/%05zu.tokens%s", writer->folder, index, suffix);
}

enum status shard_writer_create(struct shard_writer **out, const char *folder,
                                const struct shard_writer_options *options, struct error *err)
{
    assert(options->vocab_size > 0 && options->vocab_size <= VOCAB_SIZE_MAX);
    assert(options->eos_id < options->vocab_size);
    assert(0 <= options->file_tokens_max && options->file_tokens_max <= SHARD_TOKENS_MAX);

    char index[PATH_BYTES_MAX];
    enum status status = path_printf(index, err, "%s/%s", folder, SHARD_SET_INDEX);
    if (status) {
        return status;
    }
    if (file_exists(index)) {
        return error_set(err, STATUS_CONFLICT, "'%s': the folder already holds shards", folder);
    }
    struct shard_writer *writer = sys_calloc(1, sizeof *writer);
    if (!writer) {
        return error_set(err, STATUS_NO_MEMORY, "shard writer: out of memory");
    }
    writer->options = *options;
    writer->fd = -1;
    if (writer->options.file_tokens_max == 0) {
        writer->options.file_tokens_max = SHARD_FILE_TOKENS;
    }
    writer->folder = sys_strdup(folder);
    if (!writer->folder) {
        status = error_set(err, STATUS_NO_MEMORY, "shard writer: out of memory");
        goto fail;
    }
    status = digest_stream_create(&writer->digest, err);
    if (status) {
        goto fail;
    }
    writer->is_folder_ours = !file_exists(folder);
    status = folder_create(folder, 0777, err);
    if (status) {
        goto fail;
    }
    *out = writer;
    return STATUS_OK;
fail:
    shard_writer_destroy(writer);
    return status;
}

static enum status open_file(struct shard_writer *writer, struct error *err)
{
    static const uint8_t room[SHARD_HEADER_BYTES] = {0};
    char path[PATH_BYTES_MAX];

    if (writer->file_count == SHARD_FILES_MAX) {
        return error_set(err, STATUS_LIMIT, "shards '%s': more than %d files", writer->folder,
                         SHARD_FILES_MAX);
    }
    enum status status = file_path(path, writer, writer->file_count, ".part", err);
    if (status) {
        return status;
    }
    writer->fd = sys_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (writer->fd < 0) {
        return error_from_errno(err, errno, "shard '%s': create", path);
    }
    writer->header = (struct shard_header){
        .token_bytes = shard_token_bytes(writer->options.vocab_size),
        .vocab_size = writer->options.vocab_size,
        .eos_id = writer->options.eos_id,
        .tokenizer_digest = writer->options.tokenizer_digest,
    };
    bytes_clear(&writer->documents);
    if (sys_write_all(writer->fd, room, sizeof room) != 0) {
        return error_from_errno(err, errno, "shard '%s': write", path);
    }
    return STATUS_OK;
}

static enum status write_pending(struct shard_writer *writer, struct bytes *pending,
                                 struct error *err)
{
    enum status status = bytes_status(pending, "shard writer", err);
    if (status) {
        return status;
    }
    if (sys_write_all(writer->fd, pending->data, pending->size) != 0) {
        return error_from_errno(err, errno, "shards '%s': write", writer->folder);
    }
    bytes_clear(pending);
    return STATUS_OK;
}

static enum status flush_tokens(struct shard_writer *writer, struct error *err)
{
    if (writer->tokens.size == 0) {
        return bytes_status(&writer->tokens, "shard writer", err);
    }
    digest_stream_update(writer->digest, writer->tokens.data, writer->tokens.size);
    return write_pending(writer, &writer->tokens, err);
}

/* The bytes behind the tokens; leaves the header complete. */
static enum status write_tail(struct shard_writer *writer, struct error *err)
{
    static const uint8_t zeros[8] = {0};

    enum status status = flush_tokens(writer, err);
    if (status) {
        return status;
    }
    digest_stream_finish(writer->digest, &writer->header.tokens_digest);
    status = bytes_status(&writer->documents, "shard writer", err);
    if (status) {
        return status;
    }
    digest_of(&writer->header.documents_digest, writer->documents.data, writer->documents.size);
    size_t end = (size_t)writer->header.token_count * writer->header.token_bytes;
    bytes_append(&writer->tokens, zeros, (8 - end % 8) % 8);
    bytes_append(&writer->tokens, writer->documents.data, writer->documents.size);
    if (writer->tokens.size == 0) {
        return STATUS_OK;
    }
    return write_pending(writer, &writer->tokens, err);
}

/* The header goes in last: a torn file has none. */
static enum status write_header(struct shard_writer *writer, struct error *err)
{
    uint8_t header[SHARD_HEADER_BYTES];
    shard_header_encode(header, &writer->header);
    if (lseek(writer->fd, 0, SEEK_SET) != 0 ||
        sys_write_all(writer->fd, header, sizeof header) != 0) {
        return error_from_errno(err, errno, "shards '%s': write header", writer->folder);
    }
    if (sys_fdatasync(writer->fd) != 0) {
        return error_from_errno(err, errno, "shards '%s': fdatasync", writer->folder);
    }
    return STATUS_OK;
}

/* Notes the file that was just written for the index. */
static enum status remember_file(struct shard_writer *writer, struct error *err)
{
    if (writer->file_count == writer->file_capacity) {
        size_t capacity = writer->file_capacity ? 2 * writer->file_capacity : 16;
        struct shard_header *files = sys_realloc(writer->files, capacity * sizeof *files);
        if (!files) {
            return error_set(err, STATUS_NO_MEMORY, "shard writer: out of memory");
        }
        writer->files = files;
        writer->file_capacity = capacity;
    }
    writer->files[writer->file_count++] = writer->header;
    return STATUS_OK;
}

static enum status close_file(struct shard_writer *writer, struct error *err)
{
    char part[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];

    enum status status = write_tail(writer, err);
    if (!status) {
        status = write_header(writer, err);
    }
    if (status) {
        return status;
    }
    int close_result = close(writer->fd);
    writer->fd = -1;
    if (close_result != 0) {
        return error_from_errno(err, errno, "shards '%s': close", writer->folder);
    }
    status = file_path(part, writer, writer->file_count, ".part", err);
    if (!status) {
        status = file_path(path, writer, writer->file_count, "", err);
    }
    if (status) {
        return status;
    }
    if (sys_rename(part, path) != 0) {
        return error_from_errno(err, errno, "shard '%s': rename", path);
    }
    return remember_file(writer, err);
}

/* Makes sure that a file is open that has room for one more token, of a new document if starts. */
static enum status make_room(struct shard_writer *writer, bool starts, struct error *err)
{
    enum status status = STATUS_OK;
    bool is_full = writer->header.token_count == writer->options.file_tokens_max ||
                   (starts && writer->header.document_count == SHARD_FILE_DOCUMENTS);
    if (writer->fd >= 0 && is_full) {
        status = close_file(writer, err);
    }
    if (!status && writer->fd < 0) {
        status = open_file(writer, err);
    }
    return status;
}

static enum status begin_document(struct shard_writer *writer, struct error *err)
{
    enum status status = make_room(writer, true, err);
    if (status) {
        return status;
    }
    bytes_append_u64(&writer->documents, (uint64_t)writer->header.token_count);
    writer->header.document_count++;
    writer->document_count++;
    writer->is_in_document = true;
    return STATUS_OK;
}

static void put_token(struct shard_writer *writer, uint32_t token)
{
    if (writer->header.token_bytes == 2) {
        bytes_append_u16(&writer->tokens, (uint16_t)token);
    } else {
        bytes_append_u32(&writer->tokens, token);
    }
}

/* Adds as many of the tokens as the open file takes; returns that number in *taken. */
static enum status append_some(struct shard_writer *writer, const uint32_t *tokens, int64_t count,
                               int64_t *taken, struct error *err)
{
    enum status status = make_room(writer, false, err);
    if (status) {
        return status;
    }
    int64_t room = writer->options.file_tokens_max - writer->header.token_count;
    int64_t count_now = count < room ? count : room;
    for (int64_t i = 0; i < count_now; i++) {
        if (tokens[i] >= writer->options.vocab_size) {
            return error_set(err, STATUS_INVALID,
                             "token %u is not below the vocabulary size %u of shards '%s'",
                             tokens[i], writer->options.vocab_size, writer->folder);
        }
        put_token(writer, tokens[i]);
    }
    writer->header.token_count += count_now;
    writer->token_count += count_now;
    *taken = count_now;
    return writer->tokens.size >= FLUSH_BYTES ? flush_tokens(writer, err) : STATUS_OK;
}

enum status shard_writer_append(struct shard_writer *writer, const uint32_t *tokens, int64_t count,
                                struct error *err)
{
    assert(writer->state == WRITER_STATE_OPEN);
    assert(count >= 0);
    if (!writer->is_in_document && count > 0) {
        enum status status = begin_document(writer, err);
        if (status) {
            return fail(writer, status);
        }
    }
    while (count > 0) {
        int64_t taken = 0;
        enum status status = append_some(writer, tokens, count, &taken, err);
        if (status) {
            return fail(writer, status);
        }
        tokens += taken;
        count -= taken;
    }
    return STATUS_OK;
}

enum status shard_writer_end_document(struct shard_writer *writer, struct error *err)
{
    enum status status = shard_writer_append(writer, &writer->options.eos_id, 1, err);
    writer->is_in_document = false;
    return status;
}

int64_t shard_writer_token_count(const struct shard_writer *writer)
{
    return writer->token_count;
}

int64_t shard_writer_document_count(const struct shard_writer *writer)
{
    return writer->document_count;
}

static json_t *describe_file(const struct shard_header *header, size_t index)
{
    char name[32];
    char digest[DIGEST_HEX_BYTES];
    (void)snprintf(name, sizeof name, "%05zu.tokens", index);
    digest_to_hex(digest, &header->digest);
    return json_pack("{s:s, s:I, s:I, s:I, s:s}", "name", name, "tokens",
                     (json_int_t)header->token_count, "documents",
                     (json_int_t)header->document_count, "bytes",
                     (json_int_t)shard_file_bytes(header), "digest", digest);
}

static json_t *describe_set(const struct shard_writer *writer, const struct digest *digest)
{
    char set_hex[DIGEST_HEX_BYTES];
    char tokenizer_hex[DIGEST_HEX_BYTES];
    digest_to_hex(set_hex, digest);
    digest_to_hex(tokenizer_hex, &writer->options.tokenizer_digest);

    json_t *files = json_array();
    for (size_t i = 0; i < writer->file_count; i++) {
        if (json_array_append_new(files, describe_file(&writer->files[i], i)) != 0) {
            json_decref(files);
            return NULL;
        }
    }
    return json_pack("{s:s, s:i, s:i, s:I, s:I, s:s, s:I, s:I, s:s, s:o}", "format",
                     "remora-shards", "version", SHARD_SET_VERSION, "token_bytes",
                     (int)shard_token_bytes(writer->options.vocab_size), "vocab_size",
                     (json_int_t)writer->options.vocab_size, "eos_id",
                     (json_int_t)writer->options.eos_id, "tokenizer_digest", tokenizer_hex,
                     "tokens", (json_int_t)writer->token_count, "documents",
                     (json_int_t)writer->document_count, "digest", set_hex, "files", files);
}

static enum status write_index(struct shard_writer *writer, const struct digest *digest,
                               struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};

    json_t *index = describe_set(writer, digest);
    if (!index) {
        return error_set(err, STATUS_NO_MEMORY, "shard index: out of memory");
    }
    json_canonical(&text, index);
    bytes_append_char(&text, '\n');
    enum status status = bytes_status(&text, "shard index", err);
    if (!status) {
        status = path_printf(path, err, "%s/%s", writer->folder, SHARD_SET_INDEX);
    }
    if (!status) {
        status = file_write(path, text.data, text.size, 0666, err);
    }
    bytes_deinit(&text);
    json_decref(index);
    return status;
}

enum status shard_writer_finish(struct shard_writer *writer, struct digest *digest,
                                struct error *err)
{
    assert(writer->state == WRITER_STATE_OPEN);
    assert(!writer->is_in_document);
    if (writer->token_count == 0) {
        return fail(writer, error_set(err, STATUS_INVALID, "shards '%s': there are no tokens",
                                      writer->folder));
    }
    enum status status = close_file(writer, err);
    if (!status) {
        status = folder_sync(writer->folder, err);
    }
    if (status) {
        return fail(writer, status);
    }
    for (size_t i = 0; i < writer->file_count; i++) {
        digest_stream_update(writer->digest, writer->files[i].digest.bytes, DIGEST_BYTES);
    }
    struct digest set_digest;
    digest_stream_finish(writer->digest, &set_digest);
    status = write_index(writer, &set_digest, err);
    if (status) {
        return fail(writer, status);
    }
    if (digest) {
        *digest = set_digest;
    }
    writer->state = WRITER_STATE_FINISHED;
    return STATUS_OK;
}

/* Whatever cannot be removed stays as it is: without an index it is no set of shards. */
static void remove_written(struct shard_writer *writer)
{
    char path[PATH_BYTES_MAX];
    struct error ignored;
    /* The index first, so that no moment shows an index without its files. */
    if (path_printf(path, &ignored, "%s/%s", writer->folder, SHARD_SET_INDEX) == STATUS_OK) {
        (void)unlink(path);
    }
    for (size_t i = 0; i <= writer->file_count; i++) {
        if (file_path(path, writer, i, "", &ignored) == STATUS_OK) {
            (void)unlink(path);
        }
        if (file_path(path, writer, i, ".part", &ignored) == STATUS_OK) {
            (void)unlink(path);
        }
    }
    if (writer->is_folder_ours) {
        (void)rmdir(writer->folder);
    }
}

void shard_writer_destroy(struct shard_writer *writer)
{
    if (!writer) {
        return;
    }
    if (writer->fd >= 0) {
        (void)close(writer->fd);
    }
    if (writer->state != WRITER_STATE_FINISHED && writer->folder) {
        remove_written(writer);
    }
    digest_stream_destroy(writer->digest);
    bytes_deinit(&writer->tokens);
    bytes_deinit(&writer->documents);
    free(writer->files);
    free(writer->folder);
    free(writer);
}
