/* Text → spec → YAML → the same spec; a valid one has a canonical form that stays as it is. */
#include <string.h>

#include "proto/spec/spec.h"
#include "tests/fuzz/fuzz.h"

/* The canonical bytes of a spec that has been validated. */
static void check_canonical(json_t *spec)
{
    struct error err = {0};
    struct bytes once = {0};
    struct bytes twice = {0};
    json_t *again = NULL;
    FUZZ_ASSERT(spec_canonical(&once, spec, &err) == STATUS_OK);
    FUZZ_ASSERT(spec_parse(&again, once.data, once.size, SPEC_FORMAT_JSON, "c", &err) == STATUS_OK);
    FUZZ_ASSERT(spec_validate(again, &err) == STATUS_OK);
    FUZZ_ASSERT(spec_canonical(&twice, again, &err) == STATUS_OK);
    FUZZ_ASSERT(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    json_decref(again);
    bytes_deinit(&once);
    bytes_deinit(&twice);
}

static void check_yaml(const json_t *spec)
{
    struct error err = {0};
    struct bytes text = {0};
    json_t *again = NULL;
    FUZZ_ASSERT(spec_write_yaml(&text, spec, &err) == STATUS_OK);
    FUZZ_ASSERT(spec_parse(&again, text.data, text.size, SPEC_FORMAT_YAML, "y", &err) == STATUS_OK);
    FUZZ_ASSERT(json_equal(spec, again));
    json_decref(again);
    bytes_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    json_t *spec = NULL;
    if (spec_parse(&spec, (const char *)data, size, SPEC_FORMAT_YAML, "f", &err) == STATUS_OK) {
        FUZZ_ASSERT(spec_resolve_paths(spec, "/f", &err) == STATUS_OK || err.message[0] != '\0');
        if (spec_validate(spec, &err) == STATUS_OK) {
            check_canonical(spec);
            check_yaml(spec);
        } else {
            FUZZ_ASSERT(err.message[0] != '\0');
        }
        json_decref(spec);
    } else {
        FUZZ_ASSERT(err.message[0] != '\0');
    }
    return 0;
}
