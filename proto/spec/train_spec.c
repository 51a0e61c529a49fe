#include "proto/spec/train_spec.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "proto/base/checked.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/spec/presets.h"
#include "proto/spec/spec_internal.h"

/* ---- The words of the spec ---- */

static const char *const schedule_words[] = {
    [SCHEDULE_NAME_JAGGED_COSINE] = "jagged_cosine",
    [SCHEDULE_NAME_MORA_HF] = "mora_hf",
    [SCHEDULE_NAME_COSINE] = "cosine",
    [SCHEDULE_NAME_LINEAR] = "linear",
    [SCHEDULE_NAME_CONSTANT] = "constant",
};
static const char *const format_words[] = {
    [TEXT_FORMAT_AUTO] = "auto",
    [TEXT_FORMAT_MEDLINE] = "medline",
    [TEXT_FORMAT_JSONL] = "jsonl",
    [TEXT_FORMAT_TEXT] = "text",
};
static const char *const backend_words[] = {
    [COMPUTE_BACKEND_AUTO] = "auto",
    [COMPUTE_BACKEND_CPU] = "cpu",
};
static const char *const dtype_words[] = {
    [COMPUTE_DTYPE_AUTO] = "auto",
    [COMPUTE_DTYPE_FP32] = "fp32",
    [COMPUTE_DTYPE_BF16] = "bf16",
};
static const char *const recompute_words[] = {
    [COMPUTE_RECOMPUTE_NONE] = "none",
    [COMPUTE_RECOMPUTE_ATTENTION] = "attention",
    [COMPUTE_RECOMPUTE_LAYER] = "layer",
};
static const char *const rounding_words[] = {
    [COMPUTE_ROUNDING_AUTO] = "auto",
    [COMPUTE_ROUNDING_NEAREST] = "nearest",
    [COMPUTE_ROUNDING_STOCHASTIC] = "stochastic",
};
static const char *const deterministic_words[] = {
    [COMPUTE_DETERMINISTIC_RUN] = "run",
    [COMPUTE_DETERMINISTIC_WORLD] = "world",
};
static const char *const overlap_words[] = {
    [LAUNCH_OVERLAP_AUTO] = "auto",
    [LAUNCH_OVERLAP_OFF] = "off",
    [LAUNCH_OVERLAP_POLL] = "poll",
    [LAUNCH_OVERLAP_THREAD] = "thread",
};
#define COUNT_OF(words) (sizeof(words) / sizeof(words)[0])

const char *schedule_name_text(enum schedule_name name)
{
    return schedule_words[name];
}

const char *text_format_text(enum text_format format)
{
    return format_words[format];
}

unsigned spec_word_index(const json_t *object, const char *key, const char *const *words,
                         size_t count)
{
    const char *text = json_get_text(object, key, "");
    unsigned index = 0;
    while (index < count && strcmp(words[index], text) != 0) {
        index++;
    }
    assert(index < count);
    return index;
}

/* count when there is none. */
static size_t find_word(const char *word, const char *const *words, size_t count)
{
    size_t index = 0;
    while (index < count && strcmp(words[index], word) != 0) {
        index++;
    }
    return index;
}

bool compute_dtype_of(enum compute_dtype *out, const char *word)
{
    const size_t index = find_word(word, dtype_words, COUNT_OF(dtype_words));
    if (index == COUNT_OF(dtype_words)) {
        return false;
    }
    *out = (enum compute_dtype)index;
    return true;
}

bool compute_recompute_of(enum compute_recompute *out, const char *word)
{
    const size_t index = find_word(word, recompute_words, COUNT_OF(recompute_words));
    if (index == COUNT_OF(recompute_words)) {
        return false;
    }
    *out = (enum compute_recompute)index;
    return true;
}

/* ---- Reading ---- */

void spec_files_read(struct spec_files *out, const json_t *object, const char *key)
{
    const json_t *files = json_object_get(object, key);
    *out = (struct spec_files){0};
    if (json_is_string(files)) {
        out->patterns[out->pattern_count++] = json_string_value(files);
    }
    size_t i = 0;
    json_t *pattern = NULL;
    json_array_foreach(files, i, pattern)
    {
        assert(out->pattern_count < SPEC_PATTERNS_MAX);
        out->patterns[out->pattern_count++] = json_string_value(pattern);
    }
    out->text_field = json_get_text(object, "text_field", "text");
    out->format = json_object_get(object, "format")
                      ? spec_word_index(object, "format", format_words, COUNT_OF(format_words))
                      : TEXT_FORMAT_AUTO;
}

void spec_tokenizer_read(const char **path, int64_t *vocab_size, const json_t *object)
{
    const json_t *tokenizer = json_object_get(object, "tokenizer");
    *path = json_string_value(tokenizer);
    *vocab_size = json_get_int(tokenizer, "train", 0);
}

static void read_rope_scaling(struct train_spec *out, const json_t *scaling)
{
    out->model.rope_scaling.factor = json_get_real(scaling, "factor", 0.0);
    out->model.rope_scaling.low_freq_factor = json_get_real(scaling, "low_freq_factor", 0.0);
    out->model.rope_scaling.high_freq_factor = json_get_real(scaling, "high_freq_factor", 0.0);
    out->model.rope_scaling.original_max_position_embeddings =
        json_get_int(scaling, "original_max_position_embeddings", 0);
}

bool train_spec_read_shape(struct train_spec *out, const json_t *model)
{
    const json_t *config = json_object_get(model, "config");
    const char *name = json_get_text(model, "preset", NULL);
    const struct model_preset *preset = name ? model_preset_find(name) : NULL;
    if (preset) {
        out->model.preset = preset->name;
        out->model.hidden_size = preset->hidden_size;
        out->model.intermediate_size = preset->intermediate_size;
        out->model.num_hidden_layers = preset->num_hidden_layers;
        out->model.num_attention_heads = preset->num_attention_heads;
    } else {
        out->model.hidden_size = json_get_int(config, "hidden_size", 0);
        out->model.intermediate_size = json_get_int(config, "intermediate_size", 0);
        out->model.num_hidden_layers = json_get_int(config, "num_hidden_layers", 0);
        out->model.num_attention_heads = json_get_int(config, "num_attention_heads", 0);
    }
    out->model.rms_norm_eps = json_get_real(config, "rms_norm_eps", 1e-6);
    out->model.num_key_value_heads = json_get_int(config, "num_key_value_heads", 0);
    out->model.head_dim = json_get_int(config, "head_dim", 0);
    out->model.tie_word_embeddings = json_is_true(json_object_get(config, "tie_word_embeddings"));
    out->model.rope_theta = json_get_real(config, "rope_theta", 10000.0);
    read_rope_scaling(out, json_object_get(config, "rope_scaling"));
    out->model.initializer_range = json_get_real(config, "initializer_range", 0.02);
    return out->model.hidden_size > 0;
}

static void read_model(struct train_spec *out, const json_t *model)
{
    out->model.from = json_get_text(model, "from", NULL);
    spec_tokenizer_read(&out->model.tokenizer, &out->model.tokenizer_vocab_size, model);
    (void)train_spec_read_shape(out, model);
}

static void read_data(struct train_spec *out, const json_t *data)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(data, "train"), i, item)
    {
        assert(i < SPEC_SOURCES_MAX);
        struct train_source *source = &out->data.train[i];
        source->shards = json_get_text(item, "shards", NULL);
        spec_files_read(&source->files, item, "files");
        source->weight = json_get_real(item, "weight", 1.0);
        out->data.train_count = i + 1;
    }
    const json_t *validation = json_object_get(data, "validation");
    out->data.validation.shards = json_get_text(validation, "shards", NULL);
    out->data.validation.fraction = json_get_real(validation, "fraction", 0.0);
    out->data.validation.sequences = json_get_int(validation, "sequences", 0);
    out->data.sequence_length = json_get_int(data, "sequence_length", 0);
}

static void read_optimizer(struct train_spec *out, const json_t *optimizer)
{
    const json_t *betas = json_object_get(optimizer, "betas");
    out->optimizer.lr = json_get_real(optimizer, "lr", 0.0);
    out->optimizer.betas[0] = json_number_value(json_array_get(betas, 0));
    out->optimizer.betas[1] = json_number_value(json_array_get(betas, 1));
    out->optimizer.eps = json_get_real(optimizer, "eps", 0.0);
    out->optimizer.weight_decay = json_get_real(optimizer, "weight_decay", 0.0);
    out->optimizer.clip_norm = json_get_real(optimizer, "clip_norm", 0.0);
}

static void read_method_and_schedule(struct train_spec *out, const json_t *spec)
{
    const json_t *schedule = json_object_get(spec, "schedule");
    const json_t *method = json_object_get(spec, "method");

    method_spec_read(&out->method, method);
    /* Adapters to a trained model are all that trains, unless the spec says more. */
    if (out->model.from != NULL && out->method.name != METHOD_NAME_FULL &&
        json_object_get(method, "train") == NULL) {
        out->method.train.embeddings = out->method.train.norms = out->method.train.head = false;
    }
    out->schedule.name =
        spec_word_index(schedule, "name", schedule_words, COUNT_OF(schedule_words));
    out->schedule.warmup = json_get_int(schedule, "warmup", 0);
    out->schedule.restart_warmup = json_get_int(schedule, "restart_warmup", 0);
    out->schedule.restart_every = json_get_int(schedule, "restart_every", out->method.merge_every);
    out->schedule.unwarmed_first = json_is_true(json_object_get(schedule, "unwarmed_first"));
    out->schedule.min_lr_ratio = json_get_real(
        schedule, "min_lr_ratio", out->schedule.name == SCHEDULE_NAME_MORA_HF ? 0.0 : 1.0);
}

static int64_t int_at(const json_t *spec, const char *part, const char *key)
{
    return json_get_int(json_object_get(spec, part), key, 0);
}

enum status train_spec_read(struct train_spec *out, const json_t *spec, struct error *err)
{
    if (strcmp(json_get_text(spec, "kind", ""), "train") != 0) {
        enum status status = error_set(err, STATUS_INVALID, "kind: this spec is not for training");
        error_set_field(err, "kind");
        return status;
    }
    *out = (struct train_spec){.name = json_get_text(spec, "name", "")};
    read_model(out, json_object_get(spec, "model"));
    read_data(out, json_object_get(spec, "data"));
    read_method_and_schedule(out, spec);
    read_optimizer(out, json_object_get(spec, "optimizer"));
    const json_t *compute = json_object_get(spec, "compute");
    out->compute.backend =
        spec_word_index(compute, "backend", backend_words, COUNT_OF(backend_words));
    out->compute.dtype = spec_word_index(compute, "dtype", dtype_words, COUNT_OF(dtype_words));
    out->compute.deterministic = spec_word_index(compute, "deterministic", deterministic_words,
                                                 COUNT_OF(deterministic_words));
    out->compute.recompute =
        spec_word_index(compute, "recompute", recompute_words, COUNT_OF(recompute_words));
    out->compute.rounding =
        spec_word_index(compute, "rounding", rounding_words, COUNT_OF(rounding_words));
    out->batch.global = int_at(spec, "batch", "global");
    out->batch.micro = int_at(spec, "batch", "micro");
    out->steps = json_get_int(spec, "steps", 0);
    out->tokens = json_get_int(spec, "tokens", 0);
    out->epochs = json_get_real(spec, "epochs", 0.0);
    out->seed = (uint64_t)json_get_int(spec, "seed", 0);
    out->launch.ranks = int_at(spec, "launch", "ranks");
    out->launch.threads_per_rank = int_at(spec, "launch", "threads_per_rank");
    out->launch.overlap = spec_word_index(json_object_get(spec, "launch"), "overlap", overlap_words,
                                          COUNT_OF(overlap_words));
    out->launch.zero = int_at(spec, "launch", "zero");
    out->checkpoint.every = int_at(spec, "checkpoint", "every");
    out->checkpoint.keep_last = int_at(spec, "checkpoint", "keep_last");
    out->evaluate.every = int_at(spec, "evaluate", "every");
    out->evaluate.spectrum = json_get_bool(json_object_get(spec, "evaluate"), "spectrum", false);
    out->guard.max_skipped = int_at(spec, "guard", "max_skipped");
    out->guard.spike_window = int_at(spec, "guard", "spike_window");
    out->guard.spike_z = json_get_real(json_object_get(spec, "guard"), "spike_z", 0.0);
    const json_t *stop = json_object_get(spec, "stop");
    out->stop.patience = json_get_int(stop, "patience", 0);
    out->stop.min_delta = json_get_real(stop, "min_delta", 0.0);
    out->stop.max_time_s = json_get_real(stop, "max_time", 0.0);
    out->retry.max_attempts = int_at(spec, "retry", "max_attempts");
    return STATUS_OK;
}

/* ---- Steps ---- */

/* Steps that tokens or epochs come to, before they are cut to whole cycles. */
static int64_t steps_raw(const struct train_spec *spec, int64_t sequences)
{
    if (spec->steps) {
        return spec->steps;
    }
    if (spec->tokens) {
        return spec->tokens / spec->data.sequence_length / spec->batch.global;
    }
    const double steps = floor(spec->epochs * (double)sequences / (double)spec->batch.global);
    return steps < (double)STEPS_MAX ? (int64_t)steps : STEPS_MAX;
}

bool train_spec_restarts(const struct train_spec *spec)
{
    return spec->schedule.name == SCHEDULE_NAME_JAGGED_COSINE ||
           spec->schedule.name == SCHEDULE_NAME_MORA_HF;
}

enum status train_spec_steps(int64_t *out, const struct train_spec *spec, int64_t sequences,
                             struct error *err)
{
    const char *field = spec->steps ? "steps" : spec->tokens ? "tokens" : "epochs";
    const bool restarts = train_spec_restarts(spec);
    const int64_t first = restarts ? spec->method.full_rank_steps : 0;
    const int64_t unit = restarts ? spec->schedule.restart_every : 1; /* a valid spec's is not 0 */
    int64_t steps = steps_raw(spec, sequences);
    if (!spec->steps) {
        steps = steps < first ? 0 : steps - (steps - first) % unit;
    }
    if (steps == 0) {
        (void)error_set(err, STATUS_INVALID, "%s: is less than %s", field,
                        restarts ? "a cycle of the schedule" : "a step");
        error_set_field(err, "%s", field);
        error_set_hint(err, "a step takes %lld sequences of %lld tokens",
                       (long long)spec->batch.global, (long long)spec->data.sequence_length);
        return STATUS_INVALID;
    }
    enum status status = train_spec_check_steps(spec, steps, err);
    if (!status) {
        *out = steps;
    }
    return status;
}
