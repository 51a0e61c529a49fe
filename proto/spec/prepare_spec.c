#include "proto/spec/prepare_spec.h"

#include <string.h>

#include "proto/base/json.h"
#include "proto/spec/spec_internal.h"

enum status prepare_spec_read(struct prepare_spec *out, const json_t *spec, struct error *err)
{
    if (strcmp(json_get_text(spec, "kind", ""), "prepare") != 0) {
        enum status status =
            error_set(err, STATUS_INVALID, "kind: this spec is not for preparing data");
        error_set_field(err, "kind");
        return status;
    }
    *out = (struct prepare_spec){
        .name = json_get_text(spec, "name", ""),
        .validation_fraction = json_get_real(spec, "validation_fraction", 0.0),
        .output = json_get_text(spec, "output", ""),
        .seed = (uint64_t)json_get_int(spec, "seed", 0),
    };
    spec_files_read(&out->inputs, spec, "inputs");
    spec_tokenizer_read(&out->tokenizer, &out->tokenizer_vocab_size, spec);
    return STATUS_OK;
}
