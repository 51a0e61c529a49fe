#include <fcntl.h>
#include <unistd.h>

#include "proto/base/command.h"
#include "proto/base/file.h"
#include "tests/support/test.h"

/* What the command under test was given, as text, and what it is to answer. */
static struct {
    char seen[512];
    enum status status;
    int exit_code;
} probe;

static enum status run_probe(const struct command_line *line, int *exit_code, struct error *err)
{
    long long number = 0;
    enum status status = command_int(line, "number", -5, 10, 7, &number, err);
    if (status) {
        return status;
    }
    struct bytes text = {0};
    bytes_printf(&text, "socket=%s number=%lld verbose=%d", command_text(line, "socket", "-"),
                 number, command_flag(line, "verbose"));
    for (size_t i = 0; command_text_at(line, "set", i) != NULL; i++) {
        bytes_printf(&text, " set=%s", command_text_at(line, "set", i));
    }
    for (int i = 0; i < command_argument_count(line); i++) {
        bytes_printf(&text, " [%s]", command_argument(line, i));
    }
    (void)snprintf(probe.seen, sizeof probe.seen, "%s", text.data);
    bytes_deinit(&text);
    (void)printf("result\n");
    *exit_code = probe.exit_code;
    return probe.status ? error_set(err, probe.status, "as asked") : STATUS_OK;
}

static const struct command_option probe_options[] = {
    {.name = "number", .letter = 'n', .value = "N", .help = "how many"},
    {.name = "set", .letter = 's', .value = "KEY=VALUE", .help = "override", .repeats = true},
    {.name = "verbose", .letter = 'v', .help = "say more"},
};
static const struct command probe_command = {
    .name = "submit",
    .usage = "SPEC [options]",
    .summary = "submits a job",
    .examples = "tool submit spec.yaml\ntool submit -n 3 spec.yaml",
    .options = probe_options,
    .option_count = 3,
    .argument_min = 1,
    .argument_max = 2,
    .run = run_probe,
};
static const struct command other_command = {
    .name = "cancel", .usage = "", .summary = "cancels", .run = run_probe};
static const struct command *const commands[] = {&probe_command, &other_command};
static const struct command_option global_options[] = {
    {.name = "socket", .value = "PATH", .help = "where the daemon listens"},
};
static const struct command_program program = {
    .name = "tool",
    .summary = "a tool",
    .examples = "tool submit spec.yaml",
    .options = global_options,
    .option_count = 1,
    .commands = commands,
    .command_count = 2,
};

struct outcome {
    int exit_code;
    struct bytes out;
    struct bytes err;
};

/* Points fd at a new file in folder; gives the old one's copy. */
static int redirect(int fd, const char *folder, const char *name)
{
    struct error err;
    char path[PATH_BYTES_MAX];
    assert_ok(path_printf(path, &err, "%s/%s", folder, name), &err);
    (void)fflush(NULL);
    int saved = dup(fd);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(dup2(file, fd) >= 0);
    (void)close(file);
    return saved;
}

static struct bytes restore(int fd, int saved, const char *folder, const char *name)
{
    struct error err;
    struct bytes bytes = {0};
    char path[PATH_BYTES_MAX];
    (void)fflush(NULL);
    assert_true(dup2(saved, fd) >= 0);
    (void)close(saved);
    assert_ok(path_printf(path, &err, "%s/%s", folder, name), &err);
    assert_ok(file_read(&bytes, path, 1 * MIB, &err), &err);
    bytes_append(&bytes, "", 0);
    return bytes;
}

/* Runs "tool words…"; words are separated by single spaces. */
static struct outcome run(const char *words)
{
    struct outcome outcome = {0};
    char text[512];
    char name[] = "tool";
    char *argv[32] = {name};
    int argc = 1;
    char folder[PATH_BYTES_MAX];
    (void)snprintf(text, sizeof text, "%s", words);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    probe.seen[0] = '\0';
    test_folder_create(folder);
    int saved_out = redirect(STDOUT_FILENO, folder, "out");
    int saved_err = redirect(STDERR_FILENO, folder, "err");
    outcome.exit_code = command_main(&program, argc, argv);
    outcome.err = restore(STDERR_FILENO, saved_err, folder, "err");
    outcome.out = restore(STDOUT_FILENO, saved_out, folder, "out");
    test_folder_remove(folder);
    return outcome;
}

static void outcome_deinit(struct outcome *outcome)
{
    bytes_deinit(&outcome->out);
    bytes_deinit(&outcome->err);
}

static void options_and_arguments_are_told_apart(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"submit a", "socket=- number=7 verbose=0 [a]"},
        {"submit a -n 3 b", "socket=- number=3 verbose=0 [a] [b]"},
        {"submit -n3 a", "socket=- number=3 verbose=0 [a]"},
        {"submit --number=-5 a", "socket=- number=-5 verbose=0 [a]"},
        {"submit --number -5 a", "socket=- number=-5 verbose=0 [a]"},
        {"submit -vn 10 a", "socket=- number=10 verbose=1 [a]"},
        {"submit -v -v a", "socket=- number=7 verbose=1 [a]"},
        {"--socket /s submit a", "socket=/s number=7 verbose=0 [a]"},
        {"submit a --socket=/s", "socket=/s number=7 verbose=0 [a]"},
        {"submit -s a=1 -s b=2 a", "socket=- number=7 verbose=0 set=a=1 set=b=2 [a]"},
        {"submit -sa=1 --set=b a", "socket=- number=7 verbose=0 set=a=1 set=b [a]"},
        {"submit -- -v --", "socket=- number=7 verbose=0 [-v] [--]"},
        {"submit -", "socket=- number=7 verbose=0 [-]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome outcome = run(cases[i][0]);
        assert_int_equal(outcome.exit_code, 0);
        assert_string_equal(probe.seen, cases[i][1]);
        assert_string_equal(outcome.out.data, "result\n");
        assert_int_equal(outcome.err.size, 0);
        outcome_deinit(&outcome);
    }
}

static void mistakes_are_named_with_a_hint(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"", "no command", "--help"},
        {"sbumit a", "unknown command 'sbumit'", "did you mean 'submit'?"},
        {"zzz", "unknown command 'zzz'", "tool --help lists the commands"},
        {"submit", "too few arguments", "usage: tool submit SPEC [options]"},
        {"submit a b c", "unexpected argument 'c'", "usage"},
        {"submit a --nubmer 3", "unknown option '--nubmer'", "did you mean '--number'?"},
        {"submit a --zzzz", "unknown option '--zzzz'", "--help lists the options"},
        {"submit a -z", "unknown option '-z'", "--help"},
        {"submit a -n", "option '--number' needs a value (N)", ""},
        {"submit a --verbose=1", "option '--verbose' takes no value", ""},
        {"submit a -n 1 -n 2", "option '--number' is given twice", ""},
        {"submit a -n 11", "option '--number': 11 is not in -5…10", ""},
        {"submit a -n -6", "is not in", ""},
        {"submit a -n 99999999999999999999", "is not in", ""},
        {"submit a -n 3x", "'3x' is not a whole number", ""},
        {"submit a --number=", "'' is not a whole number", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome outcome = run(cases[i][0]);
        assert_int_equal(outcome.exit_code, status_exit_code(STATUS_INVALID));
        assert_contains(outcome.err.data, "tool: ");
        assert_contains(outcome.err.data, cases[i][1]);
        assert_contains(outcome.err.data, cases[i][2]);
        assert_int_equal(outcome.out.size, 0);
        outcome_deinit(&outcome);
    }
}

static void help_shows_examples_first(void **state)
{
    (void)state;
    static const char *const spellings[] = {"submit --help", "--help submit", "help submit",
                                            "submit a -h"};
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        struct outcome outcome = run(spellings[i]);
        assert_int_equal(outcome.exit_code, 0);
        assert_contains(outcome.out.data, "  tool submit -n 3 spec.yaml\n");
        assert_contains(outcome.out.data, "-s, --set KEY=VALUE");
        assert_contains(outcome.out.data, "--socket PATH");
        assert_true(strstr(outcome.out.data, "Examples") < strstr(outcome.out.data, "Usage"));
        outcome_deinit(&outcome);
    }
    struct outcome outcome = run("--help");
    assert_contains(outcome.out.data, "submits a job");
    assert_contains(outcome.out.data, "cancel");
    outcome_deinit(&outcome);
    outcome = run("--version");
    assert_string_equal(outcome.out.data, "tool " REMORA_VERSION "\n");
    outcome_deinit(&outcome);
}

static void the_outcome_becomes_the_exit_code(void **state)
{
    (void)state;
    probe.status = STATUS_NOT_FOUND;
    struct outcome outcome = run("submit a");
    assert_int_equal(outcome.exit_code, status_exit_code(STATUS_NOT_FOUND));
    assert_string_equal(outcome.err.data, "tool: as asked\n");
    outcome_deinit(&outcome);
    probe.status = STATUS_OK;
    probe.exit_code = 42;
    outcome = run("submit a");
    assert_int_equal(outcome.exit_code, 42);
    outcome_deinit(&outcome);
    probe.exit_code = 0;
}

static void results_that_cannot_be_written_are_an_error(void **state)
{
    (void)state;
    char name[] = "tool";
    char command[] = "submit";
    char argument[] = "a";
    char *argv[] = {name, command, argument};
    char folder[PATH_BYTES_MAX];
    test_folder_create(folder);
    (void)fflush(NULL);
    int saved_out = dup(STDOUT_FILENO);
    int full = open("/dev/full", O_WRONLY);
    assert_true(dup2(full, STDOUT_FILENO) >= 0);
    int saved_err = redirect(STDERR_FILENO, folder, "err");
    int exit_code = command_main(&program, 3, argv);
    struct bytes err = restore(STDERR_FILENO, saved_err, folder, "err");
    assert_true(dup2(saved_out, STDOUT_FILENO) >= 0);
    clearerr(stdout);
    (void)close(full);
    (void)close(saved_out);
    assert_int_equal(exit_code, status_exit_code(STATUS_NO_SPACE));
    assert_contains(err.data, "standard output");
    bytes_deinit(&err);
    test_folder_remove(folder);
}

static void the_nearest_name_is_found_within_a_third_of_its_length(void **state)
{
    (void)state;
    static const char *const names[] = {"ls", "show", "submit", "merge_every", "checkpoint"};
    static const struct {
        const char *text;
        const char *nearest;
    } cases[] = {
        {"submt", "submit"},
        {"sbumit", "submit"},
        {"shwo", "show"},
        {"l", "ls"},
        {"xy", NULL},
        {"", NULL},
        {"merge_evry", "merge_every"},
        {"chekpiont", "checkpoint"},
        {"train", NULL},
        {"ls", "ls"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *nearest = command_nearest(cases[i].text, names, 5);
        if (cases[i].nearest == NULL) {
            assert_null(nearest);
        } else {
            assert_non_null(nearest);
            assert_string_equal(nearest, cases[i].nearest);
        }
    }
    char longest[1000];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(command_nearest(longest, names, 5));
}

static void the_own_folder_is_where_the_program_lies(void **state)
{
    (void)state;
    struct error err;
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    assert_ok(command_own_folder(folder, &err), &err);
    assert_ok(path_printf(path, &err, "%s/test_command", folder), &err);
    assert_true(file_exists(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_arguments_are_told_apart),
        cmocka_unit_test(mistakes_are_named_with_a_hint),
        cmocka_unit_test(help_shows_examples_first),
        cmocka_unit_test(the_outcome_becomes_the_exit_code),
        cmocka_unit_test(results_that_cannot_be_written_are_an_error),
        cmocka_unit_test(the_nearest_name_is_found_within_a_third_of_its_length),
        cmocka_unit_test(the_own_folder_is_where_the_program_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
