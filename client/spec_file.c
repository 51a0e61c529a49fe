#include "client/spec_file.h"

#include "proto/spec/spec.h"

enum status spec_overrides(const char **out, size_t *count, const struct command_line *line,
                           struct error *err)
{
    const char *text = command_text_at(line, "set", 0);

    *count = 0;
    while (text != NULL) {
        if (*count == SPEC_OVERRIDES_MAX) {
            return error_set(err, STATUS_LIMIT, "more than %d times -s", SPEC_OVERRIDES_MAX);
        }
        out[(*count)++] = text;
        text = command_text_at(line, "set", *count);
    }
    return STATUS_OK;
}

enum status spec_from_command_line(json_t **out, const struct command_line *line, struct error *err)
{
    const char *overrides[SPEC_OVERRIDES_MAX];
    size_t count = 0;

    enum status status = spec_overrides(overrides, &count, line, err);
    return status ? status : spec_load(out, command_argument(line, 0), overrides, count, err);
}
