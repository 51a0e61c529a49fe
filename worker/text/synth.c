#include "worker/text/synth.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rng.h"
#include "worker/text/synth_grammar.h"

#define NAME_BYTES_MAX  32
#define VALUE_BYTES_MAX 96
#define VALUES_MAX      16
#define DEPTH_MAX       8
#define PMID_FIRST      30000000

/* A study's kinds; each has its rules "<name>.title", ".background", …. */
static const char *const kinds[] = {"trial", "cohort", "lab", "review"};

struct value {
    char name[NAME_BYTES_MAX];
    char text[VALUE_BYTES_MAX];
};

struct record {
    struct bytes *out;
    uint64_t seed;
    uint64_t stream;
    uint64_t draw_index;
    const char *kind;
    bool is_positive;
    int64_t group_sizes[2];
    struct value values[VALUES_MAX];
    size_t value_count;
};

static uint32_t draw(struct record *record, uint32_t bound)
{
    return rng_below(record->seed, record->stream, record->draw_index++, bound);
}

static bool chance(struct record *record, uint32_t percent)
{
    return draw(record, 100) < percent;
}

static int compare_rule(const void *key, const void *rule)
{
    return strcmp(key, ((const struct synth_rule *)rule)->name);
}

static const struct synth_rule *find_rule(const char *name)
{
    const struct synth_rule *rule =
        bsearch(name, synth_rules, synth_rule_count, sizeof *synth_rules, compare_rule);
    if (!rule) {
        (void)fprintf(stderr, "grammar: there is no rule '%s'\n", name);
    }
    assert(rule && rule->count > 0);
    return rule;
}

static void expand(struct record *record, struct bytes *out, const char *text, int depth);

static void expand_rule(struct record *record, struct bytes *out, const char *name, int depth)
{
    const struct synth_rule *rule = find_rule(name);
    expand(record, out, rule->items[draw(record, (uint32_t)rule->count)], depth + 1);
}

/* The record's value of a rule, drawn when it is first asked for. */
static const char *value_of(struct record *record, const char *name, int depth)
{
    for (size_t i = 0; i < record->value_count; i++) {
        if (strcmp(record->values[i].name, name) == 0) {
            return record->values[i].text;
        }
    }
    struct bytes text = {0};
    expand_rule(record, &text, name, depth);
    assert(record->value_count < VALUES_MAX && strlen(name) < NAME_BYTES_MAX);
    assert(text.size < VALUE_BYTES_MAX);
    struct value *value = &record->values[record->value_count++];
    (void)snprintf(value->name, sizeof value->name, "%s", name);
    (void)snprintf(value->text, sizeof value->text, "%s", text.data ? text.data : "");
    bytes_deinit(&text);
    return value->text;
}

/* "20-400" or "0.5-9.9": decimals as in the upper bound. */
static void expand_number(struct record *record, struct bytes *out, const char *range)
{
    char *end = NULL;
    double low = strtod(range, &end);
    assert(*end == '-');
    const char *high_text = end + 1;
    double high = strtod(high_text, NULL);
    const char *point = strchr(high_text, '.');
    int decimals = point ? (int)strlen(point + 1) : 0;
    double scale = 1;
    for (int i = 0; i < decimals; i++) {
        scale *= 10;
    }
    uint32_t steps = (uint32_t)((high - low) * scale + 0.5) + 1;
    bytes_printf(out, "%.*f", decimals, low + draw(record, steps) / scale);
}

static void expand_value(struct record *record, struct bytes *out, const char *name, int depth)
{
    if (strcmp(name, "n1") == 0 || strcmp(name, "n2") == 0) {
        bytes_printf(out, "%lld", (long long)record->group_sizes[name[1] - '1']);
    } else if (strcmp(name, "n") == 0) {
        bytes_printf(out, "%lld", (long long)(record->group_sizes[0] + record->group_sizes[1]));
    } else {
        bytes_append_text(out, value_of(record, name, depth));
    }
}

static void expand_slot(struct record *record, struct bytes *out, const char *slot, int depth)
{
    char name[NAME_BYTES_MAX + 8];
    switch (slot[0]) {
    case '$':
        expand_value(record, out, slot + 1, depth);
        break;
    case '@':
        (void)snprintf(name, sizeof name, "%s.%s", slot + 1, record->is_positive ? "yes" : "no");
        expand_rule(record, out, name, depth);
        break;
    case '#':
        expand_number(record, out, slot + 1);
        break;
    default:
        expand_rule(record, out, slot, depth);
    }
}

static void upper_first(struct bytes *out, size_t at)
{
    if (at < out->size && out->data[at] >= 'a' && out->data[at] <= 'z') {
        out->data[at] = (char)(out->data[at] - 'a' + 'A');
    }
}

static void expand(struct record *record, struct bytes *out, const char *text, int depth)
{
    assert(depth < DEPTH_MAX);
    while (*text) {
        size_t plain = strcspn(text, "{");
        bytes_append(out, text, plain);
        text += plain;
        if (!*text) {
            return;
        }
        char slot[NAME_BYTES_MAX];
        size_t size = strcspn(++text, "}");
        assert(text[size] == '}' && size < sizeof slot);
        memcpy(slot, text, size);
        slot[size] = '\0';
        text += size + 1;
        size_t at = out->size;
        expand_slot(record, out, slot[0] == '^' ? slot + 1 : slot, depth);
        if (slot[0] == '^') {
            upper_first(out, at);
        }
    }
}

/* count different sentences of "<kind>.<part>", separated by spaces. */
static void sentences(struct record *record, struct bytes *out, const char *part, uint32_t count)
{
    char name[NAME_BYTES_MAX];
    uint64_t used = 0;
    (void)snprintf(name, sizeof name, "%s.%s", record->kind, part);
    const struct synth_rule *rule = find_rule(name);
    assert(rule->count <= 64);
    for (uint32_t i = 0; i < count && i < rule->count; i++) {
        uint32_t index = draw(record, (uint32_t)rule->count);
        while (used >> index & 1) {
            index = (index + 1) % (uint32_t)rule->count;
        }
        used |= (uint64_t)1 << index;
        bytes_append_text(out, i ? " " : "");
        expand(record, out, rule->items[index], 0);
    }
}

static const struct {
    const char *part;
    const char *category; /* NLM's */
    const char *labels[3];
    uint32_t min, max; /* sentences */
} parts[] = {
    {"background", "BACKGROUND", {"BACKGROUND", "BACKGROUND", "INTRODUCTION"}, 1, 2},
    {"objective", "OBJECTIVE", {"OBJECTIVE", "AIM", "PURPOSE"}, 1, 1},
    {"methods", "METHODS", {"METHODS", "METHODS", "MATERIALS AND METHODS"}, 2, 3},
    {"results", "RESULTS", {"RESULTS", "RESULTS", "FINDINGS"}, 2, 4},
    {"conclusion", "CONCLUSIONS", {"CONCLUSIONS", "CONCLUSION", "INTERPRETATION"}, 1, 2},
};
#define PART_COUNT (sizeof parts / sizeof *parts)

static void put_abstract(struct record *record)
{
    struct bytes *out = record->out;
    bool is_structured = chance(record, 55);
    uint32_t label = draw(record, 3);

    bytes_append_text(out, "        <Abstract>\n");
    bytes_append_text(out, is_structured ? "" : "          <AbstractText>");
    for (size_t i = 0; i < PART_COUNT; i++) {
        uint32_t count = parts[i].min + draw(record, parts[i].max - parts[i].min + 1);
        if (is_structured) {
            bytes_printf(out, "          <AbstractText Label=\"%s\" NlmCategory=\"%s\">",
                         parts[i].labels[label], parts[i].category);
        } else if (i > 0) {
            bytes_append_char(out, ' ');
        }
        sentences(record, out, parts[i].part, count);
        bytes_append_text(out, is_structured ? "</AbstractText>\n" : "");
    }
    bytes_append_text(out, is_structured ? "" : "</AbstractText>\n");
    bytes_append_text(out, "        </Abstract>\n");
}

static void put_authors(struct record *record)
{
    uint32_t count = 1 + draw(record, 6);
    bytes_append_text(record->out, "        <AuthorList CompleteYN=\"Y\">\n");
    for (uint32_t i = 0; i < count; i++) {
        bytes_append_text(record->out, "          <Author ValidYN=\"Y\"><LastName>");
        expand(record, record->out, "{surname}</LastName><ForeName>{forename}</ForeName>", 0);
        bytes_append_text(record->out, "</Author>\n");
    }
    bytes_append_text(record->out, "        </AuthorList>\n");
}

static void put_journal(struct record *record, unsigned year)
{
    struct bytes *out = record->out;
    bytes_printf(out,
                 "        <Journal>\n"
                 "          <JournalIssue CitedMedium=\"Internet\"><Volume>%u</Volume>"
                 "<PubDate><Year>%u</Year></PubDate></JournalIssue>\n"
                 "          <Title>",
                 1 + draw(record, 90), year);
    expand(record, out, "{$journal}</Title>\n        </Journal>\n", 0);
}

static void put_headings(struct record *record)
{
    static const char *const headings[] = {"{^$condition}", "{^$drug}", "Humans", "{^$outcome}"};
    bytes_append_text(record->out, "      <MeshHeadingList>\n");
    for (size_t i = 0; i < sizeof headings / sizeof *headings; i++) {
        bytes_printf(record->out,
                     "        <MeshHeading><DescriptorName UI=\"D%06u\" MajorTopicYN=\"N\">",
                     1 + draw(record, 80000));
        expand(record, record->out, headings[i], 0);
        bytes_append_text(record->out, "</DescriptorName></MeshHeading>\n");
    }
    bytes_append_text(record->out, "      </MeshHeadingList>\n");
}

static void put_article(struct record *record, unsigned year)
{
    struct bytes *out = record->out;
    unsigned page = 1 + draw(record, 2000);

    bytes_append_text(out, "      <Article PubModel=\"Print\">\n");
    put_journal(record, year);
    bytes_append_text(out, "        <ArticleTitle>");
    sentences(record, out, "title", 1);
    bytes_printf(out,
                 "</ArticleTitle>\n"
                 "        <Pagination><MedlinePgn>%u-%u</MedlinePgn></Pagination>\n",
                 page, page + 1 + draw(record, 12));
    if (!chance(record, 3)) {
        put_abstract(record);
    }
    put_authors(record);
    bytes_append_text(out, "        <Language>eng</Language>\n"
                           "        <PublicationTypeList><PublicationType UI=\"D016428\">"
                           "Journal Article</PublicationType></PublicationTypeList>\n"
                           "      </Article>\n");
}

void synth_medline_begin(struct bytes *out)
{
    bytes_append_text(out,
                      "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
                      "<!DOCTYPE PubmedArticleSet PUBLIC \"-//NLM//DTD PubMedArticle, 1st January "
                      "2019//EN\" \"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_190101.dtd\">\n"
                      "<PubmedArticleSet>\n");
}

void synth_medline_end(struct bytes *out)
{
    bytes_append_text(out, "</PubmedArticleSet>\n");
}

void synth_medline_record(struct bytes *out, uint64_t seed, int64_t index)
{
    assert(0 <= index && index < SYNTH_RECORDS_MAX);
    struct record record = {
        .out = out,
        .seed = seed,
        .stream = rng_stream(RNG_PURPOSE_SYNTH, (uint32_t)index, 0),
    };
    record.kind = kinds[draw(&record, sizeof kinds / sizeof *kinds)];
    record.is_positive = chance(&record, 65);
    record.group_sizes[0] = 12 + draw(&record, 240);
    record.group_sizes[1] = record.group_sizes[0] - 4 + draw(&record, 9);
    unsigned year = 1990 + draw(&record, 34);
    long long pmid = PMID_FIRST + (long long)index;

    bytes_printf(out,
                 "  <PubmedArticle>\n"
                 "    <MedlineCitation Status=\"MEDLINE\" Owner=\"NLM\">\n"
                 "      <PMID Version=\"1\">%lld</PMID>\n",
                 pmid);
    put_article(&record, year);
    bytes_append_text(out, "      <MedlineJournalInfo><MedlineTA>");
    expand(&record, out, "{$journal}</MedlineTA></MedlineJournalInfo>\n", 0);
    put_headings(&record);
    bytes_printf(out,
                 "    </MedlineCitation>\n"
                 "    <PubmedData><PublicationStatus>ppublish</PublicationStatus><ArticleIdList>"
                 "<ArticleId IdType=\"pubmed\">%lld</ArticleId></ArticleIdList></PubmedData>\n"
                 "  </PubmedArticle>\n",
                 pmid);
}
