/*
 * jsonl — documents from JSON Lines: one object a line, the text in one of its fields.
 *
 * Empty lines are skipped. A line that is no JSON object, or whose field is no string, is INVALID,
 * named with file and line; bytes that are not UTF-8 drop the line (BAD_BYTES). Lines without the
 * field, or with null, are dropped (NO_FIELD); when no line of a file has it, that is INVALID and
 * the message lists the fields that there are. Lines are limited to JSONL_LINE_BYTES_MAX.
 */
#pragma once

#include "proto/base/error.h"
#include "worker/text/document.h"
#include "worker/text/stream.h"

/* Reads all of the stream. path names it in messages. */
MUST_USE enum status jsonl_import(struct stream *stream, const char *path, const char *text_field,
                                  struct document_sink *sink, struct error *err);
