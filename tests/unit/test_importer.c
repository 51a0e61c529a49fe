#include "proto/base/file.h"
#include "tests/support/documents.h"
#include "tests/support/test.h"
#include "worker/text/importer.h"

static void formats_are_told_by_content(void **state)
{
    static const struct {
        const char *data;
        enum text_format format;
    } cases[] = {
        {"", TEXT_FORMAT_TEXT},
        {"plain words", TEXT_FORMAT_TEXT},
        {"[Translated title.]", TEXT_FORMAT_TEXT},
        {"<?xml version=\"1.0\"?>", TEXT_FORMAT_MEDLINE},
        {"\n  <PubmedArticleSet>", TEXT_FORMAT_MEDLINE},
        {"\xef\xbb\xbf<a/>", TEXT_FORMAT_MEDLINE},
        {"\xff\xfe<", TEXT_FORMAT_MEDLINE},
        {"{\"text\": \"\"}", TEXT_FORMAT_JSONL},
        {"\xef\xbb\xbf \n{", TEXT_FORMAT_JSONL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum text_format format = TEXT_FORMAT_AUTO;
        struct error err;
        assert_ok(importer_detect(&format, cases[i].data, strlen(cases[i].data), "f", &err), &err);
        assert_int_equal(format, cases[i].format);
    }
}

static void an_array_of_objects_is_explained(void **state)
{
    enum text_format format = TEXT_FORMAT_AUTO;
    struct error err = {0};
    (void)state;
    assert_int_equal(importer_detect(&format, "[\n {\"a\"", 7, "f.json", &err), STATUS_UNSUPPORTED);
    assert_contains(err.message, "f.json");
    assert_contains(err.hint, "jq");
}

/* One document in every format and packing. */
static void every_format_is_read_in_every_packing(void **state)
{
    static const char *const inputs[] = {
        "a text",
        "\xef\xbb\xbf"
        "a text",
        "{\"body\": \"a text\"}\n",
        "<PubmedArticleSet><MedlineCitation><Article><Abstract><AbstractText>a text</AbstractText>"
        "</Abstract></Article></MedlineCitation></PubmedArticleSet>",
    };
    const struct importer_options options = {.format = TEXT_FORMAT_AUTO, .text_field = "body"};
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    (void)state;
    test_folder_create(folder);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        for (int packing = PACKING_NONE; packing <= PACKING_ZSTD; packing++) {
            struct collected collected;
            struct bytes packed = {0};
            struct error err;
            collected_init(&collected);
            pack(&packed, (enum packing)packing, inputs[i], strlen(inputs[i]));
            write_input(path, folder, "input", packed.data, packed.size);
            assert_ok(importer_run(path, &options, &collected.sink, &err), &err);
            assert_string_equal(collected.texts.data, "a text|");
            bytes_deinit(&packed);
            collected_deinit(&collected);
        }
    }
    test_folder_remove(folder);
}

static void a_text_that_is_none_is_dropped(void **state)
{
    static const struct {
        const char *data;
        size_t size;
        enum document_drop drop;
    } cases[] = {
        {"", 0, DOCUMENT_DROP_EMPTY},
        {" \n\t\r\n", 5, DOCUMENT_DROP_EMPTY},
        {"a\0b", 3, DOCUMENT_DROP_BAD_BYTES},
        {"caf\xe9", 4, DOCUMENT_DROP_BAD_BYTES},
    };
    const struct importer_options options = {.format = TEXT_FORMAT_TEXT, .text_field = "text"};
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    (void)state;
    test_folder_create(folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct collected collected;
        struct error err;
        collected_init(&collected);
        write_input(path, folder, "input", cases[i].data, cases[i].size);
        assert_ok(importer_run(path, &options, &collected.sink, &err), &err);
        assert_int_equal(collected.sink.counts.drops[cases[i].drop], 1);
        assert_int_equal(collected.sink.counts.records, 1);
        assert_string_equal(collected.texts.data, "");
        collected_deinit(&collected);
    }
    test_folder_remove(folder);
}

/* Counts of data that is not ours, as its README.md has them. */
static void real_files_give_the_known_counts(void **state)
{
    static const struct {
        const char *name;
        int64_t records;
        int64_t documents;
    } cases[] = {
        {"pubmed/xml/pubmed21n0001.xml.gz", 49, 25},
        {"pubmed/xml/pubmed21n1000.xml.gz", 29, 29},
        {"pubmed/xml/pubmed21n1002.xml.gz", 45, 21},
        {"pubmed/xml/pubmed21n1004.xml.gz", 88, 88},
        {"pubmed/xml/pubmedsample18n0001.xml.gz", 177, 109},
        {"pubmed/xml/medsamp2014.xml.gz", 161, 99},
        {"pubmed/xml/pubmed_result_a.xml.gz", 121, 102},
        {"pubmed/xml/pubmed_result_cpfe.xml", 111, 108},
        {"pubmed/xml/pubmed_result_b.xml.gz", 208 + 6, 177}, /* citations and book articles */
        {"pubmed/xml/pubmed_result_c.xml.gz", 106, 106},
        {"pubmed/text/pubmed_abstracts_oa.train.jsonl.zst", 1910, 1910},
        {"pubmed/text/pubmed_abstracts_oa.valid.jsonl", 200, 200},
        {"pubmed/text/pmc_fulltext_oa.jsonl.zst", 120, 120},
        {"general/c4/c4_demo.jsonl", 300, 300},
        {"general/dolma/cc_en_head-0091.jsonl.gz", 10, 10},
        {"finance/text/sec_10k.jsonl.zst", 25, 25},
        {"pubmed/txt_dir/0.txt", 1, 1},
    };
    const struct importer_options options = {.format = TEXT_FORMAT_AUTO, .text_field = "text"};
    const char *data = test_data_folder();
    (void)state;
    if (!data) {
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[PATH_BYTES_MAX];
        struct collected collected;
        struct error err;
        collected_init(&collected);
        assert_ok(path_printf(path, &err, "%s/%s", data, cases[i].name), &err);
        assert_ok(importer_run(path, &options, &collected.sink, &err), &err);
        assert_int_equal(collected.sink.counts.records, cases[i].records);
        assert_int_equal(collected.sink.counts.documents, cases[i].documents);
        collected_deinit(&collected);
    }
}

/* Passages of difficult citations, read off the files by eye. */
static void real_citations_are_flattened(void **state)
{
    static const struct {
        const char *name;
        const char *part;
    } cases[] = {
        {"pubmed/xml/pubmed21n1000.xml.gz",
         "It is currently approved for the treatment of RAS wild-type (WT) metastatic"},
        {"pubmed/xml/efetch/biopython_pubmed7.xml", "free-breathing Fourier-decomposition H"},
        {"pubmed/xml/efetch/biopython_pubmed5.xml", "\nRESULTS: Higher exposure to"},
        {"pubmed/xml/efetch/biopython_pubmed5.xml", "(ORQ3=4.15, 95% CI 1.56 to 11.01,"},
        {"pubmed/xml/efetch/pubmed-29768149.xml", "fast-acting \xce\xb2 2-agonist"},
        {"pubmed/xml/pubmed_result_b.xml.gz", "Unusual Cancers of Childhood Treatment (PDQ"},
    };
    const struct importer_options options = {.format = TEXT_FORMAT_AUTO, .text_field = "text"};
    const char *data = test_data_folder();
    (void)state;
    if (!data) {
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[PATH_BYTES_MAX];
        struct collected collected;
        struct error err;
        collected_init(&collected);
        assert_ok(path_printf(path, &err, "%s/%s", data, cases[i].name), &err);
        assert_ok(importer_run(path, &options, &collected.sink, &err), &err);
        assert_contains(collected.texts.data, cases[i].part);
        collected_deinit(&collected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_told_by_content),
        cmocka_unit_test(an_array_of_objects_is_explained),
        cmocka_unit_test(every_format_is_read_in_every_packing),
        cmocka_unit_test(a_text_that_is_none_is_dropped),
        cmocka_unit_test(real_files_give_the_known_counts),
        cmocka_unit_test(real_citations_are_flattened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
