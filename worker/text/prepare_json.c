#include "worker/text/prepare_json.h"

#include <string.h>

#include "proto/base/file.h"
#include "proto/base/json.h"

/* Paths of all inputs are in it. */
#define JSON_BYTES_MAX (INPUT_FILES_MAX * (size_t)512)

static const char *hex_of(char out[DIGEST_HEX_BYTES], const struct digest *digest)
{
    digest_to_hex(out, digest);
    return out;
}

static enum status no_memory(struct error *err)
{
    return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", PREPARE_JSON);
}

static json_t *describe_parameters(const struct prepare_options *options,
                                   const struct digest *tokenizer)
{
    char hex[DIGEST_HEX_BYTES];
    json_t *made_by = tokenizer ? json_pack("{s:s}", "digest", hex_of(hex, tokenizer))
                                : json_pack("{s:I, s:I}", "train", (json_int_t)options->vocab_size,
                                            "sample_bytes", (json_int_t)PREPARE_SAMPLE_BYTES);
    return json_pack("{s:s, s:s, s:I, s:f, s:o}", "format", text_format_text(options->format),
                     "text_field", options->text_field, "seed", (json_int_t)options->seed,
                     "validation_fraction", options->validation_fraction, "tokenizer", made_by);
}

enum status prepare_key(struct digest *out, const struct prepare_options *options,
                        const struct digest *tokenizer, const struct input_list *inputs,
                        struct error *err)
{
    char hex[DIGEST_HEX_BYTES];
    struct bytes text = {0};

    json_t *digests = json_array();
    for (size_t i = 0; i < inputs->count; i++) {
        (void)json_array_append_new(digests, json_string(hex_of(hex, &inputs->files[i].digest)));
    }
    json_t *key = json_pack("{s:i, s:o, s:o}", "version", PREPARE_VERSION, "parameters",
                            describe_parameters(options, tokenizer), "digests", digests);
    if (!key || json_array_size(digests) != inputs->count) {
        json_decref(key);
        return no_memory(err);
    }
    json_canonical(&text, key);
    enum status status = bytes_status(&text, "key", err);
    if (!status) {
        digest_of(out, text.data, text.size);
    }
    json_decref(key);
    bytes_deinit(&text);
    return status;
}

static json_t *describe_drops(const struct document_counts *counts)
{
    json_t *drops = json_object();
    for (int i = 0; i < DOCUMENT_DROP_COUNT; i++) {
        (void)json_object_set_new(drops, document_drop_name((enum document_drop)i),
                                  json_integer(counts->drops[i]));
    }
    return drops;
}

static json_t *describe_side(int64_t documents, int64_t tokens, const struct digest *digest)
{
    char hex[DIGEST_HEX_BYTES];
    return json_pack("{s:I, s:I, s:s}", "documents", (json_int_t)documents, "tokens",
                     (json_int_t)tokens, "digest", tokens ? hex_of(hex, digest) : "");
}

static json_t *describe_report(const struct prepare_report *report)
{
    char key[DIGEST_HEX_BYTES];
    char tokenizer[DIGEST_HEX_BYTES];
    return json_pack(
        "{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:{s:s, s:I, s:I}, s:o, s:o}", "format",
        "remora-prepare", "version", PREPARE_VERSION, "key", hex_of(key, &report->key), "files",
        (json_int_t)report->file_count, "input_bytes", (json_int_t)report->input_bytes,
        "text_bytes", (json_int_t)report->text_bytes, "records", (json_int_t)report->counts.records,
        "documents", (json_int_t)report->counts.documents, "drops", describe_drops(&report->counts),
        "tokenizer", "digest", hex_of(tokenizer, &report->tokenizer_digest), "vocab_size",
        (json_int_t)report->vocab_size, "eos_id", (json_int_t)report->eos_id, "train",
        describe_side(report->train.documents, report->train.tokens, &report->train.digest),
        "validation",
        describe_side(report->validation.documents, report->validation.tokens,
                      &report->validation.digest));
}

static json_t *describe_inputs(const struct input_list *inputs)
{
    char hex[DIGEST_HEX_BYTES];
    json_t *list = json_array();
    for (size_t i = 0; i < inputs->count; i++) {
        const struct input_file *file = &inputs->files[i];
        (void)json_array_append_new(
            list, json_pack("{s:s%, s:I, s:s}", "path", file->path, strlen(file->path), "bytes",
                            (json_int_t)file->bytes, "digest", hex_of(hex, &file->digest)));
    }
    return list;
}

static enum status append_json(struct bytes *out, const json_t *object, struct error *err)
{
    if (!object) {
        return no_memory(err);
    }
    json_canonical(out, object);
    bytes_append_char(out, '\n');
    return bytes_status(out, PREPARE_JSON, err);
}

enum status prepare_json_write(const char *folder, const struct prepare_options *options,
                               const struct digest *tokenizer, const struct input_list *inputs,
                               const struct prepare_report *report, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};

    json_t *object = describe_report(report);
    (void)json_object_set_new(object, "inputs", describe_inputs(inputs));
    (void)json_object_set_new(object, "parameters", describe_parameters(options, tokenizer));
    enum status status = append_json(&text, object, err);
    if (!status) {
        status = path_printf(path, err, "%s/%s", folder, PREPARE_JSON);
    }
    if (!status) {
        status = file_write(path, text.data, text.size, 0666, err);
    }
    json_decref(object);
    bytes_deinit(&text);
    return status;
}

enum status prepare_report_json(struct bytes *out, const struct prepare_report *report,
                                struct error *err)
{
    int64_t tokens = report->train.tokens + report->validation.tokens;
    json_t *object = describe_report(report);
    if (object) {
        (void)json_object_set_new(object, "is_cached", json_boolean(report->is_cached));
        json_set_real(object, "tokenise_s", report->tokenise_s);
        json_set_real(object, "total_s", report->total_s);
        json_set_real(object, "tokens_per_s",
                      report->tokenise_s > 0 ? (double)tokens / report->tokenise_s : 0);
    }
    enum status status = append_json(out, object, err);
    json_decref(object);
    return status;
}

static void read_side(const json_t *side, int64_t *documents, int64_t *tokens,
                      struct digest *digest, bool *is_good)
{
    *documents = json_get_int(side, "documents", -1);
    *tokens = json_get_int(side, "tokens", -1);
    bool is_empty = *documents == 0 && *tokens == 0;
    if (!is_empty && (*documents <= 0 || *tokens <= 0 ||
                      !digest_from_hex(digest, json_get_text(side, "digest", "")))) {
        *is_good = false;
    }
}

static bool read_report(struct prepare_report *out, const json_t *object)
{
    const json_t *tokenizer = json_object_get(object, "tokenizer");
    const json_t *drops = json_object_get(object, "drops");
    bool is_good = strcmp(json_get_text(object, "format", ""), "remora-prepare") == 0 &&
                   json_get_int(object, "version", 0) == PREPARE_VERSION &&
                   digest_from_hex(&out->key, json_get_text(object, "key", "")) &&
                   digest_from_hex(&out->tokenizer_digest, json_get_text(tokenizer, "digest", ""));
    out->file_count = json_get_int(object, "files", 0);
    out->input_bytes = json_get_int(object, "input_bytes", 0);
    out->text_bytes = json_get_int(object, "text_bytes", 0);
    out->counts.records = json_get_int(object, "records", 0);
    out->counts.documents = json_get_int(object, "documents", 0);
    for (int i = 0; i < DOCUMENT_DROP_COUNT; i++) {
        out->counts.drops[i] = json_get_int(drops, document_drop_name((enum document_drop)i), 0);
    }
    out->vocab_size = (uint32_t)json_get_int(tokenizer, "vocab_size", 0);
    out->eos_id = (uint32_t)json_get_int(tokenizer, "eos_id", 0);
    read_side(json_object_get(object, "train"), &out->train.documents, &out->train.tokens,
              &out->train.digest, &is_good);
    read_side(json_object_get(object, "validation"), &out->validation.documents,
              &out->validation.tokens, &out->validation.digest, &is_good);
    return is_good;
}

enum status prepare_json_read(struct prepare_report *out, const char *folder, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};
    json_t *object = NULL;

    *out = (struct prepare_report){0};
    enum status status = path_printf(path, err, "%s/%s", folder, PREPARE_JSON);
    if (!status) {
        status = file_read(&text, path, JSON_BYTES_MAX, err);
    }
    if (!status) {
        status = json_parse(&object, text.data, text.size, path, err);
    }
    if (!status && !read_report(out, object)) {
        status = error_set(err, STATUS_CORRUPT, "'%s': not the report of a preparation", path);
    }
    json_decref(object);
    bytes_deinit(&text);
    return status;
}
