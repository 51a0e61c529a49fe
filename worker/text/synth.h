/*
 * synth — a synthetic corpus: MEDLINE/PubMed XML whose abstracts come from a grammar of our own
 * (synth_grammar.c), so that everything can be tried without anyone's data.
 *
 * A record has a kind of study, a topic (condition, drug, gene, outcome, group sizes, …) that its
 * sentences keep to, and an outcome that its results and conclusions agree on: there is more to
 * learn than pairs of words. About half of the abstracts are structured; a few records have none,
 * some titles and sentences have inline markup.
 *
 * Record i of a seed is a pure function of (seed, i): Philox, stream (SYNTH, i), whatever the
 * number of records. The XML follows NLM's DTD of 2019 (pubmed_190101.dtd).
 */
#pragma once

#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/error.h"

/* What a stream of the RNG can tell apart. */
#define SYNTH_RECORDS_MAX ((int64_t)1 << 28)

/* Appends what stands before and behind the records. */
void synth_medline_begin(struct bytes *out);
void synth_medline_end(struct bytes *out);

/* Appends record index as a PubmedArticle; 0 <= index < SYNTH_RECORDS_MAX. */
void synth_medline_record(struct bytes *out, uint64_t seed, int64_t index);
