/* A spec as a client may send it, with an override: the first line is the override. */
#include <stdlib.h>
#include <string.h>

#include "proto/spec/spec.h"
#include "proto/spec/train_spec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    json_t *spec = NULL;
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    const size_t line_size = newline ? (size_t)(newline - data) : 0;
    const size_t skipped = newline ? line_size + 1 : 0;
    char *assignment = calloc(1, line_size + 1);
    FUZZ_ASSERT(assignment);
    if (newline) {
        memcpy(assignment, data, line_size);
    }
    if (spec_parse(&spec, (const char *)data + skipped, size - skipped, SPEC_FORMAT_JSON, "f",
                   &err) == STATUS_OK) {
        (void)!spec_override(spec, assignment, &err);
        if (spec_validate(spec, &err) == STATUS_OK && spec_kind(spec) == SPEC_KIND_TRAIN) {
            struct train_spec train;
            int64_t steps = 0;
            FUZZ_ASSERT(train_spec_read(&train, spec, &err) == STATUS_OK);
            FUZZ_ASSERT(train_spec_steps(&steps, &train, 1000, &err) != STATUS_OK || steps > 0);
            FUZZ_ASSERT(spec_slots(spec) > 0);
        }
        json_decref(spec);
    }
    free(assignment);
    return 0;
}
