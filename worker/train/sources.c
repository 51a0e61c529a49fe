#include "worker/train/sources.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/log.h"
#include "proto/rpc/paths.h"
#include "worker/text/prepare.h"

#define PREPARE_POLL_NS 200000000

static enum status cache_folder(char *out, const char *given, struct error *err)
{
    char home[PATH_BYTES_MAX];
    const char *xdg = getenv("XDG_CACHE_HOME");

    if (given != NULL) {
        return path_printf(out, err, "%s", given);
    }
    if (xdg != NULL && xdg[0] == '/') {
        return path_printf(out, err, "%s/remora", xdg);
    }
    enum status status = rpc_home_folder(home, err);
    return status ? status : path_printf(out, err, "%s/.cache/remora", home);
}

/* The share of a source's documents that are kept for validation. Only the first source of files
 * has any: it is the one that is evaluated, and of the others every document is trained on. */
static double held_back(const struct source_paths *paths, const struct train_spec *spec)
{
    return paths->validation == NULL ? spec->data.validation.fraction : 0.0;
}

/* The folder for what the spec says about source index; tokenizer is the one that it will use, NULL
 * where it trains one. */
static enum status name_folder(struct source_paths *paths, const struct train_spec *spec,
                               size_t index, const char *cache, const char **out, struct error *err)
{
    const struct spec_files *files = &spec->data.train[index].files;
    char hex[DIGEST_HEX_BYTES];
    struct digest digest;
    struct bytes text = {0};

    for (size_t i = 0; i < files->pattern_count; i++) {
        bytes_printf(&text, "%s\n", files->patterns[i]);
    }
    bytes_printf(&text, "\n%s\n%s\n", text_format_text(files->format), files->text_field);
    bytes_printf(&text, "%s\n%" PRId64 "\n", paths->tokenizer == NULL ? "" : paths->tokenizer,
                 paths->tokenizer == NULL ? spec->model.tokenizer_vocab_size : 0);
    bytes_printf(&text, "%a\n", held_back(paths, spec));
    enum status status = bytes_status(&text, "the name of prepared data", err);
    if (!status) {
        digest_of(&digest, text.data, text.size);
        digest_to_hex(hex, &digest);
        *out = arena_printf(&paths->arena, "%s/prepared/%.16s", cache, hex);
        if (*out == NULL) {
            status = error_set(err, STATUS_NO_MEMORY, "no memory for the name of prepared data");
        }
    }
    bytes_deinit(&text);
    return status;
}

static enum status place_source(struct source_paths *paths, const struct train_spec *spec,
                                size_t index, const char *cache, struct error *err)
{
    const char *folder = NULL;

    enum status status = name_folder(paths, spec, index, cache, &folder, err);
    if (status) {
        return status;
    }
    paths->prepared[index] = folder;
    paths->fraction[index] = held_back(paths, spec);
    paths->train[index] = arena_printf(&paths->arena, "%s/train", folder);
    if (paths->tokenizer == NULL) {
        paths->tokenizer = arena_printf(&paths->arena, "%s/tokenizer.model", folder);
    }
    if (paths->validation == NULL) {
        paths->validation = arena_printf(&paths->arena, "%s/validation", folder);
    }
    if (paths->train[index] == NULL || paths->tokenizer == NULL || paths->validation == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the paths of prepared data");
    }
    return STATUS_OK;
}

enum status source_paths_init(struct source_paths *paths, const struct train_spec *spec,
                              const char *cache, struct error *err)
{
    char folder[PATH_BYTES_MAX];

    *paths = (struct source_paths){
        .tokenizer = spec->model.tokenizer,
        .validation = spec->data.validation.shards,
    };
    enum status status = cache_folder(folder, cache, err);
    for (size_t i = 0; i < spec->data.train_count && !status; i++) {
        if (spec->data.train[i].shards != NULL) {
            paths->train[i] = spec->data.train[i].shards;
        } else {
            status = place_source(paths, spec, i, folder, err);
        }
    }
    if (!status && (paths->tokenizer == NULL || paths->validation == NULL)) {
        bool is_tokenizer = paths->tokenizer == NULL;
        status =
            error_set(err, STATUS_INVALID, "%s is not given, and there are no files to make it",
                      is_tokenizer ? "the tokenizer" : "validation data");
        error_set_field(err, is_tokenizer ? "model.tokenizer" : "data.validation.shards");
    }
    if (status) {
        source_paths_deinit(paths);
    }
    return status;
}

void source_paths_deinit(struct source_paths *paths)
{
    arena_deinit(&paths->arena);
    *paths = (struct source_paths){0};
}

static void on_notice(void *context, const char *text)
{
    (void)context;
    log_warn("prepare: %s", text);
}

static enum status create_parent(const char *path, struct error *err)
{
    const char *slash = strrchr(path, '/');
    char parent[PATH_BYTES_MAX];

    assert(slash != NULL);
    enum status status = path_printf(parent, err, "%.*s", (int)(slash - path), path);
    return status ? status : folder_create(parent, 0755, err);
}

/* Of two jobs with the same text one prepares it, and the other waits for what comes of it. */
static enum status run_or_wait(const struct prepare_options *options, struct prepare_report *report,
                               size_t index, struct error *err)
{
    enum status status = prepare_run(options, report, err);

    if (status == STATUS_BUSY) {
        log_info("data.train[%zu]: waiting: %s", index, err->message);
    }
    while (status == STATUS_BUSY) {
        const struct timespec pause = {.tv_nsec = PREPARE_POLL_NS};
        (void)nanosleep(&pause, NULL);
        status = prepare_run(options, report, err);
    }
    return status;
}

static enum status prepare_source(const struct source_paths *paths, const struct train_spec *spec,
                                  size_t index, bool trains_tokenizer, struct error *err)
{
    const struct spec_files *files = &spec->data.train[index].files;
    struct prepare_report report;
    struct prepare_options options = {
        .inputs = files->patterns,
        .input_count = files->pattern_count,
        .output = paths->prepared[index],
        .tokenizer_path = trains_tokenizer ? NULL : paths->tokenizer,
        .vocab_size = (uint32_t)spec->model.tokenizer_vocab_size,
        .format = files->format,
        .text_field = files->text_field,
        .validation_fraction = paths->fraction[index],
        .notice = on_notice,
    };

    enum status status = create_parent(paths->prepared[index], err);
    if (!status) {
        status = run_or_wait(&options, &report, index, err);
    }
    if (status) {
        error_set_field(err, "data.train[%zu].files", index);
        return status;
    }
    log_info("data.train[%zu]: %" PRId64 " documents, %" PRId64 " tokens in %s%s", index,
             report.train.documents, report.train.tokens, paths->prepared[index],
             report.is_cached ? " (prepared before)" : "");
    return STATUS_OK;
}

enum status sources_prepare(const struct source_paths *paths, const struct train_spec *spec,
                            struct error *err)
{
    bool trains_tokenizer = spec->model.tokenizer == NULL;

    for (size_t i = 0; i < spec->data.train_count; i++) {
        if (paths->prepared[i] == NULL) {
            continue;
        }
        enum status status = prepare_source(paths, spec, i, trains_tokenizer, err);
        if (status) {
            return status;
        }
        trains_tokenizer = false;
    }
    return STATUS_OK;
}
