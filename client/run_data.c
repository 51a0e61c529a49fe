#include "client/run_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/run_plan.h"
#include "client/spawn.h"
#include "proto/base/bytes.h"
#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "proto/base/sys.h"
#include "proto/shards/shard_set.h"
#include "proto/spec/inputs.h"

#define PREPARED_FOLDER "remora-prepared"
#define FILES_MAX       100000 /* of one run; also bounds the worker's command line */
#define KEY_VERSION     "remora run 1"

/* ----------------------------------------------------------------------------------- files --- */

static int compare_paths(const void *a, const void *b)
{
    const char *const *left = a;
    const char *const *right = b;
    return strcmp(*left, *right);
}

/* *files becomes the sorted list of what all patterns match, each file once. */
static enum status sort_files(json_t **files, struct error *err)
{
    size_t count = json_array_size(*files);
    const char **paths = sys_calloc(count, sizeof *paths);
    json_t *sorted = json_array();

    if (paths == NULL || sorted == NULL) {
        free(paths);
        json_decref(sorted);
        return error_set(err, STATUS_NO_MEMORY, "--data: out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        paths[i] = json_string_value(json_array_get(*files, i));
    }
    qsort(paths, count, sizeof *paths, compare_paths);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(paths[i], paths[i - 1]) != 0) {
            (void)json_array_append_new(sorted, json_string(paths[i]));
        }
    }
    free(paths);
    json_decref(*files);
    *files = sorted;
    return STATUS_OK;
}

static enum status find_files(struct run_data *data, const char *const *patterns,
                              size_t pattern_count, struct error *err)
{
    char here[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];

    if (getcwd(here, sizeof here) == NULL) {
        return error_from_errno(err, errno, "the current folder");
    }
    data->files = json_array();
    for (size_t i = 0; i < pattern_count; i++) {
        json_t *found = NULL;
        enum status status = path_resolve(path, here, patterns[i], err);
        if (!status) {
            status = spec_glob(&found, path, "--data", err);
        }
        if (status) {
            return status;
        }
        (void)json_array_extend(data->files, found);
        json_decref(found);
    }
    if (json_array_size(data->files) > FILES_MAX) {
        return error_set(err, STATUS_LIMIT, "--data: %zu files are more than %d",
                         json_array_size(data->files), FILES_MAX);
    }
    return sort_files(&data->files, err);
}

/* The data's own folder if we may write there, so that the spec lies beside what it is about. */
static enum status choose_folder(struct run_data *data, struct error *err)
{
    const char *first = json_string_value(json_array_get(data->files, 0));
    const char *slash = strrchr(first, '/');

    enum status status = path_printf(data->folder, err, "%.*s", (int)(slash - first), first);
    if (status || access(data->folder, W_OK) == 0) {
        return status;
    }
    (void)fprintf(stderr, "remora: %s cannot be written; using the current folder\n", data->folder);
    if (getcwd(data->folder, sizeof data->folder) == NULL) {
        return error_from_errno(err, errno, "the current folder");
    }
    return STATUS_OK;
}

static enum status add_sizes(struct run_data *data, struct error *err)
{
    for (size_t i = 0; i < json_array_size(data->files); i++) {
        const char *path = json_string_value(json_array_get(data->files, i));
        int64_t size = file_size(path);
        if (size < 0) {
            return error_set(err, STATUS_NOT_FOUND, "--data: '%s' is no file", path);
        }
        data->file_bytes += size;
        data->text_bytes += run_text_bytes(path, size);
    }
    return STATUS_OK;
}

/* The key covers the files' bytes and all that is asked of their preparation. */
static enum status take_key(struct run_data *data, struct error *err)
{
    struct bytes text = {0};
    struct digest digest;
    char hex[DIGEST_HEX_BYTES];

    bytes_printf(&text, "%s\nvocabulary %lld\nvalidation %.2f\n", KEY_VERSION,
                 (long long)data->vocab_size, data->validation_fraction);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < json_array_size(data->files) && !status; i++) {
        status = digest_of_file(&digest, json_string_value(json_array_get(data->files, i)), err);
        digest_to_hex(hex, &digest);
        bytes_printf(&text, "%s\n", hex);
    }
    if (!status) {
        status = bytes_status(&text, "--data", err);
    }
    if (!status) {
        digest_of(&digest, text.data, text.size);
        digest_to_hex(hex, &digest);
        (void)snprintf(data->prepared, sizeof data->prepared, "%s/%.*s", PREPARED_FOLDER,
                       RUN_KEY_DIGITS, hex);
    }
    bytes_deinit(&text);
    return status;
}

enum status run_data_open(struct run_data *out, const char *const *patterns, size_t pattern_count,
                          int64_t vocab_size, struct error *err)
{
    *out = (struct run_data){0};
    enum status status = find_files(out, patterns, pattern_count, err);
    if (!status) {
        status = choose_folder(out, err);
    }
    if (!status) {
        status = add_sizes(out, err);
    }
    if (!status) {
        out->vocab_size = vocab_size > 0 ? vocab_size : run_vocab_size(out->text_bytes);
        out->validation_fraction = run_validation_fraction(out->text_bytes);
        status = take_key(out, err);
    }
    return status;
}

void run_data_close(struct run_data *data)
{
    json_decref(data->files);
    *data = (struct run_data){0};
}

/* ----------------------------------------------------------------------------- preparation --- */

static enum status run_worker(const struct run_data *data, const char *output, int *exit_code,
                              struct error *err)
{
    size_t file_count = json_array_size(data->files);
    char vocabulary[32];
    char fraction[32];
    const char *options[] = {
        "--output", output, "--train-tokenizer", vocabulary, "--validation-fraction", fraction};
    size_t option_count = sizeof options / sizeof options[0];
    const char **arguments = sys_calloc(file_count + option_count + 4, sizeof *arguments);

    if (arguments == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "prepare: out of memory");
    }
    (void)snprintf(vocabulary, sizeof vocabulary, "%lld", (long long)data->vocab_size);
    (void)snprintf(fraction, sizeof fraction, "%.2f", data->validation_fraction);
    size_t count = 0;
    arguments[count++] = "remora-worker";
    arguments[count++] = "prepare";
    for (size_t i = 0; i < option_count; i++) {
        arguments[count++] = options[i];
    }
    arguments[count++] = "--"; /* a file may be called "-x" */
    for (size_t i = 0; i < file_count; i++) {
        arguments[count++] = json_string_value(json_array_get(data->files, i));
    }
    enum status status = spawn_and_wait(arguments, exit_code, err);
    free(arguments);
    return status;
}

enum status run_data_prepare(const struct run_data *data, bool *was_ready, int *exit_code,
                             struct error *err)
{
    char output[PATH_BYTES_MAX];
    char report[PATH_BYTES_MAX];

    enum status status = path_printf(output, err, "%s/%s", data->folder, data->prepared);
    if (!status) {
        status = path_printf(report, err, "%s/prepare.json", output);
    }
    if (status) {
        return status;
    }
    /* The report is written last, and the folder's name is the digest of what it was made from. */
    *was_ready = file_exists(report);
    if (*was_ready) {
        return STATUS_OK;
    }
    status = path_printf(report, err, "%s/" PREPARED_FOLDER, data->folder);
    if (!status) {
        status = folder_create(report, 0777, err);
    }
    return status ? status : run_worker(data, output, exit_code, err);
}

static enum status count_tokens(const struct run_data *data, const char *part, int64_t *tokens,
                                struct error *err)
{
    char folder[PATH_BYTES_MAX];
    struct shard_set *set = NULL;

    enum status status = path_printf(folder, err, "%s/%s/%s", data->folder, data->prepared, part);
    if (!status) {
        status = shard_set_open(&set, folder, err);
    }
    if (!status) {
        *tokens = shard_set_token_count(set);
    }
    shard_set_close(set);
    return status;
}

enum status run_data_tokens(const struct run_data *data, int64_t *train, int64_t *validation,
                            struct error *err)
{
    enum status status = count_tokens(data, "train", train, err);
    return status ? status : count_tokens(data, "validation", validation, err);
}
