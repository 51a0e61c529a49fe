#include "worker/convert/hf_export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/tensors/safetensors.h"
#include "worker/convert/hf_json.h"
#include "worker/method/learner.h"
#include "worker/text/tokenizer.h"

#define TOKENIZER_BYTES_MAX (256 * MIB)

/* As in the spec that the checkpoint carries. */
static double initializer_range(const json_t *meta)
{
    const json_t *model = json_object_get(json_object_get(meta, "spec"), "model");
    const json_t *config = json_object_get(model, "config");

    return json_get_real(config, "initializer_range", 0.02);
}

static json_t *rope_scaling(const struct model_config *config)
{
    return json_pack("{s:s, s:f, s:f, s:f, s:I}", "rope_type", "llama3", "factor",
                     config->rope_scaling.factor, "low_freq_factor",
                     config->rope_scaling.low_freq_factor, "high_freq_factor",
                     config->rope_scaling.high_freq_factor, "original_max_position_embeddings",
                     (json_int_t)config->rope_scaling.original_max_position_embeddings);
}

/* The keys of transformers' LlamaConfig. */
static enum status write_config(const struct hf_export *what, int64_t eos_id, struct error *err)
{
    const struct learner_options *options = learner_options(what->learner);
    const struct model_config *config = &options->config;
    json_t *shape = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:b}", "hidden_size",
        (json_int_t)config->hidden_size, "intermediate_size", (json_int_t)config->intermediate_size,
        "num_hidden_layers", (json_int_t)config->num_hidden_layers, "num_attention_heads",
        (json_int_t)config->num_attention_heads, "num_key_value_heads",
        (json_int_t)config->num_key_value_heads, "head_dim", (json_int_t)config->head_dim,
        "vocab_size", (json_int_t)config->vocab_size, "max_position_embeddings",
        (json_int_t)options->sequence_length, "rms_norm_eps", config->rms_norm_eps, "rope_theta",
        config->rope_theta, "tie_word_embeddings", config->tie_word_embeddings);
    json_t *rest = json_pack("{s:[s], s:s, s:s, s:b, s:b, s:s, s:b, s:f}", "architectures",
                             "LlamaForCausalLM", "model_type", "llama", "hidden_act", "silu",
                             "attention_bias", 0, "mlp_bias", 0, "torch_dtype", "float32",
                             "use_cache", 1, "initializer_range", initializer_range(what->meta));

    if (shape != NULL && config->rope_scaling.factor != 0.0) {
        (void)json_object_set_new(shape, "rope_scaling", rope_scaling(config));
    }
    if (shape != NULL && eos_id >= 0) {
        /* Documents were separated by EOS alone, so that is what a text begins after. */
        (void)json_object_set_new(shape, "eos_token_id", json_integer((json_int_t)eos_id));
        (void)json_object_set_new(shape, "bos_token_id", json_integer((json_int_t)eos_id));
    }
    if (shape != NULL && rest != NULL && json_object_update(shape, rest) != 0) {
        json_decref(shape);
        shape = NULL;
    }
    json_decref(rest);
    return hf_json_write(what->folder, "config.json", shape, err);
}

static enum status write_generation_config(const struct hf_export *what, int64_t eos_id,
                                           struct error *err)
{
    return hf_json_write(what->folder, "generation_config.json",
                         json_pack("{s:I, s:I, s:b}", "bos_token_id", (json_int_t)eos_id,
                                   "eos_token_id", (json_int_t)eos_id, "do_sample", 0),
                         err);
}

/* Says how transformers has to use the tokenizer: as training did, without BOS. */
static enum status write_tokenizer_config(const struct hf_export *what, struct error *err)
{
    json_t *config = json_pack("{s:s, s:b, s:b, s:s, s:s, s:s, s:b, s:b, s:I}", "tokenizer_class",
                               "LlamaTokenizer", "add_bos_token", 0, "add_eos_token", 0,
                               "bos_token", "<s>", "eos_token", "</s>", "unk_token", "<unk>",
                               "legacy", 0, "clean_up_tokenization_spaces", 0, "model_max_length",
                               (json_int_t)learner_options(what->learner)->sequence_length);

    return hf_json_write(what->folder, "tokenizer_config.json", config, err);
}

static enum status write_tokenizer(const struct hf_export *what, int64_t *eos_id, struct error *err)
{
    struct tokenizer *tokenizer = NULL;
    char path[PATH_BYTES_MAX];
    struct bytes model = {0};

    enum status status = file_read(&model, what->tokenizer_path, TOKENIZER_BYTES_MAX, err);
    if (!status) {
        status =
            tokenizer_load_bytes(&tokenizer, model.data, model.size, what->tokenizer_path, err);
    }
    if (!status) {
        *eos_id = tokenizer_eos_id(tokenizer);
        status = path_printf(path, err, "%s/tokenizer.model", what->folder);
    }
    if (!status) {
        status = file_write(path, model.data, model.size, 0644, err);
    }
    tokenizer_destroy(tokenizer);
    bytes_deinit(&model);
    return status ? status : write_tokenizer_config(what, err);
}

static enum status add_tensor(struct safetensors_writer *writer, const char *name, int dimensions,
                              const int64_t shape[2], struct error *err)
{
    struct tensor_shape tensor_shape = {.dims = dimensions};

    for (int i = 0; i < dimensions; i++) {
        tensor_shape.extents[i] = shape[i];
    }
    return safetensors_writer_add(writer, name, TENSOR_DTYPE_F32, &tensor_shape, err);
}

/* Begins the file of tensors; "format": "pt" is what transformers looks for. */
static enum status begin_file(struct safetensors_writer **writer, const struct hf_export *what,
                              const char *name, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/%s", what->folder, name);
    if (!status) {
        status = safetensors_writer_create(writer, path, err);
    }
    return status ? status : safetensors_writer_metadata(*writer, "format", "pt", err);
}

static size_t bytes_of(const struct param *param)
{
    return (size_t)param->elements * sizeof(float);
}

/* The tensors first … last - 1 as one file. */
static enum status write_merged_file(const struct hf_export *what, const char *name, int64_t first,
                                     int64_t last, struct error *err)
{
    const struct param_table *params = learner_params(what->learner);
    struct safetensors_writer *writer = NULL;

    enum status status = begin_file(&writer, what, name, err);
    for (int64_t i = first; i < last && !status; i++) {
        const struct param *param = &params->params[i];
        status = add_tensor(writer, param->name, param->dimensions, param->shape, err);
    }
    for (int64_t i = first; i < last && !status; i++) {
        float *merged = sys_malloc(bytes_of(&params->params[i]));
        if (merged == NULL) {
            status = error_set(err, STATUS_NO_MEMORY, "no memory for tensor '%s'",
                               params->params[i].name);
            break;
        }
        learner_merged_tensor(what->learner, i, merged);
        status = safetensors_writer_write(writer, merged, bytes_of(&params->params[i]), err);
        free(merged);
    }
    if (!status) {
        status = safetensors_writer_finish(writer, err);
    }
    safetensors_writer_destroy(writer);
    return status;
}

/* The tensors from first on that one file takes: as many as fit, at least one. */
static int64_t shard_end(const struct hf_export *what, int64_t first)
{
    const struct param_table *params = learner_params(what->learner);
    size_t size = bytes_of(&params->params[first]);
    int64_t last = first + 1;

    while (last < params->model_count &&
           size + bytes_of(&params->params[last]) <= what->shard_bytes_max) {
        size += bytes_of(&params->params[last]);
        last++;
    }
    return last;
}

static enum status write_shards(const struct hf_export *what, int count, struct error *err)
{
    const struct param_table *params = learner_params(what->learner);
    json_t *map = json_object();
    size_t total = 0;
    int64_t first = 0;
    enum status status = STATUS_OK;

    for (int shard = 1; shard <= count && !status; shard++) {
        char name[64];
        const int64_t last = shard_end(what, first);
        (void)snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", shard, count);
        for (int64_t i = first; i < last; i++) {
            (void)json_object_set_new(map, params->params[i].name, json_string(name));
            total += bytes_of(&params->params[i]);
        }
        status = write_merged_file(what, name, first, last, err);
        first = last;
    }
    if (status) {
        json_decref(map);
        return status;
    }
    return hf_json_write(
        what->folder, "model.safetensors.index.json",
        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)total, "weight_map", map),
        err);
}

/* What an earlier export of another size has left would be read instead. */
static enum status remove_file(const struct hf_export *what, const char *name, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/%s", what->folder, name);
    if (!status && file_exists(path) && sys_unlink(path) != 0) {
        status = error_from_errno(err, errno, "remove '%s'", path);
    }
    return status;
}

static enum status write_merged(const struct hf_export *what, struct error *err)
{
    const struct param_table *params = learner_params(what->learner);
    int count = 0;

    for (int64_t first = 0; first < params->model_count; first = shard_end(what, first)) {
        count++;
    }
    enum status status =
        remove_file(what, count == 1 ? "model.safetensors.index.json" : "model.safetensors", err);
    if (status) {
        return status;
    }
    return count == 1 ? write_merged_file(what, "model.safetensors", 0, params->model_count, err)
                      : write_shards(what, count, err);
}

enum status hf_export_merged(const struct hf_export *what, struct error *err)
{
    int64_t eos_id = -1;

    enum status status = folder_create(what->folder, 0755, err);
    if (!status) {
        status = write_tokenizer(what, &eos_id, err);
    }
    if (!status) {
        status = write_config(what, eos_id, err);
    }
    if (!status) {
        status = write_generation_config(what, eos_id, err);
    }
    return status ? status : write_merged(what, err);
}

static enum status write_raw_file(const struct hf_export *what, struct error *err)
{
    int64_t count = learner_tensor_count(what->learner);
    struct safetensors_writer *writer = NULL;

    enum status status = begin_file(&writer, what, "raw.safetensors", err);
    for (int64_t i = 0; i < count && !status; i++) {
        struct learner_tensor tensor = learner_tensor(what->learner, i);
        status = add_tensor(writer, tensor.name, tensor.dimensions, tensor.shape, err);
    }
    for (int64_t i = 0; i < count && !status; i++) {
        struct learner_tensor tensor = learner_tensor(what->learner, i);
        status = safetensors_writer_write(writer, tensor.data,
                                          (size_t)tensor.elements * sizeof(float), err);
    }
    if (!status) {
        status = safetensors_writer_finish(writer, err);
    }
    safetensors_writer_destroy(writer);
    return status;
}

enum status hf_export_raw(const struct hf_export *what, struct error *err)
{
    enum status status = folder_create(what->folder, 0755, err);

    if (!status) {
        status = hf_json_write(what->folder, "checkpoint.json", json_deep_copy(what->meta), err);
    }
    if (!status) {
        status = write_config(what, -1, err);
    }
    return status ? status : write_raw_file(what, err);
}
