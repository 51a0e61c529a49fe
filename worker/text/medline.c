#include "worker/text/medline.h"

#include <assert.h>
#include <expat.h>
#include <limits.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/limits.h"

/* MathML nests deepest, by some tens; what is deeper is no citation. */
#define DEPTH_MAX 512

/* What an element means to us, given its parent. */
enum element {
    ELEMENT_OTHER,
    ELEMENT_ROOT,
    ELEMENT_CITATION, /* MedlineCitation or BookDocument */
    ELEMENT_ARTICLE,
    ELEMENT_BOOK,
    ELEMENT_TITLE,
    ELEMENT_BOOK_TITLE,
    ELEMENT_ABSTRACT,
    ELEMENT_SECTION, /* AbstractText */
};

struct medline {
    XML_Parser parser;
    const char *path;
    struct document_sink *sink;
    struct error *err;
    enum status status; /* why the parser was stopped */

    uint16_t depth;
    uint8_t elements[DEPTH_MAX]; /* enum element of each open one */

    /* The record that is open. */
    int64_t line;
    bool has_unknown_entity;
    struct bytes title;
    struct bytes book_title;
    struct bytes abstract;
    size_t section_at;      /* in abstract, where the open section's line begins */
    size_t section_text_at; /* and where its text does, behind the label */
    struct bytes *capture;  /* of the three, what characters go to; NULL: nowhere */
    uint16_t capture_depth;
    bool is_gap; /* white space was seen since the last character */
};

static void stop(struct medline *medline, enum status status)
{
    medline->status = status;
    (void)XML_StopParser(medline->parser, XML_FALSE);
}

static int64_t current_line(const struct medline *medline)
{
    return (int64_t)XML_GetCurrentLineNumber(medline->parser);
}

static enum element citation_child(const char *name)
{
    static const struct {
        const char *name;
        enum element element;
    } names[] = {
        {"Article", ELEMENT_ARTICLE},
        {"Book", ELEMENT_BOOK},
        {"ArticleTitle", ELEMENT_TITLE}, /* of a BookDocument */
        {"Abstract", ELEMENT_ABSTRACT},  /* likewise */
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i].name) == 0) {
            return names[i].element;
        }
    }
    return ELEMENT_OTHER;
}

static bool is_citation(const char *name)
{
    return strcmp(name, "MedlineCitation") == 0 || strcmp(name, "BookDocument") == 0;
}

static enum element element_of(enum element parent, const char *name)
{
    switch (parent) {
    case ELEMENT_ROOT:
    case ELEMENT_OTHER:
        return is_citation(name) ? ELEMENT_CITATION : ELEMENT_OTHER;
    case ELEMENT_CITATION:
        return citation_child(name);
    case ELEMENT_ARTICLE:
        if (strcmp(name, "ArticleTitle") == 0) {
            return ELEMENT_TITLE;
        }
        return strcmp(name, "Abstract") == 0 ? ELEMENT_ABSTRACT : ELEMENT_OTHER;
    case ELEMENT_BOOK:
        return strcmp(name, "BookTitle") == 0 ? ELEMENT_BOOK_TITLE : ELEMENT_OTHER;
    case ELEMENT_ABSTRACT:
        return strcmp(name, "AbstractText") == 0 ? ELEMENT_SECTION : ELEMENT_OTHER;
    case ELEMENT_TITLE:
    case ELEMENT_BOOK_TITLE:
    case ELEMENT_SECTION:
        return ELEMENT_OTHER;
    }
    assert(false);
    return ELEMENT_OTHER;
}

static bool is_root_name(const char *name)
{
    static const char *const names[] = {"PubmedArticleSet",     "MedlineCitationSet",
                                        "PubmedBookArticleSet", "PubmedArticle",
                                        "PubmedBookArticle",    "MedlineCitation"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static enum element root_element(struct medline *medline, const char *name)
{
    if (!is_root_name(name)) {
        (void)error_set(medline->err, STATUS_INVALID,
                        "'%s': line %lld: the root element '%.64s' is not PubMed or MEDLINE XML",
                        medline->path, (long long)current_line(medline), name);
        error_set_hint(medline->err, "expected PubmedArticleSet; to read the markup itself as text "
                                     "give --format text");
        stop(medline, STATUS_INVALID);
    }
    return is_citation(name) ? ELEMENT_CITATION : ELEMENT_ROOT;
}

static void begin_citation(struct medline *medline)
{
    medline->line = current_line(medline);
    medline->has_unknown_entity = false;
    bytes_clear(&medline->title);
    bytes_clear(&medline->book_title);
    bytes_clear(&medline->abstract);
}

static void begin_capture(struct medline *medline, struct bytes *capture)
{
    medline->capture = capture;
    medline->capture_depth = medline->depth;
    medline->is_gap = false;
}

/* A section's line begins with its label. */
static void begin_section(struct medline *medline, const XML_Char **attributes)
{
    struct bytes *abstract = &medline->abstract;
    if (abstract->size > 0 && abstract->data[abstract->size - 1] != '\n') {
        bytes_append_char(abstract, '\n');
    }
    begin_capture(medline, abstract);
    medline->section_at = abstract->size;
    for (const XML_Char **at = attributes; at[0]; at += 2) {
        if (strcmp(at[0], "Label") == 0 && at[1][0] && strcmp(at[1], "UNLABELLED") != 0) {
            bytes_append_text(abstract, at[1]);
            bytes_append_char(abstract, ':');
            medline->is_gap = true;
        }
    }
    medline->section_text_at = abstract->size;
}

static void XMLCALL start_element(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct medline *medline = context;

    if (medline->status) {
        return; /* a stopped parser may still call */
    }
    if (medline->depth == DEPTH_MAX) {
        stop(medline,
             error_set(medline->err, STATUS_LIMIT, "'%s': line %lld: elements nest deeper than %d",
                       medline->path, (long long)current_line(medline), DEPTH_MAX));
        return;
    }
    enum element element = ELEMENT_OTHER;
    if (medline->depth == 0) {
        element = root_element(medline, name);
    } else if (!medline->capture) {
        element = element_of(medline->elements[medline->depth - 1], name);
    }
    medline->elements[medline->depth++] = (uint8_t)element;
    switch (element) {
    case ELEMENT_CITATION:
        begin_citation(medline);
        break;
    case ELEMENT_TITLE:
        begin_capture(medline, &medline->title);
        break;
    case ELEMENT_BOOK_TITLE:
        begin_capture(medline, &medline->book_title);
        break;
    case ELEMENT_SECTION:
        begin_section(medline, attributes);
        break;
    case ELEMENT_OTHER:
    case ELEMENT_ROOT:
    case ELEMENT_ARTICLE:
    case ELEMENT_BOOK:
    case ELEMENT_ABSTRACT:
        break;
    }
}

/* A section of which nothing but the label was written leaves no line. */
static void end_section(struct medline *medline)
{
    if (medline->abstract.size == medline->section_text_at) {
        medline->abstract.size = medline->section_at;
    }
}

/* The record's text is put together in title. */
static void end_citation(struct medline *medline)
{
    struct bytes *text = medline->title.size ? &medline->title : &medline->book_title;
    struct bytes *abstract = &medline->abstract;

    while (abstract->size > 0 && abstract->data[abstract->size - 1] == '\n') {
        abstract->size--;
    }
    if (medline->has_unknown_entity) {
        document_drop(medline->sink, DOCUMENT_DROP_UNKNOWN_ENTITY, medline->path, medline->line,
                      NULL);
        return;
    }
    if (abstract->size == 0) {
        document_drop(medline->sink, DOCUMENT_DROP_NO_ABSTRACT, medline->path, medline->line, NULL);
        return;
    }
    if (text->size > 0) {
        bytes_append_char(text, '\n');
    }
    bytes_append(text, abstract->data, abstract->size);
    enum status status = bytes_status(text, "citation", medline->err);
    if (!status) {
        status = bytes_status(abstract, "citation", medline->err);
    }
    if (status) {
        (void)error_wrap(medline->err, "'%s': line %lld", medline->path, (long long)medline->line);
        stop(medline, status);
        return;
    }
    status = document_put(medline->sink, medline->path, medline->line, text->data, text->size,
                          medline->err);
    if (status) {
        stop(medline, status);
    }
}

static void XMLCALL end_element(void *context, const XML_Char *name)
{
    struct medline *medline = context;
    (void)name;

    if (medline->status) {
        return;
    }
    assert(medline->depth > 0);
    enum element element = medline->elements[--medline->depth];
    if (medline->capture && medline->depth < medline->capture_depth) {
        if (element == ELEMENT_SECTION) {
            end_section(medline);
        }
        medline->capture = NULL;
    }
    if (element == ELEMENT_CITATION) {
        end_citation(medline);
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Appends with every run of white space as one space, none at the ends. */
static void XMLCALL characters(void *context, const XML_Char *text, int length)
{
    struct medline *medline = context;
    struct bytes *capture = medline->capture;
    if (!capture) {
        return;
    }
    const char *end = text + length;
    while (text < end) {
        const char *word = text;
        while (text < end && !is_space(*text)) {
            text++;
        }
        if (text > word) {
            bool is_at_start = capture->size == 0 || capture->data[capture->size - 1] == '\n';
            if (medline->is_gap && !is_at_start) {
                bytes_append_char(capture, ' ');
            }
            bytes_append(capture, word, (size_t)(text - word));
            medline->is_gap = false;
        }
        while (text < end && is_space(*text)) {
            medline->is_gap = true;
            text++;
        }
    }
}

static void XMLCALL entity_declared(void *context, const XML_Char *name, int is_parameter,
                                    const XML_Char *value, int value_length, const XML_Char *base,
                                    const XML_Char *system, const XML_Char *public_id,
                                    const XML_Char *notation)
{
    struct medline *medline = context;
    (void)is_parameter;
    (void)value;
    (void)value_length;
    (void)base;
    (void)system;
    (void)public_id;
    (void)notation;
    stop(medline, error_set(medline->err, STATUS_INVALID,
                            "'%s': line %lld: entity '%.64s' is declared; entity declarations are "
                            "not accepted",
                            medline->path, (long long)current_line(medline), name));
}

static void XMLCALL entity_skipped(void *context, const XML_Char *name, int is_parameter)
{
    struct medline *medline = context;
    (void)name;
    if (!is_parameter && medline->capture) {
        medline->has_unknown_entity = true;
    }
}

/* Translates the parser's failure; a stop of our own has set the error already. */
static enum status parse_failed(struct medline *medline, bool is_end, struct error *err)
{
    if (medline->status) {
        return medline->status;
    }
    enum XML_Error code = XML_GetErrorCode(medline->parser);
    if (code == XML_ERROR_NO_MEMORY) {
        return error_set(err, STATUS_NO_MEMORY, "'%s': XML parser: out of memory", medline->path);
    }
    (void)error_set(err, STATUS_CORRUPT, "'%s': line %lld: %s%s", medline->path,
                    (long long)current_line(medline), is_end ? "the XML ends in the middle: " : "",
                    XML_ErrorString(code));
    if (is_end) {
        error_set_hint(err, "the file was cut; fetch it again");
    }
    return STATUS_CORRUPT;
}

static enum status parse_all(struct medline *medline, struct stream *stream, struct error *err)
{
    for (;;) {
        const char *data = NULL;
        size_t size = 0;
        enum status status = stream_next(stream, &data, &size, err);
        if (status) {
            return status;
        }
        assert(size <= INT_MAX);
        bool is_end = size == 0;
        if (XML_Parse(medline->parser, data, (int)size, is_end) != XML_STATUS_OK) {
            return parse_failed(medline, is_end, err);
        }
        if (is_end) {
            return STATUS_OK;
        }
    }
}

enum status medline_import(struct stream *stream, const char *path, struct document_sink *sink,
                           struct error *err)
{
    struct medline medline = {
        .path = path,
        .sink = sink,
        .err = err,
        .title = {.size_max = DOCUMENT_BYTES_MAX},
        .book_title = {.size_max = DOCUMENT_BYTES_MAX},
        .abstract = {.size_max = DOCUMENT_BYTES_MAX / 2},
    };
    medline.parser = XML_ParserCreate(NULL);
    if (!medline.parser) {
        return error_set(err, STATUS_NO_MEMORY, "'%s': XML parser: out of memory", path);
    }
    XML_SetUserData(medline.parser, &medline);
    XML_SetElementHandler(medline.parser, start_element, end_element);
    XML_SetCharacterDataHandler(medline.parser, characters);
    XML_SetEntityDeclHandler(medline.parser, entity_declared);
    XML_SetSkippedEntityHandler(medline.parser, entity_skipped);

    enum status status = parse_all(&medline, stream, err);
    XML_ParserFree(medline.parser);
    bytes_deinit(&medline.title);
    bytes_deinit(&medline.book_title);
    bytes_deinit(&medline.abstract);
    return status;
}
