#include "proto/base/digest.h"
#include "tests/support/documents.h"
#include "tests/support/test.h"
#include "worker/text/importer.h"
#include "worker/text/synth.h"
#include "worker/text/synth_grammar.h"

#define RECORDS 400

static void record(struct bytes *out, uint64_t seed, int64_t index)
{
    bytes_clear(out);
    synth_medline_record(out, seed, index);
    assert_false(bytes_failed(out));
}

static void the_rules_are_sorted_and_not_empty(void **state)
{
    (void)state;
    for (size_t i = 0; i < synth_rule_count; i++) {
        assert_true(synth_rules[i].count > 0);
        assert_true(i == 0 || strcmp(synth_rules[i - 1].name, synth_rules[i].name) < 0);
    }
}

/* The corpus is a function of (seed, record): what is made here is made everywhere. */
static void the_first_records_are_known(void **state)
{
    static const char expected[] =
        "f9a8d4de387369756210678e7886e5f0f4f139ad999f5bcf6e7d2ce40c8b6341";
    struct bytes text = {0};
    struct digest digest;
    char hex[DIGEST_HEX_BYTES];
    (void)state;
    for (int64_t i = 0; i < 100; i++) {
        synth_medline_record(&text, 1, i);
    }
    digest_of(&digest, text.data, text.size);
    digest_to_hex(hex, &digest);
    assert_string_equal(hex, expected);
    bytes_deinit(&text);
}

static void records_depend_on_seed_and_index_alone(void **state)
{
    struct bytes a = {0};
    struct bytes b = {0};
    (void)state;
    record(&a, 5, 7);
    record(&b, 5, 8);
    assert_string_not_equal(a.data, b.data);
    record(&b, 6, 7);
    assert_string_not_equal(a.data, b.data);
    record(&b, 5, 7);
    assert_string_equal(a.data, b.data);
    record(&b, UINT64_MAX, SYNTH_RECORDS_MAX - 1);
    bytes_deinit(&a);
    bytes_deinit(&b);
}

static void the_xml_is_read_by_our_importer(void **state)
{
    const struct importer_options options = {.format = TEXT_FORMAT_AUTO, .text_field = "text"};
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    struct collected collected;
    struct bytes xml = {0};
    struct error err;
    (void)state;
    collected_init(&collected);
    test_folder_create(folder);
    synth_medline_begin(&xml);
    for (int64_t i = 0; i < RECORDS; i++) {
        synth_medline_record(&xml, 3, i);
    }
    synth_medline_end(&xml);
    write_input(path, folder, "corpus.xml", xml.data, xml.size);
    assert_ok(importer_run(path, &options, &collected.sink, &err), &err);
    assert_int_equal(collected.sink.counts.records, RECORDS);
    assert_in_range(collected.sink.counts.documents, RECORDS * 9 / 10, RECORDS - 1);
    assert_int_equal(collected.sink.counts.documents +
                         collected.sink.counts.drops[DOCUMENT_DROP_NO_ABSTRACT],
                     RECORDS);
    assert_contains(collected.texts.data, "METHODS: ");
    assert_null(strchr(collected.texts.data, '{')); /* a slot that was not filled */
    test_folder_remove(folder);
    collected_deinit(&collected);
    bytes_deinit(&xml);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules_are_sorted_and_not_empty),
        cmocka_unit_test(the_first_records_are_known),
        cmocka_unit_test(records_depend_on_seed_and_index_alone),
        cmocka_unit_test(the_xml_is_read_by_our_importer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
