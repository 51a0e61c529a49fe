/*
 * prepare — from files of text to token shards: import, (train a tokenizer,) tokenise, split,
 * write.
 *
 *   OUT/tokenizer.model   the given model's bytes, or the trained model
 *   OUT/train/            shards, see proto/shards/shard_set.h
 *   OUT/validation/       shards; not there when validation_fraction is 0
 *   OUT/prepare.json      the report, with the digests of the inputs and the parameters: its key
 *
 * The output depends on the key alone: the files' bytes in the order of their sorted paths, the
 * tokenizer and the parameters below. When OUT holds a finished preparation of the same key,
 * nothing is done. Otherwise all is built in "OUT.partial" and moved over OUT at the end, so that
 * OUT is the old preparation or the new one, whole. An OUT that is not a preparation is never
 * touched.
 *
 * A document goes to validation when the first 8 bytes (little-endian) of SHA-256(seed as 8 bytes
 * little-endian, text) are below validation_fraction × 2^64: that depends on nothing but the text,
 * so adding files moves no document, and copies of a text fall on the same side.
 *
 * Memory is bounded by the largest document, not by the corpus. A vocabulary is trained on a
 * sample of at most PREPARE_SAMPLE_BYTES, drawn evenly over the documents of the train side.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/digest.h"
#include "proto/base/error.h"
#include "proto/base/limits.h"
#include "proto/spec/train_spec.h"
#include "worker/text/document.h"

/* Text that a vocabulary is trained on: more changes little of it, and takes longer. */
#define PREPARE_SAMPLE_BYTES (16 * MIB)

enum prepare_phase {
    PREPARE_PHASE_DIGEST,   /* reading the inputs for the key */
    PREPARE_PHASE_SAMPLE,   /* reading them for the vocabulary's sample */
    PREPARE_PHASE_TRAIN,    /* training the vocabulary; bytes do not move */
    PREPARE_PHASE_TOKENISE, /* writing shards */
};

/* How far a preparation is. Bytes are those of the input files as they lie on disk. */
struct prepare_progress {
    enum prepare_phase phase;
    int64_t bytes_done;
    int64_t bytes_total;
    int64_t documents;
    int64_t tokens;
};

/* Called from the thread that called prepare, a few times a second. */
typedef void prepare_progress_fn(void *context, const struct prepare_progress *progress);

/* A line for people that is no error ("vocabulary lowered from 8192 to 5923"). */
typedef void prepare_notice_fn(void *context, const char *text);

struct prepare_options {
    const char *const *inputs; /* files, folders, globs */
    size_t input_count;
    const char *output;
    const char *tokenizer_path; /* NULL: train one of vocab_size pieces */
    uint32_t vocab_size;
    enum text_format format;
    const char *text_field;        /* of JSONL; NULL: "text" */
    double validation_fraction;    /* in [0, 1) */
    uint64_t seed;                 /* of the split */
    prepare_progress_fn *progress; /* may be NULL */
    prepare_notice_fn *notice;     /* may be NULL */
    void *context;                 /* for both */
};

struct prepare_report {
    bool is_cached; /* nothing was done: the numbers are those of the preparation that stands */
    int64_t file_count;
    int64_t input_bytes; /* as they lie on disk */
    int64_t text_bytes;  /* UTF-8 bytes of the documents kept */
    struct document_counts counts;
    struct {
        int64_t documents;
        int64_t tokens;
        struct digest digest; /* of the shard set */
    } train, validation;
    uint32_t vocab_size;
    uint32_t eos_id;
    struct digest tokenizer_digest;
    struct digest key;
    double tokenise_s; /* wall time of PREPARE_PHASE_TOKENISE; 0 when cached */
    double total_s;
};

/* Prepares. INVALID for options (err->field is the option's name in the spec), NOT_FOUND for an
 * input that matches nothing, CORRUPT or INVALID for the input's faults (named with file and line),
 * CONFLICT when the output is something else or an input changed meanwhile, BUSY while another
 * process prepares it. */
MUST_USE enum status prepare_run(const struct prepare_options *options,
                                 struct prepare_report *report, struct error *err);

/* Appends the report as the JSON object of prepare.json, without its inputs and parameters, plus
 * "is_cached", "tokenise_s", "tokens_per_s", "total_s". */
MUST_USE enum status prepare_report_json(struct bytes *out, const struct prepare_report *report,
                                         struct error *err);
