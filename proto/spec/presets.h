/*
 * presets — the LLaMA shapes that `model.preset` names. Lialin et al. 2023 (ReLoRA),
 * configs/llama_*; llama-1.3b is their llama_1b. The vocabulary is the tokenizer's, so it is not
 * part of a preset.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct model_preset {
    const char *name;
    int64_t hidden_size;
    int64_t intermediate_size;
    int64_t num_hidden_layers;
    int64_t num_attention_heads;
};

extern const struct model_preset model_presets[];
extern const size_t model_preset_count;

/* NULL when there is none of that name. */
const struct model_preset *model_preset_find(const char *name);
