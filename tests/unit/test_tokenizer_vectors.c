/* Known ids of other implementations, in the folder of real data. */
#include "proto/base/file.h"
#include "tests/support/test.h"
#include "worker/text/encoder.h"
#include "worker/text/tokenizer.h"

struct fixture {
    const char *data;
    struct tokenizer *tokenizer;
    struct encoder *encoder;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char path[PATH_BYTES_MAX];
    struct error err;
    fixture->data = test_data_folder();
    *state = fixture;
    if (!fixture->data) {
        return 0;
    }
    assert_ok(path_printf(path, &err, "%s/tokenizers/llama2/tokenizer.model", fixture->data), &err);
    assert_ok(tokenizer_load(&fixture->tokenizer, path, &err), &err);
    assert_ok(encoder_create(&fixture->encoder, fixture->tokenizer, &err), &err);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    encoder_destroy(fixture->encoder);
    tokenizer_destroy(fixture->tokenizer);
    free(fixture);
    return 0;
}

static void read_text(struct bytes *out, const struct fixture *fixture, const char *name)
{
    char path[PATH_BYTES_MAX];
    struct error err;
    assert_ok(path_printf(path, &err, "%s/tokenizers/%s", fixture->data, name), &err);
    assert_ok(file_read(out, path, 16 * MIB, &err), &err);
}

/* The ids in a line of decimal numbers with anything between them. */
static void assert_ids(const struct fixture *fixture, const char *text, size_t size,
                       const char *line, const char *line_end)
{
    const struct token_list *tokens = NULL;
    struct error err;
    size_t count = 0;
    assert_ok(encoder_encode(fixture->encoder, text, size, &tokens, &err), &err);
    while (line < line_end) {
        char *end = NULL;
        unsigned long id = strtoul(line, &end, 10);
        if (end == line || end > line_end) {
            line++;
            continue;
        }
        assert_true(count < tokens->count);
        assert_int_equal(tokens->tokens[count], id);
        count++;
        line = end;
    }
    assert_int_equal(tokens->count, count);
}

/* "case \n__ggml_vocab_test__\n case …" against one line of ids a case. */
static void ids_of_llama_cpp(void **state)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    const struct fixture *fixture = *state;
    struct bytes inputs = {0};
    struct bytes outputs = {0};
    int count = 0;
    if (!fixture->data) {
        skip();
    }
    read_text(&inputs, fixture, "llama2/ggml-vocab-llama-spm.gguf.inp");
    read_text(&outputs, fixture, "llama2/ggml-vocab-llama-spm.gguf.out");
    const char *line = outputs.data;
    const char *text = inputs.data;
    const char *end = NULL;
    while ((end = strstr(text, separator))) {
        const char *line_end = strchr(line, '\n');
        assert_non_null(line_end);
        assert_ids(fixture, text, (size_t)(end - text), line, line_end);
        text = end + strlen(separator);
        line = line_end + 1;
        count++;
    }
    assert_int_equal(count, 46);
    bytes_deinit(&inputs);
    bytes_deinit(&outputs);
}

/* A line with \n for a newline, \s for a space, \x for nothing. */
static void unescape(struct bytes *out, const char *line, const char *end)
{
    bytes_clear(out);
    bytes_append_text(out, "");
    for (; line < end; line++) {
        if (*line == '\\' && line + 1 < end && strchr("nsx", line[1])) {
            line++;
            if (*line != 'x') {
                bytes_append_char(out, *line == 'n' ? '\n' : ' ');
            }
        } else {
            bytes_append_char(out, *line);
        }
    }
}

static void check_lines(const struct fixture *fixture, const char *input, const char *ids,
                        int expected)
{
    struct bytes inputs = {0};
    struct bytes outputs = {0};
    struct bytes text = {0};
    int count = 0;
    read_text(&inputs, fixture, input);
    read_text(&outputs, fixture, ids);
    const char *line = inputs.data;
    const char *id_line = outputs.data;
    while (*line) {
        const char *end = strchrnul(line, '\n');
        const char *id_end = strchrnul(id_line, '\n');
        unescape(&text, line, end);
        assert_ids(fixture, text.data, text.size, id_line, id_end);
        line = *end ? end + 1 : end;
        id_line = *id_end ? id_end + 1 : id_end;
        count++;
    }
    assert_int_equal(count, expected);
    bytes_deinit(&inputs);
    bytes_deinit(&outputs);
    bytes_deinit(&text);
}

static void ids_of_many_languages_and_code(void **state)
{
    const struct fixture *fixture = *state;
    if (!fixture->data) {
        skip();
    }
    check_lines(fixture, "vectors/small_input.txt", "vectors/small_tokens_llama2_sentencepiece.txt",
                20);
    check_lines(fixture, "vectors/mixed_input.txt", "vectors/mixed_tokens_llama2_sentencepiece.txt",
                120);
}

static void the_model_is_known(void **state)
{
    const struct fixture *fixture = *state;
    if (!fixture->data) {
        skip();
    }
    assert_int_equal(tokenizer_vocab_size(fixture->tokenizer), 32000);
    assert_int_equal(tokenizer_eos_id(fixture->tokenizer), 2);
    assert_true(tokenizer_splits_at_spaces(fixture->tokenizer));
}

/* Unigram with its own normalisation: encoded text by text. */
static void other_models_are_not_cut_at_spaces(void **state)
{
    static const char *const names[] = {"t5/spiece.model", "sentencepiece_test/test_model.model"};
    const struct fixture *fixture = *state;
    if (!fixture->data) {
        skip();
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tokenizer *tokenizer = NULL;
        char path[PATH_BYTES_MAX];
        struct error err;
        assert_ok(path_printf(path, &err, "%s/tokenizers/%s", fixture->data, names[i]), &err);
        assert_ok(tokenizer_load(&tokenizer, path, &err), &err);
        assert_false(tokenizer_splits_at_spaces(tokenizer));
        tokenizer_destroy(tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_is_known),
        cmocka_unit_test(ids_of_llama_cpp),
        cmocka_unit_test(ids_of_many_languages_and_code),
        cmocka_unit_test(other_models_are_not_cut_at_spaces),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
