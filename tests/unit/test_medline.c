#include "tests/support/documents.h"
#include "tests/support/test.h"
#include "worker/text/medline.h"

struct fixture {
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    struct collected collected;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    test_folder_create(fixture->folder);
    collected_init(&fixture->collected);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    test_folder_remove(fixture->folder);
    collected_deinit(&fixture->collected);
    free(fixture);
    return 0;
}

static enum status import(struct fixture *fixture, const char *xml, size_t size, struct error *err)
{
    struct stream *stream = NULL;
    collected_deinit(&fixture->collected);
    collected_init(&fixture->collected);
    write_input(fixture->path, fixture->folder, "input.xml", xml, size);
    assert_ok(stream_open(&stream, fixture->path, err), err);
    enum status status = medline_import(stream, fixture->path, &fixture->collected.sink, err);
    stream_close(stream);
    return status;
}

#define CITATION(article)                                          \
 "<PubmedArticle><MedlineCitation><PMID>1</PMID><Article>" article \
 "</Article></MedlineCitation></PubmedArticle>"
#define SET(citations) "<?xml version=\"1.0\"?>\n<PubmedArticleSet>" citations "</PubmedArticleSet>"
#define ONE(article)   SET(CITATION(article))

/* XML and the documents that come of it, each followed by "|". */
static const struct {
    const char *xml;
    const char *texts;
} cases[] = {
    {ONE("<ArticleTitle>T.</ArticleTitle><Abstract><AbstractText>A b.</AbstractText></Abstract>"),
     "T.\nA b.|"},
    /* structured, in order, labels in front */
    {ONE("<ArticleTitle>T</ArticleTitle><Abstract>"
         "<AbstractText Label=\"AIM\" NlmCategory=\"OBJECTIVE\">one</AbstractText>"
         "<AbstractText Label=\"UNLABELLED\">two</AbstractText>"
         "<AbstractText NlmCategory=\"RESULTS\" Label=\"RESULTS\"> three </AbstractText>"
         "</Abstract>"),
     "T\nAIM: one\ntwo\nRESULTS: three|"},
    /* a label alone is no section; a colon at the end of a text is no label */
    {ONE("<ArticleTitle>T</ArticleTitle><Abstract><AbstractText Label=\"AIM\"/>"
         "<AbstractText>as follows: </AbstractText><AbstractText Label=\"END\"> </AbstractText>"
         "</Abstract>"),
     "T\nas follows:|"},
    /* inline markup and MathML */
    {ONE("<ArticleTitle>The <i>BRCA1</i> gene</ArticleTitle><Abstract><AbstractText>CO<sub>2</sub>"
         " at 10<sup>-3</sup> <b>bold</b>text, <mml:math xmlns:mml=\"m\"><mml:mi>x</mml:mi>"
         "<mml:mo>=</mml:mo></mml:math>.</AbstractText></Abstract>"),
     "The BRCA1 gene\nCO2 at 10-3 boldtext, x=.|"},
    /* white space runs are one space, none at the ends */
    {ONE("<ArticleTitle>\n  A\n\ttitle \n</ArticleTitle><Abstract><AbstractText>\n  x\r\n  y  "
         "</AbstractText></Abstract>"),
     "A title\nx y|"},
    /* what is no part of the text */
    {ONE("<Journal><Title>J</Title></Journal><ArticleTitle>[T].</ArticleTitle><Abstract>"
         "<AbstractText>a</AbstractText><CopyrightInformation>(c)</CopyrightInformation>"
         "</Abstract><VernacularTitle>V</VernacularTitle>"),
     "[T].\na|"},
    {SET("<PubmedArticle><MedlineCitation><Article><ArticleTitle>T</ArticleTitle></Article>"
         "<OtherAbstract><AbstractText>other</AbstractText></OtherAbstract></MedlineCitation>"
         "</PubmedArticle>"),
     ""},
    /* entities, also numeric; UTF-8; CDATA */
    {ONE("<ArticleTitle>a &lt; b &amp; c &#945;&#x3B2;</ArticleTitle><Abstract><AbstractText>"
         "\xce\xb3 <![CDATA[<d>]]></AbstractText></Abstract>"),
     "a < b & c \xce\xb1\xce\xb2\n\xce\xb3 <d>|"},
    /* no title */
    {ONE("<Abstract><AbstractText>alone</AbstractText></Abstract>"), "alone|"},
    /* the old root; citations that were deleted; no abstract */
    {"<MedlineCitationSet><MedlineCitation><Article><ArticleTitle>T</ArticleTitle><Abstract>"
     "<AbstractText>a</AbstractText></Abstract></Article></MedlineCitation><MedlineCitation>"
     "<Article><ArticleTitle>N</ArticleTitle></Article></MedlineCitation><DeleteCitation>"
     "<PMID>2</PMID></DeleteCitation></MedlineCitationSet>",
     "T\na|"},
    /* books: the chapter's title, else the book's */
    {SET("<PubmedBookArticle><BookDocument><Book><BookTitle>Book</BookTitle></Book><ArticleTitle>"
         "Chapter</ArticleTitle><Abstract><AbstractText>a</AbstractText></Abstract></BookDocument>"
         "</PubmedBookArticle><PubmedBookArticle><BookDocument><Book><BookTitle>Book</BookTitle>"
         "</Book><Abstract><AbstractText>b</AbstractText></Abstract></BookDocument>"
         "</PubmedBookArticle>"),
     "Chapter\na|Book\nb|"},
    /* an external DTD is not fetched */
    {"<!DOCTYPE PubmedArticleSet PUBLIC \"-//NLM//DTD\" \"http://nowhere.invalid/p.dtd\">" //
     "<PubmedArticleSet></PubmedArticleSet>",
     ""},
    /* other encodings */
    {"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>"
     "<PubmedArticleSet>" CITATION("<ArticleTitle>caf\xe9</ArticleTitle><Abstract><AbstractText>"
                                   "a</AbstractText></Abstract>") "</PubmedArticleSet>",
     "caf\xc3\xa9\na|"},
};

static void citations_become_texts(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        assert_ok(import(fixture, cases[i].xml, strlen(cases[i].xml), &err), &err);
        assert_string_equal(fixture->collected.texts.data, cases[i].texts);
    }
}

static void records_are_counted(void **state)
{
    struct fixture *fixture = *state;
    const struct document_counts *counts = &fixture->collected.sink.counts;
    struct error err;
    const char *xml =
        SET(CITATION("<ArticleTitle>T</ArticleTitle><Abstract><AbstractText>a"
                     "</AbstractText></Abstract>") CITATION("<ArticleTitle>T</ArticleTitle>")
                CITATION("<Abstract><AbstractText> </AbstractText></Abstract>"));
    assert_ok(import(fixture, xml, strlen(xml), &err), &err);
    assert_int_equal(counts->records, 3);
    assert_int_equal(counts->documents, 1);
    assert_int_equal(counts->drops[DOCUMENT_DROP_NO_ABSTRACT], 2);
    assert_string_equal(fixture->collected.notices.data, "");
}

static void an_entity_of_the_dtd_drops_its_citation(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    const char *xml = "<!DOCTYPE PubmedArticleSet SYSTEM \"p.dtd\">\n<PubmedArticleSet>\n" CITATION(
        "<ArticleTitle>&alpha; T</ArticleTitle><Abstract><AbstractText>a</AbstractText>"
        "</Abstract>") CITATION("<ArticleTitle>U</ArticleTitle><Abstract><AbstractText>b"
                                "</AbstractText></Abstract>") "</PubmedArticleSet>";
    assert_ok(import(fixture, xml, strlen(xml), &err), &err);
    assert_string_equal(fixture->collected.texts.data, "U\nb|");
    assert_int_equal(fixture->collected.sink.counts.drops[DOCUMENT_DROP_UNKNOWN_ENTITY], 1);
    assert_contains(fixture->collected.notices.data, "input.xml:3: ");
}

static void every_cut_is_refused_naming_file_and_line(void **state)
{
    struct fixture *fixture = *state;
    const char *xml = ONE("\n<ArticleTitle>T &amp; \xc3\xa9</ArticleTitle>\n<Abstract>"
                          "<AbstractText>a</AbstractText></Abstract>");
    for (size_t size = 1; size < strlen(xml); size++) {
        struct error err = {0};
        assert_int_equal(import(fixture, xml, size, &err), STATUS_CORRUPT);
        assert_contains(err.message, fixture->path);
        assert_contains(err.message, "line ");
        assert_contains(err.message, "ends in the middle");
    }
}

static void what_is_not_well_formed_is_refused(void **state)
{
    static const struct {
        const char *xml;
        enum status status;
        const char *text;
    } bad[] = {
        {"<PubmedArticleSet>\n\n<a></b></PubmedArticleSet>", STATUS_CORRUPT, "line 3"},
        {"<PubmedArticleSet>\n\xff</PubmedArticleSet>", STATUS_CORRUPT, "line 2"},
        {"<PubmedArticleSet/>\n<PubmedArticleSet/>", STATUS_CORRUPT, "line 2"},
        {"<html><body/></html>", STATUS_INVALID, "'html'"},
        {"<!DOCTYPE PubmedArticleSet [\n<!ENTITY a \"aaaa\">]><PubmedArticleSet/>", STATUS_INVALID,
         "line 2: entity 'a'"},
        {"<!DOCTYPE PubmedArticleSet [<!ENTITY % p SYSTEM \"file:///etc/passwd\"> %p;]>"
         "<PubmedArticleSet/>",
         STATUS_INVALID, "entity 'p'"},
        {"<!DOCTYPE PubmedArticleSet [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>"
         "<PubmedArticleSet/>",
         STATUS_INVALID, "entity 'x'"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = {0};
        assert_int_equal(import(fixture, bad[i].xml, strlen(bad[i].xml), &err), bad[i].status);
        assert_contains(err.message, fixture->path);
        assert_contains(err.message, bad[i].text);
    }
}

static void nesting_has_a_limit(void **state)
{
    struct fixture *fixture = *state;
    struct bytes xml = {0};
    struct error err = {0};
    bytes_append_text(&xml, "<PubmedArticleSet>");
    for (int i = 0; i < 511; i++) {
        bytes_append_text(&xml, "<a>");
    }
    size_t size = xml.size;
    assert_int_equal(import(fixture, xml.data, size, &err), STATUS_CORRUPT);
    bytes_append_text(&xml, "<a>");
    assert_int_equal(import(fixture, xml.data, xml.size, &err), STATUS_LIMIT);
    assert_contains(err.message, "deeper than 512");
    bytes_deinit(&xml);
}

static enum status refuse(void *context, const struct document *document, struct error *err)
{
    (void)context;
    (void)document;
    return error_set(err, STATUS_NO_SPACE, "full");
}

static void a_failing_sink_ends_the_import(void **state)
{
    struct fixture *fixture = *state;
    struct stream *stream = NULL;
    struct document_sink sink = {.take = refuse};
    struct error err = {0};
    write_input(fixture->path, fixture->folder, "input.xml", cases[0].xml, strlen(cases[0].xml));
    assert_ok(stream_open(&stream, fixture->path, &err), &err);
    assert_int_equal(medline_import(stream, fixture->path, &sink, &err), STATUS_NO_SPACE);
    assert_string_equal(err.message, "full");
    stream_close(stream);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(citations_become_texts),
        TEST(records_are_counted),
        TEST(an_entity_of_the_dtd_drops_its_citation),
        TEST(every_cut_is_refused_naming_file_and_line),
        TEST(what_is_not_well_formed_is_refused),
        TEST(nesting_has_a_limit),
        TEST(a_failing_sink_ends_the_import),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
