/*
 * checkpoints — small stores for tests: a complete meta object, and states of a run that are a pure
 * function of the step, so that what is read back can be checked.
 */
#pragma once

#include <jansson.h>

#include "proto/store/checkpoint.h"
#include "tests/support/test.h"

/* Elements of the tensors of test_checkpoint_write. "frozen" is the same at every step. */
#define TEST_FROZEN_COUNT 3000
#define TEST_MOVING_COUNT 500

/* A meta object with every member that the schema requires; a new reference. */
json_t *test_checkpoint_meta(int64_t step);

/* Writes the checkpoint of step: F32 "frozen" [30, 100], F32 "moving" [500], F32 "empty" [0]. */
MUST_USE enum status test_checkpoint_write(struct store *store, int64_t step,
                                           struct checkpoint_written *out, struct error *err);

/* Fails the test unless the checkpoint is wholly the one of its step. */
void test_checkpoint_assert(struct checkpoint *checkpoint);
