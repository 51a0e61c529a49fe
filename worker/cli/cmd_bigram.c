#include <stdio.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "worker/cli/commands.h"
#include "worker/text/bigram.h"

static const struct command_option options[] = {
    {.name = "train", .value = "SHARDS", .help = "folder of shards to count"},
    {.name = "validation", .value = "SHARDS", .help = "folder of shards to predict"},
    {.name = "sequences", .value = "N", .help = "as in data.validation.sequences (default: 64)"},
    {.name = "sequence-length", .value = "T", .help = "as in data.sequence_length (default: 256)"},
    {.name = "json", .help = "print as JSON"},
};

static enum status print_json(const struct bigram_result *result, struct error *err)
{
    struct bytes text = {0};
    json_t *object =
        json_pack("{s:I, s:I, s:I}", "sequences", (json_int_t)result->sequences, "targets",
                  (json_int_t)result->targets, "train_tokens", (json_int_t)result->train_tokens);
    json_t *weights = json_object();
    json_set_real(weights, "bigram", result->weight_bigram);
    json_set_real(weights, "unigram", result->weight_unigram);
    json_set_real(weights, "uniform", result->weight_uniform);
    json_set_real(object, "loss", result->loss);
    json_set_real(object, "perplexity", result->perplexity);
    (void)json_object_set_new(object, "weights", weights);
    json_canonical(&text, object);
    enum status status = bytes_status(&text, "result", err);
    if (!status) {
        (void)printf("%s\n", text.data);
    }
    bytes_deinit(&text);
    json_decref(object);
    return status;
}

static void print_text(const struct bigram_result *result)
{
    (void)printf("perplexity  %.2f (loss %.4f) over %lld targets\n", result->perplexity,
                 result->loss, (long long)result->targets);
    (void)printf("weights     bigram %.4f, unigram %.4f, uniform %.4f; fitted on these targets\n",
                 result->weight_bigram, result->weight_unigram, result->weight_uniform);
    (void)printf("counts      from %lld training tokens\n", (long long)result->train_tokens);
}

static enum status open_sets(const struct command_line *line, struct shard_set **train,
                             struct shard_set **validation, struct error *err)
{
    const char *train_folder = command_text(line, "train", NULL);
    const char *validation_folder = command_text(line, "validation", NULL);
    if (!train_folder || !validation_folder) {
        return error_set(err, STATUS_INVALID, "--train and --validation are needed");
    }
    enum status status = shard_set_open(train, train_folder, err);
    if (status) {
        error_set_field(err, "--train");
        return status;
    }
    status = shard_set_open(validation, validation_folder, err);
    if (status) {
        error_set_field(err, "--validation");
    }
    return status;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct shard_set *train = NULL;
    struct shard_set *validation = NULL;
    struct bigram_result result;
    long long sequences = 0;
    long long sequence_length = 0;
    (void)exit_code;

    enum status status = command_int(line, "sequences", 1, 1 << 20, 64, &sequences, err);
    if (!status) {
        status = command_int(line, "sequence-length", 1, SEQUENCE_LENGTH_MAX, 256, &sequence_length,
                             err);
    }
    if (!status) {
        status = open_sets(line, &train, &validation, err);
    }
    if (!status) {
        status = bigram_evaluate(&result, train, validation, sequences, sequence_length, err);
    }
    if (!status && command_flag(line, "json")) {
        status = print_json(&result, err);
    } else if (!status) {
        print_text(&result);
    }
    shard_set_close(train);
    shard_set_close(validation);
    return status;
}

const struct command command_bigram = {
    .name = "bigram",
    .usage = "--train SHARDS --validation SHARDS [--sequences N --sequence-length T] [--json]",
    .summary = "perplexity of an interpolated bigram model, the baseline to beat",
    .examples = "  remora-worker bigram --train prepared/train --validation prepared/validation\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .argument_min = 0,
    .argument_max = 0,
    .run = run,
};
