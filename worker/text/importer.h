/*
 * importer — documents from one input file, whatever its format and compression.
 *
 *   stream (gz, zst) ──► medline | jsonl | text ──► document_sink
 *
 * Plain text is one document a file, of at most DOCUMENT_BYTES_MAX, its byte order mark left out.
 * With TEXT_FORMAT_AUTO a file whose first character is "<" is XML, "{" JSON Lines, all else plain
 * text; a JSON array of objects is refused with a hint, since as a text it would hardly be meant.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"
#include "worker/text/document.h"
#include "worker/text/stream.h"

struct importer_options {
    enum text_format format;
    const char *text_field; /* of JSON Lines */
};

/* What a file beginning with these bytes is. */
MUST_USE enum status importer_detect(enum text_format *out, const char *data, size_t size,
                                     const char *path, struct error *err);

/* Opens path and gives every document to sink. */
MUST_USE enum status importer_run(const char *path, const struct importer_options *options,
                                  struct document_sink *sink, struct error *err);

/* As importer_run over an open stream, so that a caller can ask it how far it is. */
MUST_USE enum status importer_run_stream(struct stream *stream, const char *path,
                                         const struct importer_options *options,
                                         struct document_sink *sink, struct error *err);
