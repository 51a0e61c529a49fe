/*
 * run_plan — what `remora run` chooses for a person who names text, a model and a number of steps.
 *
 * Every choice ends up in the YAML file that it writes, so nothing is hidden and all can be changed
 * there. Everything here depends on its arguments only.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/base/limits.h"
#include "proto/spec/presets.h"
#include "proto/spec/train_spec.h"

/* Merges in a run of remora. */
#define RUN_CYCLES 5

struct run_plan {
    char name[JOB_NAME_BYTES_MAX + 1];
    const struct model_preset *model;
    enum method_name method;
    int64_t steps; /* with remora a multiple of RUN_CYCLES */
    int64_t ranks;
    int64_t threads_per_rank;
    int64_t sequence_length;
    int64_t validation_sequences;
    const char *folder; /* of the prepared data, as the YAML should name it; borrowed */
};

/* Bytes of text in a file of this name and size, roughly: compression and markup taken off. */
int64_t run_text_bytes(const char *path, int64_t file_bytes);

/* Pieces of the vocabulary for so much text: more text supports more pieces. */
int64_t run_vocab_size(int64_t text_bytes);

/* Share of the documents kept back: 2 %, more of little text, so that the perplexity is over some
 * 10 000 tokens. */
double run_validation_fraction(int64_t text_bytes);

/* Steps rounded up so that remora's cycles are whole. */
int64_t run_steps(int64_t steps, enum method_name method);

/* out <- "<stem>-<model>-<method>", made a valid job name: the stem of the one data file, or the
 * folder's name where there are several. */
void run_name(char out[JOB_NAME_BYTES_MAX + 1], const char *data_path, const char *model,
              const char *method);

/* Ranks and threads for so many slots: two ranks where there are two, the other slots as threads.
 */
void run_launch(struct run_plan *plan, int64_t slots);

/* The longest of 512, 256, … 32 tokens of which the data gives enough sequences. */
int64_t run_sequence_length(const struct model_preset *model, int64_t train_tokens,
                            int64_t validation_tokens);

/* *out is a new reference to a spec with the fields in the order that people read them. */
MUST_USE enum status run_spec(json_t **out, const struct run_plan *plan, struct error *err);
