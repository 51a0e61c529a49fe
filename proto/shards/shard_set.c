#include "proto/shards/shard_set.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/shards/shard.h"

struct shard_set {
    char *folder;
    struct shard **files;
    int64_t *starts; /* [file_count + 1]: the stream's index of each file's first token; the end */
    size_t file_count;
    int64_t document_count;
    uint32_t vocab_size;
    uint32_t eos_id;
    uint32_t token_bytes;
    struct digest tokenizer_digest;
    struct digest digest;
};

/* An integer field of the index within its limits. */
static enum status index_int(const json_t *object, const char *key, int64_t min, int64_t max,
                             int64_t *out, struct error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) {
        return error_set(err, STATUS_CORRUPT, "%s: not an integer", key);
    }
    int64_t number = json_integer_value(value);
    if (number < min || number > max) {
        return error_set(err, STATUS_CORRUPT, "%s: %lld is not in %lld … %lld", key,
                         (long long)number, (long long)min, (long long)max);
    }
    *out = number;
    return STATUS_OK;
}

static enum status index_digest(const json_t *object, const char *key, struct digest *out,
                                struct error *err)
{
    if (!digest_from_hex(out, json_get_text(object, key, ""))) {
        return error_set(err, STATUS_CORRUPT, "%s: not 64 hexadecimal digits", key);
    }
    return STATUS_OK;
}

/* The fields that all files share. */
static enum status read_common(struct shard_set *set, const json_t *index, struct error *err)
{
    int64_t version = 0;
    int64_t vocab_size = 0;
    int64_t eos_id = 0;
    int64_t token_bytes = 0;

    if (strcmp(json_get_text(index, "format", ""), "remora-shards") != 0) {
        return error_set(err, STATUS_CORRUPT, "format: not an index of shards");
    }
    enum status status = index_int(index, "version", 1, INT32_MAX, &version, err);
    if (status) {
        return status;
    }
    if (version != SHARD_SET_VERSION) {
        return error_set(err, STATUS_UNSUPPORTED, "version: %lld, but this program reads %d",
                         (long long)version, SHARD_SET_VERSION);
    }
    status = index_int(index, "vocab_size", 1, VOCAB_SIZE_MAX, &vocab_size, err);
    if (!status) {
        status = index_int(index, "eos_id", 0, vocab_size - 1, &eos_id, err);
    }
    if (!status) {
        status = index_int(index, "token_bytes", 2, 4, &token_bytes, err);
    }
    if (!status) {
        status = index_digest(index, "tokenizer_digest", &set->tokenizer_digest, err);
    }
    if (!status) {
        status = index_digest(index, "digest", &set->digest, err);
    }
    set->vocab_size = (uint32_t)vocab_size;
    set->eos_id = (uint32_t)eos_id;
    set->token_bytes = (uint32_t)token_bytes;
    return status;
}

static enum status check_number(const char *field, int64_t in_file, int64_t in_index,
                                struct error *err)
{
    if (in_file != in_index) {
        return error_set(err, STATUS_CORRUPT, "%s: %lld, but %s says %lld", field,
                         (long long)in_file, SHARD_SET_INDEX, (long long)in_index);
    }
    return STATUS_OK;
}

/* The header of a file against what the index says of it and of all. */
static enum status check_file(const struct shard_set *set, const struct shard_header *header,
                              const json_t *entry, struct error *err)
{
    struct digest digest;
    enum status status = index_digest(entry, "digest", &digest, err);
    if (status) {
        return status;
    }
    if (!digest_equal(&digest, &header->digest)) {
        return error_set(err, STATUS_CORRUPT, "digest: not the file that %s lists",
                         SHARD_SET_INDEX);
    }
    if (!digest_equal(&header->tokenizer_digest, &set->tokenizer_digest)) {
        return error_set(err, STATUS_CORRUPT, "tokenizer_digest: not that of %s", SHARD_SET_INDEX);
    }
    const struct {
        const char *field;
        int64_t in_file;
        int64_t in_index;
    } numbers[] = {
        {"tokens", header->token_count, json_get_int(entry, "tokens", -1)},
        {"documents", header->document_count, json_get_int(entry, "documents", -1)},
        {"bytes", (int64_t)shard_file_bytes(header), json_get_int(entry, "bytes", -1)},
        {"vocab_size", header->vocab_size, set->vocab_size},
        {"eos_id", header->eos_id, set->eos_id},
        {"token_bytes", header->token_bytes, set->token_bytes},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        status = check_number(numbers[i].field, numbers[i].in_file, numbers[i].in_index, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status open_file(struct shard_set *set, const json_t *entry, struct error *err)
{
    char name[32];
    char path[PATH_BYTES_MAX];
    size_t index = set->file_count;

    /* The name is ours to know: an index cannot lead out of its folder. */
    (void)snprintf(name, sizeof name, "%05zu.tokens", index);
    if (strcmp(json_get_text(entry, "name", ""), name) != 0) {
        return error_set(err, STATUS_CORRUPT, "files[%zu].name: not '%s'", index, name);
    }
    enum status status = path_printf(path, err, "%s/%s", set->folder, name);
    if (status) {
        return status;
    }
    status = shard_open(&set->files[index], path, err);
    if (status == STATUS_NOT_FOUND) {
        return error_set(err, STATUS_CORRUPT, "'%s' is listed in %s, but missing", name,
                         SHARD_SET_INDEX);
    }
    if (status) {
        return status;
    }
    set->file_count++;
    const struct shard_header *header = shard_header_of(set->files[index]);
    status = check_file(set, header, entry, err);
    if (status) {
        return error_wrap(err, "'%s'", name);
    }
    set->starts[index + 1] = set->starts[index] + header->token_count;
    set->document_count += header->document_count;
    return STATUS_OK;
}

/* The set's digest and sums, from the files' headers, against the index. */
static enum status check_totals(const struct shard_set *set, const json_t *index, struct error *err)
{
    struct digest_stream *stream = NULL;
    struct digest digest;

    enum status status =
        check_number("tokens", shard_set_token_count(set), json_get_int(index, "tokens", -1), err);
    if (!status) {
        status = check_number("documents", set->document_count,
                              json_get_int(index, "documents", -1), err);
    }
    if (!status) {
        status = digest_stream_create(&stream, err);
    }
    if (status) {
        return status;
    }
    for (size_t i = 0; i < set->file_count; i++) {
        digest_stream_update(stream, shard_header_of(set->files[i])->digest.bytes, DIGEST_BYTES);
    }
    digest_stream_finish(stream, &digest);
    digest_stream_destroy(stream);
    if (!digest_equal(&digest, &set->digest)) {
        return error_set(err, STATUS_CORRUPT, "digest: %s does not match its files",
                         SHARD_SET_INDEX);
    }
    return STATUS_OK;
}

static enum status open_files(struct shard_set *set, const json_t *index, struct error *err)
{
    const json_t *entries = json_object_get(index, "files");
    size_t count = json_array_size(entries);
    if (count == 0 || count > SHARD_FILES_MAX) {
        return error_set(err, STATUS_CORRUPT, "files: %zu are listed, not 1 … %d", count,
                         SHARD_FILES_MAX);
    }
    set->files = sys_calloc(count, sizeof(struct shard *));
    set->starts = sys_calloc(count + 1, sizeof *set->starts);
    if (!set->files || !set->starts) {
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        enum status status = open_file(set, json_array_get(entries, i), err);
        if (status) {
            return status;
        }
    }
    return check_totals(set, index, err);
}

/* A folder without an index, said so that a person knows what to do. */
static enum status explain_missing(const char *folder, struct error *err)
{
    if (!file_exists(folder)) {
        return error_set(err, STATUS_NOT_FOUND, "no such folder");
    }
    (void)error_set(err, STATUS_NOT_FOUND, "no %s in it: not a folder of shards, or not finished",
                    SHARD_SET_INDEX);
    error_set_hint(err, "name the 'train' or 'validation' folder inside the output of prepare");
    return STATUS_NOT_FOUND;
}

static enum status open_set(struct shard_set *set, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};
    json_t *index = NULL;

    enum status status = path_printf(path, err, "%s/%s", set->folder, SHARD_SET_INDEX);
    if (status) {
        goto done;
    }
    status = file_read(&text, path, SHARD_INDEX_BYTES_MAX, err);
    if (status == STATUS_NOT_FOUND) {
        status = explain_missing(set->folder, err);
        goto done;
    }
    if (status) {
        goto done;
    }
    if (json_parse(&index, text.data, text.size, SHARD_SET_INDEX, err)) {
        status = err->status = STATUS_CORRUPT;
        goto done;
    }
    status = read_common(set, index, err);
    if (status) {
        (void)error_wrap(err, "%s", SHARD_SET_INDEX);
        goto done;
    }
    status = open_files(set, index, err);
done:
    json_decref(index);
    bytes_deinit(&text);
    return status;
}

enum status shard_set_open(struct shard_set **out, const char *folder, struct error *err)
{
    struct error local; /* statuses are changed in it, so it must be there */
    struct error *error = err ? err : &local;

    struct shard_set *set = sys_calloc(1, sizeof *set);
    if (set) {
        set->folder = sys_strdup(folder);
    }
    if (!set || !set->folder) {
        shard_set_close(set);
        return error_set(err, STATUS_NO_MEMORY, "shards '%s': out of memory", folder);
    }
    enum status status = open_set(set, error);
    if (status) {
        shard_set_close(set);
        (void)error_wrap(error, "shards '%s'", folder);
        return status;
    }
    *out = set;
    return STATUS_OK;
}

void shard_set_close(struct shard_set *set)
{
    if (!set) {
        return;
    }
    for (size_t i = 0; i < set->file_count; i++) {
        shard_close(set->files[i]);
    }
    free(set->files);
    free(set->starts);
    free(set->folder);
    free(set);
}

int64_t shard_set_token_count(const struct shard_set *set)
{
    return set->starts[set->file_count];
}

int64_t shard_set_document_count(const struct shard_set *set)
{
    return set->document_count;
}

int64_t shard_set_sequence_count(const struct shard_set *set, int64_t sequence_length)
{
    assert(sequence_length > 0);
    return (shard_set_token_count(set) - 1) / sequence_length;
}

uint32_t shard_set_vocab_size(const struct shard_set *set)
{
    return set->vocab_size;
}

uint32_t shard_set_eos_id(const struct shard_set *set)
{
    return set->eos_id;
}

size_t shard_set_file_count(const struct shard_set *set)
{
    return set->file_count;
}

const struct digest *shard_set_digest(const struct shard_set *set)
{
    return &set->digest;
}

const struct digest *shard_set_tokenizer_digest(const struct shard_set *set)
{
    return &set->tokenizer_digest;
}

/* The file that holds token; there is one. */
static size_t file_of(const struct shard_set *set, int64_t token)
{
    size_t low = 0;
    size_t high = set->file_count - 1;
    while (low < high) {
        size_t middle = low + (high - low + 1) / 2;
        if (set->starts[middle] <= token) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

enum status shard_set_read(const struct shard_set *set, int64_t first, int64_t count, uint32_t *out,
                           struct error *err)
{
    int64_t total = shard_set_token_count(set);
    if (first < 0 || count < 0 || first > total || count > total - first) {
        return error_set(err, STATUS_INVALID, "shards '%s': tokens %lld + %lld are not in its %lld",
                         set->folder, (long long)first, (long long)count, (long long)total);
    }
    if (count == 0) {
        return STATUS_OK;
    }
    for (size_t file = file_of(set, first); count > 0; file++) {
        int64_t left = set->starts[file + 1] - first;
        int64_t count_here = count < left ? count : left;
        enum status status =
            shard_read(set->files[file], first - set->starts[file], count_here, out, err);
        if (status) {
            return status;
        }
        first += count_here;
        out += count_here;
        count -= count_here;
    }
    return STATUS_OK;
}

enum status shard_set_read_sequence(const struct shard_set *set, int64_t index,
                                    int64_t sequence_length, uint32_t *out, struct error *err)
{
    assert(sequence_length > 0);
    int64_t count = shard_set_sequence_count(set, sequence_length);
    if (index < 0 || index >= count) {
        return error_set(
            err, STATUS_INVALID, "shards '%s': sequence %lld is not one of %lld of length %lld",
            set->folder, (long long)index, (long long)count, (long long)sequence_length);
    }
    return shard_set_read(set, index * sequence_length, sequence_length + 1, out, err);
}

/* Documents of the file that begin at or before token, an index in the file. */
static int64_t documents_up_to(const struct shard *file, int64_t token)
{
    int64_t low = 0;
    int64_t high = shard_header_of(file)->document_count;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (shard_document_start(file, middle) <= token) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t shard_set_document_at(const struct shard_set *set, int64_t token)
{
    int64_t before = 0;

    assert(0 <= token && token < shard_set_token_count(set));
    const size_t file = file_of(set, token);
    for (size_t i = 0; i < file; i++) {
        before += shard_header_of(set->files[i])->document_count;
    }
    const int64_t begun = before + documents_up_to(set->files[file], token - set->starts[file]);
    /* Tokens before the first document would be a fault of the writer: they count as its. */
    return begun > 0 ? begun - 1 : 0;
}

enum status shard_set_verify(const struct shard_set *set, struct error *err)
{
    for (size_t i = 0; i < set->file_count; i++) {
        enum status status = shard_verify(set->files[i], err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

enum status shard_set_digest_of(struct digest *out, const char *folder, struct error *err)
{
    struct shard_set *set = NULL;
    enum status status = shard_set_open(&set, folder, err);
    if (status) {
        return status;
    }
    *out = set->digest;
    shard_set_close(set);
    return STATUS_OK;
}
