/*
 * hf_export — a checkpoint's state as files that others read.
 *
 * Merged: a folder that transformers' LlamaForCausalLM.from_pretrained loads.
 *   model.safetensors       (or model-00001-of-0000N.safetensors and the rest with
 *                           model.safetensors.index.json, where it would be larger than one file
 *                           may be) every tensor of the model in F32 under Hugging Face's names,
 * with what the method learnt added into the linears config.json, generation_config.json,
 * tokenizer.model, tokenizer_config.json Raw: what was trained, tensor by tensor. raw.safetensors
 * Hugging Face's names for the model's own (frozen) tensors, and <name>.M, <name>.S.<kind>,
 * <name>.exp_avg, <name>.exp_avg_sq checkpoint.json         the checkpoint's meta; config.json
 *
 * The tensors are written last: a folder with them is whole.
 * Threads: the one that has the learner.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "proto/base/error.h"

/* What transformers writes into one file. */
#define HF_SHARD_BYTES_MAX ((size_t)5000000000)

struct learner;

struct hf_export {
    const struct learner *learner;
    const char *folder;         /* made when missing */
    const char *tokenizer_path; /* merged only */
    const json_t *meta;         /* the checkpoint's */
    size_t shard_bytes_max;     /* of tensors in a file, merged only; a larger tensor has its own */
};

MUST_USE enum status hf_export_merged(const struct hf_export *what, struct error *err);
MUST_USE enum status hf_export_raw(const struct hf_export *what, struct error *err);
