/*
 * peft_export — what a run has learnt as an adapter that PEFT loads: adapter_config.json and
 * adapter_model.safetensors, beside the base that the run was trained from.
 *
 *   lora, lora_plus, asylora   A and B as they are
 *   dora                       and m, as lora_magnitude_vector
 *   mora, remora               as a plain LoRA (sharing and truncation, repeating kinds): with T of
 *                              every kind, ΔW = Σ D T Cᵀ, so B = [D T …] and A = [Cᵀ …], of rank r̂
 *                              times the kinds; lora_alpha = r and alpha_pattern make its scale 1
 *
 * STATUS_UNSUPPORTED with the reason for all others: methods without an adapter, operators that are
 * no product of two thin matrices, runs that have changed more than their adapters (train,
 * full-rank steps, merges that rewrite the base).
 *
 * Threads: the one that has the learner.
 */
#pragma once

#include <stdint.h>

#include "proto/base/error.h"

struct learner;

struct peft_size {
    int64_t adapter_elements;
    int64_t weight_elements; /* d k of all its targets */
};

/* base is how PEFT finds the base model, or NULL; folder is made when missing. */
MUST_USE enum status peft_export(const struct learner *learner, const char *folder,
                                 const char *base, struct peft_size *size, struct error *err);
