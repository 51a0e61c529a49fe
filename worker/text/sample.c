#include "worker/text/sample.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sys.h"
#include "worker/text/utf8.h"

struct entry {
    uint64_t key;
    char *text;
    size_t size;
};

struct sample {
    struct entry *entries; /* a heap, the highest key at 0 */
    size_t count;
    size_t capacity;
    size_t bytes;
    size_t bytes_max;
    struct tokenizer_sample *texts; /* [count] after finish */
};

enum status sample_create(struct sample **out, size_t bytes_max, struct error *err)
{
    assert(bytes_max > 0);
    struct sample *sample = sys_calloc(1, sizeof *sample);
    if (!sample) {
        return error_set(err, STATUS_NO_MEMORY, "sample: out of memory");
    }
    sample->bytes_max = bytes_max;
    *out = sample;
    return STATUS_OK;
}

void sample_destroy(struct sample *sample)
{
    if (!sample) {
        return;
    }
    for (size_t i = 0; i < sample->count; i++) {
        free(sample->entries[i].text);
    }
    free(sample->entries);
    free(sample->texts);
    free(sample);
}

static void swap(struct entry *a, struct entry *b)
{
    struct entry kept = *a;
    *a = *b;
    *b = kept;
}

static void sift_up(struct entry *heap, size_t at)
{
    while (at > 0 && heap[at].key > heap[(at - 1) / 2].key) {
        swap(&heap[at], &heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct entry *heap, size_t count)
{
    size_t at = 0;
    for (;;) {
        size_t largest = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            if (heap[child].key > heap[largest].key) {
                largest = child;
            }
        }
        if (largest == at) {
            return;
        }
        swap(&heap[at], &heap[largest]);
        at = largest;
    }
}

static void drop_highest(struct sample *sample)
{
    struct entry *heap = sample->entries;
    sample->bytes -= heap[0].size;
    free(heap[0].text);
    heap[0] = heap[--sample->count];
    sift_down(heap, sample->count);
}

static bool grow(struct sample *sample)
{
    if (sample->count < sample->capacity) {
        return true;
    }
    size_t capacity = sample->capacity ? 2 * sample->capacity : 1024;
    struct entry *entries = sys_realloc(sample->entries, capacity * sizeof *entries);
    if (!entries) {
        return false;
    }
    sample->entries = entries;
    sample->capacity = capacity;
    return true;
}

enum status sample_offer(struct sample *sample, uint64_t key, const char *text, size_t size,
                         struct error *err)
{
    assert(!sample->texts);
    size = utf8_cut(text, size, sample->bytes_max / 16);
    bool is_full = sample->bytes + size > sample->bytes_max;
    if (is_full && sample->count > 0 && key >= sample->entries[0].key) {
        return STATUS_OK;
    }
    char *copy = sys_malloc(size + 1);
    if (!copy || !grow(sample)) {
        free(copy);
        return error_set(err, STATUS_NO_MEMORY, "sample: out of memory");
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    sample->entries[sample->count] = (struct entry){.key = key, .text = copy, .size = size};
    sample->bytes += size;
    sift_up(sample->entries, sample->count++);
    while (sample->bytes > sample->bytes_max) {
        drop_highest(sample);
    }
    return STATUS_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *entry_a = a;
    const struct entry *entry_b = b;
    return (entry_a->key > entry_b->key) - (entry_a->key < entry_b->key);
}

enum status sample_finish(struct sample *sample, const struct tokenizer_sample **texts,
                          size_t *count, struct error *err)
{
    assert(!sample->texts);
    sample->texts = sys_calloc(sample->count + 1, sizeof *sample->texts);
    if (!sample->texts) {
        return error_set(err, STATUS_NO_MEMORY, "sample: out of memory");
    }
    if (sample->count > 0) {
        qsort(sample->entries, sample->count, sizeof *sample->entries, compare_entries);
    }
    for (size_t i = 0; i < sample->count; i++) {
        sample->texts[i].text = sample->entries[i].text;
        sample->texts[i].size = sample->entries[i].size;
    }
    *texts = sample->texts;
    *count = sample->count;
    return STATUS_OK;
}
