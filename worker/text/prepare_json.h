/*
 * prepare_json — prepare.json: the key of a preparation and its report, to and from JSON.
 *
 *   {"format": "remora-prepare", "version": 1, "key": HEX,
 *    "inputs": [{"path", "bytes", "digest"}, …],
 *    "parameters": {"format", "text_field", "seed", "tokenizer": {"digest"} | {"train",
 *                   "sample_bytes"}, "validation_fraction"},
 *    "files", "input_bytes", "text_bytes", "records", "documents", "drops": {NAME: count, …},
 *    "tokenizer": {"digest", "vocab_size", "eos_id"},
 *    "train": {"documents", "tokens", "digest"}, "validation": the same}
 *
 * The key is the SHA-256 of the canonical JSON of {"version", "parameters", "digests" of the inputs
 * in order}: where the files lie does not matter. There are no times in the file, so equal keys
 * give equal bytes but for the paths.
 */
#pragma once

#include "proto/base/error.h"
#include "worker/text/input.h"
#include "worker/text/prepare.h"

#define PREPARE_JSON    "prepare.json"
#define PREPARE_VERSION 1

/* The key of these inputs, digests filled, and parameters. tokenizer is NULL when one is trained.
 */
MUST_USE enum status prepare_key(struct digest *out, const struct prepare_options *options,
                                 const struct digest *tokenizer, const struct input_list *inputs,
                                 struct error *err);

/* Writes folder/prepare.json. */
MUST_USE enum status prepare_json_write(const char *folder, const struct prepare_options *options,
                                        const struct digest *tokenizer,
                                        const struct input_list *inputs,
                                        const struct prepare_report *report, struct error *err);

/* Reads folder/prepare.json; NOT_FOUND without one, CORRUPT when it is not ours. */
MUST_USE enum status prepare_json_read(struct prepare_report *out, const char *folder,
                                       struct error *err);
