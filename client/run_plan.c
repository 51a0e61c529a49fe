#include "client/run_plan.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANKS_WANTED        2
#define THREADS_WANTED_MAX  8
#define BYTES_A_TOKEN       4 /* of English with a few thousand pieces */
#define VALIDATION_TOKENS   40000
#define SEQUENCES_WANTED    64
#define SEQUENCE_LENGTH_MIN 32
#define BATCH_GLOBAL        32
#define BATCH_MICRO         8
#define BATCH_MICRO_WIDE    4 /* from HIDDEN_SIZE_WIDE on: memory */
#define HIDDEN_SIZE_WIDE    768

static bool ends_with(const char *text, size_t size, const char *end)
{
    size_t end_size = strlen(end);
    return size >= end_size && memcmp(text + size - end_size, end, end_size) == 0;
}

int64_t run_text_bytes(const char *path, int64_t file_bytes)
{
    size_t size = strlen(path);
    double bytes = (double)file_bytes;

    if (ends_with(path, size, ".gz")) {
        size -= strlen(".gz");
        bytes *= ends_with(path, size, ".xml") ? 8 : 3; /* markup compresses well */
    } else if (ends_with(path, size, ".zst")) {
        size -= strlen(".zst");
        bytes *= 3;
    }
    if (ends_with(path, size, ".xml")) {
        bytes *= 0.2; /* title and abstract of a MEDLINE record */
    }
    return (int64_t)bytes;
}

int64_t run_vocab_size(int64_t text_bytes)
{
    static const struct {
        int64_t bytes_max;
        int64_t vocab_size;
    } sizes[] = {{1000000, 1024}, {20000000, 4096}, {200000000, 8192}, {2000000000, 16384}};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (text_bytes < sizes[i].bytes_max) {
            return sizes[i].vocab_size;
        }
    }
    return 32000;
}

double run_validation_fraction(int64_t text_bytes)
{
    double wanted =
        text_bytes > 0 ? (double)VALIDATION_TOKENS * BYTES_A_TOKEN / (double)text_bytes : 1;
    double share = wanted < 0.02 ? 0.02 : wanted > 0.1 ? 0.1 : wanted;

    return round(share * 100) / 100; /* so that a person can say it */
}

int64_t run_steps(int64_t steps, enum method_name method)
{
    if (!method_has_cycles(method)) {
        return steps;
    }
    return (steps + RUN_CYCLES - 1) / RUN_CYCLES * RUN_CYCLES;
}

/* The last component without its extensions, of the file's folder when it is a pattern. */
static void stem_of(char *out, size_t out_size, const char *path)
{
    size_t end = strlen(path);

    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    size_t length = strcspn(path + start, ".");
    if (length == 0 || start + length > end) {
        length = end - start;
    }
    (void)snprintf(out, out_size, "%.*s", (int)length, path + start);
}

void run_name(char out[JOB_NAME_BYTES_MAX + 1], const char *data_path, const char *model,
              const char *method)
{
    char stem[PATH_BYTES_MAX];
    char tail[JOB_NAME_BYTES_MAX];

    stem_of(stem, sizeof stem, data_path);
    for (char *at = stem; *at != '\0'; at++) {
        bool is_allowed = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                          (*at >= '0' && *at <= '9') || *at == '_' || *at == '-';
        *at = is_allowed ? *at : '-';
    }
    bool starts_well = (stem[0] >= 'a' && stem[0] <= 'z') || (stem[0] >= 'A' && stem[0] <= 'Z');
    int tail_size = snprintf(tail, sizeof tail, "-%s-%s", model, method);
    int room = JOB_NAME_BYTES_MAX - tail_size - (starts_well ? 0 : 4);
    int size = snprintf(out, JOB_NAME_BYTES_MAX + 1, "%s%.*s%s", starts_well ? "" : "run-", room,
                        stem, tail);
    assert(size <= JOB_NAME_BYTES_MAX);
}

void run_launch(struct run_plan *plan, int64_t slots)
{
    plan->ranks = slots >= RANKS_WANTED ? RANKS_WANTED : 1;
    plan->threads_per_rank = slots / plan->ranks;
    if (plan->threads_per_rank < 1) {
        plan->threads_per_rank = 1;
    } else if (plan->threads_per_rank > THREADS_WANTED_MAX) {
        plan->threads_per_rank = THREADS_WANTED_MAX;
    }
}

int64_t run_sequence_length(const struct model_preset *model, int64_t train_tokens,
                            int64_t validation_tokens)
{
    int64_t length = model->hidden_size >= HIDDEN_SIZE_WIDE ? 512 : 256;

    /* With little text, shorter sequences make a batch of different ones. */
    while (length > SEQUENCE_LENGTH_MIN &&
           (train_tokens / length < SEQUENCES_WANTED || validation_tokens / length < 1)) {
        length /= 2;
    }
    return length;
}

/* --------------------------------------------------------------------------------- the spec --- */

/* 3e-3 for llama-9m, 5e-4 for a hidden size of 768 (Jiang et al. 2024, MoRA), as 1 / width
 * between; two digits. */
static double learning_rate(const struct model_preset *model)
{
    double rate = 3e-3 * 128 / (double)model->hidden_size;
    double unit = pow(10, floor(log10(rate)) - 1);
    char text[32];

    (void)snprintf(text, sizeof text, "%.1e", round(rate / unit) * unit);
    return strtod(text, NULL);
}

static int64_t at_least_1(int64_t value)
{
    return value < 1 ? 1 : value;
}

static json_t *method_json(const struct run_plan *plan)
{
    /* A sixth of the hidden size keeps the proportion of r = 128 at 768. */
    json_int_t r = at_least_1(plan->model->hidden_size / 6);
    json_t *method = json_pack("{s:s}", "name", method_name_text(plan->method));

    if (method_is_mora(plan->method) || method_is_lora(plan->method)) {
        (void)json_object_set_new(method, "r", json_integer(r));
    }
    if (method_is_lora(plan->method)) { /* Jiang et al. 2024: 64 for r = 128 */
        (void)json_object_set_new(method, "alpha", json_real((double)r / 2.0));
    }
    if (method_has_cycles(plan->method)) {
        (void)json_object_set_new(method, "merge_every", json_integer(plan->steps / RUN_CYCLES));
    }
    return method;
}

static json_t *schedule_json(const struct run_plan *plan)
{
    json_int_t cycle = plan->steps / RUN_CYCLES;

    if (method_has_cycles(plan->method)) {
        return json_pack("{s:s, s:I, s:I}", "name", "jagged_cosine", "warmup", cycle / 2,
                         "restart_warmup", cycle / 10);
    }
    return json_pack("{s:s, s:I}", "name", "cosine", "warmup", (json_int_t)(plan->steps / 10));
}

static json_t *data_json(const struct run_plan *plan)
{
    return json_pack("{s:[{s:s+}], s:{s:s+, s:I}, s:I}", "train", "shards", plan->folder, "/train",
                     "validation", "shards", plan->folder, "/validation", "sequences",
                     (json_int_t)plan->validation_sequences, "sequence_length",
                     (json_int_t)plan->sequence_length);
}

enum status run_spec(json_t **out, const struct run_plan *plan, struct error *err)
{
    int64_t micro = plan->model->hidden_size >= HIDDEN_SIZE_WIDE ? BATCH_MICRO_WIDE : BATCH_MICRO;

    assert(plan->steps >= 1 && plan->folder != NULL);
    *out = json_pack(
        "{s:s, s:s, s:{s:s, s:s+}, s:o, s:o, s:{s:s, s:f}, s:o, s:{s:I, s:I}, s:I, s:i,"
        " s:{s:I, s:I}, s:{s:I, s:i}, s:{s:I}}",
        "kind", "train", "name", plan->name, "model", "preset", plan->model->name, "tokenizer",
        plan->folder, "/tokenizer.model", "data", data_json(plan), "method", method_json(plan),
        "optimizer", "name", "adamw", "lr", learning_rate(plan->model), "schedule",
        schedule_json(plan), "batch", "global", (json_int_t)BATCH_GLOBAL, "micro",
        (json_int_t)micro, "steps", (json_int_t)plan->steps, "seed", 0, "launch", "ranks",
        (json_int_t)plan->ranks, "threads_per_rank", (json_int_t)plan->threads_per_rank,
        "checkpoint", "every", (json_int_t)at_least_1(plan->steps / 5), "keep_last", 2, "evaluate",
        "every", (json_int_t)at_least_1(plan->steps / 10));
    return *out != NULL ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "run: out of memory");
}
