#include "proto/store/checkpoint_path.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/store/checkpoint.h"

/* Cuts the last part of path off; false when there is none. */
static bool cut_last(char *path)
{
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/') {
        path[--size] = '\0';
    }
    char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return false;
    }
    *slash = '\0';
    return true;
}

/* Opens the store below folder, which is a run's or the store's own. */
static enum status open_store(struct found_checkpoint *found, const char *folder, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/checkpoints", folder);
    if (!status && file_exists(path)) {
        status = path_printf(found->run_folder, err, "%s", folder);
        return status ? status : store_open(&found->store, path, err);
    }
    if (!status) {
        status = path_printf(path, err, "%s/manifests", folder);
    }
    if (!status && !file_exists(path)) {
        (void)error_set(err, STATUS_NOT_FOUND, "'%s' is no run and no folder of checkpoints",
                        folder);
        error_set_hint(err, "name a run's folder, RUN@STEP, or a manifest");
        return STATUS_NOT_FOUND;
    }
    if (!status) {
        status = path_printf(found->run_folder, err, "%s/..", folder);
    }
    return status ? status : store_open(&found->store, folder, err);
}

/* A manifest carries its own digest. */
static enum status read_digest(struct digest *out, const char *path, struct error *err)
{
    struct bytes text = {0};
    json_t *manifest = NULL;

    enum status status = file_read(&text, path, MANIFEST_BYTES_MAX, err);
    if (!status) {
        status = json_parse(&manifest, text.data, text.size, path, err);
    }
    if (!status && !digest_from_hex(out, json_get_text(manifest, "digest", ""))) {
        status = error_set(err, STATUS_CORRUPT, "'%s' has no digest", path);
    }
    json_decref(manifest);
    bytes_deinit(&text);
    return status;
}

/* Reads "<step>-<generation>.json"; false for another name. */
static bool parse_name(const char *name, struct checkpoint_ref *ref)
{
    char *end = NULL;

    ref->step = strtoll(name, &end, 10);
    if (end == name || *end != '-') {
        return false;
    }
    const char *second = end + 1;
    ref->generation = strtoll(second, &end, 10);
    return end != second && strcmp(end, ".json") == 0 && ref->step >= 0 && ref->generation > 0;
}

static enum status open_manifest(struct found_checkpoint *found, const char *path,
                                 struct error *err)
{
    const char *slash = strrchr(path, '/');
    struct checkpoint_ref ref = {0};
    char folder[PATH_BYTES_MAX];

    if (!parse_name(slash == NULL ? path : slash + 1, &ref)) {
        return error_set(err, STATUS_INVALID, "'%s' is no manifest of a checkpoint", path);
    }
    enum status status = read_digest(&ref.digest, path, err);
    if (!status) {
        status = path_resolve(folder, ".", path, err);
    }
    if (!status && (!cut_last(folder) || !cut_last(folder))) {
        status = error_set(err, STATUS_INVALID, "'%s' lies in no folder of checkpoints", path);
    }
    if (!status) {
        status = open_store(found, folder, err);
    }
    return status ? status : checkpoint_open_ref(&found->checkpoint, found->store, &ref, err);
}

static void on_skipped(void *context, int64_t step, int64_t generation, const struct error *why)
{
    (void)context;
    log_warn("skipped the checkpoint of step %" PRId64 ", attempt %" PRId64 ": %s", step,
             generation, why->message);
}

/* "FOLDER" or "FOLDER@STEP"; step is -1 for the first. */
static enum status split_step(char *folder, const char *text, int64_t *step, struct error *err)
{
    enum status status = path_printf(folder, err, "%s", text);
    char *at = status ? NULL : strrchr(folder, '@');
    char *end = NULL;

    *step = -1;
    if (at == NULL || file_exists(folder)) {
        return status;
    }
    *step = strtoll(at + 1, &end, 10);
    if (end == at + 1 || *end != '\0' || *step < 0) {
        return error_set(err, STATUS_INVALID, "'%s' is no step", at + 1);
    }
    *at = '\0';
    return STATUS_OK;
}

static enum status open_in_folder(struct found_checkpoint *found, const char *text,
                                  struct error *err)
{
    char folder[PATH_BYTES_MAX];
    int64_t step = -1;

    enum status status = split_step(folder, text, &step, err);
    if (!status) {
        status = open_store(found, folder, err);
    }
    if (status) {
        return status;
    }
    return step < 0
               ? checkpoint_open_newest(&found->checkpoint, found->store, on_skipped, NULL, err)
               : checkpoint_open_step(&found->checkpoint, found->store, step, err);
}

enum status checkpoint_path_open(struct found_checkpoint *out, const char *text, struct error *err)
{
    size_t size = strlen(text);

    *out = (struct found_checkpoint){0};
    enum status status = size > 5 && strcmp(text + size - 5, ".json") == 0
                             ? open_manifest(out, text, err)
                             : open_in_folder(out, text, err);
    if (status) {
        found_checkpoint_close(out);
    }
    return status;
}

void found_checkpoint_close(struct found_checkpoint *found)
{
    checkpoint_close(found->checkpoint);
    store_close(found->store);
    found->checkpoint = NULL;
    found->store = NULL;
}
