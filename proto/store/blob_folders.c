#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/sys.h"
#include "proto/store/blob.h"
#include "proto/store/blob_internal.h"

enum status blob_adopt(struct blob_folder *folder, const struct digest *digest, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = blob_path(path, folder, digest, err);
    if (status) {
        return status;
    }
    int fd = sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return error_from_errno(err, errno, "open '%s'", path);
    }
    if (sys_fdatasync(fd) != 0) {
        status = error_from_errno(err, errno, "sync '%s'", path);
    } else {
        /* The process that made the entry may have died before it synced the folders. */
        folder->is_dirty = true;
        folder->is_subfolder_dirty[digest->bytes[0]] = true;
    }
    (void)close(fd);
    return status;
}

enum status blob_folders_sync(struct blob_folder *folder, struct error *err)
{
    char path[PATH_BYTES_MAX];

    for (unsigned i = 0; i < BLOB_SUBFOLDERS; i++) {
        if (!folder->is_subfolder_dirty[i]) {
            continue;
        }
        enum status status = path_printf(path, err, "%s/%02x", folder->path, i);
        if (status == STATUS_OK) {
            status = folder_sync(path, err);
        }
        if (status) {
            return status;
        }
        folder->is_subfolder_dirty[i] = false;
    }
    if (folder->is_dirty) {
        enum status status = folder_sync(folder->path, err);
        if (status) {
            return status;
        }
        folder->is_dirty = false;
    }
    return STATUS_OK;
}

/* Removes the entry name of the subfolder at path when it is unwanted. Names that are neither a
 * blob's nor a temporary one's are left alone. */
static enum status sweep_entry(const char *path, const char *name, blob_keep_fn *keep,
                               void *context, struct error *err)
{
    char victim[PATH_BYTES_MAX];
    struct digest digest;
    bool is_blob = digest_from_hex(&digest, name);
    bool is_temporary = strstr(name, FILE_TEMPORARY_MARK) != NULL;
    if (!is_temporary && (!is_blob || keep(context, &digest))) {
        return STATUS_OK;
    }
    enum status status = path_printf(victim, err, "%s/%s", path, name);
    if (status == STATUS_OK && sys_unlink(victim) != 0 && errno != ENOENT) {
        status = error_from_errno(err, errno, "remove '%s'", victim);
    }
    return status;
}

static enum status sweep_subfolder(const char *path, blob_keep_fn *keep, void *context,
                                   struct error *err)
{
    DIR *entries = opendir(path);
    if (entries == NULL) {
        return errno == ENOENT ? STATUS_OK : error_from_errno(err, errno, "open '%s'", path);
    }
    enum status status = STATUS_OK;
    const struct dirent *entry = NULL;
    while (status == STATUS_OK && (entry = readdir(entries)) != NULL) {
        status = sweep_entry(path, entry->d_name, keep, context, err);
    }
    (void)closedir(entries);
    return status;
}

enum status blob_sweep(struct blob_folder *folder, blob_keep_fn *keep, void *context,
                       struct error *err)
{
    char path[PATH_BYTES_MAX];
    enum status status = STATUS_OK;
    for (unsigned i = 0; status == STATUS_OK && i < BLOB_SUBFOLDERS; i++) {
        status = path_printf(path, err, "%s/%02x", folder->path, i);
        if (status == STATUS_OK) {
            status = sweep_subfolder(path, keep, context, err);
        }
    }
    return status;
}
