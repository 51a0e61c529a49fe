#include "worker/cli/attempt_error.h"

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"

void attempt_error_write(const char *folder, int rank, const struct error *what)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};
    struct error ignored;

    if (!folder) {
        return;
    }
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:i}", "status", status_name(what->status), "message",
                  what->message, "field", what->field, "hint", what->hint, "rank", rank);
    json_canonical(&text, object);
    bytes_append_char(&text, '\n');
    enum status status = bytes_status(&text, "error file", &ignored);
    if (!status && object) {
        status = path_printf(path, &ignored, "%s/rank-%d.error.json", folder, rank);
    }
    if (!status && object) {
        status = file_write(path, text.data, text.size, 0644, &ignored);
    }
    bytes_deinit(&text);
    json_decref(object);
}
