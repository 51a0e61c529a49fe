#include "worker/convert/hf_config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"

/* What is read, and what it is called in messages. */
struct source {
    const json_t *object;
    const char *name;
};

__attribute__((format(printf, 5, 6))) static enum status at_fault(const struct source *source,
                                                                  const char *key,
                                                                  struct error *err,
                                                                  enum status status,
                                                                  const char *format, ...)
{
    char text[320];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(err, status, "%s: %s: %s", source->name, key, text);
}

/* NULL where it is missing or null. */
static const json_t *field(const struct source *source, const char *key)
{
    const json_t *value = json_object_get(source->object, key);
    return json_is_null(value) ? NULL : value;
}

/* A whole number from 1 up; fallback where it is missing, unless that is 0. */
static enum status read_count(int64_t *out, const struct source *source, const char *key,
                              int64_t max, int64_t fallback, struct error *err)
{
    const json_t *value = field(source, key);

    *out = fallback;
    if (value == NULL) {
        return fallback > 0 ? STATUS_OK : at_fault(source, key, err, STATUS_INVALID, "is missing");
    }
    if (!json_is_integer(value) || json_integer_value(value) < 1 ||
        json_integer_value(value) > max) {
        return at_fault(source, key, err, STATUS_INVALID, "is not a whole number in 1 … %lld",
                        (long long)max);
    }
    *out = json_integer_value(value);
    return STATUS_OK;
}

static enum status read_number(double *out, const struct source *source, const char *key,
                               double fallback, struct error *err)
{
    const json_t *value = field(source, key);

    *out = fallback;
    if (value != NULL && !(json_is_number(value) && isfinite(json_number_value(value)) &&
                           json_number_value(value) > 0.0)) {
        return at_fault(source, key, err, STATUS_INVALID, "is not a number above 0");
    }
    if (value != NULL) {
        *out = json_number_value(value);
    }
    return *out > 0.0 ? STATUS_OK : at_fault(source, key, err, STATUS_INVALID, "is missing");
}

static enum status read_flag(bool *out, const struct source *source, const char *key,
                             struct error *err)
{
    const json_t *value = field(source, key);

    *out = json_is_true(value);
    return value == NULL || json_is_boolean(value)
               ? STATUS_OK
               : at_fault(source, key, err, STATUS_INVALID, "is neither true nor false");
}

/* --- what the engine cannot express ----------------------------------------------------------- */

static enum status check_architecture(const struct source *source, struct error *err)
{
    const char *type = json_get_text(source->object, "model_type", NULL);
    const json_t *architectures = field(source, "architectures");
    const char *architecture = json_string_value(json_array_get(architectures, 0));

    if (type == NULL && architecture == NULL) {
        return at_fault(source, "model_type", err, STATUS_INVALID, "is missing");
    }
    if ((type != NULL && strcmp(type, "qwen2") == 0) ||
        (architecture != NULL && strcmp(architecture, "Qwen2ForCausalLM") == 0)) {
        return at_fault(source, "model_type", err, STATUS_UNSUPPORTED,
                        "qwen2 has biases on q, k and v, and linear layers here have none");
    }
    if (type != NULL && strcmp(type, "llama") != 0 && strcmp(type, "mistral") != 0) {
        return at_fault(source, "model_type", err, STATUS_UNSUPPORTED,
                        "'%.40s' is not llama, nor mistral", type);
    }
    if (architecture != NULL && strcmp(architecture, "LlamaForCausalLM") != 0 &&
        strcmp(architecture, "MistralForCausalLM") != 0 &&
        strcmp(architecture, "LLaMAForCausalLM") != 0) {
        return at_fault(source, "architectures", err, STATUS_UNSUPPORTED,
                        "'%.60s' is not LlamaForCausalLM, nor MistralForCausalLM", architecture);
    }
    return STATUS_OK;
}

static enum status check_biases(const struct source *source, struct error *err)
{
    static const char *const keys[] = {"attention_bias", "mlp_bias"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        bool has_bias = false;
        enum status status = read_flag(&has_bias, source, keys[i], err);
        if (status || has_bias) {
            return status ? status
                          : at_fault(source, keys[i], err, STATUS_UNSUPPORTED,
                                     "linear layers here have no biases");
        }
    }
    return STATUS_OK;
}

static enum status check_expressible(const struct source *source, struct error *err)
{
    const char *type = json_get_text(source->object, "model_type", "");
    const char *activation = json_get_text(source->object, "hidden_act", "silu");
    const json_t *partial = field(source, "partial_rotary_factor");

    if (strcmp(activation, "silu") != 0 && strcmp(activation, "swish") != 0) {
        return at_fault(source, "hidden_act", err, STATUS_UNSUPPORTED,
                        "'%.40s': the MLP here is SwiGLU, with silu", activation);
    }
    if (strcmp(type, "mistral") == 0 && field(source, "sliding_window") != NULL) {
        return at_fault(source, "sliding_window", err, STATUS_UNSUPPORTED,
                        "attention here sees the whole sequence");
    }
    if (field(source, "quantization_config") != NULL) {
        return at_fault(source, "quantization_config", err, STATUS_UNSUPPORTED,
                        "weights are read as F32, F16 or BF16");
    }
    if (partial != NULL && (json_number_value(partial) < 1.0 || json_number_value(partial) > 1.0)) {
        return at_fault(source, "partial_rotary_factor", err, STATUS_UNSUPPORTED,
                        "rotary embeddings here turn all features of a head");
    }
    return check_biases(source, err);
}

/* --- the shape -------------------------------------------------------------------------------- */

static enum status read_sizes(struct model_config *out, const struct source *source,
                              struct error *err)
{
    const struct {
        const char *key;
        int64_t *value;
        int64_t max;
    } fields[] = {
        {"hidden_size", &out->hidden_size, HIDDEN_SIZE_MAX},
        {"intermediate_size", &out->intermediate_size, 4 * HIDDEN_SIZE_MAX},
        {"num_hidden_layers", &out->num_hidden_layers, LAYERS_MAX},
        {"num_attention_heads", &out->num_attention_heads, HIDDEN_SIZE_MAX},
        {"vocab_size", &out->vocab_size, VOCAB_SIZE_MAX},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        enum status status =
            read_count(fields[i].value, source, fields[i].key, fields[i].max, 0, err);
        if (status) {
            return status;
        }
    }
    enum status status = read_count(&out->num_key_value_heads, source, "num_key_value_heads",
                                    HIDDEN_SIZE_MAX, out->num_attention_heads, err);
    if (!status && field(source, "head_dim") == NULL &&
        out->hidden_size % out->num_attention_heads != 0) {
        status = at_fault(source, "num_attention_heads", err, STATUS_INVALID,
                          "hidden_size %lld is not divisible by %lld", (long long)out->hidden_size,
                          (long long)out->num_attention_heads);
    }
    if (!status) {
        const int64_t usual = out->hidden_size / out->num_attention_heads;
        status = read_count(&out->head_dim, source, "head_dim", HIDDEN_SIZE_MAX,
                            usual > 0 ? usual : 1, err);
    }
    return status;
}

/* rope_scaling, or what newer files have: rope_parameters with rope_theta inside. */
static enum status read_rope(struct model_config *out, const struct source *source,
                             struct error *err)
{
    const json_t *parameters = field(source, "rope_parameters");
    const json_t *object = parameters != NULL ? parameters : field(source, "rope_scaling");
    const char *key = parameters != NULL ? "rope_parameters" : "rope_scaling";
    const char *type = json_get_text(object, "rope_type", json_get_text(object, "type", "default"));
    char name[320];

    enum status status = read_number(&out->rope_theta, source, "rope_theta", 10000.0, err);
    if (status || object == NULL) {
        return status;
    }
    if (!json_is_object(object)) {
        return at_fault(source, key, err, STATUS_INVALID, "is neither null nor an object");
    }
    (void)snprintf(name, sizeof name, "%s: %s", source->name, key);
    const struct source rope = {.object = object, .name = name};
    status = read_number(&out->rope_theta, &rope, "rope_theta", out->rope_theta, err);
    if (status || strcmp(type, "default") == 0) {
        return status;
    }
    if (strcmp(type, "llama3") != 0) {
        return at_fault(&rope, "rope_type", err, STATUS_UNSUPPORTED,
                        "'%.40s': rotary positions are stretched as in Llama 3, or not", type);
    }
    status = read_number(&out->rope_scaling.factor, &rope, "factor", 0.0, err);
    if (!status) {
        status =
            read_number(&out->rope_scaling.low_freq_factor, &rope, "low_freq_factor", 0.0, err);
    }
    if (!status) {
        status =
            read_number(&out->rope_scaling.high_freq_factor, &rope, "high_freq_factor", 0.0, err);
    }
    if (!status) {
        status =
            read_count(&out->rope_scaling.original_max_position_embeddings, &rope,
                       "original_max_position_embeddings", (int64_t)SEQUENCE_LENGTH_MAX, 0, err);
    }
    return status;
}

static enum status read_config(struct model_config *out, const struct source *source,
                               struct error *err)
{
    enum status status = check_architecture(source, err);
    if (!status) {
        status = check_expressible(source, err);
    }
    if (!status) {
        status = read_sizes(out, source, err);
    }
    if (!status) {
        status = read_number(&out->rms_norm_eps, source, "rms_norm_eps", 1e-6, err);
    }
    if (!status) {
        status = read_number(&out->initializer_range, source, "initializer_range", 0.02, err);
    }
    if (!status) {
        status = read_flag(&out->tie_word_embeddings, source, "tie_word_embeddings", err);
    }
    if (!status) {
        status = read_rope(out, source, err);
    }
    if (!status) {
        status = model_config_validate(out, err);
        if (status) {
            (void)error_wrap(err, "%s", source->name);
        }
    }
    return status;
}

enum status hf_config_parse(struct model_config *out, const char *text, size_t size,
                            const char *name, struct error *err)
{
    json_t *object = NULL;

    *out = (struct model_config){0};
    if (size > HF_CONFIG_BYTES_MAX) {
        return error_set(err, STATUS_LIMIT, "%s: %zu bytes are more than %zu", name, size,
                         HF_CONFIG_BYTES_MAX);
    }
    enum status status = json_parse(&object, text, size, name, err);
    if (status) {
        return status;
    }
    const struct source source = {.object = object, .name = name};
    status = json_is_object(object) ? read_config(out, &source, err)
                                    : error_set(err, STATUS_INVALID, "%s: is no JSON object", name);
    json_decref(object);
    return status;
}

json_t *hf_config_shape(const struct model_config *config)
{
    json_t *shape = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:f, s:f, s:f}", "hidden_size",
        (json_int_t)config->hidden_size, "intermediate_size", (json_int_t)config->intermediate_size,
        "num_hidden_layers", (json_int_t)config->num_hidden_layers, "num_attention_heads",
        (json_int_t)config->num_attention_heads, "num_key_value_heads",
        (json_int_t)config->num_key_value_heads, "head_dim", (json_int_t)config->head_dim,
        "tie_word_embeddings", config->tie_word_embeddings, "rms_norm_eps", config->rms_norm_eps,
        "rope_theta", config->rope_theta, "initializer_range", config->initializer_range);

    if (shape != NULL && config->rope_scaling.factor > 0.0) {
        json_t *scaling =
            json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor",
                      config->rope_scaling.factor, "low_freq_factor",
                      config->rope_scaling.low_freq_factor, "high_freq_factor",
                      config->rope_scaling.high_freq_factor, "original_max_position_embeddings",
                      (json_int_t)config->rope_scaling.original_max_position_embeddings);
        if (json_object_set_new(shape, "rope_scaling", scaling) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return shape == NULL ? NULL : json_pack("{s:o}", "config", shape);
}
