#include "worker/text/document.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "worker/text/utf8.h"

#define NOTICES_MAX 3 /* of each kind; the counts tell of the rest */

static const struct {
    const char *name;
    const char *text;
} drops[DOCUMENT_DROP_COUNT] = {
#define X(constant, name, text) {name, text},
    DOCUMENT_DROP_LIST(X)
#undef X
};

const char *document_drop_name(enum document_drop drop)
{
    return drops[drop].name;
}

const char *document_drop_text(enum document_drop drop)
{
    return drops[drop].text;
}

static bool is_fault(enum document_drop drop)
{
    return drop != DOCUMENT_DROP_NO_ABSTRACT && drop != DOCUMENT_DROP_EMPTY;
}

void document_drop(struct document_sink *sink, enum document_drop drop, const char *path,
                   int64_t line, const char *detail)
{
    sink->counts.records++;
    sink->counts.drops[drop]++;
    if (!sink->notice || !is_fault(drop) || sink->counts.drops[drop] > NOTICES_MAX) {
        return;
    }
    char where[32] = "";
    char text[1024];
    if (line > 0) {
        (void)snprintf(where, sizeof where, ":%lld", (long long)line);
    }
    (void)snprintf(text, sizeof text, "left out: %s%s: %s%s%s", path, where, drops[drop].text,
                   detail ? ": " : "", detail ? detail : "");
    sink->notice(sink->context, text);
}

static bool is_blank(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!strchr(" \t\r\n\f\v", text[i])) {
            return false;
        }
    }
    return true;
}

enum status document_put(struct document_sink *sink, const char *path, int64_t line,
                         const char *text, size_t size, struct error *err)
{
    const char *nul = size ? memchr(text, '\0', size) : NULL;
    size_t valid = utf8_valid_prefix(text, size);
    size_t bad = nul && (size_t)(nul - text) < valid ? (size_t)(nul - text) : valid;
    if (bad < size) {
        char detail[64];
        (void)snprintf(detail, sizeof detail, "byte 0x%02x at offset %zu of the record",
                       (unsigned)(unsigned char)text[bad], bad);
        document_drop(sink, DOCUMENT_DROP_BAD_BYTES, path, line, detail);
        return STATUS_OK;
    }
    if (is_blank(text, size)) {
        document_drop(sink, DOCUMENT_DROP_EMPTY, path, line, NULL);
        return STATUS_OK;
    }
    sink->counts.records++;
    sink->counts.documents++;
    const struct document document = {.text = text, .size = size};
    return sink->take(sink->context, &document, err);
}
