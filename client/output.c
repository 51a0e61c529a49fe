#include "client/output.h"

#include <stdio.h>

#include "proto/base/json.h"

static enum status write_value(const json_t *value, struct error *err)
{
    struct bytes text = {0};

    json_canonical(&text, value);
    enum status status = bytes_status(&text, "output", err);
    if (!status) {
        (void)fwrite(text.data, 1, text.size, stdout); /* command_main asks how stdout fared */
    }
    bytes_deinit(&text);
    return status;
}

enum status output_json(const json_t *value, struct error *err)
{
    enum status status = write_value(value, err);
    (void)fputc('\n', stdout);
    return status;
}

enum status json_list_row(struct json_list *list, const json_t *row, struct error *err)
{
    (void)fputs(list->has_rows ? ",\n" : "[\n", stdout);
    list->has_rows = true;
    return write_value(row, err);
}

void json_list_end(struct json_list *list)
{
    (void)fputs(list->has_rows ? "\n]\n" : "[]\n", stdout);
}
