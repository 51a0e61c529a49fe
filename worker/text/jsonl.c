#include "worker/text/jsonl.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/limits.h"
#include "worker/text/utf8.h"

#define FIELDS_SHOWN 8

struct jsonl {
    const char *path;
    const char *text_field;
    struct document_sink *sink;
    int64_t line;
    int64_t with_field;  /* lines that have it */
    struct bytes fields; /* those of the first line without it, for the message */
};

/* "a, b, c" of the object's keys. */
static void list_fields(struct bytes *out, const json_t *object)
{
    int count = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (count == FIELDS_SHOWN) {
            bytes_append_text(out, ", …");
            break;
        }
        bytes_printf(out, "%s'%.40s'", count++ ? ", " : "", key);
    }
}

static enum status take_object(struct jsonl *jsonl, const json_t *object, struct error *err)
{
    const json_t *text = json_object_get(object, jsonl->text_field);
    if (!text || json_is_null(text)) {
        if (jsonl->fields.size == 0) {
            list_fields(&jsonl->fields, object);
        }
        document_drop(jsonl->sink, DOCUMENT_DROP_NO_FIELD, jsonl->path, jsonl->line, NULL);
        return STATUS_OK;
    }
    if (!json_is_string(text)) {
        return error_set(err, STATUS_INVALID, "'%s': line %lld: field '%s' is not a string",
                         jsonl->path, (long long)jsonl->line, jsonl->text_field);
    }
    jsonl->with_field++;
    return document_put(jsonl->sink, jsonl->path, jsonl->line, json_string_value(text),
                        json_string_length(text), err);
}

static enum status malformed(const struct jsonl *jsonl, const char *what, struct error *err)
{
    (void)error_set(err, STATUS_INVALID, "'%s': line %lld: %s", jsonl->path, (long long)jsonl->line,
                    what);
    error_set_hint(err, "each line must be one JSON object; to read the file as plain text give "
                        "--format text");
    return STATUS_INVALID;
}

static enum status take_line(struct jsonl *jsonl, const char *line, size_t size, struct error *err)
{
    jsonl->line++;
    while (size > 0 && strchr(" \t\r", line[size - 1])) {
        size--;
    }
    if (size == 0) {
        return STATUS_OK;
    }
    size_t valid = utf8_valid_prefix(line, size);
    if (valid < size) {
        char detail[64];
        (void)snprintf(detail, sizeof detail, "byte 0x%02x in column %zu",
                       (unsigned)(unsigned char)line[valid], valid + 1);
        document_drop(jsonl->sink, DOCUMENT_DROP_BAD_BYTES, jsonl->path, jsonl->line, detail);
        return STATUS_OK;
    }
    json_error_t problem;
    /* NUL is let through, so that document_put counts it instead of the parser failing; integers
     * are read as reals, since ids of other programs may be larger than ours. */
    json_t *object = json_loadb(
        line, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &problem);
    if (!object) {
        return json_error_code(&problem) == json_error_out_of_memory
                   ? error_set(err, STATUS_NO_MEMORY, "'%s': line %lld: out of memory", jsonl->path,
                               (long long)jsonl->line)
                   : malformed(jsonl, problem.text, err);
    }
    enum status status = json_is_object(object) ? take_object(jsonl, object, err)
                                                : malformed(jsonl, "not a JSON object", err);
    json_decref(object);
    return status;
}

/* Takes the whole lines of block; the beginning of the next one is kept in rest. */
static enum status take_block(struct jsonl *jsonl, struct bytes *rest, const char *data,
                              size_t size, struct error *err)
{
    enum status status = STATUS_OK;
    const char *end = data + size;
    const char *newline;
    while (!status && (newline = memchr(data, '\n', (size_t)(end - data)))) {
        size_t line_size = (size_t)(newline - data);
        if (rest->size > 0) {
            bytes_append(rest, data, line_size);
            status = bytes_status(rest, "line", err);
            if (!status) {
                status = take_line(jsonl, rest->data, rest->size, err);
            }
            bytes_clear(rest);
        } else {
            status = take_line(jsonl, data, line_size, err);
        }
        data = newline + 1;
    }
    if (!status && data < end) {
        bytes_append(rest, data, (size_t)(end - data));
        status = bytes_status(rest, "line", err);
    }
    if (status == STATUS_LIMIT && bytes_failed(rest)) {
        (void)error_wrap(err, "'%s': line %lld", jsonl->path, (long long)jsonl->line + 1);
    }
    return status;
}

static enum status take_all(struct jsonl *jsonl, struct stream *stream, struct bytes *rest,
                            struct error *err)
{
    bool is_first = true;
    for (;;) {
        const char *data = NULL;
        size_t size = 0;
        enum status status = stream_next(stream, &data, &size, err);
        if (status) {
            return status;
        }
        if (size == 0) {
            break;
        }
        if (is_first && size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
            data += 3; /* byte order mark */
            size -= 3;
        }
        is_first = false;
        status = take_block(jsonl, rest, data, size, err);
        if (status) {
            return status;
        }
    }
    return rest->size > 0 ? take_line(jsonl, rest->data, rest->size, err) : STATUS_OK;
}

enum status jsonl_import(struct stream *stream, const char *path, const char *text_field,
                         struct document_sink *sink, struct error *err)
{
    struct jsonl jsonl = {.path = path, .text_field = text_field, .sink = sink};
    struct bytes rest = {.size_max = JSONL_LINE_BYTES_MAX};

    enum status status = take_all(&jsonl, stream, &rest, err);
    if (!status && jsonl.with_field == 0 && jsonl.fields.size > 0) {
        status = error_set(err, STATUS_INVALID, "'%s': no line has the field '%s'; there are %s",
                           path, text_field, jsonl.fields.data);
        error_set_hint(err, "name the field that holds the text with --text-field");
    }
    bytes_deinit(&rest);
    bytes_deinit(&jsonl.fields);
    return status;
}
