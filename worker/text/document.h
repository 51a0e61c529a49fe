/*
 * document — what importers make of input files: texts, and counts of what was left out.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* X(constant, name): AUTO decides for each file by its content. */
#define DOCUMENT_FORMAT_LIST(X) \
 X(AUTO, "auto")                \
 X(MEDLINE, "medline")          \
 X(JSONL, "jsonl")              \
 X(TEXT, "text")

enum document_format {
#define X(constant, name) DOCUMENT_FORMAT_##constant,
    DOCUMENT_FORMAT_LIST(X)
#undef X
};

const char *document_format_name(enum document_format format);
/* INVALID (with a "did you mean") for a name that is none. */
MUST_USE enum status document_format_from_name(enum document_format *out, const char *name,
                                               struct error *err);

/* X(constant, name, why a record gave no document) */
#define DOCUMENT_DROP_LIST(X)                                            \
 X(NO_ABSTRACT, "no_abstract", "citations without abstract")             \
 X(EMPTY, "empty", "records without text")                               \
 X(BAD_BYTES, "bad_bytes", "records with bytes that are not UTF-8 text") \
 X(NO_FIELD, "no_field", "records without the text field")               \
 X(UNKNOWN_ENTITY, "unknown_entity", "citations with an entity that the file does not define")

enum document_drop {
#define X(constant, name, text) DOCUMENT_DROP_##constant,
    DOCUMENT_DROP_LIST(X)
#undef X
        DOCUMENT_DROP_COUNT
};

const char *document_drop_name(enum document_drop drop);
const char *document_drop_text(enum document_drop drop);

struct document_counts {
    int64_t records; /* citations, lines or files: documents plus drops */
    int64_t documents;
    int64_t drops[DOCUMENT_DROP_COUNT];
};

/* One text in valid UTF-8 without NUL, not empty. The pointers live during the call only. */
struct document {
    const char *text;
    size_t size;
};

/* Takes a document; another status than OK ends the import with it. */
typedef enum status document_fn(void *context, const struct document *document, struct error *err);

/* Told of the first drop for each reason in a file ("a.jsonl:17: bytes …"). */
typedef void document_notice_fn(void *context, const char *text);

/* Where an importer puts what it finds. */
struct document_sink {
    document_fn *take;
    document_notice_fn *notice; /* may be NULL */
    void *context;              /* for both */
    struct document_counts counts;
};
