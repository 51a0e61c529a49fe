#include "proto/base/file.h"
#include "proto/base/rng.h"
#include "tests/support/test.h"
#include "worker/text/encoder.h"
#include "worker/text/synth.h"
#include "worker/text/tokenizer.h"

#define SAMPLES 300

struct fixture {
    struct bytes corpus;
    struct tokenizer_sample samples[SAMPLES];
    struct bytes model;
    struct tokenizer *tokenizer;
    struct encoder *encoder;
};

/* A tokenizer of 600 pieces over synthetic records. */
static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err;
    size_t starts[SAMPLES + 1] = {0};
    for (int i = 0; i < SAMPLES; i++) {
        synth_medline_record(&fixture->corpus, 1, i);
        starts[i + 1] = fixture->corpus.size;
    }
    for (int i = 0; i < SAMPLES; i++) {
        fixture->samples[i].text = fixture->corpus.data + starts[i];
        fixture->samples[i].size = starts[i + 1] - starts[i];
    }
    assert_ok(tokenizer_train(&fixture->model, fixture->samples, SAMPLES, 600, &err), &err);
    assert_ok(tokenizer_load_bytes(&fixture->tokenizer, fixture->model.data, fixture->model.size,
                                   "trained", &err),
              &err);
    assert_ok(encoder_create(&fixture->encoder, fixture->tokenizer, &err), &err);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    encoder_destroy(fixture->encoder);
    tokenizer_destroy(fixture->tokenizer);
    bytes_deinit(&fixture->corpus);
    bytes_deinit(&fixture->model);
    free(fixture);
    return 0;
}

static void a_trained_vocabulary_has_what_was_asked_for(void **state)
{
    const struct fixture *fixture = *state;
    struct digest digest;
    assert_int_equal(tokenizer_vocab_size(fixture->tokenizer), 600);
    assert_int_equal(tokenizer_eos_id(fixture->tokenizer), 2);
    digest_of(&digest, fixture->model.data, fixture->model.size);
    assert_true(digest_equal(&digest, tokenizer_digest(fixture->tokenizer)));
    assert_true(tokenizer_splits_at_spaces(fixture->tokenizer));
}

static void training_again_gives_the_same_bytes(void **state)
{
    const struct fixture *fixture = *state;
    struct bytes again = {0};
    struct error err;
    assert_ok(tokenizer_train(&again, fixture->samples, SAMPLES, 600, &err), &err);
    assert_int_equal(again.size, fixture->model.size);
    assert_memory_equal(again.data, fixture->model.data, again.size);
    bytes_deinit(&again);
}

/* Texts that a vocabulary of the corpus does not know. */
static const char *const texts[] = {
    "",
    " ",
    "  ",
    "a",
    " a",
    "a ",
    "a  ",
    "a   b",
    "plain words in a row",
    "  leading and trailing  ",
    "line\nbreak and\ttab\r\n\n",
    "na\xc3\xafve \xce\xb1-helix \xe2\x89\xa5 5 \xe2\x9c\x93 \xf0\x9f\x98\x80 \xe4\xb8\xad\xe6\x96\x87",
    "</s> <s> <unk> <0x0A> are text",
    "anextraordinarilylongwordthatdoesnotfitintothetableofwordsbecauseitislongerthanitsentries",
    "x\xc2\xa0y \xe3\x80\x80 z",
};

static void decoding_gives_the_text_back(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct token_list tokens = {0};
        struct bytes text = {0};
        struct error err;
        bytes_append_text(&text, "");
        assert_ok(tokenizer_encode(fixture->tokenizer, texts[i], strlen(texts[i]), &tokens, &err),
                  &err);
        assert_ok(tokenizer_decode(fixture->tokenizer, tokens.tokens, tokens.count, &text, &err),
                  &err);
        assert_string_equal(text.data ? text.data : "", texts[i]);
        token_list_deinit(&tokens);
        bytes_deinit(&text);
    }
}

static void assert_encodes_alike(const struct fixture *fixture, const char *text, size_t size)
{
    struct token_list expected = {0};
    const struct token_list *tokens = NULL;
    struct error err;
    assert_ok(tokenizer_encode(fixture->tokenizer, text, size, &expected, &err), &err);
    for (int round = 0; round < 2; round++) { /* unknown words, then known ones */
        assert_ok(encoder_encode(fixture->encoder, text, size, &tokens, &err), &err);
        assert_int_equal(tokens->count, expected.count);
        if (tokens->count > 0) {
            assert_memory_equal(tokens->tokens, expected.tokens,
                                expected.count * sizeof *expected.tokens);
        }
    }
    token_list_deinit(&expected);
}

static void the_encoder_gives_what_the_tokenizer_gives(void **state)
{
    const struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_encodes_alike(fixture, texts[i], strlen(texts[i]));
    }
    for (size_t i = 0; i < SAMPLES; i += 10) {
        assert_encodes_alike(fixture, fixture->samples[i].text, fixture->samples[i].size);
    }
    /* Random texts of few characters meet every arrangement of spaces. */
    static const char *const parts[] = {" ", " ", "a", "b", "\n", "\xe2\x96\x81", "\xc3\xa9", "<"};
    for (uint32_t i = 0; i < 3000; i++) {
        struct bytes text = {0};
        bytes_append_text(&text, "");
        uint32_t length = rng_below(5, i, 0, 14);
        for (uint32_t j = 1; j <= length; j++) {
            bytes_append_text(&text, parts[rng_below(5, i, j, 8)]);
        }
        assert_encodes_alike(fixture, text.data ? text.data : "", text.size);
        bytes_deinit(&text);
    }
}

static void a_small_corpus_lowers_the_vocabulary(void **state)
{
    const struct fixture *fixture = *state;
    struct bytes model = {0};
    struct tokenizer *tokenizer = NULL;
    struct error err;
    assert_ok(tokenizer_train(&model, fixture->samples, 3, 100000, &err), &err);
    assert_ok(tokenizer_load_bytes(&tokenizer, model.data, model.size, "small", &err), &err);
    assert_in_range(tokenizer_vocab_size(tokenizer), TOKENIZER_VOCAB_SIZE_MIN, 99999);
    tokenizer_destroy(tokenizer);
    bytes_deinit(&model);
}

static void what_cannot_be_trained_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    const struct tokenizer_sample empty[] = {{"", 0}, {"\n\n", 2}};
    struct bytes model = {0};
    struct error err = {0};
    assert_int_equal(tokenizer_train(&model, empty, 2, 600, &err), STATUS_INVALID);
    assert_contains(err.message, "no text");
    assert_int_equal(tokenizer_train(&model, NULL, 0, 600, &err), STATUS_INVALID);
    assert_int_equal(
        tokenizer_train(&model, fixture->samples, SAMPLES, TOKENIZER_VOCAB_SIZE_MIN - 1, &err),
        STATUS_INVALID);
    assert_int_equal(tokenizer_train(&model, fixture->samples, SAMPLES, VOCAB_SIZE_MAX + 1, &err),
                     STATUS_INVALID);
    assert_int_equal(
        tokenizer_train(&model, fixture->samples, SAMPLES, TOKENIZER_VOCAB_SIZE_MIN, &err),
        STATUS_LIMIT);
    assert_contains(err.message, "characters of the corpus need 3");
    assert_int_equal(model.size, 0);
    bytes_deinit(&model);
}

static void what_is_no_model_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    struct tokenizer *tokenizer = NULL;
    struct error err = {0};
    assert_int_equal(tokenizer_load(&tokenizer, "/nowhere/tokenizer.model", &err),
                     STATUS_NOT_FOUND);
    assert_contains(err.message, "/nowhere/tokenizer.model");
    assert_int_equal(tokenizer_load_bytes(&tokenizer, "garbage", 7, "x.model", &err),
                     STATUS_CORRUPT);
    assert_contains(err.message, "x.model");
    assert_int_equal(tokenizer_load_bytes(&tokenizer, "", 0, "x.model", &err), STATUS_CORRUPT);
    assert_int_equal(tokenizer_load_bytes(&tokenizer, fixture->model.data, fixture->model.size / 2,
                                          "x.model", &err),
                     STATUS_CORRUPT);
    assert_null(tokenizer);
    const uint32_t outside[] = {600};
    struct bytes text = {0};
    assert_int_equal(tokenizer_decode(fixture->tokenizer, outside, 1, &text, &err), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trained_vocabulary_has_what_was_asked_for),
        cmocka_unit_test(training_again_gives_the_same_bytes),
        cmocka_unit_test(decoding_gives_the_text_back),
        cmocka_unit_test(the_encoder_gives_what_the_tokenizer_gives),
        cmocka_unit_test(a_small_corpus_lowers_the_vocabulary),
        cmocka_unit_test(what_cannot_be_trained_is_refused),
        cmocka_unit_test(what_is_no_model_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
