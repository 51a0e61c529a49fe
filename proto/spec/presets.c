#include "proto/spec/presets.h"

#include <string.h>

const struct model_preset model_presets[] = {
    {"llama-9m", 128, 352, 4, 4},       {"llama-20m", 256, 688, 4, 4},
    {"llama-35m", 384, 1024, 6, 8},     {"llama-40m", 416, 1024, 8, 8},
    {"llama-60m", 512, 1376, 8, 8},     {"llama-71m", 512, 1368, 12, 8},
    {"llama-100m", 640, 1708, 12, 10},  {"llama-130m", 768, 2048, 12, 12},
    {"llama-250m", 768, 2560, 24, 16},  {"llama-350m", 1024, 2736, 24, 16},
    {"llama-1.3b", 2048, 5461, 24, 32}, {"llama-3b", 2560, 6848, 32, 32},
    {"llama-7b", 4096, 11008, 32, 32},
};
const size_t model_preset_count = sizeof model_presets / sizeof model_presets[0];

const struct model_preset *model_preset_find(const char *name)
{
    for (size_t i = 0; i < model_preset_count; i++) {
        if (strcmp(model_presets[i].name, name) == 0) {
            return &model_presets[i];
        }
    }
    return NULL;
}
