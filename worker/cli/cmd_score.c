/*
 * remora-worker score — how likely texts are, and what would follow them: forward only.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/spec/spec.h"
#include "worker/cli/commands.h"
#include "worker/cli/loaded_checkpoint.h"
#include "worker/convert/hf_model.h"
#include "worker/eval/scorer.h"
#include "worker/text/tokenizer.h"
#include "worker/train/process.h"

/* People write prompts, or a script some thousands of them. */
#define PROMPTS_BYTES_MAX (64 * MIB)

static const struct command_option options[] = {
    {.name = "model", .value = "MODEL", .help = "a checkpoint, or hf:FOLDER (needed)"},
    {.name = "tokenizer", .value = "FILE", .help = "of texts (default: the model's own)"},
    {.name = "top", .value = "N", .help = "how many of the likeliest next tokens (default: 5)"},
    {.name = "threads", .value = "N", .help = "threads to compute with (default: 1)"},
    {.name = "logits", .help = "with --json: all logits of all positions, too"},
    {.name = "json", .help = "print a line of JSON for each prompt"},
};

struct score {
    json_t *prompts; /* [{"tokens": [...]}] */
    int64_t longest; /* of them, in tokens */
    struct model_config config;
    struct backend *backend;
    struct scorer *scorer;
    struct tokenizer *tokenizer; /* NULL where no prompt is a text and none was named */
    float *logits;               /* [longest, V] */
    uint32_t *tokens;            /* [longest] */
    long long top;
    bool has_logits;
    bool is_json;
};

/* A likely next token. */
struct candidate {
    double log_probability;
    int64_t token;
};

/* --- prompts ---------------------------------------------------------------------------------- */

static enum status bad_prompt(size_t line, const char *problem, struct error *err)
{
    enum status status = error_set(err, STATUS_INVALID, "prompts: line %zu: %s", line, problem);
    error_set_hint(err, "a line is a text in quotes, {\"text\": …} or {\"tokens\": [1, 2, …]}");
    return status;
}

static enum status take_tokens(const struct score *score, json_t *prompt, size_t line,
                               struct error *err)
{
    json_t *tokens = json_object_get(prompt, "tokens");
    json_t *token = NULL;
    size_t i = 0;

    if (json_array_size(tokens) == 0) {
        return bad_prompt(line, "has no tokens", err);
    }
    json_array_foreach(tokens, i, token)
    {
        if (!json_is_integer(token) || json_integer_value(token) < 0 ||
            json_integer_value(token) >= score->config.vocab_size) {
            return bad_prompt(line, "has a token that is not in the model's vocabulary", err);
        }
    }
    return STATUS_OK;
}

/* Without BOS, as in training. */
static enum status encode(const struct score *score, json_t *prompt, const json_t *text,
                          size_t line, struct error *err)
{
    struct token_list list = {0};
    json_t *tokens = json_array();

    enum status status = score->tokenizer == NULL
                             ? bad_prompt(line, "is a text, and there is no tokenizer", err)
                             : tokenizer_encode(score->tokenizer, json_string_value(text),
                                                json_string_length(text), &list, err);
    for (size_t i = 0; i < list.count; i++) {
        (void)json_array_append_new(tokens, json_integer((json_int_t)list.tokens[i]));
    }
    token_list_deinit(&list);
    if (json_object_set_new(prompt, "tokens", tokens) != 0 && !status) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a prompt");
    }
    return status;
}

static enum status take_prompt(struct score *score, json_t *value, size_t line, struct error *err)
{
    json_t *prompt = json_object();
    const json_t *text = json_is_string(value) ? value : json_object_get(value, "text");

    enum status status = json_array_append_new(score->prompts, prompt) == 0
                             ? STATUS_OK
                             : error_set(err, STATUS_NO_MEMORY, "no memory for a prompt");
    if (!status && json_is_string(text)) {
        status = encode(score, prompt, text, line, err);
    } else if (!status) {
        (void)json_object_set(prompt, "tokens", json_object_get(value, "tokens"));
    }
    if (!status) {
        status = take_tokens(score, prompt, line, err);
    }
    const int64_t count = (int64_t)json_array_size(json_object_get(prompt, "tokens"));
    if (!status && count > SEQUENCE_LENGTH_MAX) {
        status = bad_prompt(line, "is too long", err);
    }
    score->longest = count > score->longest ? count : score->longest;
    return status;
}

static enum status read_prompts(struct score *score, const char *path, struct error *err)
{
    struct bytes text = {0};
    size_t line = 0;

    score->prompts = json_array();
    enum status status =
        file_read(&text, strcmp(path, "-") == 0 ? "/dev/stdin" : path, PROMPTS_BYTES_MAX, err);
    for (char *at = text.data; !status && at != NULL && *at != '\0';) {
        char *end = strchrnul(at, '\n');
        json_t *value = NULL;
        line++;
        if (end > at) {
            status = json_parse(&value, at, (size_t)(end - at), path, err);
            if (status) {
                (void)error_wrap(err, "prompts: line %zu", line);
            } else {
                status = take_prompt(score, value, line, err);
            }
            json_decref(value);
        }
        at = *end == '\0' ? end : end + 1;
    }
    bytes_deinit(&text);
    if (!status && json_array_size(score->prompts) == 0) {
        status = error_set(err, STATUS_INVALID, "prompts: '%s' has none", path);
    }
    return status;
}

/* --- the model -------------------------------------------------------------------------------- */

static enum status load_tokenizer(struct score *score, const char *path, struct error *err)
{
    enum status status = tokenizer_load(&score->tokenizer, path, err);

    if (!status && (int64_t)tokenizer_vocab_size(score->tokenizer) > score->config.vocab_size) {
        status = error_set(err, STATUS_CONFLICT,
                           "'%s' has %u tokens, and the model has rows for %" PRId64, path,
                           tokenizer_vocab_size(score->tokenizer), score->config.vocab_size);
    }
    return status;
}

/* Where prompts are read between the model's config and its weights: they say how long it is. */
static enum status make_scorer(struct score *score, const struct command_line *line,
                               const char *own_tokenizer, struct error *err)
{
    const char *tokenizer = command_text(line, "tokenizer", own_tokenizer);
    long long threads = 1;

    enum status status = command_int(line, "threads", 1, THREADS_PER_RANK_MAX, 1, &threads, err);
    if (!status && tokenizer != NULL) {
        status = load_tokenizer(score, tokenizer, err);
    }
    if (!status) {
        status = read_prompts(score, command_argument(line, 0), err);
    }
    if (!status) {
        status = backend_cpu_create(&score->backend, (int)threads, err);
    }
    if (!status) {
        status = scorer_create(&score->scorer, &score->config, score->longest, score->backend, err);
    }
    return status;
}

static enum status load_hf(struct score *score, const struct command_line *line, const char *folder,
                           struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct error ignored;
    struct hf_model *model = NULL;

    enum status status = hf_model_open(&model, folder, err);
    if (!status) {
        const bool has_own = hf_file_path(path, folder, "tokenizer.model", &ignored) == STATUS_OK;
        score->config = *hf_model_config(model);
        status = make_scorer(score, line, has_own ? path : NULL, err);
    }
    const struct param_table *table = status ? NULL : scorer_params(score->scorer);
    for (int64_t i = 0; !status && i < table->model_count; i++) {
        status = hf_model_read(model, i, table->params[i].value, err);
    }
    hf_model_close(model);
    return status;
}

static enum status load_checkpoint(struct score *score, const struct command_line *line,
                                   const char *text, struct error *err)
{
    struct loaded_checkpoint loaded;
    char path[PATH_BYTES_MAX];
    struct error ignored;

    enum status status = loaded_checkpoint_open(&loaded, text, err);
    if (!status) {
        const bool has_own = loaded_checkpoint_tokenizer(&loaded, path, &ignored) == STATUS_OK;
        score->config = learner_options(loaded.learner)->config;
        status = make_scorer(score, line, has_own ? path : NULL, err);
    }
    const struct param_table *table = status ? NULL : scorer_params(score->scorer);
    for (int64_t i = 0; !status && i < table->model_count; i++) {
        learner_merged_tensor(loaded.learner, i, table->params[i].value);
    }
    loaded_checkpoint_close(&loaded);
    return status;
}

static enum status load(struct score *score, const struct command_line *line, struct error *err)
{
    const char *text = command_text(line, "model", NULL);

    if (text == NULL) {
        return error_set(err, STATUS_INVALID, "--model MODEL is missing");
    }
    const char *folder = spec_hf_folder(text);
    enum status status = folder != NULL ? load_hf(score, line, folder, err)
                                        : load_checkpoint(score, line, text, err);
    if (status) {
        return status;
    }
    scorer_start(score->scorer);
    score->logits =
        sys_calloc((size_t)(score->longest * score->config.vocab_size), sizeof *score->logits);
    score->tokens = sys_calloc((size_t)score->longest, sizeof *score->tokens);
    return score->logits == NULL || score->tokens == NULL
               ? error_set(err, STATUS_NO_MEMORY, "no memory for logits")
               : STATUS_OK;
}

/* --- scoring ---------------------------------------------------------------------------------- */

/* log Σ exp(logits), by which a logit is above its log-probability. */
static double log_sum(const float *logits, int64_t V)
{
    double most = (double)logits[0];
    double sum = 0.0;

    for (int64_t i = 1; i < V; i++) {
        most = (double)logits[i] > most ? (double)logits[i] : most;
    }
    for (int64_t i = 0; i < V; i++) {
        sum += exp((double)logits[i] - most);
    }
    return most + log(sum);
}

/* The likeliest first; of equal ones the lower token. */
static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;

    if (x->log_probability < y->log_probability || x->log_probability > y->log_probability) {
        return x->log_probability > y->log_probability ? -1 : 1;
    }
    return x->token < y->token ? -1 : 1;
}

static json_t *describe_next(const struct score *score, const float *logits)
{
    const int64_t V = score->config.vocab_size;
    const double base = log_sum(logits, V);
    json_t *next = json_array();

    struct candidate *all = sys_calloc((size_t)V, sizeof *all);
    for (int64_t i = 0; all != NULL && i < V; i++) {
        all[i] = (struct candidate){.log_probability = (double)logits[i] - base, .token = i};
    }
    if (all != NULL) {
        qsort(all, (size_t)V, sizeof *all, compare_candidates);
    }
    for (int64_t i = 0; all != NULL && i < score->top && i < V; i++) {
        json_t *entry = json_pack("{s:I}", "token", (json_int_t)all[i].token);
        struct bytes piece = {0};
        const uint32_t token = (uint32_t)all[i].token;
        json_set_real(entry, "log_probability", all[i].log_probability);
        if (score->tokenizer != NULL && token < tokenizer_vocab_size(score->tokenizer) &&
            tokenizer_decode(score->tokenizer, &token, 1, &piece, NULL) == STATUS_OK) {
            /* Part of a character is no text of its own. */
            json_t *text = json_stringn(piece.data == NULL ? "" : piece.data, piece.size);
            (void)json_object_set_new(entry, "text", text == NULL ? json_null() : text);
        }
        bytes_deinit(&piece);
        (void)json_array_append_new(next, entry);
    }
    free(all);
    return next;
}

static json_t *describe_logits(const struct score *score, int64_t T)
{
    const int64_t V = score->config.vocab_size;
    json_t *rows = json_array();

    for (int64_t t = 0; t < T; t++) {
        json_t *row = json_array();
        for (int64_t i = 0; i < V; i++) {
            (void)json_array_append_new(row, json_real((double)score->logits[t * V + i]));
        }
        (void)json_array_append_new(rows, row);
    }
    return rows;
}

/* {"tokens", "log_probabilities", "sum", "next", "logits"} */
static json_t *describe(const struct score *score, json_t *tokens, int64_t T)
{
    const int64_t V = score->config.vocab_size;
    json_t *each = json_array();
    double sum = 0.0;

    for (int64_t t = 1; t < T; t++) {
        const float *logits = score->logits + (t - 1) * V;
        const double value = (double)logits[score->tokens[t]] - log_sum(logits, V);
        (void)json_array_append_new(each, json_real(value));
        sum += value;
    }
    json_t *result = json_pack("{s:O, s:o, s:o}", "tokens", tokens, "log_probabilities", each,
                               "next", describe_next(score, score->logits + (T - 1) * V));
    json_set_real(result, "sum", sum);
    if (score->has_logits) {
        (void)json_object_set_new(result, "logits", describe_logits(score, T));
    }
    return result;
}

static void print_text(const json_t *result)
{
    json_t *entry = NULL;
    size_t i = 0;

    (void)printf("%zu tokens, log-probability %.4f; next:",
                 json_array_size(json_object_get(result, "tokens")),
                 json_get_real(result, "sum", NAN));
    json_array_foreach(json_object_get(result, "next"), i, entry)
    {
        const char *text = json_get_text(entry, "text", NULL);
        if (text != NULL) {
            (void)printf(" '%s' %.4f", text, json_get_real(entry, "log_probability", NAN));
        } else {
            (void)printf(" %" PRId64 " %.4f", json_get_int(entry, "token", -1),
                         json_get_real(entry, "log_probability", NAN));
        }
    }
    (void)printf("\n");
}

static enum status score_prompt(const struct score *score, const json_t *prompt, struct error *err)
{
    json_t *tokens = json_object_get(prompt, "tokens");
    const int64_t T = (int64_t)json_array_size(tokens);
    struct bytes text = {0};

    for (int64_t t = 0; t < T; t++) {
        score->tokens[t] = (uint32_t)json_integer_value(json_array_get(tokens, (size_t)t));
    }
    enum status status = scorer_logits(score->scorer, score->logits, score->tokens, T, err);
    json_t *result = status ? NULL : describe(score, tokens, T);
    if (!status && result == NULL) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory for a result");
    }
    if (!status && !score->is_json) {
        print_text(result);
    } else if (!status) {
        json_canonical(&text, result);
        status = bytes_status(&text, "result", err);
    }
    if (!status && score->is_json) {
        (void)printf("%s\n", text.data);
    }
    bytes_deinit(&text);
    json_decref(result);
    return status;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct score score = {.has_logits = command_flag(line, "logits"),
                          .is_json = command_flag(line, "json")};
    (void)exit_code;

    process_tune();
    enum status status = command_int(line, "top", 0, VOCAB_SIZE_MAX, 5, &score.top, err);
    if (!status) {
        status = load(&score, line, err);
    }
    for (size_t i = 0; !status && i < json_array_size(score.prompts); i++) {
        status = score_prompt(&score, json_array_get(score.prompts, i), err);
    }
    free(score.logits);
    free(score.tokens);
    tokenizer_destroy(score.tokenizer);
    scorer_destroy(score.scorer);
    backend_destroy(score.backend);
    json_decref(score.prompts);
    return status;
}

const struct command command_score = {
    .name = "score",
    .usage = "PROMPTS --model MODEL [options]",
    .summary = "log-probabilities of texts and of what follows them",
    .examples = "  remora-worker score prompts.jsonl --model runs/pubmed-demo\n"
                "  echo '\"The patients were\"' | remora-worker score - --model hf:model --json\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
