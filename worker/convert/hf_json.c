#include "worker/convert/hf_json.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/limits.h"

enum status hf_json_write(const char *folder, const char *name, json_t *value, struct error *err)
{
    char path[PATH_BYTES_MAX];

    char *text = value == NULL ? NULL : json_dumps(value, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(value);
    if (text == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for '%s'", name);
    }
    enum status status = path_printf(path, err, "%s/%s", folder, name);
    if (!status) {
        status = file_write(path, text, strlen(text), 0644, err);
    }
    free(text);
    return status;
}
