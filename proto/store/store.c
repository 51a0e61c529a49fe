#include "proto/store/store.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/sys.h"
#include "proto/store/sealed.h"
#include "proto/store/store_internal.h"

#define NAME_BYTES 64

static const char manifests_folder[] = "manifests";
static const char generations_folder[] = "generations";

enum status store_manifest_path(char *out, const struct store *store, const struct store_file *file,
                                struct error *err)
{
    return path_printf(out, err, "%s/%s/%012" PRId64 "-%06" PRId64 ".json", store->path,
                       manifests_folder, file->step, file->generation);
}

static enum status generation_path(char *out, const struct store *store, int64_t generation,
                                   struct error *err)
{
    return path_printf(out, err, "%s/%s/%06" PRId64 ".json", store->path, generations_folder,
                       generation);
}

enum status store_open(struct store **out, const char *folder, struct error *err)
{
    char path[PATH_BYTES_MAX];

    struct store *store = sys_calloc(1, sizeof *store);
    if (store == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "checkpoints '%s': out of memory", folder);
    }
    enum status status = path_printf(store->path, err, "%s", folder);
    if (status) {
        goto fail;
    }
    status = path_printf(path, err, "%s/%s", folder, manifests_folder);
    if (status) {
        goto fail;
    }
    if (!file_exists(path)) {
        status = error_set(err, STATUS_NOT_FOUND, "there are no checkpoints in '%s'", folder);
        goto fail;
    }
    status = path_printf(path, err, "%s/blobs", folder);
    if (status) {
        goto fail;
    }
    status = blob_folder_create(&store->blobs, path, err);
    if (status) {
        goto fail;
    }
    status = store_refresh(store, err);
    if (status) {
        goto fail;
    }
    *out = store;
    return STATUS_OK;
fail:
    store_close(store);
    return status;
}

/* Folders that are there may be those of a process that was killed before it synced them. */
static enum status sync_folders(const char *folder, struct error *err)
{
    char above[PATH_BYTES_MAX];

    if (path_printf(above, err, "%s/..", folder) == STATUS_OK) {
        (void)!folder_sync(above, NULL); /* it may be another's, and then it is old */
    }
    return folder_sync(folder, err);
}

enum status store_create(struct store **out, const char *folder, struct error *err)
{
    static const char *const subfolders[] = {"blobs", generations_folder, manifests_folder};
    for (size_t i = 0; i < sizeof subfolders / sizeof subfolders[0]; i++) {
        char path[PATH_BYTES_MAX];
        enum status status = path_printf(path, err, "%s/%s", folder, subfolders[i]);
        if (status == STATUS_OK) {
            status = folder_create(path, 0777, err);
        }
        if (status) {
            return status;
        }
    }
    enum status status = sync_folders(folder, err);
    return status ? status : store_open(out, folder, err);
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    blob_folder_destroy(store->blobs);
    digest_set_deinit(&store->known);
    arena_deinit(&store->lineage_arena);
    free(store);
}

/* The numbers in a file's name; false for a name that we do not write. */
static bool parse_manifest_name(struct store_file *out, const char *name)
{
    char again[NAME_BYTES];
    long long step = 0;
    long long generation = 0;
    if (sscanf(name, "%12lld-%6lld.json", &step, &generation) != 2) {
        return false;
    }
    *out = (struct store_file){step, generation};
    (void)snprintf(again, sizeof again, "%012lld-%06lld.json", step, generation);
    return step >= 0 && generation >= 1 && strcmp(name, again) == 0;
}

static bool parse_generation_name(struct store_file *out, const char *name)
{
    char again[NAME_BYTES];
    long long generation = 0;
    if (sscanf(name, "%6lld.json", &generation) != 1) {
        return false;
    }
    *out = (struct store_file){0, generation};
    (void)snprintf(again, sizeof again, "%06lld.json", generation);
    return generation >= 1 && strcmp(name, again) == 0;
}

typedef bool parse_name_fn(struct store_file *out, const char *name);

/* Reads the names in a subfolder into *out, which the caller frees also on failure. */
static enum status scan_folder(const struct store *store, const char *subfolder,
                               parse_name_fn *parse, struct store_file **out, size_t *count,
                               struct error *err)
{
    char path[PATH_BYTES_MAX];
    size_t capacity = 0;

    *out = NULL;
    *count = 0;
    enum status status = path_printf(path, err, "%s/%s", store->path, subfolder);
    if (status) {
        return status;
    }
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return errno == ENOENT ? STATUS_OK : error_from_errno(err, errno, "open '%s'", path);
    }
    const struct dirent *entry = NULL;
    while (status == STATUS_OK && (entry = readdir(folder)) != NULL) {
        struct store_file file;
        if (!parse(&file, entry->d_name)) {
            continue;
        }
        if (*count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            struct store_file *files = sys_realloc(*out, capacity * sizeof *files);
            if (files == NULL) {
                status = error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", path);
                break;
            }
            *out = files;
        }
        (*out)[(*count)++] = file;
    }
    (void)closedir(folder);
    return status;
}

static int compare_newest_first(const void *a, const void *b)
{
    const struct store_file *left = a;
    const struct store_file *right = b;
    if (left->step != right->step) {
        return left->step > right->step ? -1 : 1;
    }
    if (left->generation != right->generation) {
        return left->generation > right->generation ? -1 : 1;
    }
    return 0;
}

enum status store_scan(const struct store *store, struct store_file **out, size_t *count,
                       struct error *err)
{
    enum status status = scan_folder(store, manifests_folder, parse_manifest_name, out, count, err);
    if (status) {
        free(*out);
        *out = NULL;
        return status;
    }
    if (*count > 0) {
        qsort(*out, *count, sizeof **out, compare_newest_first);
    }
    return STATUS_OK;
}

/* The lineage that the file of a generation tells. */
static enum status lineage_from_generation(struct lineage *out, const struct store *store,
                                           int64_t generation, struct arena *arena,
                                           struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct digest digest;
    json_t *document = NULL;

    enum status status = generation_path(path, store, generation, err);
    if (status) {
        return status;
    }
    status = sealed_read(&document, path, &digest, err);
    if (status) {
        return status;
    }
    status = lineage_from_json(out, document, arena, err);
    if (status == STATUS_OK && out->generation != generation) {
        status = error_set(err, STATUS_CORRUPT, "it is of another generation");
    }
    json_decref(document);
    return status ? error_wrap(err, "'%s'", path) : STATUS_OK;
}

/* The lineage that a checkpoint of the generation tells, for a generation whose file is damaged. */
static enum status lineage_from_manifests(struct lineage *out, const struct store *store,
                                          const struct store_file *files, size_t count,
                                          int64_t generation, struct arena *arena,
                                          struct error *err)
{
    enum status status =
        error_set(err, STATUS_CORRUPT, "generation %" PRId64 " cannot be read", generation);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_BYTES_MAX];
        struct digest digest;
        json_t *document = NULL;
        if (files[i].generation != generation) {
            continue;
        }
        status = store_manifest_path(path, store, &files[i], err);
        if (status == STATUS_OK) {
            status = sealed_read(&document, path, &digest, err);
        }
        if (status == STATUS_OK) {
            status = lineage_from_json(out, document, arena, err);
            json_decref(document);
        }
        if (status == STATUS_OK || status == STATUS_NO_MEMORY) {
            return status;
        }
    }
    return status;
}

/* The greatest generation below bound that a file tells of, or 0. */
static int64_t generation_below(const struct store_file *files, size_t count, int64_t bound)
{
    int64_t greatest = 0;
    for (size_t i = 0; i < count; i++) {
        if (files[i].generation < bound && files[i].generation > greatest) {
            greatest = files[i].generation;
        }
    }
    return greatest;
}

/* Loads the lineage of the newest generation that says anything readable. */
static enum status load_lineage(struct store *store, const struct store_file *begun,
                                size_t begun_count, const struct store_file *files,
                                size_t file_count, struct error *err)
{
    struct lineage lineage = {0};
    int64_t bound = INT64_MAX;
    for (;;) {
        int64_t from_begun = generation_below(begun, begun_count, bound);
        int64_t from_files = generation_below(files, file_count, bound);
        int64_t newest = from_begun > from_files ? from_begun : from_files;
        if (newest == 0 || newest == store->lineage.generation) {
            return STATUS_OK;
        }
        struct arena arena = {0};
        enum status status = lineage_from_generation(&lineage, store, newest, &arena, err);
        if (status && status != STATUS_NO_MEMORY) {
            status =
                lineage_from_manifests(&lineage, store, files, file_count, newest, &arena, err);
        }
        if (status == STATUS_OK) {
            arena_deinit(&store->lineage_arena);
            store->lineage_arena = arena;
            store->lineage = lineage;
            return STATUS_OK;
        }
        arena_deinit(&arena);
        if (status == STATUS_NO_MEMORY || status == STATUS_PERMISSION) {
            return status;
        }
        bound = newest; /* wholly unreadable, so nothing of it can be chosen anyway */
    }
}

enum status store_refresh(struct store *store, struct error *err)
{
    struct store_file *begun = NULL;
    struct store_file *files = NULL;
    size_t begun_count = 0;
    size_t file_count = 0;

    enum status status =
        scan_folder(store, generations_folder, parse_generation_name, &begun, &begun_count, err);
    if (status) {
        goto done;
    }
    status = scan_folder(store, manifests_folder, parse_manifest_name, &files, &file_count, err);
    if (status) {
        goto done;
    }
    if (file_count > 0) {
        qsort(files, file_count, sizeof *files, compare_newest_first);
    }
    status = load_lineage(store, begun, begun_count, files, file_count, err);
done:
    free(begun);
    free(files);
    return status;
}

int64_t store_generation(const struct store *store)
{
    return store->lineage.generation;
}

enum status store_check_writer(struct store *store, struct error *err)
{
    assert(store->begun > 0);
    enum status status = store_refresh(store, err);
    if (status == STATUS_OK && store->lineage.generation != store->begun) {
        status = error_set(err, STATUS_CONFLICT,
                           "checkpoints '%s': attempt %" PRId64 " began meanwhile; attempt %" PRId64
                           " must not write any more",
                           store->path, store->lineage.generation, store->begun);
    }
    return status;
}

/* The lineage of a generation that continues parent, which must be selectable. */
static enum status lineage_after(struct lineage *out, struct store *store, int64_t generation,
                                 const struct checkpoint_ref *parent, struct arena *arena,
                                 struct error *err)
{
    struct checkpoint *checkpoint = NULL;

    if (parent == NULL) {
        *out = (struct lineage){.generation = generation};
        return STATUS_OK;
    }
    if (!lineage_has(&store->lineage, parent->generation, parent->step)) {
        return error_set(err, STATUS_INVALID,
                         "step %" PRId64 " of attempt %" PRId64 " is not in the current ancestry",
                         parent->step, parent->generation);
    }
    enum status status = checkpoint_open_ref(&checkpoint, store, parent, err);
    if (status == STATUS_OK) {
        status =
            lineage_continue(out, generation, parent, &checkpoint->manifest.lineage, arena, err);
    }
    checkpoint_close(checkpoint);
    return status;
}

static enum status write_generation(const struct store *store, const struct lineage *lineage,
                                    struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct digest digest;

    enum status status = generation_path(path, store, lineage->generation, err);
    if (status) {
        return status;
    }
    json_t *document = json_pack("{s:i}", "format", MANIFEST_FORMAT);
    status = document != NULL && lineage_to_json(lineage, document)
                 ? sealed_write(path, document, true, &digest, err)
                 : error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", path);
    json_decref(document);
    return status;
}

enum status store_begin(struct store *store, int64_t generation,
                        const struct checkpoint_ref *parent, struct error *err)
{
    struct lineage lineage = {0};
    struct arena arena = {0};

    if (generation < 1 || generation > STORE_GENERATION_MAX) {
        return error_set(err, STATUS_INVALID, "attempt %" PRId64 " is not in 1…%d", generation,
                         STORE_GENERATION_MAX);
    }
    enum status status = store_refresh(store, err);
    if (status) {
        return status;
    }
    if (generation <= store->lineage.generation) {
        return error_set(err, STATUS_CONFLICT,
                         "checkpoints '%s': attempt %" PRId64 " cannot begin, attempt %" PRId64
                         " has",
                         store->path, generation, store->lineage.generation);
    }
    status = lineage_after(&lineage, store, generation, parent, &arena, err);
    if (status == STATUS_OK) {
        status = write_generation(store, &lineage, err);
    }
    if (status) {
        arena_deinit(&arena);
        return status;
    }
    arena_deinit(&store->lineage_arena);
    store->lineage_arena = arena;
    store->lineage = lineage;
    store->begun = generation;
    store->has_head = lineage.has_parent;
    store->head = lineage.parent;
    return STATUS_OK;
}

/* Fills entry for the manifest of that name; what is wrong with it goes into entry->problem. */
static enum status describe(struct store_entry *entry, struct store *store,
                            const struct store_file *file, struct arena *arena, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct checkpoint *checkpoint = NULL;

    enum status status = store_manifest_path(path, store, file, err);
    if (status) {
        return status;
    }
    entry->path = arena_strdup(arena, path);
    if (entry->path == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "list of checkpoints: out of memory");
    }
    entry->ref.step = file->step;
    entry->ref.generation = file->generation;
    entry->is_fenced = !lineage_has(&store->lineage, file->generation, file->step);
    if (checkpoint_open_file(&checkpoint, store, file, &entry->problem) == STATUS_OK) {
        entry->ref = checkpoint->manifest.ref;
        entry->created_ms = checkpoint->manifest.created_ms;
        entry->logical_bytes = checkpoint->manifest.logical_bytes;
        entry->stored_bytes = checkpoint->manifest.stored_bytes;
        checkpoint_close(checkpoint);
    }
    return STATUS_OK;
}

enum status store_list(struct store *store, struct arena *arena, struct store_entry **out,
                       size_t *count, struct error *err)
{
    struct store_file *files = NULL;
    size_t file_count = 0;

    enum status status = store_refresh(store, err);
    if (status) {
        return status;
    }
    status = store_scan(store, &files, &file_count, err);
    if (status) {
        return status;
    }
    struct store_entry *entries = arena_alloc_array(arena, file_count, sizeof *entries);
    if (entries == NULL) {
        status = error_set(err, STATUS_NO_MEMORY, "list of checkpoints: out of memory");
    }
    for (size_t i = 0; status == STATUS_OK && i < file_count; i++) {
        status = describe(&entries[i], store, &files[i], arena, err);
    }
    free(files);
    if (status == STATUS_OK) {
        *out = entries;
        *count = file_count;
    }
    return status;
}
