/* run — from text to a training job in one command: chooses, writes the spec, prepares, submits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/format.h"
#include "client/run_data.h"
#include "client/run_plan.h"
#include "client/session.h"
#include "client/spec_file.h"
#include "client/watch.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/spec/spec.h"

#define STEPS_DEFAULT 500
#define NAMES_MAX     1000 /* NAME.yaml, NAME-2.yaml, … */
#define PATTERNS_MAX  4096 /* a shell that expands the pattern gives every file */

static const struct command_option options[] = {
    {.name = "data",
     .value = "PATTERN",
     .help = "text: PubMed XML(.gz), JSONL(.gz|.zst) or plain text; may be given again",
     .repeats = true},
    {.name = "model", .value = "PRESET", .help = "llama-9m … llama-7b (default: llama-20m)"},
    {.name = "method",
     .value = "METHOD",
     .help = "full, lora, lora_plus, asylora, dora, relora, mora or remora (default)"},
    {.name = "steps", .value = "N", .help = "optimizer steps (default: 500)"},
    {.name = "vocabulary", .value = "N", .help = "pieces of the tokenizer (default: by the data)"},
    {.name = "name", .value = "NAME", .help = "of the job and its YAML (default: by the data)"},
    {.name = "set",
     .letter = 's',
     .value = "KEY.PATH=VALUE",
     .help = "replaces a field of the spec; may be given again",
     .repeats = true},
    {.name = "no-watch", .help = "submits and returns"},
    {.name = "no-submit", .help = "prepares and writes the spec only"},
};

/* ------------------------------------------------------------------------------ command line ---
 */

static enum status read_model(const struct command_line *line, struct run_plan *plan,
                              struct error *err)
{
    const char *name = command_text(line, "model", "llama-20m");
    const char *names[64];
    size_t count = 0;

    plan->model = model_preset_find(name);
    if (plan->model != NULL) {
        return STATUS_OK;
    }
    for (; count < model_preset_count && count < sizeof names / sizeof names[0]; count++) {
        names[count] = model_presets[count].name;
    }
    const char *nearest = command_nearest(name, names, count);
    (void)error_set(err, STATUS_INVALID, "option '--model': there is no '%s'", name);
    error_set_hint(err, "%s%s", nearest != NULL ? "did you mean " : "presets go from ",
                   nearest != NULL ? nearest : "llama-9m to llama-7b");
    return STATUS_INVALID;
}

static enum status read_method(const struct command_line *line, struct run_plan *plan,
                               struct error *err)
{
    const char *name = command_text(line, "method", "remora");
    const char *names[METHOD_NAME_COUNT];
    size_t count = 0;

    for (enum method_name method = METHOD_NAME_FULL; method < METHOD_NAME_FROZEN; method++) {
        names[count++] = method_name_text(method);
        if (strcmp(method_name_text(method), name) == 0) {
            plan->method = method;
            return STATUS_OK;
        }
    }
    const char *nearest = command_nearest(name, names, count);
    (void)error_set(err, STATUS_INVALID, "option '--method': there is no '%s'", name);
    error_set_hint(
        err, "%s%s", nearest != NULL ? "did you mean " : "use ",
        nearest != NULL ? nearest : "full, lora, lora_plus, asylora, dora, relora, mora or remora");
    return STATUS_INVALID;
}

static enum status read_plan(const struct command_line *line, struct run_plan *plan,
                             struct error *err)
{
    long long steps = 0;

    enum status status = read_model(line, plan, err);
    if (!status) {
        status = read_method(line, plan, err);
    }
    if (!status) {
        status = command_int(line, "steps", 1, STEPS_MAX - RUN_CYCLES, STEPS_DEFAULT, &steps, err);
    }
    plan->steps = run_steps(steps, plan->method);
    return status;
}

/* All of --data, and the arguments: what a shell made of an unquoted pattern behind --data. */
static enum status read_patterns(const struct command_line *line, const char **out, size_t *count,
                                 struct error *err)
{
    *count = 0;
    for (const char *text = command_text_at(line, "data", 0); text != NULL && *count < PATTERNS_MAX;
         text = command_text_at(line, "data", *count)) {
        out[(*count)++] = text;
    }
    if (*count == 0) {
        (void)error_set(err, STATUS_INVALID, "option '--data' is missing: train on what?");
        error_set_hint(err, "remora run --data 'abstracts/*.xml.gz'");
        return STATUS_INVALID;
    }
    for (int i = 0; i < command_argument_count(line) && *count < PATTERNS_MAX; i++) {
        out[(*count)++] = command_argument(line, i);
    }
    if (*count == PATTERNS_MAX) {
        (void)error_set(err, STATUS_LIMIT, "more than %d files behind --data", PATTERNS_MAX - 1);
        error_set_hint(err, "quote the pattern, so that remora expands it: --data '*.xml.gz'");
        return STATUS_LIMIT;
    }
    return STATUS_OK;
}

static enum status open_data(const struct command_line *line, struct run_data *data,
                             struct error *err)
{
    const char **patterns = sys_calloc(PATTERNS_MAX, sizeof *patterns);
    long long vocabulary = 0;
    size_t count = 0;

    if (patterns == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "run: out of memory");
    }
    enum status status = read_patterns(line, patterns, &count, err);
    if (!status) {
        status = command_int(line, "vocabulary", 300, VOCAB_SIZE_MAX, 0, &vocabulary, err);
    }
    if (!status) {
        status = run_data_open(data, patterns, count, vocabulary, err);
    }
    free(patterns);
    return status;
}

static void name_job(const struct command_line *line, const struct run_data *data,
                     struct run_plan *plan)
{
    bool is_single = json_array_size(data->files) == 1;
    const char *about =
        is_single ? json_string_value(json_array_get(data->files, 0)) : data->folder;

    run_name(plan->name, about, plan->model->name, method_name_text(plan->method));
    const char *name = command_text(line, "name", NULL);
    if (name != NULL) { /* the schema checks it, with the rest of the spec */
        (void)snprintf(plan->name, sizeof plan->name, "%s", name);
    }
}

/* ------------------------------------------------------------------------------------- spec --- */

/* *written is the spec as the YAML has it, *canonical what is submitted; new references. */
static enum status make_spec(const struct command_line *line, const struct run_plan *plan,
                             const char *folder, json_t **written, json_t **canonical,
                             struct error *err)
{
    const char *overrides[SPEC_OVERRIDES_MAX];
    size_t count = 0;

    enum status status = spec_overrides(overrides, &count, line, err);
    if (!status) {
        status = run_spec(written, plan, err);
    }
    for (size_t i = 0; i < count && !status; i++) {
        status = spec_override(*written, overrides[i], err);
    }
    if (status) {
        return status;
    }
    *canonical = json_deep_copy(*written);
    if (*canonical == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "run: out of memory");
    }
    status = spec_resolve_paths(*canonical, folder, err);
    return status ? status : spec_validate(*canonical, err);
}

/* Says early, before the text is read, what is wrong with the name or an override. */
static enum status check_plan(const struct command_line *line, const struct run_plan *plan,
                              const char *folder, struct error *err)
{
    struct run_plan trial = *plan;
    json_t *written = NULL;
    json_t *canonical = NULL;

    trial.sequence_length = run_sequence_length(plan->model, INT64_MAX / 2, INT64_MAX / 2);
    trial.validation_sequences = 1;
    enum status status = make_spec(line, &trial, folder, &written, &canonical, err);
    json_decref(written);
    json_decref(canonical);
    return status;
}

static bool has_content(const char *path, const struct bytes *content)
{
    struct bytes bytes = {0};
    struct error none;

    bool is_same = file_read(&bytes, path, SPEC_BYTES_MAX, &none) == STATUS_OK &&
                   bytes.size == content->size &&
                   memcmp(bytes.data, content->data, content->size) == 0;
    bytes_deinit(&bytes);
    return is_same;
}

/* Writes NAME.yaml; a file of that name with other content may be someone's work, so it stays and
 * NAME-2.yaml is tried. path[PATH_BYTES_MAX] is what it became. */
static enum status write_yaml(const char *folder, const char *name, const json_t *spec, char *path,
                              struct error *err)
{
    struct bytes text = {0};

    bytes_printf(&text, "# Written by remora run. Change it and: remora submit %s.yaml --watch\n",
                 name);
    enum status status = spec_write_yaml(&text, spec, err);
    for (int i = 1; i <= NAMES_MAX && !status; i++) {
        char number[16] = "";
        if (i > 1) {
            (void)snprintf(number, sizeof number, "-%d", i);
        }
        status = path_printf(path, err, "%s/%s%s.yaml", folder, name, number);
        if (!status && has_content(path, &text)) {
            break;
        }
        if (!status) {
            status = file_create(path, text.data, text.size, 0666, err);
            if (status != STATUS_CONFLICT || i == NAMES_MAX) {
                break;
            }
            status = STATUS_OK;
        }
    }
    bytes_deinit(&text);
    return status;
}

/* -------------------------------------------------------------------------------------- run --- */

/* Cores that jobs may use. */
static enum status ask_slots(struct session *session, int64_t *slots, struct error *err)
{
    json_t *answer = NULL;

    enum status status =
        session_call(session, RPC_METHOD_DAEMON_STATUS, json_object(), &answer, err);
    *slots = json_get_int(json_object_get(answer, "slots"), "total", 1);
    json_decref(answer);
    return status;
}

static void tell_data(const struct run_data *data, bool was_ready)
{
    char size[FORMAT_BYTES];

    (void)fprintf(stderr, "text       %zu file(s), %s\n", json_array_size(data->files),
                  format_size(size, (uint64_t)data->file_bytes));
    (void)fprintf(stderr, "prepared   %s/%s%s\n", data->folder, data->prepared,
                  was_ready ? " (already there)" : "");
}

/* What can only be chosen when the tokens are counted. */
static enum status complete_plan(const struct run_data *data, struct run_plan *plan,
                                 struct error *err)
{
    int64_t train = 0;
    int64_t validation = 0;
    char tokens[2][FORMAT_BYTES];

    enum status status = run_data_tokens(data, &train, &validation, err);
    if (status) {
        error_set_hint(err, "is there enough text? training needs some thousand words");
        return status;
    }
    (void)fprintf(stderr, "tokens     %s to train on, %s to validate with\n",
                  format_count(tokens[0], (double)train),
                  format_count(tokens[1], (double)validation));
    plan->sequence_length = run_sequence_length(plan->model, train, validation);
    int64_t sequences = (validation - 1) / plan->sequence_length;
    plan->validation_sequences = sequences < 1 ? 1 : sequences > 64 ? 64 : sequences;
    return STATUS_OK;
}

static enum status submit(struct session *session, const struct command_line *line,
                          const json_t *spec, int *exit_code, struct error *err)
{
    json_t *answer = NULL;

    enum status status = session_call(session, RPC_METHOD_JOB_SUBMIT,
                                      json_pack("{s:O}", "spec", spec), &answer, err);
    if (status) {
        return status;
    }
    long long id = json_get_int(answer, "job", 0);
    json_decref(answer);
    (void)printf("%lld\n", id);
    (void)fflush(stdout);
    (void)fprintf(stderr, "job        %lld: remora watch %lld\n", id, id);
    if (command_flag(line, "no-watch")) {
        return STATUS_OK;
    }
    struct job_reference job = job_reference_of_id(id);
    return watch_command(session, &job, stderr, exit_code, err);
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct session session = {0};
    struct run_plan plan = {0};
    struct run_data data = {0};
    json_t *written = NULL;
    json_t *canonical = NULL;
    char path[PATH_BYTES_MAX];
    bool was_ready = false;
    int64_t slots = 0;

    enum status status = read_plan(line, &plan, err);
    if (!status) {
        status = open_data(line, &data, err);
    }
    if (!status) {
        status = session_open(&session, line, SESSION_START_IF_MISSING, err);
    }
    if (!status) {
        status = ask_slots(&session, &slots, err);
    }
    if (status) {
        goto done;
    }
    plan.folder = data.prepared;
    name_job(line, &data, &plan);
    run_launch(&plan, slots);
    status = check_plan(line, &plan, data.folder, err);
    if (!status) {
        status = run_data_prepare(&data, &was_ready, exit_code, err);
    }
    if (status || *exit_code != 0) {
        goto done;
    }
    tell_data(&data, was_ready);
    status = complete_plan(&data, &plan, err);
    if (!status) {
        status = make_spec(line, &plan, data.folder, &written, &canonical, err);
    }
    if (!status) {
        status = write_yaml(data.folder, plan.name, written, path, err);
    }
    if (!status) {
        (void)fprintf(stderr, "spec       %s\n", path);
    }
    if (!status && !command_flag(line, "no-submit")) {
        status = submit(&session, line, canonical, exit_code, err);
    }
done:
    json_decref(written);
    json_decref(canonical);
    run_data_close(&data);
    session_close(&session);
    return status;
}

const struct command command_run = {
    .name = "run",
    .usage = "--data PATTERN [--model PRESET] [--method METHOD] [--steps N] [-s KEY.PATH=VALUE]...",
    .summary = "trains a model on your text: writes a spec, prepares, submits, watches",
    .examples =
        "  remora run --data 'abstracts/*.xml.gz' --model llama-20m --method remora --steps 500\n"
        "  remora run --data notes.txt --model llama-9m --steps 200 -s optimizer.lr=1e-3\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_max = -1,
    .run = run,
};
