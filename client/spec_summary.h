/*
 * spec_summary — what a spec comes to: sizes, slots, steps. It looks at what the spec names, so
 * making one is also the check that the named inputs are there and belong together.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"

/* Of a job of kind train. A count is 0 where it is known only after data.train[].files have been
 * prepared. */
struct spec_summary {
    struct train_spec spec; /* borrows from the JSON */
    int64_t vocab_size;
    int64_t parameters;
    int64_t trainable_parameters;
    int64_t train_tokens;
    int64_t train_sequences;
    int64_t validation_sequences; /* that are evaluated */
    int64_t tokens_per_step;
    int64_t steps;
    int64_t slots;
};

/* spec is validated, its paths absolute. Errors name the field. */
MUST_USE enum status spec_summary_read(struct spec_summary *out, const json_t *spec,
                                       struct error *err);

/* All of it but the spec, as an object; a new reference, NULL when memory is out. */
json_t *spec_summary_to_json(const struct spec_summary *summary);

/* Parameters of a LLaMA without biases, with an untied head;
 * trainable: embeddings, norms and head, and the linears or what stands for them. */
void spec_count_parameters(const struct train_spec *spec, int64_t vocab_size, int64_t *total,
                           int64_t *trainable);
