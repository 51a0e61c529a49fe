/*
 * config — the shape of a LLaMA, in the words of Hugging Face's config.json.
 *
 * Plain data. A config that passed model_config_validate is safe to compute sizes with: every
 * tensor of the model and their sum fit into int64_t elements and size_t bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "worker/ops/rope.h"

struct train_spec;

struct model_config {
    int64_t hidden_size;         /* C */
    int64_t intermediate_size;   /* F */
    int64_t num_hidden_layers;   /* L */
    int64_t num_attention_heads; /* H */
    int64_t num_key_value_heads; /* KV; H is a multiple of it (Ainslie et al. 2023) */
    int64_t head_dim;            /* D, even (RoPE turns pairs) */
    int64_t vocab_size;          /* V */
    double rms_norm_eps;
    double rope_theta;
    struct {
        double factor; /* 0: none */
        double low_freq_factor;
        double high_freq_factor;
        int64_t original_max_position_embeddings;
    } rope_scaling;           /* rope_type llama3 */
    double initializer_range; /* standard deviation of the initial embeddings, linears and head */
    bool tie_word_embeddings; /* the head is the embedding; else a tensor of its own */
};

/* STATUS_INVALID or STATUS_LIMIT with the field named as in the spec ("model.config.hidden_size").
 */
MUST_USE enum status model_config_validate(const struct model_config *config, struct error *err);

/* The spec's model with the vocabulary of its tokenizer; validated. */
MUST_USE enum status model_config_from_spec(struct model_config *out, const struct train_spec *spec,
                                            int64_t vocab_size, struct error *err);

/* Elements of all tensors of the model, adapters apart. */
int64_t model_config_parameters(const struct model_config *config);

struct rope_angles model_config_rope(const struct model_config *config);

/* Rows of the fused q|k|v weight: (H + 2 KV) D. */
static inline int64_t model_config_qkv_rows(const struct model_config *config)
{
    return (config->num_attention_heads + 2 * config->num_key_value_heads) * config->head_dim;
}
