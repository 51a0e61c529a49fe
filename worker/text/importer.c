#include "worker/text/importer.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/limits.h"
#include "worker/text/jsonl.h"
#include "worker/text/medline.h"

static size_t skip_blank(const char *data, size_t size, size_t at)
{
    while (at < size && strchr(" \t\r\n", data[at]) && data[at]) {
        at++;
    }
    return at;
}

/* XML may be UTF-16 (expat reads it); nothing else of ours is. */
static bool is_utf16_mark(const char *data, size_t size)
{
    return size >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0);
}

static size_t mark_bytes(const char *data, size_t size)
{
    return size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

enum status importer_detect(enum text_format *out, const char *data, size_t size, const char *path,
                            struct error *err)
{
    size_t at = skip_blank(data, size, mark_bytes(data, size));
    *out = TEXT_FORMAT_TEXT;
    if (is_utf16_mark(data, size)) {
        *out = TEXT_FORMAT_MEDLINE;
    } else if (at < size && data[at] == '<') {
        *out = TEXT_FORMAT_MEDLINE;
    } else if (at < size && data[at] == '{') {
        *out = TEXT_FORMAT_JSONL;
    } else if (at < size && data[at] == '[') {
        size_t next = skip_blank(data, size, at + 1);
        if (next < size && data[next] == '{') {
            (void)error_set(err, STATUS_UNSUPPORTED,
                            "'%s': a JSON array; JSON Lines are expected, one object a line", path);
            error_set_hint(err, "convert it: jq -c '.[]' FILE > FILE.jsonl");
            return STATUS_UNSUPPORTED;
        }
    }
    return STATUS_OK;
}

/* The whole stream is one document. */
static enum status import_text(struct stream *stream, const char *path, struct document_sink *sink,
                               struct error *err)
{
    struct bytes text = {.size_max = DOCUMENT_BYTES_MAX};
    enum status status = STATUS_OK;
    for (;;) {
        const char *data = NULL;
        size_t size = 0;
        status = stream_next(stream, &data, &size, err);
        if (status || size == 0) {
            break;
        }
        bytes_append(&text, data, size);
        status = bytes_status(&text, "text", err);
        if (status) {
            (void)error_wrap(err, "'%s'", path);
            error_set_hint(err, "plain text is one document a file; cut the file into documents, "
                                "or make it JSON Lines");
            break;
        }
    }
    if (!status) {
        size_t mark = mark_bytes(text.data, text.size);
        status = document_put(sink, path, 0, text.data + mark, text.size - mark, err);
    }
    bytes_deinit(&text);
    return status;
}

enum status importer_run_stream(struct stream *stream, const char *path,
                                const struct importer_options *options, struct document_sink *sink,
                                struct error *err)
{
    const char *data = NULL;
    size_t size = 0;
    enum text_format format = options->format;

    if (format == TEXT_FORMAT_AUTO) {
        stream_peek(stream, &data, &size);
        enum status status = importer_detect(&format, data, size, path, err);
        if (status) {
            return status;
        }
    }
    switch (format) {
    case TEXT_FORMAT_MEDLINE:
        return medline_import(stream, path, sink, err);
    case TEXT_FORMAT_JSONL:
        return jsonl_import(stream, path, options->text_field, sink, err);
    case TEXT_FORMAT_TEXT:
        return import_text(stream, path, sink, err);
    case TEXT_FORMAT_AUTO:
        break;
    }
    assert(false);
    return STATUS_OK;
}

enum status importer_run(const char *path, const struct importer_options *options,
                         struct document_sink *sink, struct error *err)
{
    struct stream *stream = NULL;
    enum status status = stream_open(&stream, path, err);
    if (status) {
        return status;
    }
    status = importer_run_stream(stream, path, options, sink, err);
    stream_close(stream);
    return status;
}
