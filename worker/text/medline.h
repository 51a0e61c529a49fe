/*
 * medline — documents from PubMed and MEDLINE XML, streaming (expat).
 *
 * A record is a MedlineCitation (within PubmedArticle, or directly under the old root
 * MedlineCitationSet) or a BookDocument. Its text is
 *
 *     title \n section \n section …
 *
 * where the title is Article/ArticleTitle (of books: ArticleTitle, else Book/BookTitle) and the
 * sections are Abstract/AbstractText in order, each "LABEL: text" when it has a Label other than
 * UNLABELLED. OtherAbstract, VernacularTitle and CopyrightInformation are no part of it; titles in
 * brackets (translations) stay as they are. Inline markup and MathML are flattened to their
 * characters, white space runs to one space. Records without abstract are dropped (NO_ABSTRACT).
 *
 * No DTD is fetched. Entity declarations are refused, so there are no entity bombs; a reference to
 * an entity that only the DTD would define drops its record (UNKNOWN_ENTITY). XML that is not
 * well-formed or ends in the middle is CORRUPT, named with file and line; another root element is
 * INVALID.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "worker/text/document.h"
#include "worker/text/stream.h"

/* Reads all of the stream. path names it in messages. */
MUST_USE enum status medline_import(struct stream *stream, const char *path,
                                    struct document_sink *sink, struct error *err);
