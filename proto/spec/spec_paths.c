#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/spec/schema_internal.h"
#include "proto/spec/spec.h"
#include "proto/spec/spec_internal.h"

/* ---- Finding the paths ---- */

struct walk {
    const struct schema *schema;
    spec_path_fn *visit;
    void *context;
    struct schema_path path;
    struct error *err;
};

static enum status walk_value(struct walk *walk, const json_t *node, json_t *value,
                              json_t **replacement);

// NOLINTNEXTLINE(misc-no-recursion): as deep as the schema, whatever the spec
static enum status walk_list(struct walk *walk, const json_t *node, json_t *list)
{
    const json_t *items = schema_items(walk->schema, node);
    enum status status = STATUS_OK;
    for (size_t i = 0; items && i < json_array_size(list) && !status; i++) {
        json_t *replacement = NULL;
        const size_t size = schema_path_push_index(&walk->path, i);
        status = walk_value(walk, items, json_array_get(list, i), &replacement);
        schema_path_pop(&walk->path, size);
        if (replacement && json_array_set_new(list, i, replacement) != 0) {
            status = error_set(walk->err, STATUS_NO_MEMORY, "spec: out of memory");
        }
    }
    return status;
}

// NOLINTNEXTLINE(misc-no-recursion)
static enum status walk_object(struct walk *walk, const json_t *node, json_t *object)
{
    const char *key = NULL;
    json_t *property = NULL;
    json_object_foreach(schema_iterable(json_object_get(node, "properties")), key, property)
    {
        json_t *value = json_object_get(object, key);
        if (!value) {
            continue;
        }
        json_t *replacement = NULL;
        const size_t size = schema_path_push_key(&walk->path, key);
        enum status status = walk_value(walk, property, value, &replacement);
        schema_path_pop(&walk->path, size);
        if (replacement && json_object_set_new(object, key, replacement) != 0) {
            status = error_set(walk->err, STATUS_NO_MEMORY, "spec: out of memory");
        }
        if (status) {
            return status;
        }
    }
    return STATUS_OK;
}

// NOLINTNEXTLINE(misc-no-recursion)
static enum status walk_value(struct walk *walk, const json_t *node, json_t *value,
                              json_t **replacement)
{
    const struct schema_view view = schema_view_of(value);
    const json_t *picked = schema_select(walk->schema, node, &view);
    const char *kind = json_get_text(picked, "x-path", NULL);
    if (kind && json_is_string(value)) {
        return walk->visit(walk->context, walk->path.text, kind, json_string_value(value),
                           replacement, walk->err);
    }
    if (json_is_array(value)) {
        return walk_list(walk, picked, value);
    }
    return json_is_object(value) ? walk_object(walk, picked, value) : STATUS_OK;
}

enum status spec_each_path(json_t *spec, spec_path_fn *visit, void *context, struct error *err)
{
    struct walk walk = {.visit = visit, .context = context, .err = err};
    enum status status = spec_schema(&walk.schema, err);
    if (status) {
        return status;
    }
    json_t *replacement = NULL; /* the root is no path */
    return walk_value(&walk, schema_document(walk.schema), spec, &replacement);
}

/* ---- Making them absolute ---- */

#define HF_PREFIX "hf:"

/* Characters that glob(3) takes for more than themselves. */
static bool is_special(char c)
{
    return c == '*' || c == '?' || c == '[' || c == '\\';
}

/* Appends folder; before a pattern, with what glob(3) would interpret escaped. */
static void append_folder(struct bytes *out, const char *folder, bool is_pattern)
{
    for (const char *c = folder; *c != '\0'; c++) {
        if (is_pattern && is_special(*c)) {
            bytes_append_char(out, '\\');
        }
        bytes_append_char(out, *c);
    }
    if (out->size > 0 && out->data[out->size - 1] != '/') {
        bytes_append_char(out, '/');
    }
}

bool spec_is_job_step(const char *text)
{
    const char *at = strrchr(text, '@');

    return at != NULL && at != text && strchr(text, '/') == NULL && at[1] != '\0' &&
           at[1 + strspn(at + 1, "0123456789")] == '\0';
}

const char *spec_hf_folder(const char *text)
{
    return strncmp(text, HF_PREFIX, strlen(HF_PREFIX)) == 0 ? text + strlen(HF_PREFIX) : NULL;
}

static enum status resolve_path(void *context, const char *field, const char *kind,
                                const char *text, json_t **replacement, struct error *err)
{
    const char *folder = context;
    const char *home = getenv("HOME");
    const char *hf_folder = strcmp(kind, "checkpoint") == 0 ? spec_hf_folder(text) : NULL;
    const char *prefix = hf_folder != NULL ? HF_PREFIX : "";
    text = hf_folder != NULL ? hf_folder : text;
    if (text[0] == '/' || text[0] == '\0' ||
        (strcmp(kind, "checkpoint") == 0 && hf_folder == NULL && spec_is_job_step(text))) {
        return STATUS_OK;
    }
    if (strncmp(text, "~/", 2) == 0 && home && home[0] == '/') {
        folder = home;
        text += 2;
    }
    while (strncmp(text, "./", 2) == 0) {
        text += 2;
    }
    struct bytes path = {.size_max = PATH_BYTES_MAX - 1};
    bytes_append_text(&path, prefix);
    append_folder(&path, folder, strcmp(kind, "glob") == 0);
    bytes_append_text(&path, strcmp(text, ".") == 0 ? "" : text);
    enum status status = bytes_status(&path, "path", err);
    if (status) {
        error_set_field(err, "%s", field);
        (void)error_wrap(err, "%s", field);
    } else {
        *replacement = json_stringn(path.data, path.size);
        status =
            *replacement ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "%s: out of memory", field);
    }
    bytes_deinit(&path);
    return status;
}

enum status spec_resolve_paths(json_t *spec, const char *folder, struct error *err)
{
    char absolute[PATH_BYTES_MAX];
    char current[PATH_BYTES_MAX];
    if (folder[0] != '/' && !getcwd(current, sizeof current)) {
        return error_from_errno(err, errno, "current folder");
    }
    enum status status = path_resolve(absolute, folder[0] == '/' ? NULL : current, folder, err);
    return status ? status : spec_each_path(spec, resolve_path, absolute, err);
}
