/*
 * spec_verdict: reads one JSON value per line and prints "valid" or "invalid" for each, as the
 * schema alone sees it. tests/reference/schema_verdicts.py compares with another validator.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/base/json.h"
#include "proto/spec/schema.h"
#include "proto/spec/spec.h"

int main(void)
{
    struct error err;
    const struct schema *schema = NULL;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size = 0;
    if (spec_schema(&schema, &err)) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        json_t *value = NULL;
        enum status status = json_parse(&value, line, (size_t)size, "line", &err);
        if (!status) {
            status = schema_apply(schema, schema_document(schema), value, "", NULL, &err);
        }
        (void)printf("%s\n", status ? "invalid" : "valid");
        json_decref(value);
    }
    free(line);
    return 0;
}
