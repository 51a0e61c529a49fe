#include "proto/store/sealed.h"

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"

#define DIGEST_KEY "digest"

static enum status out_of_memory(const char *path, struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "'%s': out of memory", path);
}

/* The digest of document, which has no member "digest". */
static enum status digest_of_document(struct digest *out, const json_t *document, const char *path,
                                      struct error *err)
{
    struct bytes text = {0};
    json_canonical(&text, document);
    enum status status = bytes_status(&text, path, err);
    if (status == STATUS_OK) {
        digest_of(out, text.data, text.size);
    }
    bytes_deinit(&text);
    return status;
}

enum status sealed_write(const char *path, json_t *document, bool is_new, struct digest *digest,
                         struct error *err)
{
    char hex[DIGEST_HEX_BYTES];
    struct bytes text = {.size_max = MANIFEST_BYTES_MAX};

    (void)json_object_del(document, DIGEST_KEY);
    enum status status = digest_of_document(digest, document, path, err);
    if (status) {
        goto done;
    }
    digest_to_hex(hex, digest);
    if (json_object_set_new(document, DIGEST_KEY, json_string(hex)) != 0) {
        status = out_of_memory(path, err);
        goto done;
    }
    json_canonical(&text, document);
    bytes_append_char(&text, '\n');
    status = bytes_status(&text, path, err);
    if (status) {
        goto done;
    }
    status = is_new ? file_create(path, text.data, text.size, 0666, err)
                    : file_write(path, text.data, text.size, 0666, err);
done:
    bytes_deinit(&text);
    return status;
}

/* Takes the seal off document and compares. */
static enum status open_seal(json_t *document, const char *path, struct digest *digest,
                             struct error *err)
{
    struct digest written;
    const char *hex = json_get_text(document, DIGEST_KEY, "");
    if (!digest_from_hex(&written, hex)) {
        return error_set(err, STATUS_CORRUPT, "'%s' is corrupt: it has no digest", path);
    }
    (void)json_object_del(document, DIGEST_KEY);
    enum status status = digest_of_document(digest, document, path, err);
    if (status) {
        return status;
    }
    if (!digest_equal(&written, digest)) {
        return error_set(err, STATUS_CORRUPT, "'%s' is corrupt: its digest does not match", path);
    }
    return STATUS_OK;
}

enum status sealed_read(json_t **out, const char *path, struct digest *digest, struct error *err)
{
    struct bytes text = {0};
    json_t *document = NULL;

    enum status status = file_read(&text, path, MANIFEST_BYTES_MAX, err);
    if (status) {
        goto done;
    }
    status = json_parse(&document, text.data == NULL ? "" : text.data, text.size, "json", err);
    if (status == STATUS_INVALID) {
        char why[ERROR_MESSAGE_BYTES / 2] = "";
        if (err != NULL) {
            (void)snprintf(why, sizeof why, ": %.300s", err->message);
        }
        status = error_set(err, STATUS_CORRUPT, "'%s' is corrupt%s", path, why);
    }
    if (status) {
        goto done;
    }
    status = open_seal(document, path, digest, err);
    if (status == STATUS_OK) {
        *out = json_incref(document);
    }
done:
    json_decref(document);
    bytes_deinit(&text);
    return status;
}
