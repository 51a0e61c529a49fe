#include "worker/eval/scorer.h"

#include <stdlib.h>

#include "proto/base/sys.h"
#include "worker/model/model.h"

struct scorer {
    struct model_config config;
    struct backend *backend;
    struct param_table table;
    struct memory_plan memory;
    struct model *model;
};

static void layout(struct scorer *scorer)
{
    param_table_layout(&scorer->table, &scorer->memory, false);
    model_layout(scorer->model, &scorer->memory);
}

static enum status create_parts(struct scorer *scorer, int64_t length_max, struct error *err)
{
    const struct param_training none = {0};
    const struct model_options options = {
        .config = &scorer->config,
        .table = &scorer->table,
        .backend = scorer->backend,
        .micro = 1,
        .sequence_length = length_max,
        .dtype = DTYPE_FP32,
        .recompute = COMPUTE_RECOMPUTE_LAYER, /* layers have their activations in common */
    };

    enum status status = param_table_init(&scorer->table, &scorer->config, &none, err);
    for (int64_t i = 0; i < scorer->table.model_count; i++) {
        struct param *param = &scorer->table.params[i];
        param->is_effective = param->role == PARAM_ROLE_LINEAR;
    }
    return status ? status : model_create(&scorer->model, &options, err);
}

enum status scorer_create(struct scorer **out, const struct model_config *config,
                          int64_t length_max, struct backend *backend, struct error *err)
{
    struct scorer *scorer = sys_calloc(1, sizeof *scorer);
    if (scorer == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a model");
    }
    scorer->config = *config;
    scorer->backend = backend;
    enum status status = create_parts(scorer, length_max, err);
    if (!status) {
        layout(scorer);
        status = memory_plan_allocate(&scorer->memory, memory_available_bytes(), err);
    }
    if (status) {
        scorer_destroy(scorer);
        return status;
    }
    layout(scorer);
    *out = scorer;
    return STATUS_OK;
}

void scorer_destroy(struct scorer *scorer)
{
    if (scorer == NULL) {
        return;
    }
    model_destroy(scorer->model);
    param_table_deinit(&scorer->table);
    memory_plan_deinit(&scorer->memory);
    free(scorer);
}

const struct param_table *scorer_params(const struct scorer *scorer)
{
    return &scorer->table;
}

void scorer_start(struct scorer *scorer)
{
    model_start(scorer->model);
}

enum status scorer_logits(struct scorer *scorer, float *logits, const uint32_t *tokens, int64_t T,
                          struct error *err)
{
    model_logits(scorer->model, logits, tokens, T);
    return backend_finish(scorer->backend, err);
}
