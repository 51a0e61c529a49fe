/*
 * prepare_spec — a validated spec of kind prepare as a struct: text files to token shards.
 *
 * Ownership: texts live as long as the spec that was read.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"

struct prepare_spec {
    const char *name;
    struct spec_files inputs;
    const char *tokenizer;        /* path of a .model; NULL: train one */
    int64_t tokenizer_vocab_size; /* of the one to train; else 0 */
    double validation_fraction;   /* of documents, by their digest */
    const char *output;           /* folder */
    uint64_t seed;
};

/* spec has passed spec_validate. */
MUST_USE enum status prepare_spec_read(struct prepare_spec *out, const json_t *spec,
                                       struct error *err);
