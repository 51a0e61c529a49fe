#include "worker/train/documents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/shards/shard_set.h"

static_assert(DOCUMENTS_RECORDED * 80 < RECORD_BYTES_MAX, "the ranges of a batch fit a record");

static int compare(const void *a, const void *b)
{
    const struct document_range *x = a;
    const struct document_range *y = b;

    if (x->source != y->source) {
        return x->source < y->source ? -1 : 1;
    }
    return (x->first > y->first) - (x->first < y->first);
}

/* Joins ranges that touch or overlap; returns how many are left. */
static size_t join(struct document_range *ranges, size_t count)
{
    size_t kept = 0;

    for (size_t i = 1; i < count; i++) {
        struct document_range *last = &ranges[kept];
        if (ranges[i].source == last->source && ranges[i].first <= last->last + 1) {
            last->last = ranges[i].last > last->last ? ranges[i].last : last->last;
        } else {
            ranges[++kept] = ranges[i];
        }
    }
    return count == 0 ? 0 : kept + 1;
}

enum status documents_of_batch(struct document_range **out, size_t *count,
                               const struct corpus *corpus, int64_t step, struct error *err)
{
    const int64_t T = corpus->sequence_length;
    const size_t size = (size_t)corpus->batch_global;
    struct document_range *ranges = sys_calloc(size, sizeof *ranges);

    if (ranges == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the documents of a batch");
    }
    for (size_t i = 0; i < size; i++) {
        struct sample sample;
        sampler_at(&corpus->sampler, (uint64_t)((step - 1) * corpus->batch_global) + i, &sample);
        const struct shard_set *set = corpus->train[sample.source];
        const int64_t first = (int64_t)sample.sequence * T;
        ranges[i] = (struct document_range){
            .source = sample.source,
            .first = shard_set_document_at(set, first),
            .last = shard_set_document_at(set, first + T),
        };
    }
    qsort(ranges, size, sizeof *ranges, compare);
    *count = join(ranges, size);
    *out = ranges;
    return STATUS_OK;
}

void documents_free(struct document_range *ranges)
{
    free(ranges);
}

static int print_range(char *text, size_t size, const struct document_range *ranges, size_t i)
{
    const struct document_range *range = &ranges[i];
    const bool is_new_source = i == 0 || ranges[i - 1].source != range->source;
    char name[40] = "";
    char end[24] = "";

    if (is_new_source) {
        (void)snprintf(name, sizeof name, "data.train[%u] ", range->source);
    }
    if (range->last > range->first) {
        (void)snprintf(end, sizeof end, "-%lld", (long long)range->last);
    }
    return snprintf(text, size, "%s%s%lld%s",
                    i == 0          ? ""
                    : is_new_source ? "; "
                                    : ", ",
                    name, (long long)range->first, end);
}

void documents_print(char *text, size_t size, const struct document_range *ranges, size_t count)
{
    static const char more[] = " …";
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char part[96];
        const int length = print_range(part, sizeof part, ranges, i);
        if (used + (size_t)length + sizeof more > size) {
            memcpy(text + used, more, sizeof more);
            return;
        }
        memcpy(text + used, part, (size_t)length + 1);
        used += (size_t)length;
    }
}

json_t *documents_to_json(const struct document_range *ranges, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count && i < DOCUMENTS_RECORDED; i++) {
        (void)json_array_append_new(
            list, json_pack("{s:I, s:I, s:I}", "source", (json_int_t)ranges[i].source, "first",
                            (json_int_t)ranges[i].first, "last", (json_int_t)ranges[i].last));
    }
    return list;
}
