#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/sys.h"
#include "proto/store/store_internal.h"

/* One manifest and what becomes of it. */
struct candidate {
    struct store_file file;
    struct checkpoint *checkpoint; /* NULL when it cannot be read */
    bool is_kept;
    bool is_recent; /* kept as one of the newest, not as step 0 */
};

struct retention {
    struct store *store;
    struct candidate *candidates; /* newest first */
    size_t count;
    bool has_unknown;             /* a manifest of a newer program is there */
    struct digest_set referenced; /* blobs that a kept manifest names */
};

/* Opens all manifests. A corrupt one stays a candidate without a checkpoint. */
static enum status open_all(struct retention *retention, struct error *err)
{
    struct store_file *files = NULL;
    size_t count = 0;

    enum status status = store_scan(retention->store, &files, &count, err);
    if (status) {
        return status;
    }
    retention->candidates = sys_calloc(count + 1, sizeof *retention->candidates);
    if (retention->candidates == NULL) {
        free(files);
        return error_set(err, STATUS_NO_MEMORY, "retention: out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        struct candidate *candidate = &retention->candidates[retention->count++];
        candidate->file = files[i];
        enum status opened =
            checkpoint_open_file(&candidate->checkpoint, retention->store, &files[i], err);
        if (opened == STATUS_UNSUPPORTED) {
            candidate->is_kept = true;
            retention->has_unknown = true;
        } else if (opened && opened != STATUS_CORRUPT) {
            status = opened;
            break;
        }
    }
    free(files);
    return status;
}

/* Chooses step 0 and the newest keep_last of the ancestry; of equal steps the newest generation. */
static void choose(struct retention *retention, int keep_last)
{
    int recent = 0;
    int64_t last_step = -1;
    for (size_t i = 0; i < retention->count; i++) {
        struct candidate *candidate = &retention->candidates[i];
        const struct store_file *file = &candidate->file;
        if (candidate->checkpoint == NULL || file->step == last_step ||
            !lineage_has(&retention->store->lineage, file->generation, file->step)) {
            continue;
        }
        last_step = file->step;
        candidate->is_recent = recent < keep_last;
        candidate->is_kept = candidate->is_recent || file->step == 0;
        recent++;
    }
}

/* One of the recent ones must be whole before an older one may go. */
static enum status check_survivor(const struct retention *retention, struct error *err)
{
    enum status status = error_set(err, STATUS_CORRUPT, "there is no checkpoint to keep");
    for (size_t i = 0; i < retention->count; i++) {
        if (!retention->candidates[i].is_recent) {
            continue;
        }
        status = checkpoint_verify_news(retention->candidates[i].checkpoint, err);
        if (status == STATUS_OK || status == STATUS_NO_MEMORY) {
            return status;
        }
    }
    (void)error_set(err, STATUS_CORRUPT, "no recent checkpoint verifies, so none is deleted: %s",
                    err == NULL ? "" : err->message);
    return STATUS_CORRUPT;
}

static enum status collect_referenced(struct retention *retention, struct error *err)
{
    for (size_t i = 0; i < retention->count; i++) {
        const struct candidate *candidate = &retention->candidates[i];
        if (!candidate->is_kept || candidate->checkpoint == NULL) {
            continue;
        }
        const struct manifest *manifest = &candidate->checkpoint->manifest;
        for (size_t k = 0; k < manifest->chunk_count; k++) {
            if (digest_set_put(&retention->referenced, &manifest->chunks[k].digest) == NULL) {
                return error_set(err, STATUS_NO_MEMORY, "retention: out of memory");
            }
        }
    }
    return STATUS_OK;
}

/* Removes manifests, oldest first, so that what a crash leaves is still a run with its newest end.
 */
static enum status remove_manifests(const struct retention *retention, size_t *removed,
                                    struct error *err)
{
    char path[PATH_BYTES_MAX];
    for (size_t i = retention->count; i > 0; i--) {
        const struct candidate *candidate = &retention->candidates[i - 1];
        if (candidate->is_kept) {
            continue;
        }
        enum status status = store_manifest_path(path, retention->store, &candidate->file, err);
        if (status) {
            return status;
        }
        if (sys_unlink(path) != 0 && errno != ENOENT) {
            return error_from_errno(err, errno, "remove '%s'", path);
        }
        (*removed)++;
    }
    enum status status = path_printf(path, err, "%s/manifests", retention->store->path);
    return status ? status : folder_sync(path, err);
}

/* Removes what an interrupted write left beside the manifests. */
static enum status remove_temporaries(const struct store *store, struct error *err)
{
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(folder, err, "%s/manifests", store->path);
    if (status) {
        return status;
    }
    DIR *entries = opendir(folder);
    if (entries == NULL) {
        return error_from_errno(err, errno, "open '%s'", folder);
    }
    const struct dirent *entry = NULL;
    while (status == STATUS_OK && (entry = readdir(entries)) != NULL) {
        if (strstr(entry->d_name, FILE_TEMPORARY_MARK) == NULL) {
            continue;
        }
        status = path_printf(path, err, "%s/%s", folder, entry->d_name);
        if (status == STATUS_OK && sys_unlink(path) != 0 && errno != ENOENT) {
            status = error_from_errno(err, errno, "remove '%s'", path);
        }
    }
    (void)closedir(entries);
    return status;
}

static bool is_referenced(void *context, const struct digest *digest)
{
    struct retention *retention = context;
    if (digest_set_find(&retention->referenced, digest) != NULL) {
        return true;
    }
    struct digest_set_item *item = digest_set_find(&retention->store->known, digest);
    if (item != NULL) {
        item->is_present = false;
        item->is_verified = false;
    }
    return false;
}

static enum status retain(struct retention *retention, int keep_last, size_t *removed,
                          struct error *err)
{
    enum status status = open_all(retention, err);
    if (status) {
        return status;
    }
    choose(retention, keep_last);
    status = check_survivor(retention, err);
    if (status) {
        return status;
    }
    status = collect_referenced(retention, err);
    if (status) {
        return status;
    }
    status = remove_manifests(retention, removed, err);
    if (status) {
        return status;
    }
    status = remove_temporaries(retention->store, err);
    if (status || retention->has_unknown) {
        return status; /* which blobs an unknown manifest needs, nobody knows */
    }
    return blob_sweep(retention->store->blobs, is_referenced, retention, err);
}

enum status store_retain(struct store *store, int keep_last, size_t *removed, struct error *err)
{
    struct retention retention = {.store = store};
    struct error local = {0};
    struct error *problem = err == NULL ? &local : err;
    size_t count = 0;

    assert(keep_last >= 1);
    enum status status = store_check_writer(store, problem);
    if (status == STATUS_OK) {
        status = retain(&retention, keep_last, &count, problem);
    }
    if (removed != NULL) {
        *removed = count;
    }
    for (size_t i = 0; i < retention.count; i++) {
        checkpoint_close(retention.candidates[i].checkpoint);
    }
    free(retention.candidates);
    digest_set_deinit(&retention.referenced);
    return status;
}
