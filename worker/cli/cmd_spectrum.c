/*
 * remora-worker spectrum — what a run has learnt, by the singular values of ΔW.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/store/checkpoint.h"
#include "proto/store/checkpoint_path.h"
#include "worker/cli/commands.h"
#include "worker/eval/spectrum.h"
#include "worker/method/learner.h"
#include "worker/ops/backend.h"
#include "worker/train/process.h"
#include "worker/train/snapshot.h"

#define BAR_COLUMNS 40

static const struct command_option options[] = {
    {.name = "final", .value = "CKPT", .help = "the checkpoint to look at (needed)"},
    {.name = "base",
     .value = "CKPT",
     .help = "what it is compared with (default: step 0 of its run)"},
    {.name = "json", .help = "print every singular value as JSON"},
};

/* A checkpoint with its learner. */
struct side {
    struct found_checkpoint found;
    struct learner *learner;
};

struct spectrum {
    struct backend *backend;
    struct side base;
    struct side final;
    float *merged; /* [largest linear] */
    float *delta;
    double *sigma;
    double counts[LINEAR_COUNT]; /* above the threshold, added over layers */
    json_t *layers;              /* all values, for JSON */
};

static enum status open_side(struct side *side, const char *text, struct backend *backend,
                             struct error *err)
{
    struct learner_options learner_options;

    enum status status = checkpoint_path_open(&side->found, text, err);
    if (status) {
        return status;
    }
    const json_t *meta = checkpoint_meta(side->found.checkpoint);
    status = snapshot_options(&learner_options, meta, err);
    if (!status) {
        learner_options.memory_limit_bytes = 0; /* moments are planned, and never touched */
        status = learner_create(&side->learner, &learner_options, backend, err);
    }
    if (!status) {
        status = snapshot_read_values(side->learner, side->found.checkpoint, err);
    }
    if (!status) {
        status = learner_set_state(side->learner, json_object_get(meta, "learner"), err);
    }
    return status;
}

static void close_side(struct side *side)
{
    learner_destroy(side->learner);
    found_checkpoint_close(&side->found);
}

static enum status open_base(struct spectrum *spectrum, const char *text, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = text != NULL
                             ? path_printf(path, err, "%s", text)
                             : path_printf(path, err, "%s@0", spectrum->final.found.run_folder);
    if (!status) {
        status = open_side(&spectrum->base, path, spectrum->backend, err);
    }
    if (status) {
        return error_wrap(err, "--base");
    }
    const struct param_table *base = learner_params(spectrum->base.learner);
    const struct param_table *final = learner_params(spectrum->final.learner);
    for (int64_t i = 0; i < base->model_count || i < final->model_count; i++) {
        if (base->model_count != final->model_count ||
            base->params[i].elements != final->params[i].elements) {
            return error_set(err, STATUS_CONFLICT,
                             "--base and --final are not of one shape: '%s' has %" PRId64
                             " elements, or tensors are missing",
                             final->params[0].name, final->params[0].elements);
        }
    }
    return STATUS_OK;
}

static enum status allocate(struct spectrum *spectrum, struct error *err)
{
    const struct model_config *config = &learner_options(spectrum->final.learner)->config;
    int64_t largest = 0;
    int64_t longest = 0;

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        const int64_t d = linear_rows(config, linear);
        const int64_t k = linear_columns(config, linear);
        largest = d * k > largest ? d * k : largest;
        longest = d + k > longest ? d + k : longest;
    }
    spectrum->merged = sys_malloc((size_t)largest * sizeof(float));
    spectrum->delta = sys_malloc((size_t)largest * sizeof(float));
    spectrum->sigma = sys_malloc((size_t)longest * sizeof(double));
    spectrum->layers = json_array();
    return spectrum->merged == NULL || spectrum->delta == NULL || spectrum->sigma == NULL ||
                   spectrum->layers == NULL
               ? error_set(err, STATUS_NO_MEMORY, "no memory for a linear layer")
               : STATUS_OK;
}

/* The singular values of one linear; counted and listed. */
static enum status measure(struct spectrum *spectrum, int64_t layer, enum linear linear,
                           struct error *err)
{
    const struct param_table *table = learner_params(spectrum->final.learner);
    const struct param *param = param_table_linear(table, layer, linear);
    const int64_t d = param->shape[0];
    const int64_t k = param->shape[1];
    const int64_t n = d < k ? d : k;
    json_t *values = json_array();

    learner_merged_tensor(spectrum->base.learner, param - table->params, spectrum->merged);
    learner_merged_tensor(spectrum->final.learner, param - table->params, spectrum->delta);
    for (int64_t i = 0; i < d * k; i++) {
        spectrum->delta[i] -= spectrum->merged[i];
    }
    enum status status = spectrum_exact(spectrum->sigma, spectrum->delta, d, k, err);
    if (status) {
        json_decref(values);
        return error_wrap(err, "%s", param->name);
    }
    const int64_t count = spectrum_count(spectrum->sigma, n, SPECTRUM_THRESHOLD);
    spectrum->counts[linear] += (double)count;
    for (int64_t i = 0; i < n; i++) {
        (void)json_array_append_new(values, json_real(spectrum->sigma[i]));
    }
    (void)json_array_append_new(spectrum->layers,
                                json_pack("{s:I, s:s, s:I, s:o}", "layer", (json_int_t)layer,
                                          "projection", linear_name(linear), "count",
                                          (json_int_t)count, "singular_values", values));
    return STATUS_OK;
}

static enum status measure_all(struct spectrum *spectrum, struct error *err)
{
    const int64_t layers = learner_options(spectrum->final.learner)->config.num_hidden_layers;
    enum status status = STATUS_OK;

    for (int64_t layer = 0; layer < layers; layer++) {
        for (enum linear linear = 0; linear < LINEAR_COUNT && !status; linear++) {
            status = measure(spectrum, layer, linear, err);
        }
    }
    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        spectrum->counts[linear] /= (double)layers;
    }
    return status;
}

static json_t *describe_side(const struct side *side)
{
    const struct checkpoint_ref *ref = checkpoint_ref_of(side->found.checkpoint);

    return json_pack("{s:s, s:I, s:s}", "run",
                     json_get_text(checkpoint_meta(side->found.checkpoint), "run", ""), "step",
                     (json_int_t)ref->step, "path", checkpoint_path(side->found.checkpoint));
}

static enum status print_json(const struct spectrum *spectrum, struct error *err)
{
    struct bytes text = {0};
    json_t *counts = json_object();

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        json_set_real(counts, linear_name(linear), spectrum->counts[linear]);
    }
    json_t *object = json_pack("{s:o, s:o, s:f, s:o, s:O}", "base", describe_side(&spectrum->base),
                               "final", describe_side(&spectrum->final), "threshold",
                               SPECTRUM_THRESHOLD, "count", counts, "layers", spectrum->layers);
    json_canonical(&text, object);
    enum status status = bytes_status(&text, "result", err);
    if (!status) {
        (void)printf("%s\n", text.data);
    }
    json_decref(object);
    bytes_deinit(&text);
    return status;
}

/* A bar as long as share of BAR_COLUMNS, to an eighth of a column. */
static void print_bar(double share)
{
    static const char *const eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const int length = (int)(share * BAR_COLUMNS * 8.0 + 0.5);

    for (int i = 0; i < length / 8; i++) {
        (void)fputs("█", stdout);
    }
    (void)fputs(eighths[length % 8], stdout);
    (void)printf("%*s", BAR_COLUMNS - length / 8 - (length % 8 > 0), "");
}

static void print_plot(const struct spectrum *spectrum)
{
    const struct model_config *config = &learner_options(spectrum->final.learner)->config;
    double most = 1.0;

    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        most = spectrum->counts[linear] > most ? spectrum->counts[linear] : most;
    }
    (void)printf("singular values of ΔW above %g, mean of %" PRId64 " layers: %s, step %" PRId64
                 " − step %" PRId64 "\n",
                 SPECTRUM_THRESHOLD, config->num_hidden_layers,
                 json_get_text(checkpoint_meta(spectrum->final.found.checkpoint), "run", "?"),
                 checkpoint_ref_of(spectrum->final.found.checkpoint)->step,
                 checkpoint_ref_of(spectrum->base.found.checkpoint)->step);
    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        const int64_t d = linear_rows(config, linear);
        const int64_t k = linear_columns(config, linear);
        (void)printf("%-16s ", linear_name(linear));
        print_bar(spectrum->counts[linear] / most);
        (void)printf(" %.1f of %" PRId64 "\n", spectrum->counts[linear], d < k ? d : k);
    }
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    const char *final = command_text(line, "final", NULL);
    struct spectrum spectrum = {0};
    (void)exit_code;

    process_tune();
    if (final == NULL) {
        return error_set(err, STATUS_INVALID, "--final CKPT is missing");
    }
    enum status status = backend_cpu_create(&spectrum.backend, 1, err);
    if (!status) {
        status = open_side(&spectrum.final, final, spectrum.backend, err);
    }
    if (!status) {
        status = open_base(&spectrum, command_text(line, "base", NULL), err);
    }
    if (!status) {
        status = allocate(&spectrum, err);
    }
    if (!status) {
        status = measure_all(&spectrum, err);
    }
    if (!status && command_flag(line, "json")) {
        status = print_json(&spectrum, err);
    } else if (!status) {
        print_plot(&spectrum);
    }
    json_decref(spectrum.layers);
    free(spectrum.merged);
    free(spectrum.delta);
    free(spectrum.sigma);
    close_side(&spectrum.base);
    close_side(&spectrum.final);
    backend_destroy(spectrum.backend);
    return status;
}

const struct command command_spectrum = {
    .name = "spectrum",
    .usage = "--final CKPT [--base CKPT] [--json]",
    .summary = "singular values of what a run has learnt",
    .examples = "  remora-worker spectrum --final runs/pubmed-demo\n"
                "  remora-worker spectrum --base runs/a@600 --final runs/b --json\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .run = run,
};
