/*
 * document — what importers make of input files: texts, and counts of what was left out.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"

/* X(constant, name, why a record gave no document). NO_ABSTRACT and EMPTY are as it should be; the
 * others are faults of the file. */
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

/* Told of drops that a person may want to look at ("a.jsonl:17: …"). */
typedef void document_notice_fn(void *context, const char *text);

/* Where an importer puts what it finds. */
struct document_sink {
    document_fn *take;
    document_notice_fn *notice; /* may be NULL */
    void *context;              /* for both */
    struct document_counts counts;
};

/* Counts a record and hands its text on, or drops it: EMPTY when there is nothing but blanks,
 * BAD_BYTES when it is not UTF-8 or has a NUL. line is where the record starts, 0 when the file is
 * the record. */
MUST_USE enum status document_put(struct document_sink *sink, const char *path, int64_t line,
                                  const char *text, size_t size, struct error *err);

/* Counts a record that gives no document. The first few of each kind that is a fault of the file
 * are told to notice, with detail unless it is NULL. */
void document_drop(struct document_sink *sink, enum document_drop drop, const char *path,
                   int64_t line, const char *detail);
