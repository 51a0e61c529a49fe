/*
 * replay: runs a fuzz target without libFuzzer, so that each compiler's test run includes it: every
 * file of the corpus as it is, then a fixed number of mutations of each, drawn from a fixed seed. A
 * crash or a sanitizer's report is the failure.
 *
 * usage: replay_TARGET CORPUS_FOLDER [MUTATIONS]
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/rng.h"
#include "tests/fuzz/fuzz.h"

#define MUTATIONS_DEFAULT 2000
#define INPUT_BYTES_MAX   (1 * MIB)

/* Draws for one mutation: a counter over one stream. */
struct dice {
    uint64_t stream;
    uint64_t index;
};

static uint32_t roll(struct dice *dice, size_t bound)
{
    return bound == 0 ? 0 : rng_below(1, dice->stream, dice->index++, (uint32_t)bound);
}

/* Each input is copied to a block of its own size, where sanitizers see a byte too far. */
static void run_once(const void *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) {
        abort();
    }
    memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* One to four edits: flip, insert, delete, repeat, cut, or a token of the format. */
static void mutate(struct bytes *input, struct dice *dice)
{
    static const char *const tokens[] = {"{",       "}",       "[",    "]",    ": ",
                                         "\n",      "\"",      "'",    "&a",   "*a",
                                         "!!x",     "---",     "- ",   "null", "1e999",
                                         "-0",      "\\u0000", "\xff", "\t",   "<<",
                                         "  ",      ",",       "#",    "|",    "9007199254740993",
                                         "\"id\":1"};
    for (uint32_t edits = 1 + roll(dice, 4); edits > 0; edits--) {
        const size_t at = roll(dice, input->size + 1);
        const size_t left = input->size - at;
        const size_t count = left ? 1 + roll(dice, left < 16 ? left : 16) : 0;
        struct bytes next = {0};
        bytes_append(&next, input->data, at);
        switch (roll(dice, 6)) {
        case 0: /* flip */
            bytes_append_char(&next, (char)roll(dice, 256));
            bytes_append(&next, input->data + at + (left ? 1 : 0), left - (left ? 1 : 0));
            break;
        case 1: /* delete */
            bytes_append(&next, input->data + at + count, left - count);
            break;
        case 2: /* repeat */
            for (uint32_t i = 1 + roll(dice, 8); i > 0; i--) {
                bytes_append(&next, input->data + at, count);
            }
            bytes_append(&next, input->data + at, left);
            break;
        case 3: /* cut */
            break;
        default: { /* insert a token */
            const char *token = tokens[roll(dice, sizeof tokens / sizeof tokens[0])];
            bytes_append_text(&next, token);
            bytes_append(&next, input->data + at, left);
            break;
        }
        }
        bytes_deinit(input);
        *input = next;
    }
}

static void run_mutations(const struct bytes *original, uint32_t file, uint32_t mutation_count)
{
    for (uint32_t i = 0; i < mutation_count; i++) {
        struct dice dice = {.stream = rng_stream(RNG_PURPOSE_TEST, file, i)};
        struct bytes input = {0};
        bytes_append(&input, original->data, original->size);
        mutate(&input, &dice);
        run_once(input.data ? input.data : "", input.size);
        bytes_deinit(&input);
    }
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    if (argc < 2 || argc > 3) {
        (void)fprintf(stderr, "usage: %s CORPUS_FOLDER [MUTATIONS]\n", argv[0]);
        return 2;
    }
    const uint32_t mutation_count =
        argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : MUTATIONS_DEFAULT;
    const int count = scandir(argv[1], &entries, is_visible, alphasort);
    run_once("", 0);
    for (int i = 0; i < count; i++) {
        struct error err = {0};
        struct bytes input = {0};
        char path[PATH_BYTES_MAX];
        if (path_printf(path, &err, "%s/%s", argv[1], entries[i]->d_name) ||
            file_read(&input, path, INPUT_BYTES_MAX, &err)) {
            (void)fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        run_once(input.data ? input.data : "", input.size);
        run_mutations(&input, (uint32_t)i, mutation_count);
        bytes_deinit(&input);
        free(entries[i]);
    }
    free(entries);
    (void)printf("%d files, %u mutations of each\n", count, mutation_count);
    return count > 0 ? 0 : 1;
}
