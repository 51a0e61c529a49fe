#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/checked.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/spec/spec.h"
#include "worker/cli/commands.h"
#include "worker/train/corpus.h"
#include "worker/train/sources.h"

static const struct command_option options[] = {
    {.name = "steps", .value = "N", .help = "how many steps (default 1)"},
    {.name = "from", .value = "STEP", .help = "the first one (default 1)"},
    {.name = "json", .help = "one array [step][sequence][token] instead of lines"},
    {.name = "cache", .value = "DIR", .help = "where data.train[].files are prepared"},
};

struct listing {
    json_t *spec_json;
    struct train_spec spec;
    struct source_paths paths;
    struct corpus corpus;
    uint32_t *tokens; /* [batch.global][T + 1] */
};

static enum status listing_open(struct listing *listing, const struct command_line *line,
                                struct error *err)
{
    size_t count = 0;

    enum status status = spec_load(&listing->spec_json, command_argument(line, 0), NULL, 0, err);
    if (!status && spec_kind(listing->spec_json) != SPEC_KIND_TRAIN) {
        status = error_set(err, STATUS_INVALID, "'%s' is not a spec of kind train",
                           command_argument(line, 0));
    }
    if (!status) {
        status = train_spec_read(&listing->spec, listing->spec_json, err);
    }
    if (!status) {
        status = source_paths_init(&listing->paths, &listing->spec,
                                   command_text(line, "cache", NULL), err);
    }
    if (!status) {
        status = sources_prepare(&listing->paths, &listing->spec, err);
    }
    if (!status) {
        status = corpus_open(&listing->corpus, &listing->spec, &listing->paths, err);
    }
    if (status) {
        return status;
    }
    if (checked_mul((size_t)listing->spec.batch.global,
                    (size_t)listing->spec.data.sequence_length + 1, &count)) {
        listing->tokens = sys_calloc(count, sizeof *listing->tokens);
    }
    if (listing->tokens == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a batch of tokens");
    }
    return STATUS_OK;
}

static void listing_close(struct listing *listing)
{
    free(listing->tokens);
    corpus_close(&listing->corpus);
    source_paths_deinit(&listing->paths);
    json_decref(listing->spec_json);
}

static void print_sequence(const uint32_t *tokens, int64_t count, const char *separator)
{
    for (int64_t i = 0; i < count; i++) {
        (void)printf("%s%" PRIu32, i > 0 ? separator : "", tokens[i]);
    }
}

static void print_step(const struct listing *listing, int64_t step, bool is_json, bool is_first)
{
    int64_t row = listing->corpus.sequence_length + 1;

    if (is_json) {
        (void)printf("%s[", is_first ? "" : ",\n");
    }
    for (int64_t i = 0; i < listing->corpus.batch_global; i++) {
        const uint32_t *tokens = listing->tokens + i * row;
        if (is_json) {
            (void)printf("%s[", i > 0 ? "," : "");
            print_sequence(tokens, row, ",");
            (void)printf("]");
        } else {
            (void)printf("%" PRId64 " %" PRId64 ":", step, i);
            print_sequence(tokens, row, " ");
            (void)printf("\n");
        }
    }
    if (is_json) {
        (void)printf("]");
    }
}

static enum status print_steps(const struct listing *listing, int64_t from, int64_t count,
                               bool is_json, struct error *err)
{
    (void)printf("%s", is_json ? "[" : "");
    for (int64_t step = from; step < from + count; step++) {
        enum status status = corpus_batch(&listing->corpus, step, 0, listing->corpus.batch_global,
                                          listing->tokens, err);
        if (status) {
            return status;
        }
        print_step(listing, step, is_json, step == from);
    }
    (void)printf("%s", is_json ? "]\n" : "");
    return fflush(stdout) == 0 && !ferror(stdout)
               ? STATUS_OK
               : error_set(err, STATUS_IO, "cannot write to standard output");
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct listing listing = {0};
    long long steps = 0;
    long long from = 0;
    (void)exit_code;

    enum status status = command_int(line, "steps", 1, STEPS_MAX, 1, &steps, err);
    if (!status) {
        status = command_int(line, "from", 1, STEPS_MAX, 1, &from, err);
    }
    if (!status) {
        status = listing_open(&listing, line, err);
    }
    if (!status) {
        status = print_steps(&listing, from, steps, command_flag(line, "json"), err);
    }
    listing_close(&listing);
    return status;
}

const struct command command_batches = {
    .name = "batches",
    .usage = "SPEC [options]",
    .summary = "print the token ids that each step trains on",
    .examples = "  remora-worker batches job.yaml --steps 3 --json\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
