#include <math.h>

#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "proto/shards/shard_writer.h"
#include "tests/support/test.h"
#include "worker/text/bigram.h"

#define VOCAB 8

struct fixture {
    char folder[PATH_BYTES_MAX];
    struct shard_set *train;
    struct shard_set *validation;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    test_folder_create(fixture->folder);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    shard_set_close(fixture->train);
    shard_set_close(fixture->validation);
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

/* One document of these tokens, its EOS (0) behind it. */
static struct shard_set *write_set(const struct fixture *fixture, const char *name,
                                   const uint32_t *tokens, int64_t count, uint8_t tokenizer)
{
    struct shard_writer_options options = {.vocab_size = VOCAB, .file_tokens_max = 1000};
    struct shard_writer *writer = NULL;
    struct shard_set *set = NULL;
    char folder[PATH_BYTES_MAX];
    struct error err;
    options.tokenizer_digest.bytes[0] = tokenizer;
    assert_ok(path_printf(folder, &err, "%s/%s", fixture->folder, name), &err);
    assert_ok(shard_writer_create(&writer, folder, &options, &err), &err);
    assert_ok(shard_writer_append(writer, tokens, count, &err), &err);
    assert_ok(shard_writer_end_document(writer, &err), &err);
    assert_ok(shard_writer_finish(writer, NULL, &err), &err);
    shard_writer_destroy(writer);
    assert_ok(shard_set_open(&set, folder, &err), &err);
    return set;
}

/* The formula of the header, pair by pair, with given weights. */
static double loss_of(const uint32_t *train, int64_t train_count, const uint32_t *targets,
                      int64_t target_count, double bigram, double unigram)
{
    double counts[VOCAB] = {0};
    double pairs[VOCAB][VOCAB] = {{0}};
    double before[VOCAB] = {0};
    double loss = 0.0;
    for (int64_t i = 0; i < train_count; i++) {
        counts[train[i]] += 1;
        if (i > 0) {
            pairs[train[i - 1]][train[i]] += 1;
            before[train[i - 1]] += 1;
        }
    }
    for (int64_t i = 0; i < target_count; i++) {
        uint32_t v = targets[i];
        uint32_t w = targets[i + 1];
        double p1 = counts[w] / (double)train_count;
        double p2 = before[v] > 0 ? pairs[v][w] / before[v] : p1;
        loss -= log(bigram * p2 + unigram * p1 + (1 - bigram - unigram) / VOCAB);
    }
    return loss / (double)target_count;
}

static void fill(uint32_t *tokens, int64_t count, uint64_t stream)
{
    uint32_t last = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t jump = rng_below(9, stream, (uint64_t)i, 10);
        last = jump < 7 ? (last * 3 + 1) % VOCAB : jump % VOCAB;
        tokens[i] = last;
    }
}

static void the_loss_is_the_formula_at_its_minimum(void **state)
{
    enum { TRAIN = 3000, VALIDATION = 500, T = 10 };
    struct fixture *fixture = *state;
    uint32_t train[TRAIN + 1] = {0};
    uint32_t validation[VALIDATION + 1] = {0};
    struct bigram_result result;
    struct error err;

    fill(train, TRAIN, 1);
    fill(validation, VALIDATION, 2);
    fixture->train = write_set(fixture, "train", train, TRAIN, 1);
    fixture->validation = write_set(fixture, "validation", validation, VALIDATION, 1);
    assert_ok(bigram_evaluate(&result, fixture->train, fixture->validation, 40, T, &err), &err);
    assert_int_equal(result.sequences, 40);
    assert_int_equal(result.targets, 400);
    assert_int_equal(result.train_tokens, TRAIN + 1);
    double b = result.weight_bigram;
    double u = result.weight_unigram;
    assert_true(b > 0 && u >= 0 && b + u <= 1 + 1e-12);
    double loss = loss_of(train, TRAIN + 1, validation, 400, b, u);
    assert_true(fabs(result.loss - loss) < 1e-9);
    assert_true(fabs(result.perplexity - exp(loss)) < 1e-7);
    /* No other weights do better. */
    for (int i = 0; i <= 100; i++) {
        for (int j = 0; i + j <= 100; j++) {
            double other = loss_of(train, TRAIN + 1, validation, 400, i / 100.0, j / 100.0);
            assert_true(!(other < loss - 1e-6));
        }
    }
}

static void an_unseen_token_has_a_finite_loss(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t train[] = {1, 2, 1, 2, 1, 2};
    const uint32_t validation[] = {7, 6, 5, 7, 1, 2};
    struct bigram_result result;
    struct error err;
    fixture->train = write_set(fixture, "train", train, 6, 1);
    fixture->validation = write_set(fixture, "validation", validation, 6, 1);
    assert_ok(bigram_evaluate(&result, fixture->train, fixture->validation, 1000, 3, &err), &err);
    assert_int_equal(result.sequences, 2); /* as many as there are */
    assert_true(isfinite(result.loss));
    assert_true(result.perplexity > 1);
}

static void sets_that_do_not_fit_are_refused(void **state)
{
    struct fixture *fixture = *state;
    const uint32_t tokens[] = {1, 2, 3};
    struct bigram_result result;
    struct error err = {0};
    fixture->train = write_set(fixture, "train", tokens, 3, 1);
    fixture->validation = write_set(fixture, "validation", tokens, 3, 2);
    assert_int_equal(bigram_evaluate(&result, fixture->train, fixture->validation, 1, 2, &err),
                     STATUS_INVALID);
    assert_contains(err.message, "different tokenizers");
    assert_int_equal(bigram_evaluate(&result, fixture->train, fixture->train, 1, 4, &err),
                     STATUS_INVALID);
    assert_contains(err.message, "4 tokens, less than a sequence of 4 + 1");
    assert_ok(bigram_evaluate(&result, fixture->train, fixture->train, 1, 3, &err), &err);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_loss_is_the_formula_at_its_minimum),
        TEST(an_unseen_token_has_a_finite_loss),
        TEST(sets_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
