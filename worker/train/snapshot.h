/*
 * snapshot — a run's state to and from the checkpoint store.
 *
 * A checkpoint holds every tensor of the learner's state and, as its meta:
 *   run, spec (canonical), digests {spec, data, tokenizer}, vocab_size          what it is of
 *   steps, world, micro, lanes, threads, dtype, backend, isa, onednn, version   how it was made
 *   group, learner, rng, sampler, tokens, loss, receipt                         where the run is
 * Random numbers and batches are functions of the seed and the step, so their position is all there
 * is to keep. The first line is the run's *identity*: a run resumes only from checkpoints that have
 * the same digests.
 *
 * Threads: rank 0's main thread; snapshot_share is collective.
 */
#pragma once

#include "proto/base/error.h"
#include "worker/train/trainer.h"

struct checkpoint;
struct learner_options;

/* *out is a new reference: what trainer->identity is. shape is an object with the model's preset or
 * config; begun_with says which checkpoint the run began with (NULL: none) and is not kept. */
MUST_USE enum status snapshot_identity(json_t **out, const json_t *spec, const json_t *shape,
                                       const json_t *begun_with, const struct corpus *corpus,
                                       struct error *err);

/* What a checkpoint's meta says about how its learner was made, to make it again for its state
 * alone. */
MUST_USE enum status snapshot_options(struct learner_options *out, const json_t *meta,
                                      struct error *err);

/* Writes a durable checkpoint of trainer->progress, appends its record, and drops those that
 * checkpoint.keep_last lets go: rank 0, unless ready is already a failure, which is then returned.
 * The other ranks send their shards of the optimizer's state. Collective. */
MUST_USE enum status snapshot_save(struct trainer *trainer, enum status ready, struct error *err);

/* Loads the newest checkpoint that verifies into rank 0's learner and progress, and begins this
 * attempt's generation. Each one that is damaged is skipped with a warning on record; where none is
 * left, progress is that of a fresh run. STATUS_CONFLICT for a checkpoint of another spec, other
 * data or another tokenizer. */
MUST_USE enum status snapshot_load(struct trainer *trainer, struct error *err);

/* Collective: the other ranks take over rank 0's progress and, where resumed, its learner's state;
 * of a run that begins with a checkpoint (model.from), the parameters. */
MUST_USE enum status snapshot_share(struct trainer *trainer, struct error *err);

/* Fills the values of the learner's tensors, and not the moments, from a checkpoint. */
MUST_USE enum status snapshot_read_values(struct learner *learner, struct checkpoint *checkpoint,
                                          struct error *err);

/* Fills the learner's tensors from a checkpoint that has all of them, in their shapes. */
MUST_USE enum status snapshot_read_tensors(struct learner *learner, struct checkpoint *checkpoint,
                                           struct error *err);
