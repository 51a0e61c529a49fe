/*
 * hf_config — Hugging Face's config.json of a model, as ours.
 *
 * Takes LLaMA's (1, 2, 3.x, TinyLlama, SmolLM) and Mistral's without a sliding window, with
 * transformers' defaults for what is missing. Whatever would make another function of the weights
 * (biases, another activation, other ways to stretch rotary positions, quantised weights, another
 * architecture) is STATUS_UNSUPPORTED with the reason; a field that is none is STATUS_INVALID.
 * Messages begin with the name of the file and the field.
 *
 * Threads: any.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "proto/base/error.h"
#include "worker/model/config.h"

/* A config.json that people write has 1 KiB; those with a label per class have more. */
#define HF_CONFIG_BYTES_MAX ((size_t)1 << 20)

/* Validated, too. name stands for the file in messages. */
MUST_USE enum status hf_config_parse(struct model_config *out, const char *text, size_t size,
                                     const char *name, struct error *err);

/* {"config": {…}} as model has it in a spec; a new reference, or NULL when memory is out. */
json_t *hf_config_shape(const struct model_config *config);
