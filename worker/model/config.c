#include "worker/model/config.h"

#include <math.h>
#include <stddef.h>

#include "proto/base/limits.h"
#include "proto/spec/train_spec.h"

/* LLaMA's MLPs are less than four times as wide as the model; more is a slip of the pen. */
#define INTERMEDIATE_SIZE_MAX (4 * (int64_t)HIDDEN_SIZE_MAX)

/* The largest model that passes has 2^46 elements: sizes in bytes cannot overflow. */
static_assert((int64_t)LAYERS_MAX * HIDDEN_SIZE_MAX * (4 * (int64_t)HIDDEN_SIZE_MAX) < (int64_t)1
                                                                                           << 44,
              "sizes of a valid model fit 64 bits");

static enum status check_range(const char *field, int64_t value, int64_t max, struct error *err)
{
    if (value >= 1 && value <= max) {
        return STATUS_OK;
    }
    (void)error_set(err, STATUS_INVALID, "model.config.%s: %lld is not in 1 … %lld", field,
                    (long long)value, (long long)max);
    error_set_field(err, "model.config.%s", field);
    return STATUS_INVALID;
}

static enum status check_ranges(const struct model_config *config, struct error *err)
{
    const struct {
        const char *field;
        int64_t value;
        int64_t max;
    } rows[] = {
        {"hidden_size", config->hidden_size, HIDDEN_SIZE_MAX},
        {"intermediate_size", config->intermediate_size, INTERMEDIATE_SIZE_MAX},
        {"num_hidden_layers", config->num_hidden_layers, LAYERS_MAX},
        {"num_attention_heads", config->num_attention_heads, HIDDEN_SIZE_MAX},
        {"num_key_value_heads", config->num_key_value_heads, HIDDEN_SIZE_MAX},
        {"head_dim", config->head_dim, HIDDEN_SIZE_MAX},
        {"vocab_size", config->vocab_size, VOCAB_SIZE_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum status status = check_range(rows[i].field, rows[i].value, rows[i].max, err);
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

static enum status refuse(struct error *err, enum status status, const char *field,
                          const char *message)
{
    (void)error_set(err, status, "model.config.%s: %s", field, message);
    error_set_field(err, "model.config.%s", field);
    return status;
}

static enum status validate_rope_scaling(const struct model_config *config, struct error *err)
{
    const double low = config->rope_scaling.low_freq_factor;
    const double high = config->rope_scaling.high_freq_factor;

    if (config->rope_scaling.factor == 0.0) {
        return STATUS_OK;
    }
    if (!(config->rope_scaling.factor >= 1.0 && isfinite(config->rope_scaling.factor))) {
        return refuse(err, STATUS_INVALID, "rope_scaling.factor", "is not a number from 1 up");
    }
    if (!(low > 0.0 && high > low && isfinite(high))) {
        return refuse(err, STATUS_INVALID, "rope_scaling.high_freq_factor",
                      "is not above low_freq_factor, or that is not above 0");
    }
    if (config->rope_scaling.original_max_position_embeddings < 1) {
        return refuse(err, STATUS_INVALID, "rope_scaling.original_max_position_embeddings",
                      "is below 1");
    }
    return STATUS_OK;
}

enum status model_config_validate(const struct model_config *config, struct error *err)
{
    enum status status = check_ranges(config, err);
    if (status) {
        return status;
    }
    if (config->num_attention_heads % config->num_key_value_heads != 0) {
        return refuse(err, STATUS_INVALID, "num_key_value_heads",
                      "num_attention_heads is not a multiple of it");
    }
    if (config->head_dim % 2 != 0) {
        return refuse(err, STATUS_INVALID, "head_dim",
                      "is odd, but rotary embeddings turn pairs of features");
    }
    if (config->num_attention_heads * config->head_dim > HIDDEN_SIZE_MAX) {
        return refuse(err, STATUS_LIMIT, "head_dim", "times num_attention_heads is too large");
    }
    if (!(config->rms_norm_eps > 0.0 && isfinite(config->rms_norm_eps))) {
        return refuse(err, STATUS_INVALID, "rms_norm_eps", "is not a positive number");
    }
    if (!(config->rope_theta > 1.0 && isfinite(config->rope_theta))) {
        return refuse(err, STATUS_INVALID, "rope_theta", "is not a number above 1");
    }
    if (!(config->initializer_range >= 0.0 && isfinite(config->initializer_range))) {
        return refuse(err, STATUS_INVALID, "initializer_range", "is not a number from 0 up");
    }
    return validate_rope_scaling(config, err);
}

int64_t model_config_parameters(const struct model_config *config)
{
    const int64_t C = config->hidden_size;
    const int64_t attention_out = config->num_attention_heads * config->head_dim;
    const int64_t layer = model_config_qkv_rows(config) * C + C * attention_out +
                          3 * config->intermediate_size * C + 2 * C;

    const int64_t tables = config->tie_word_embeddings ? 1 : 2;

    return tables * config->vocab_size * C + config->num_hidden_layers * layer + C;
}

enum status model_config_from_spec(struct model_config *out, const struct train_spec *spec,
                                   int64_t vocab_size, struct error *err)
{
    const int64_t C = spec->model.hidden_size;
    const int64_t H = spec->model.num_attention_heads;
    const int64_t D = spec->model.head_dim;

    if (H < 1 || (D == 0 && C % H != 0)) {
        (void)error_set(err, STATUS_INVALID,
                        "model.config.num_attention_heads: %lld does not divide hidden_size %lld",
                        (long long)H, (long long)C);
        error_set_field(err, "model.config.num_attention_heads");
        return STATUS_INVALID;
    }
    *out = (struct model_config){
        .hidden_size = C,
        .intermediate_size = spec->model.intermediate_size,
        .num_hidden_layers = spec->model.num_hidden_layers,
        .num_attention_heads = H,
        .num_key_value_heads =
            spec->model.num_key_value_heads == 0 ? H : spec->model.num_key_value_heads,
        .head_dim = D == 0 ? C / H : D,
        .vocab_size = vocab_size,
        .rms_norm_eps = spec->model.rms_norm_eps,
        .rope_theta = spec->model.rope_theta,
        .initializer_range = spec->model.initializer_range,
        .tie_word_embeddings = spec->model.tie_word_embeddings,
        .rope_scaling = {.factor = spec->model.rope_scaling.factor,
                         .low_freq_factor = spec->model.rope_scaling.low_freq_factor,
                         .high_freq_factor = spec->model.rope_scaling.high_freq_factor,
                         .original_max_position_embeddings =
                             spec->model.rope_scaling.original_max_position_embeddings},
    };
    return model_config_validate(out, err);
}

struct rope_angles model_config_rope(const struct model_config *config)
{
    return (struct rope_angles){
        .theta = config->rope_theta,
        .factor = config->rope_scaling.factor,
        .low_freq_factor = config->rope_scaling.low_freq_factor,
        .high_freq_factor = config->rope_scaling.high_freq_factor,
        .original_max_position_embeddings =
            (double)config->rope_scaling.original_max_position_embeddings,
    };
}
