/* A config.json of Hugging Face's: what is taken can be computed with, and says itself again. */
#include <string.h>

#include "proto/base/json.h"
#include "proto/spec/train_spec.h"
#include "tests/fuzz/fuzz.h"
#include "worker/convert/hf_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_config config;
    struct error err = {0};

    if (hf_config_parse(&config, (const char *)data, size, "config.json", &err) != STATUS_OK) {
        FUZZ_ASSERT(strncmp(err.message, "config.json: ", 13) == 0);
        return 0;
    }
    FUZZ_ASSERT(model_config_parameters(&config) > 0);
    json_t *shape = hf_config_shape(&config);
    struct train_spec spec = {0};
    FUZZ_ASSERT(shape != NULL && train_spec_read_shape(&spec, shape));
    struct model_config again;
    FUZZ_ASSERT(model_config_from_spec(&again, &spec, config.vocab_size, &err) == STATUS_OK);
    FUZZ_ASSERT(again.head_dim == config.head_dim);
    FUZZ_ASSERT(again.num_key_value_heads == config.num_key_value_heads);
    FUZZ_ASSERT(model_config_parameters(&again) == model_config_parameters(&config));
    json_decref(shape);
    return 0;
}
