/*
 * origin — what a run begins with (model.from), a checkpoint or a folder of Hugging Face's: its
 * model, and merged weights.
 *
 * All ranks open it for its account of itself; rank 0 alone reads its tensors, and only where the
 * run has no checkpoint of its own yet. The run's adapters start on the origin's merged weights, so
 * that its loss before the first step is the origin's last one, whatever the methods are.
 *
 * Ownership: the caller owns the struct; texts of the origin's account live until origin_close.
 * Threads:   one; every rank's own.
 */
#pragma once

#include <jansson.h>

#include "proto/base/error.h"
#include "proto/spec/train_spec.h"
#include "proto/store/checkpoint_path.h"
#include "worker/method/learner.h"
#include "worker/train/corpus.h"

struct hf_model;

struct origin {
    struct hf_model *hf; /* the folder of Hugging Face's, or NULL */
    json_t *hf_shape;
    struct found_checkpoint found; /* nothing where the spec names none */
    bool is_own;                   /* it is gone; found is a checkpoint of the run that it began */
};

/* Opens what spec->model.from names, where it names something, and completes the spec's shape where
 * it has none. An origin that is gone is no loss where run_folder has checkpoints. */
MUST_USE enum status origin_open(struct origin *origin, struct train_spec *spec,
                                 const char *run_folder, struct error *err);
void origin_close(struct origin *origin);

/* The object with preset or config that is the run's shape: the spec's model, or the origin's. */
const json_t *origin_shape(const struct origin *origin, const json_t *spec);

/* {"path", "run", "step", "digest"} of the origin, *out NULL where there is none. New reference. */
MUST_USE enum status origin_describe(const struct origin *origin, json_t **out, struct error *err);

/* The origin's model may have rows for more tokens than the tokenizer knows (others round them up,
 * or have left room): corpus gets its number of them. Fewer are refused. */
MUST_USE enum status origin_widen_vocabulary(const struct origin *origin, struct corpus *corpus,
                                             struct error *err);

/* Refuses, naming both sides, an origin of another shape, vocabulary or tokenizer. */
MUST_USE enum status origin_check(const struct origin *origin, const struct model_config *config,
                                  const struct corpus *corpus, struct error *err);

/* The learner's model gets the origin's merged weights. Write the effective weights afterwards. */
MUST_USE enum status origin_load(const struct origin *origin, struct learner *learner,
                                 struct backend *backend, struct error *err);
