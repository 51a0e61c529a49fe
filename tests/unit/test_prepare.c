#include <errno.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/sys.h"
#include "proto/shards/shard_set.h"
#include "tests/support/documents.h"
#include "tests/support/test.h"
#include "worker/text/prepare.h"
#include "worker/text/synth.h"
#include "worker/text/tokenizer.h"

#define RECORDS 250

struct fixture {
    char folder[PATH_BYTES_MAX];
    char input[PATH_BYTES_MAX];
    char output[PATH_BYTES_MAX];
    const char *inputs[8];
    struct bytes notices;
    struct prepare_options options;
    struct prepare_report report;
};

static void note(void *context, const char *text)
{
    struct fixture *fixture = context;
    bytes_append_text(&fixture->notices, text);
    bytes_append_char(&fixture->notices, '\n');
}

/* RECORDS synthetic citations as the input. */
static void write_corpus(struct fixture *fixture, const char *name, int64_t first)
{
    struct bytes xml = {0};
    synth_medline_begin(&xml);
    for (int64_t i = first; i < first + RECORDS; i++) {
        synth_medline_record(&xml, 2, i);
    }
    synth_medline_end(&xml);
    write_input(fixture->input, fixture->folder, name, xml.data, xml.size);
    bytes_deinit(&xml);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;
    test_folder_create(fixture->folder);
    write_corpus(fixture, "b.xml", 0);
    assert_ok(path_printf(fixture->output, &err, "%s/out", fixture->folder), &err);
    fixture->inputs[0] = fixture->input;
    fixture->options = (struct prepare_options){
        .inputs = fixture->inputs,
        .input_count = 1,
        .output = fixture->output,
        .vocab_size = 500,
        .validation_fraction = 0.1,
        .notice = note,
        .context = fixture,
    };
    bytes_append_text(&fixture->notices, "");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    test_folder_remove(fixture->folder);
    bytes_deinit(&fixture->notices);
    free(fixture);
    return 0;
}

static enum status prepare(struct fixture *fixture, struct error *err)
{
    return prepare_run(&fixture->options, &fixture->report, err);
}

static struct shard_set *open_part(const struct fixture *fixture, const char *part)
{
    struct shard_set *set = NULL;
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(path, &err, "%s/%s", fixture->output, part), &err);
    assert_ok(shard_set_open(&set, path, &err), &err);
    assert_ok(shard_set_verify(set, &err), &err);
    return set;
}

static bool exists(const struct fixture *fixture, const char *suffix)
{
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(path, &err, "%s%s", fixture->output, suffix), &err);
    return file_exists(path);
}

/* Decodes a set's stream; documents end in "|". */
static void decode_set(struct bytes *out, const struct fixture *fixture, const char *part)
{
    struct shard_set *set = open_part(fixture, part);
    struct tokenizer *tokenizer = NULL;
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(path, &err, "%s/tokenizer.model", fixture->output), &err);
    assert_ok(tokenizer_load(&tokenizer, path, &err), &err);
    int64_t count = shard_set_token_count(set);
    uint32_t *tokens = calloc((size_t)count, sizeof *tokens);
    assert_ok(shard_set_read(set, 0, count, tokens, &err), &err);
    int64_t start = 0;
    for (int64_t i = 0; i < count; i++) {
        if (tokens[i] == shard_set_eos_id(set)) {
            assert_ok(tokenizer_decode(tokenizer, tokens + start, (size_t)(i - start), out, &err),
                      &err);
            bytes_append_char(out, '|');
            start = i + 1;
        }
    }
    assert_int_equal(start, count); /* the stream ends in EOS */
    free(tokens);
    tokenizer_destroy(tokenizer);
    shard_set_close(set);
}

static size_t count_of(const struct bytes *text, char c)
{
    size_t count = 0;
    for (size_t i = 0; i < text->size; i++) {
        count += text->data[i] == c;
    }
    return count;
}

static void what_is_prepared_decodes_to_the_documents(void **state)
{
    struct fixture *fixture = *state;
    const struct prepare_report *report = &fixture->report;
    struct bytes train = {0};
    struct bytes validation = {0};
    struct error err;

    assert_ok(prepare(fixture, &err), &err);
    assert_false(report->is_cached);
    assert_int_equal(report->counts.records, RECORDS);
    assert_int_equal(report->train.documents + report->validation.documents,
                     report->counts.documents);
    assert_int_equal(report->vocab_size, 500);
    assert_int_equal(report->eos_id, 2);
    decode_set(&train, fixture, "train");
    decode_set(&validation, fixture, "validation");
    assert_int_equal(count_of(&train, '|'), report->train.documents);
    assert_int_equal(count_of(&validation, '|'), report->validation.documents);
    assert_int_equal(train.size + validation.size, report->text_bytes + report->counts.documents);
    bytes_deinit(&train);
    bytes_deinit(&validation);
    assert_false(exists(fixture, ".partial"));
}

static void the_shards_say_what_the_report_says(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    assert_ok(prepare(fixture, &err), &err);
    struct shard_set *set = open_part(fixture, "train");
    assert_int_equal(shard_set_token_count(set), fixture->report.train.tokens);
    assert_int_equal(shard_set_document_count(set), fixture->report.train.documents);
    assert_true(digest_equal(shard_set_digest(set), &fixture->report.train.digest));
    assert_true(digest_equal(shard_set_tokenizer_digest(set), &fixture->report.tokenizer_digest));
    shard_set_close(set);
}

static void the_same_again_is_not_done_again(void **state)
{
    struct fixture *fixture = *state;
    struct prepare_report first;
    struct error err;
    assert_ok(prepare(fixture, &err), &err);
    first = fixture->report;
    assert_ok(prepare(fixture, &err), &err);
    assert_true(fixture->report.is_cached);
    assert_int_equal(fixture->report.train.tokens, first.train.tokens);
    assert_int_equal(fixture->report.text_bytes, first.text_bytes);
    assert_int_equal(fixture->report.counts.drops[0], first.counts.drops[0]);
    assert_true(digest_equal(&fixture->report.train.digest, &first.train.digest));
    assert_true(digest_equal(&fixture->report.validation.digest, &first.validation.digest));
}

static void another_parameter_or_damage_prepares_again(void **state)
{
    struct fixture *fixture = *state;
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(prepare(fixture, &err), &err);
    fixture->options.seed = 1;
    assert_ok(prepare(fixture, &err), &err);
    assert_false(fixture->report.is_cached);
    fixture->options.vocab_size = 450;
    assert_ok(prepare(fixture, &err), &err);
    assert_false(fixture->report.is_cached);
    assert_int_equal(fixture->report.vocab_size, 450);
    write_corpus(fixture, "b.xml", 1);
    assert_ok(prepare(fixture, &err), &err);
    assert_false(fixture->report.is_cached);
    assert_ok(path_printf(path, &err, "%s/train/00000.tokens", fixture->output), &err);
    assert_int_equal(unlink(path), 0);
    assert_ok(prepare(fixture, &err), &err);
    assert_false(fixture->report.is_cached);
    assert_ok(prepare(fixture, &err), &err);
    assert_true(fixture->report.is_cached);
}

static void two_preparations_have_equal_bytes(void **state)
{
    static const char *const names[] = {"tokenizer.model", "prepare.json", "train/shards.json",
                                        "train/00000.tokens", "validation/00000.tokens"};
    struct fixture *fixture = *state;
    char other[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(other, &err, "%s/other", fixture->folder), &err);
    assert_ok(prepare(fixture, &err), &err);
    fixture->options.output = other;
    assert_ok(prepare(fixture, &err), &err);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_BYTES_MAX];
        struct digest a;
        struct digest b;
        assert_ok(path_printf(path, &err, "%s/%s", fixture->output, names[i]), &err);
        assert_ok(digest_of_file(&a, path, &err), &err);
        assert_ok(path_printf(path, &err, "%s/%s", other, names[i]), &err);
        assert_ok(digest_of_file(&b, path, &err), &err);
        assert_true(digest_equal(&a, &b));
    }
}

/* Every validation document of one corpus is one when another file is there, too. */
static void the_split_is_stable_when_files_are_added(void **state)
{
    struct fixture *fixture = *state;
    struct bytes before = {0};
    struct bytes after = {0};
    char model[PATH_BYTES_MAX];
    struct error err;

    assert_ok(prepare(fixture, &err), &err);
    decode_set(&before, fixture, "validation");
    assert_ok(path_printf(model, &err, "%s/kept.model", fixture->folder), &err);
    char path[PATH_BYTES_MAX];
    assert_ok(path_printf(path, &err, "%s/tokenizer.model", fixture->output), &err);
    assert_int_equal(rename(path, model), 0);
    write_corpus(fixture, "a.xml", 5000);
    fixture->inputs[0] = fixture->folder;
    fixture->options.tokenizer_path = model;
    assert_ok(prepare(fixture, &err), &err);
    decode_set(&after, fixture, "validation");
    assert_true(after.size > before.size);
    assert_contains(after.data, before.data); /* a.xml comes first, then b.xml as it was */
    bytes_deinit(&before);
    bytes_deinit(&after);
}

static void a_small_corpus_lowers_the_vocabulary_with_a_notice(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    fixture->options.vocab_size = 500000;
    assert_ok(prepare(fixture, &err), &err);
    assert_true(fixture->report.vocab_size < 500000);
    assert_contains(fixture->notices.data, "vocabulary lowered from 500000 to ");
    assert_ok(prepare(fixture, &err), &err);
    assert_true(fixture->report.is_cached);
}

static void no_validation_is_written_for_a_fraction_of_zero(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    fixture->options.validation_fraction = 0;
    assert_ok(prepare(fixture, &err), &err);
    assert_int_equal(fixture->report.validation.documents, 0);
    assert_false(exists(fixture, "/validation"));
    assert_ok(prepare(fixture, &err), &err);
    assert_true(fixture->report.is_cached);
}

static void an_empty_side_says_what_would_help(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    fixture->options.validation_fraction = 1e-9;
    assert_int_equal(prepare(fixture, &err), STATUS_INVALID);
    assert_contains(err.message, "none of");
    assert_string_equal(err.field, "validation_fraction");
    assert_false(exists(fixture, ""));
    /* The hint is true. */
    const char *number = strstr(err.hint, "0.");
    assert_non_null(number);
    fixture->options.validation_fraction = strtod(number, NULL);
    assert_ok(prepare(fixture, &err), &err);
    fixture->options.validation_fraction = 0.9999999;
    assert_int_equal(prepare(fixture, &err), STATUS_INVALID);
}

static void bad_options_are_named(void **state)
{
    struct fixture *fixture = *state;
    const struct prepare_options good = fixture->options;
    struct error err = {0};

    fixture->options.input_count = 0;
    assert_int_equal(prepare(fixture, &err), STATUS_INVALID);
    assert_string_equal(err.field, "inputs");
    static const double fractions[] = {-0.1, 1.0, 7.0, -1e300};
    for (size_t i = 0; i < sizeof fractions / sizeof *fractions; i++) {
        fixture->options = good;
        fixture->options.validation_fraction = fractions[i];
        assert_int_equal(prepare(fixture, &err), STATUS_INVALID);
        assert_string_equal(err.field, "validation_fraction");
    }
    fixture->options = good;
    fixture->options.vocab_size = TOKENIZER_VOCAB_SIZE_MIN - 1;
    assert_int_equal(prepare(fixture, &err), STATUS_INVALID);
    assert_string_equal(err.field, "tokenizer.train");
    fixture->options = good;
    fixture->options.tokenizer_path = "/nowhere/tokenizer.model";
    assert_int_equal(prepare(fixture, &err), STATUS_NOT_FOUND);
    assert_string_equal(err.field, "tokenizer");
    assert_false(exists(fixture, ""));
    assert_false(exists(fixture, ".partial"));
}

static void a_cut_file_leaves_the_old_output_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    struct bytes xml = {0};
    struct error err = {0};
    assert_ok(prepare(fixture, &err), &err);
    struct digest digest = fixture->report.train.digest;
    assert_ok(file_read(&xml, fixture->input, 64 * MIB, &err), &err);
    write_input(fixture->input, fixture->folder, "b.xml", xml.data, xml.size / 2);
    assert_int_equal(prepare(fixture, &err), STATUS_CORRUPT);
    assert_contains(err.message, "b.xml': line ");
    assert_false(exists(fixture, ".partial"));
    struct shard_set *set = open_part(fixture, "train");
    assert_true(digest_equal(shard_set_digest(set), &digest));
    shard_set_close(set);
    bytes_deinit(&xml);
}

/* The first failing call of each kind of work; every single one would take minutes. */
struct late_failure {
    long countdown;
    enum sys_call call;
};

static int fail_call(void *context, const struct sys_event *event)
{
    struct late_failure *failure = context;
    return event->call == failure->call && failure->countdown-- == 0 ? ENOSPC : 0;
}

static void a_failing_call_leaves_nothing_behind(void **state)
{
    static const enum sys_call calls[] = {SYS_CALL_OPEN,  SYS_CALL_WRITE,  SYS_CALL_FDATASYNC,
                                          SYS_CALL_FSYNC, SYS_CALL_RENAME, SYS_CALL_MKDIR,
                                          SYS_CALL_READ,  SYS_CALL_MMAP};
    struct fixture *fixture = *state;
    char small[PATH_BYTES_MAX];
    write_input(small, fixture->folder, "small.jsonl", "{\"text\": \"a b\"}\n{\"text\": \"c\"}\n",
                31);
    fixture->inputs[0] = small;
    fixture->options.vocab_size = TOKENIZER_VOCAB_SIZE_MIN;
    fixture->options.validation_fraction = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        enum status status = STATUS_IO;
        for (long n = 0; status; n++) {
            struct late_failure failure = {.countdown = n, .call = calls[i]};
            struct error err = {0};
            assert_true(n < 200);
            assert_ok(folder_remove(fixture->output, &err), &err);
            sys_set_hook(fail_call, &failure);
            status = prepare(fixture, &err);
            sys_set_hook(NULL, NULL);
            if (status) {
                assert_true(err.message[0] != '\0');
                assert_false(exists(fixture, ".partial"));
            }
        }
    }
}

/* XML, gz and zst JSON Lines and texts together, a llama tokenizer. */
static void real_files_of_all_kinds_are_prepared(void **state)
{
    static const char *const names[] = {"pubmed/xml/pubmed21n1004.xml.gz",
                                        "pubmed/xml/pubmed_result_b.xml.gz",
                                        "pubmed/text/pubmed_abstracts_oa.valid.jsonl",
                                        "pubmed/text/pmc_fulltext_oa.jsonl.zst", "pubmed/txt_dir"};
    struct fixture *fixture = *state;
    const char *data = test_data_folder();
    char paths[5][PATH_BYTES_MAX];
    char model[PATH_BYTES_MAX];
    struct error err;
    if (!data) {
        skip();
    }
    for (int i = 0; i < 5; i++) {
        assert_ok(path_printf(paths[i], &err, "%s/%s", data, names[i]), &err);
        fixture->inputs[i] = paths[i];
    }
    assert_ok(path_printf(model, &err, "%s/tokenizers/llama2/tokenizer.model", data), &err);
    fixture->options.input_count = 5;
    fixture->options.tokenizer_path = model;
    assert_ok(prepare(fixture, &err), &err);
    assert_int_equal(fixture->report.counts.documents, 88 + 177 + 200 + 120 + 12);
    assert_int_equal(fixture->report.vocab_size, 32000);
    struct bytes text = {0};
    decode_set(&text, fixture, "train");
    decode_set(&text, fixture, "validation");
    assert_true((int64_t)text.size ==
                fixture->report.text_bytes + fixture->report.counts.documents);
    bytes_deinit(&text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_prepared_decodes_to_the_documents),
        TEST(the_shards_say_what_the_report_says),
        TEST(the_same_again_is_not_done_again),
        TEST(another_parameter_or_damage_prepares_again),
        TEST(two_preparations_have_equal_bytes),
        TEST(the_split_is_stable_when_files_are_added),
        TEST(a_small_corpus_lowers_the_vocabulary_with_a_notice),
        TEST(no_validation_is_written_for_a_fraction_of_zero),
        TEST(an_empty_side_says_what_would_help),
        TEST(bad_options_are_named),
        TEST(a_cut_file_leaves_the_old_output_as_it_was),
        TEST(a_failing_call_leaves_nothing_behind),
        TEST(real_files_of_all_kinds_are_prepared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
