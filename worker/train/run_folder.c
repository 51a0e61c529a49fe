#include "worker/train/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/spec/inputs.h"
#include "proto/spec/spec.h"

/* A SentencePiece model of 1M pieces has some tens of MiB. */
#define TOKENIZER_BYTES_MAX (256 * MIB)

enum status run_folder_open(struct run_folder *folder, const char *path, struct error *err)
{
    char lock_path[PATH_BYTES_MAX];

    *folder = RUN_FOLDER_EMPTY;
    enum status status = path_printf(folder->path, err, "%s", path);
    if (!status) {
        status = path_printf(lock_path, err, "%s/run.lock", path);
    }
    if (!status) {
        status = folder_create(path, 0755, err);
    }
    if (status) {
        return status;
    }
    folder->lock_fd = sys_open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (folder->lock_fd < 0) {
        return error_from_errno(err, errno, "open '%s'", lock_path);
    }
    if (sys_flock(folder->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK
                     ? error_set(err, STATUS_BUSY, "another attempt trains in '%s'", path)
                     : error_from_errno(err, errno, "lock '%s'", lock_path);
        run_folder_close(folder);
    }
    return status;
}

void run_folder_close(struct run_folder *folder)
{
    if (folder->lock_fd >= 0) {
        (void)close(folder->lock_fd);
    }
    folder->lock_fd = -1;
}

/* *out is NULL when there is no such file. */
static enum status read_json(const struct run_folder *folder, const char *name, json_t **out,
                             struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};

    *out = NULL;
    enum status status = path_printf(path, err, "%s/%s", folder->path, name);
    if (status || !file_exists(path)) {
        return status;
    }
    status = file_read(&text, path, MANIFEST_BYTES_MAX, err);
    if (!status) {
        status = json_parse(out, text.data, text.size, path, err);
    }
    bytes_deinit(&text);
    return status;
}

static enum status write_json(const struct run_folder *folder, const char *name,
                              const json_t *value, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};

    json_canonical(&text, value);
    bytes_append_char(&text, '\n');
    enum status status = bytes_status(&text, name, err);
    if (!status) {
        status = path_printf(path, err, "%s/%s", folder->path, name);
    }
    if (!status) {
        status = file_write(path, text.data, text.size, 0644, err);
    }
    bytes_deinit(&text);
    return status;
}

/* Appends to path the way to the first value in which a and b differ; false when they do not. */
static bool find_difference(struct bytes *path, json_t *a, json_t *b)
{
    size_t size = path->size;
    const char *key = NULL;
    json_t *value = NULL;

    if (!json_is_object(a) || !json_is_object(b)) {
        return !json_equal(a, b);
    }
    /* Keys of b that a has not: looked for from the other side, one level only. */
    json_object_foreach(b, key, value)
    {
        if (json_object_get(a, key) == NULL) {
            bytes_printf(path, "%s%s", size > 0 ? "." : "", key);
            return true;
        }
    }
    json_object_foreach(a, key, value)
    {
        bytes_printf(path, "%s%s", size > 0 ? "." : "", key);
        if (find_difference(path, value, json_object_get(b, key))) {
            return true;
        }
        path->size = size;
        path->data[size] = '\0';
    }
    return false;
}

enum status run_folder_set_spec(const struct run_folder *folder, json_t *spec, struct error *err)
{
    struct bytes path = {0};
    json_t *before = NULL;

    enum status status = read_json(folder, "spec.json", &before, err);
    if (status || before == NULL) {
        return status ? status : write_json(folder, "spec.json", spec, err);
    }
    /* How many processes train may change from attempt to attempt. */
    json_t *now = json_copy(spec);
    (void)json_object_del(now, "launch");
    (void)json_object_del(before, "launch");
    if (now == NULL) {
        status = error_set(err, STATUS_NO_MEMORY, "no memory to compare specs");
    } else if (find_difference(&path, before, now)) {
        status = error_set(err, STATUS_CONFLICT,
                           "'%s' is the run of another spec, the first difference is in %s",
                           folder->path, path.data == NULL ? "its kind" : path.data);
        error_set_field(err, "%s", path.data == NULL ? "" : path.data);
        error_set_hint(err, "name another folder with --run, or bring the spec back");
    }
    bytes_deinit(&path);
    json_decref(now);
    json_decref(before);
    return status;
}

/* Whether the run has checkpoints of its own: then it needs the one that it began with no more. */
static bool has_checkpoints(const struct run_folder *folder)
{
    char pattern[PATH_BYTES_MAX];
    glob_t found;

    if (path_printf(pattern, NULL, "%s/checkpoints/manifests/*.json", folder->path)) {
        return false;
    }
    /* Special characters of the folder's name at worst find nothing: then all is checked. */
    const bool has_some = glob(pattern, GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return has_some;
}

/* Compares what is there with what was taken; without model.from once nothing begins with it. */
static enum status compare_inputs(const struct run_folder *folder, const json_t *spec,
                                  const json_t *taken, struct error *err)
{
    if (!has_checkpoints(folder)) {
        return spec_inputs_check(spec, taken, err);
    }
    json_t *needed_spec = json_deep_copy(spec);
    json_t *needed = json_array();
    json_t *input = NULL;
    size_t i = 0;

    (void)json_object_del(json_object_get(needed_spec, "model"), "from");
    json_array_foreach(taken, i, input)
    {
        if (strcmp(json_get_text(input, "kind", ""), "checkpoint") != 0) {
            (void)json_array_append(needed, input);
        }
    }
    enum status status = needed_spec == NULL || needed == NULL
                             ? error_set(err, STATUS_NO_MEMORY, "no memory for the run's inputs")
                             : spec_inputs_check(needed_spec, needed, err);
    json_decref(needed_spec);
    json_decref(needed);
    return status;
}

enum status run_folder_check_inputs(const struct run_folder *folder, const json_t *spec,
                                    json_t *submitted, struct error *err)
{
    json_t *taken = NULL;

    enum status status = read_json(folder, "inputs.json", &taken, err);
    bool is_first = !status && taken == NULL;
    if (is_first && submitted != NULL) {
        taken = json_incref(submitted);
    } else if (is_first) {
        status = spec_inputs(&taken, spec, err);
    }
    if (!status && !(is_first && submitted == NULL)) {
        status = compare_inputs(folder, spec, taken, err);
    }
    if (!status && is_first) {
        status = write_json(folder, "inputs.json", taken, err);
    }
    json_decref(taken);
    return status;
}

static void print_value(struct bytes *out, const json_t *value)
{
    if (json_is_string(value)) {
        bytes_append_text(out, json_string_value(value));
    } else if (value == NULL) {
        bytes_append_text(out, "none");
    } else {
        json_canonical(out, value);
    }
}

enum status run_folder_pinned(const struct run_folder *folder, const char *key, char *out,
                              size_t size, struct error *err)
{
    json_t *pins = NULL;

    enum status status = read_json(folder, "pinned.json", &pins, err);
    (void)snprintf(out, size, "%s", json_get_text(pins, key, ""));
    json_decref(pins);
    return status;
}

enum status run_folder_pin(const struct run_folder *folder, json_t *pins, struct bytes *differences,
                           struct error *err)
{
    json_t *before = NULL;
    const char *key = NULL;
    json_t *value = NULL;

    enum status status = read_json(folder, "pinned.json", &before, err);
    if (status || before == NULL) {
        return status ? status : write_json(folder, "pinned.json", pins, err);
    }
    json_object_foreach(pins, key, value)
    {
        const json_t *pinned = json_object_get(before, key);
        if (!json_equal(pinned, value)) {
            bytes_printf(differences, "%s ", key);
            print_value(differences, pinned);
            bytes_append_text(differences, " → ");
            print_value(differences, value);
            bytes_append_text(differences, ", ");
        }
    }
    json_decref(before);
    return bytes_status(differences, "the differences to the first attempt", err);
}

enum status run_folder_keep_tokenizer(const struct run_folder *folder, const char *path,
                                      struct error *err)
{
    char copy[PATH_BYTES_MAX];
    struct bytes model = {0};

    enum status status = path_printf(copy, err, "%s/tokenizer.model", folder->path);
    if (status || file_exists(copy)) {
        return status;
    }
    status = file_read(&model, path, TOKENIZER_BYTES_MAX, err);
    if (!status) {
        status = file_write(copy, model.data, model.size, 0644, err);
    }
    bytes_deinit(&model);
    return status;
}
