#include "worker/convert/peft_export.h"

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
#include "worker/ops/sharing.h"

/* The authors' four group kinds, of which a run has up to all. */
#define KINDS_MAX 4

struct export
{
    const struct learner *learner;
    const struct param_table *table;
    const struct method_spec *spec;
    const char *folder;
    const char *kinds[KINDS_MAX]; /* of MoRA, in the order in which ranks follow each other */
    int64_t kind_count;           /* 1 for LoRA */
    json_t *state;                /* the learner's: names the active kind */
    struct safetensors_writer *writer;
    float *buffer; /* the largest A or B of MoRA */
};

/* A target: its linear, and what is made of it. */
struct target {
    const struct param *linear;
    int64_t d;
    int64_t k;
    int64_t rank; /* of the LoRA that is written */
};

static enum status refuse(struct error *err, const char *reason)
{
    (void)error_set(err, STATUS_UNSUPPORTED, "no adapter for PEFT: %s", reason);
    error_set_hint(err, "export the merged model instead: leave --adapter out");
    return STATUS_UNSUPPORTED;
}

static enum status check(const struct method_spec *spec, struct error *err)
{
    if (!method_is_lora(spec->name) && !method_is_mora(spec->name)) {
        return refuse(err, "the method has none");
    }
    if (spec->name == METHOD_NAME_RELORA) {
        return refuse(err, "merges of relora rewrite the base");
    }
    if (spec->full_rank_steps > 0) {
        return refuse(err, "the full-rank steps have changed the base");
    }
    if (spec->train.embeddings || spec->train.norms || spec->train.head) {
        return refuse(err, "more than the adapters was trained (method.train)");
    }
    if (!method_is_mora(spec->name)) {
        return STATUS_OK;
    }
    if (spec->op == MORA_OPERATOR_ROTATION) {
        return refuse(err,
                      "rotation turns every chunk of the input by another angle, and the sum of "
                      "all chunks has no rank to speak of");
    }
    if (spec->op == MORA_OPERATOR_DECOUPLING) {
        return refuse(err, "decoupling puts one matrix into every chunk of rows and columns, and "
                           "their sum has no rank to speak of");
    }
    return spec->name == METHOD_NAME_REMORA && spec->groups == METHOD_GROUPS_PERMUTED
               ? refuse(err,
                        "permuted groups are others in every cycle, and merges rewrite the base")
               : STATUS_OK;
}

/* A tensor beside a linear: "….weight.lora_A"; NULL where it has none. */
static const struct param *beside(const struct export *export, const struct param *linear,
                                  const char *prefix, const char *suffix)
{
    char name[2 * PARAM_NAME_BYTES_MAX];

    (void)snprintf(name, sizeof name, "%s.%s%s", linear->name, prefix, suffix);
    return param_table_find(export->table, name);
}

static bool is_mora(const struct export *export)
{
    return method_is_mora(export->spec->name);
}

/* Fills *out where param is a target's linear. */
static bool target_of(struct target *out, const struct export *export, const struct param *param)
{
    const struct param *first = beside(export, param, "", is_mora(export) ? "M" : "lora_A");

    if (param->role != PARAM_ROLE_LINEAR || first == NULL) {
        return false;
    }
    *out = (struct target){.linear = param,
                           .d = param->shape[0],
                           .k = param->shape[1],
                           .rank = first->shape[0] * export->kind_count};
    return true;
}

/* The kinds are those that have sums, else the one that there is. */
static void find_kinds(struct export *export)
{
    static const char *const names[] = {"mod_tile", "blocks_interleave", "blocks_tile",
                                        "mod_interleave", "truncation"};
    const char *active =
        json_get_text(json_object_get(export->state, "method"), "group_kind", "truncation");

    for (size_t i = 0; is_mora(export) && i < sizeof names / sizeof names[0]; i++) {
        bool has_sum = false;
        for (int64_t j = 0; j < export->table->model_count; j++) {
            has_sum = has_sum || beside(export, &export->table->params[j], "S.", names[i]) != NULL;
        }
        if (has_sum && export->kind_count < KINDS_MAX) {
            export->kinds[export->kind_count++] = names[i];
        }
    }
    if (export->kind_count == 0) {
        export->kinds[export->kind_count++] = active;
    }
}

/* --- MoRA as LoRA ----------------------------------------------------------------------------- */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* h(o) of sharing.h; -1 where truncation gives nothing. */
static int64_t row_group(const char *kind, int64_t o, int64_t d, int64_t r_hat)
{
    if (strcmp(kind, "truncation") == 0) {
        return o < r_hat ? o : -1;
    }
    return strstr(kind, "_interleave") != NULL ? sharing_balanced_group(o, d, r_hat) : o % r_hat;
}

static int64_t column_group(const char *kind, int64_t j, int64_t k, int64_t r_hat)
{
    if (strcmp(kind, "truncation") == 0) {
        return j < r_hat ? j : -1;
    }
    return starts_with(kind, "blocks_") ? sharing_balanced_group(j, k, r_hat) : j % r_hat;
}

/* A[rank,k] = Cᵀ of every kind, one below the other. */
static void fill_a(const struct export *export, const struct target *target, float *a)
{
    const int64_t r_hat = target->rank / export->kind_count;

    memset(a, 0, (size_t)(target->rank * target->k) * sizeof *a);
    for (int64_t kind = 0; kind < export->kind_count; kind++) {
        float *part = a + kind * r_hat * target->k;
        const bool wraps =
            export->spec->pad == MORA_PAD_WRAP && starts_with(export->kinds[kind], "mod_");
        const int64_t pad = wraps ? (r_hat - target->k % r_hat) % r_hat : 0;
        for (int64_t j = 0; j < target->k; j++) {
            const int64_t group = column_group(export->kinds[kind], j, target->k, r_hat);
            if (group >= 0) {
                part[group * target->k + j] += 1.0F;
            }
            if (j < pad) {
                part[(target->k + j) % r_hat * target->k + j] += 1.0F;
            }
        }
    }
}

/* B[d,rank] = D T of every kind, side by side; T = S + M, M of the active kind alone. */
static void fill_b(const struct export *export, const struct target *target, float *b)
{
    const int64_t r_hat = target->rank / export->kind_count;
    const struct param *m = beside(export, target->linear, "", "M");
    const char *active =
        json_get_text(json_object_get(export->state, "method"), "group_kind", "truncation");

    for (int64_t kind = 0; kind < export->kind_count; kind++) {
        const struct param *sum = beside(export, target->linear, "S.", export->kinds[kind]);
        const bool has_m = export->kind_count == 1 || strcmp(export->kinds[kind], active) == 0;
        for (int64_t o = 0; o < target->d; o++) {
            const int64_t group = row_group(export->kinds[kind], o, target->d, r_hat);
            float *row = b + o * target->rank + kind * r_hat;
            for (int64_t i = 0; i < r_hat; i++) {
                const int64_t at = group * r_hat + i;
                row[i] = group < 0 ? 0.0F
                                   : (sum == NULL ? 0.0F : sum->value[at]) +
                                         (has_m ? m->value[at] : 0.0F);
            }
        }
    }
}

/* --- the files -------------------------------------------------------------------------------- */

typedef enum status each_fn(struct export *export, const struct target *target, struct error *err);

static enum status each_target(struct export *export, each_fn *visit, struct error *err)
{
    enum status status = STATUS_OK;

    for (int64_t i = 0; i < export->table->model_count && !status; i++) {
        struct target target;
        if (target_of(&target, export, &export->table->params[i])) {
            status = visit(export, &target, err);
        }
    }
    return status;
}

/* As peft names them: base_model.model.<module>.lora_A.weight */
static enum status add(const struct export *export, const struct target *target, const char *what,
                       int64_t rows, int64_t columns, struct error *err)
{
    const int module_length = (int)(strlen(target->linear->name) - strlen(".weight"));
    struct tensor_shape shape = {.dims = columns == 0 ? 1 : 2, .extents = {rows, columns}};
    char name[2 * PARAM_NAME_BYTES_MAX];

    (void)snprintf(name, sizeof name, "base_model.model.%.*s.%s", module_length,
                   target->linear->name, what);
    return safetensors_writer_add(export->writer, name, TENSOR_DTYPE_F32, &shape, err);
}

static enum status announce(struct export *export, const struct target *target, struct error *err)
{
    enum status status = add(export, target, "lora_A.weight", target->rank, target->k, err);

    if (!status) {
        status = add(export, target, "lora_B.weight", target->d, target->rank, err);
    }
    if (!status && export->spec->name == METHOD_NAME_DORA) {
        status = add(export, target, "lora_magnitude_vector", target->d, 0, err);
    }
    return status;
}

static enum status write_floats(const struct export *export, const float *values, int64_t count,
                                struct error *err)
{
    return safetensors_writer_write(export->writer, values, (size_t)count * sizeof *values, err);
}

static enum status write_mora(struct export *export, const struct target *target, struct error *err)
{
    const int64_t side = target->d > target->k ? target->d : target->k;

    float *buffer = sys_realloc(export->buffer, (size_t)(side * target->rank) * sizeof *buffer);
    if (buffer == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for '%s'", target->linear->name);
    }
    export->buffer = buffer;
    fill_a(export, target, buffer);
    enum status status = write_floats(export, buffer, target->rank * target->k, err);
    if (!status) {
        fill_b(export, target, buffer);
        status = write_floats(export, buffer, target->d * target->rank, err);
    }
    return status;
}

static enum status write_target(struct export *export, const struct target *target,
                                struct error *err)
{
    static const char *const parts[] = {"lora_A", "lora_B", "magnitude"};
    enum status status = STATUS_OK;

    if (is_mora(export)) {
        return write_mora(export, target, err);
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && !status; i++) {
        const struct param *part = beside(export, target->linear, "", parts[i]);
        status = part == NULL ? STATUS_OK : write_floats(export, part->value, part->elements, err);
    }
    return status;
}

static enum status write_tensors(struct export *export, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/adapter_model.safetensors", export->folder);
    if (!status) {
        status = safetensors_writer_create(&export->writer, path, err);
    }
    if (!status) {
        status = safetensors_writer_metadata(export->writer, "format", "pt", err);
    }
    if (!status) {
        status = each_target(export, announce, err);
    }
    if (!status) {
        status = each_target(export, write_target, err);
    }
    return status ? status : safetensors_writer_finish(export->writer, err);
}

/* r and lora_alpha, and the patterns of the targets that have others. */
static void describe_ranks(const struct export *export, json_t *config)
{
    json_t *ranks = json_object();
    json_t *alphas = json_object();
    json_t *modules = json_array();
    int64_t usual = 0;

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        struct target target;
        const char *module = strrchr(linear_name(linear), '.') + 1;
        if (!target_of(&target, export, param_table_linear(export->table, 0, linear))) {
            continue;
        }
        (void)json_array_append_new(modules, json_string(module));
        usual = usual == 0 ? target.rank : usual;
        if (target.rank != usual) {
            (void)json_object_set_new(ranks, module, json_integer((json_int_t)target.rank));
            (void)json_object_set_new(alphas, module, json_integer((json_int_t)target.rank));
        }
    }
    const double alpha = is_mora(export) ? (double)usual : export->spec->alpha;
    const bool is_whole = alpha >= (double)(json_int_t)alpha && alpha <= (double)(json_int_t)alpha;
    (void)json_object_set_new(config, "r", json_integer((json_int_t)usual));
    (void)json_object_set_new(config, "lora_alpha",
                              is_whole ? json_integer((json_int_t)alpha) : json_real(alpha));
    (void)json_object_set_new(config, "rank_pattern", ranks);
    (void)json_object_set_new(config, "alpha_pattern", alphas);
    (void)json_object_set_new(config, "target_modules", modules);
}

static enum status write_config(const struct export *export, const char *base, struct error *err)
{
    json_t *config = json_pack(
        "{s:s, s:s, s:s?, s:s, s:f, s:b, s:b, s:b, s:b, s:b, s:n}", "peft_type", "LORA",
        "task_type", "CAUSAL_LM", "base_model_name_or_path", base, "bias", "none", "lora_dropout",
        0.0, "fan_in_fan_out", 0, "inference_mode", 1, "init_lora_weights", 1, "use_rslora", 0,
        "use_dora", export->spec->name == METHOD_NAME_DORA, "modules_to_save");

    if (config != NULL) {
        describe_ranks(export, config);
    }
    return hf_json_write(export->folder, "adapter_config.json", config, err);
}

static void count_target(const struct export *export, const struct target *target,
                         struct peft_size *size)
{
    const bool has_m = export->spec->name == METHOD_NAME_DORA;

    size->adapter_elements += target->rank * (target->d + target->k) + (has_m ? target->d : 0);
    size->weight_elements += target->d * target->k;
}

enum status peft_export(const struct learner *learner, const char *folder, const char *base,
                        struct peft_size *size, struct error *err)
{
    const struct method_spec *spec = &learner_options(learner)->method;
    struct export export = {.learner = learner,
                            .table = learner_params(learner),
                            .spec = spec,
                            .folder = folder,
                            .state = learner_state(learner)};

    *size = (struct peft_size){0};
    enum status status = check(spec, err);
    if (!status) {
        find_kinds(&export);
        status = folder_create(folder, 0755, err);
    }
    if (!status) {
        status = write_config(&export, base, err);
    }
    if (!status) {
        status = write_tensors(&export, err);
    }
    for (int64_t i = 0; i < export.table->model_count && !status; i++) {
        struct target target;
        if (target_of(&target, &export, &export.table->params[i])) {
            count_target(&export, &target, size);
        }
    }
    safetensors_writer_destroy(export.writer);
    free(export.buffer);
    json_decref(export.state);
    return status;
}
