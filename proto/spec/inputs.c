#include "proto/spec/inputs.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/base/bytes.h"
#include "proto/base/digest.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/shards/shard_set.h"
#include "proto/spec/schema_internal.h"
#include "proto/spec/spec.h"
#include "proto/spec/spec_internal.h"
#include "proto/store/checkpoint.h"
#include "proto/store/checkpoint_path.h"

/* Names the field in front of what went wrong with it. */
static enum status at_field(enum status status, const char *field, struct error *err)
{
    if (status) {
        (void)error_wrap(err, "%s", field);
        error_set_field(err, "%s", field);
    }
    return status;
}

/* ---- Patterns ---- */

static int compare_texts(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

static bool is_folder(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

/* folder with what glob(3) would interpret escaped. */
static void append_escaped(struct bytes *out, const char *folder)
{
    for (const char *c = folder; *c != '\0'; c++) {
        if (strchr("*?[\\", *c) != NULL) {
            bytes_append_char(out, '\\');
        }
        bytes_append_char(out, *c);
    }
}

static enum status matches_to_json(json_t **out, const glob_t *matches, const char *pattern,
                                   struct error *err)
{
    json_t *files = json_array();
    bool has_failed = files == NULL;
    for (size_t i = 0; i < matches->gl_pathc && !has_failed; i++) {
        const char *path = matches->gl_pathv[i];
        has_failed = !is_folder(path) && json_array_append_new(files, json_string(path)) != 0;
    }
    enum status status = STATUS_OK;
    if (has_failed) {
        status = error_set(err, STATUS_INVALID,
                           "a file that matches '%s' has a name that is not "
                           "UTF-8 (or memory is out)",
                           pattern);
    } else if (json_array_size(files) == 0) {
        status = error_set(err, STATUS_INVALID, "'%s' is a folder", pattern);
        error_set_hint(err, "name its files, e.g. '%s/*'", pattern);
    } else if (json_array_size(files) > SPEC_FILES_MAX) {
        status = error_set(err, STATUS_LIMIT, "'%s' matches %zu files; the maximum is %d", pattern,
                           json_array_size(files), SPEC_FILES_MAX);
    }
    if (status) {
        json_decref(files);
        return status;
    }
    *out = files;
    return STATUS_OK;
}

enum status spec_glob(json_t **out, const char *pattern, const char *field, struct error *err)
{
    glob_t matches;
    enum status status = STATUS_OK;
    switch (glob(pattern, GLOB_ERR | GLOB_NOSORT, NULL, &matches)) {
    case 0:
        qsort(matches.gl_pathv, matches.gl_pathc, sizeof matches.gl_pathv[0], compare_texts);
        status = matches_to_json(out, &matches, pattern, err);
        globfree(&matches);
        break;
    case GLOB_NOMATCH:
        status = error_set(err, STATUS_NOT_FOUND, "no file matches '%s'", pattern);
        break;
    case GLOB_NOSPACE:
        status = error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", pattern);
        break;
    default:
        status = error_from_errno(err, errno, "'%s': a folder cannot be read", pattern);
        break;
    }
    return at_field(status, field, err);
}

/* ---- Taking digests ---- */

struct collect {
    json_t *inputs;
    bool has_tokenizer;
    struct digest tokenizer; /* of model.tokenizer, which the schema has before the data */
};

static enum status append_input(struct collect *collect, const char *field, const char *kind,
                                const char *path, const struct digest *digest, struct error *err)
{
    char hex[DIGEST_HEX_BYTES];
    digest_to_hex(hex, digest);
    json_t *input = json_pack("{s:s, s:s, s:s, s:s}", "field", field, "kind", kind, "path", path,
                              "digest", hex);
    if (!input || json_array_append_new(collect->inputs, input) != 0) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", field);
    }
    return STATUS_OK;
}

/* Shards hold token ids, which mean nothing with another tokenizer. */
static enum status check_tokenizer(const struct collect *collect, const struct shard_set *set,
                                   const char *folder, struct error *err)
{
    if (!collect->has_tokenizer ||
        digest_equal(&collect->tokenizer, shard_set_tokenizer_digest(set))) {
        return STATUS_OK;
    }
    enum status status = error_set(
        err, STATUS_CONFLICT, "'%s' was made with another tokenizer than model.tokenizer", folder);
    error_set_hint(err, "use the tokenizer.model that lies beside these shards, or prepare again");
    return status;
}

static enum status collect_shards(struct collect *collect, const char *field, const char *folder,
                                  struct error *err)
{
    struct shard_set *set = NULL;
    enum status status = shard_set_open(&set, folder, err);
    if (!status) {
        status = check_tokenizer(collect, set, folder, err);
    }
    if (!status) { /* the set's digest is over the headers; their digests over the tokens */
        status = shard_set_verify(set, err);
    }
    if (!status) {
        status = append_input(collect, field, "shards", folder, shard_set_digest(set), err);
    }
    shard_set_close(set);
    return at_field(status, field, err);
}

static enum status collect_file(struct collect *collect, const char *field, const char *path,
                                struct error *err)
{
    struct digest digest;
    enum status status = digest_of_file(&digest, path, err);
    if (!status) {
        status = append_input(collect, field, "file", path, &digest, err);
    }
    if (!status && strcmp(field, "model.tokenizer") == 0) {
        collect->has_tokenizer = true;
        collect->tokenizer = digest;
    }
    return at_field(status, field, err);
}

static enum status collect_pattern(struct collect *collect, const char *field, const char *pattern,
                                   struct error *err)
{
    json_t *files = NULL;
    enum status status = spec_glob(&files, pattern, field, err);
    for (size_t i = 0; i < json_array_size(files) && !status; i++) {
        const char *path = json_string_value(json_array_get(files, i));
        status = collect_file(collect, field, path, err);
    }
    json_decref(files);
    return status;
}

/* The files of a model of Hugging Face's that its function depends on, one after the other. */
static enum status digest_hf_folder(struct digest *out, const char *folder, struct error *err)
{
    static const char *const patterns[] = {"config.json", "*.safetensors",
                                           "*.safetensors.index.json", "tokenizer.model"};
    struct digest_stream *stream = NULL;

    enum status status = digest_stream_create(&stream, err);
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0] && !status; i++) {
        struct bytes pattern = {.size_max = PATH_BYTES_MAX - 1};
        glob_t found = {0};
        append_escaped(&pattern, folder);
        bytes_printf(&pattern, "/%s", patterns[i]);
        status = bytes_status(&pattern, "path", err);
        if (!status && glob(pattern.data, 0, NULL, &found) != 0) {
            found.gl_pathc = 0;
        }
        for (size_t j = 0; j < found.gl_pathc && !status; j++) {
            struct digest digest;
            const char *name = strrchr(found.gl_pathv[j], '/');
            status = digest_of_file(&digest, found.gl_pathv[j], err);
            digest_stream_update(stream, name, strlen(name) + 1);
            digest_stream_update(stream, digest.bytes, sizeof digest.bytes);
        }
        globfree(&found);
        bytes_deinit(&pattern);
    }
    if (!status) {
        digest_stream_finish(stream, out);
    }
    digest_stream_destroy(stream);
    return status;
}

static enum status collect_hf_folder(struct collect *collect, const char *field, const char *text,
                                     struct error *err)
{
    const char *folder = spec_hf_folder(text);
    struct digest digest;

    enum status status = is_folder(folder)
                             ? digest_hf_folder(&digest, folder, err)
                             : error_set(err, STATUS_NOT_FOUND, "'%s' is not a folder", folder);
    if (!status) {
        status = append_input(collect, field, "checkpoint", text, &digest, err);
    }
    return at_field(status, field, err);
}

/* A checkpoint's manifest has the digests of all that it consists of. */
static enum status collect_checkpoint(struct collect *collect, const char *field, const char *path,
                                      struct error *err)
{
    struct found_checkpoint found;

    if (spec_hf_folder(path) != NULL) {
        return collect_hf_folder(collect, field, path, err);
    }
    enum status status = checkpoint_path_open(&found, path, err);
    if (!status) {
        status = append_input(collect, field, "checkpoint", path,
                              &checkpoint_ref_of(found.checkpoint)->digest, err);
    }
    found_checkpoint_close(&found);
    return at_field(status, field, err);
}

/* A job's name means something to a daemon only, which replaces it by the folder of its run. */
static enum status refuse_relative(const char *field, const char *kind, const char *text,
                                   struct error *err)
{
    enum status status =
        error_set(err, STATUS_INVALID,
                  strcmp(kind, "checkpoint") == 0 && spec_is_job_step(text)
                      ? "'%s' is a checkpoint of a job, which only a daemon can find"
                      : "the path '%s' is not absolute",
                  text);
    if (strcmp(kind, "checkpoint") == 0) {
        error_set_hint(err, "name the run's folder, as in './%s'", text);
    }
    return at_field(status, field, err);
}

static enum status collect_path(void *context, const char *field, const char *kind,
                                const char *text, json_t **replacement, struct error *err)
{
    struct collect *collect = context;
    (void)replacement;
    const char *hf_folder = strcmp(kind, "checkpoint") == 0 ? spec_hf_folder(text) : NULL;
    if ((hf_folder != NULL ? hf_folder : text)[0] != '/') {
        return refuse_relative(field, kind, text, err);
    }
    if (strcmp(kind, "folder") == 0) {
        return collect_shards(collect, field, text, err);
    }
    if (strcmp(kind, "glob") == 0) {
        return collect_pattern(collect, field, text, err);
    }
    if (strcmp(kind, "checkpoint") == 0) {
        return collect_checkpoint(collect, field, text, err);
    }
    return strcmp(kind, "file") == 0 ? collect_file(collect, field, text, err) : STATUS_OK;
}

enum status spec_inputs(json_t **out, const json_t *spec, struct error *err)
{
    struct collect collect = {.inputs = json_array()};
    enum status status = collect.inputs
                             ? spec_each_path(schema_iterable(spec), collect_path, &collect, err)
                             : error_set(err, STATUS_NO_MEMORY, "inputs: out of memory");
    if (status) {
        json_decref(collect.inputs);
        return status;
    }
    *out = collect.inputs;
    return STATUS_OK;
}

/* ---- Comparing ---- */

static enum status changed(const json_t *input, const char *what, struct error *err)
{
    const char *field = json_get_text(input, "field", "");
    enum status status = error_set(err, STATUS_CONFLICT, "%s: '%s' %s since the job was submitted",
                                   field, json_get_text(input, "path", ""), what);
    error_set_field(err, "%s", field);
    error_set_hint(err, "put it back as it was, or submit a new job for what is there now");
    return status;
}

/* Digests by field and path. */
static enum status index_inputs(json_t *index, const json_t *inputs, struct error *err)
{
    size_t i = 0;
    json_t *input = NULL;
    json_array_foreach(inputs, i, input)
    {
        char key[ERROR_FIELD_BYTES + PATH_BYTES_MAX + 1];
        (void)snprintf(key, sizeof key, "%s %s", json_get_text(input, "field", ""),
                       json_get_text(input, "path", ""));
        if (json_object_set(index, key, input) != 0) {
            return error_set(err, STATUS_NO_MEMORY, "inputs: out of memory");
        }
    }
    return STATUS_OK;
}

static enum status compare(const json_t *before, const json_t *now, struct error *err)
{
    const char *key = NULL;
    json_t *input = NULL;
    json_object_foreach(schema_iterable(before), key, input)
    {
        const json_t *found = json_object_get(now, key);
        if (!found) {
            return changed(input, "has gone", err);
        }
        if (strcmp(json_get_text(found, "digest", ""), json_get_text(input, "digest", "?")) != 0) {
            return changed(input, "has changed", err);
        }
    }
    json_object_foreach(schema_iterable(now), key, input)
    {
        if (!json_object_get(before, key)) {
            return changed(input, "has appeared", err);
        }
    }
    return STATUS_OK;
}

enum status spec_inputs_check(const json_t *spec, const json_t *inputs, struct error *err)
{
    json_t *inputs_now = NULL;
    json_t *before = json_object();
    json_t *now = json_object();

    enum status status = before && now ? spec_inputs(&inputs_now, spec, err)
                                       : error_set(err, STATUS_NO_MEMORY, "inputs: out of memory");
    if (!status) {
        status = index_inputs(before, inputs, err);
    }
    if (!status) {
        status = index_inputs(now, inputs_now, err);
    }
    if (!status) {
        status = compare(before, now, err);
    }
    json_decref(inputs_now);
    json_decref(before);
    json_decref(now);
    return status;
}
