/*
 * loaded_checkpoint — a checkpoint with the learner that it is the state of, for commands that look
 * at what was learnt or write it elsewhere.
 *
 * Ownership: the caller closes what it opened.
 */
#pragma once

#include "proto/base/error.h"
#include "proto/store/checkpoint_path.h"
#include "worker/method/learner.h"
#include "worker/ops/backend.h"

struct loaded_checkpoint {
    struct found_checkpoint found;
    struct backend *backend;
    struct learner *learner; /* of LEARNER_PURPOSE_STATE */
};

/* text as in checkpoint_path.h. Rebuilds the learner from the spec that the checkpoint carries, and
 * fills it. Close it also when this fails. */
MUST_USE enum status loaded_checkpoint_open(struct loaded_checkpoint *out, const char *text,
                                            struct error *err);
void loaded_checkpoint_close(struct loaded_checkpoint *loaded);

/* out[PATH_BYTES_MAX]: the run's own copy of the tokenizer, else the one that the spec named; it
 * must be the same. */
MUST_USE enum status loaded_checkpoint_tokenizer(const struct loaded_checkpoint *loaded, char *out,
                                                 struct error *err);
