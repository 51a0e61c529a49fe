#include "proto/base/command.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/command_help.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"

/* An option as it was given. value is "" for a flag. */
struct occurrence {
    const struct command_option *option;
    const char *value;
};

struct command_line {
    const struct command_program *program;
    const struct command *command; /* NULL until it is known */
    struct occurrence *occurrences;
    size_t occurrence_count;
    const char **arguments;
    int argument_count;
    bool wants_help;
    bool wants_version;
};

/* A walk over argv. */
struct cursor {
    char **argv;
    int argc;
    int index;
};

static const struct command_option help_option = {.name = "help", .letter = 'h'};
static const struct command_option version_option = {.name = "version"};

/* By long name of length name_length, or by letter when that is not 0. */
static const struct command_option *find_in(const struct command_option *options, size_t count,
                                            const char *name, size_t name_length, char letter)
{
    for (size_t i = 0; i < count; i++) {
        const struct command_option *option = &options[i];
        if (letter != 0 ? option->letter == letter
                        : strlen(option->name) == name_length &&
                              memcmp(option->name, name, name_length) == 0) {
            return option;
        }
    }
    return NULL;
}

/* The command's options hide global ones; --help and --version always work. */
static const struct command_option *find_option(const struct command_line *line, const char *name,
                                                size_t name_length, char letter)
{
    const struct command_option *found = NULL;
    if (line->command != NULL) {
        found =
            find_in(line->command->options, line->command->option_count, name, name_length, letter);
    }
    if (found == NULL) {
        found =
            find_in(line->program->options, line->program->option_count, name, name_length, letter);
    }
    if (found == NULL) {
        found = find_in(&help_option, 1, name, name_length, letter);
    }
    if (found == NULL) {
        found = find_in(&version_option, 1, name, name_length, letter);
    }
    return found;
}

static enum status unknown_option(const struct command_line *line, const char *name,
                                  size_t name_length, struct error *err)
{
    const char *candidates[128];
    size_t count = 0;
    const size_t candidates_max = sizeof candidates / sizeof candidates[0];
    for (size_t i = 0; line->command != NULL && i < line->command->option_count; i++) {
        if (count < candidates_max) {
            candidates[count++] = line->command->options[i].name;
        }
    }
    for (size_t i = 0; i < line->program->option_count && count < candidates_max; i++) {
        candidates[count++] = line->program->options[i].name;
    }
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "%.*s", (int)name_length, name);
    const char *nearest = command_nearest(wanted, candidates, count);

    enum status status = error_set(err, STATUS_INVALID, "unknown option '--%s'", wanted);
    if (nearest != NULL) {
        error_set_hint(err, "did you mean '--%s'?", nearest);
    } else {
        error_set_hint(err, "--help lists the options");
    }
    return status;
}

static enum status add_occurrence(struct command_line *line, const struct command_option *option,
                                  const char *value, struct error *err)
{
    if (option == &help_option) {
        line->wants_help = true;
        return STATUS_OK;
    }
    if (option == &version_option) {
        line->wants_version = true;
        return STATUS_OK;
    }
    for (size_t i = 0; i < line->occurrence_count; i++) {
        if (line->occurrences[i].option == option && !option->repeats && option->value != NULL) {
            return error_set(err, STATUS_INVALID, "option '--%s' is given twice", option->name);
        }
    }
    line->occurrences[line->occurrence_count++] = (struct occurrence){option, value};
    return STATUS_OK;
}

/* The option's value: what is attached, else the next argument. */
static enum status option_value(const struct command_option *option, const char *attached,
                                struct cursor *cursor, const char **out, struct error *err)
{
    if (attached != NULL) {
        *out = attached;
        return STATUS_OK;
    }
    if (cursor->index == cursor->argc) {
        return error_set(err, STATUS_INVALID, "option '--%s' needs a value (%s)", option->name,
                         option->value);
    }
    *out = cursor->argv[cursor->index++];
    return STATUS_OK;
}

/* "--name", "--name=value" or "--name value"; text is behind the dashes. */
static enum status parse_long(struct command_line *line, const char *text, struct cursor *cursor,
                              struct error *err)
{
    const char *equals = strchr(text, '=');
    size_t name_length = equals == NULL ? strlen(text) : (size_t)(equals - text);
    const struct command_option *option = find_option(line, text, name_length, 0);
    if (option == NULL) {
        return unknown_option(line, text, name_length, err);
    }
    const char *value = "";
    if (option->value == NULL && equals != NULL) {
        return error_set(err, STATUS_INVALID, "option '--%s' takes no value", option->name);
    }
    if (option->value != NULL) {
        const char *attached = equals == NULL ? NULL : equals + 1;
        enum status status = option_value(option, attached, cursor, &value, err);
        if (status) {
            return status;
        }
    }
    return add_occurrence(line, option, value, err);
}

/* "-abc": flags, the last of which may take a value, attached or next. */
static enum status parse_letters(struct command_line *line, const char *letters,
                                 struct cursor *cursor, struct error *err)
{
    for (const char *at = letters; *at != '\0'; at++) {
        const struct command_option *option = find_option(line, "", 0, *at);
        if (option == NULL) {
            (void)error_set(err, STATUS_INVALID, "unknown option '-%c'", *at);
            error_set_hint(err, "--help lists the options");
            return STATUS_INVALID;
        }
        if (option->value == NULL) {
            enum status status = add_occurrence(line, option, "", err);
            if (status) {
                return status;
            }
            continue;
        }
        const char *value = NULL;
        enum status status =
            option_value(option, at[1] == '\0' ? NULL : at + 1, cursor, &value, err);
        return status ? status : add_occurrence(line, option, value, err);
    }
    return STATUS_OK;
}

static enum status find_command(struct command_line *line, const char *name, struct error *err)
{
    const char *candidates[64];
    size_t count = line->program->command_count;
    assert(count <= sizeof candidates / sizeof candidates[0]);
    for (size_t i = 0; i < count; i++) {
        candidates[i] = line->program->commands[i]->name;
        if (strcmp(candidates[i], name) == 0) {
            line->command = line->program->commands[i];
            return STATUS_OK;
        }
    }
    const char *nearest = command_nearest(name, candidates, count);
    (void)error_set(err, STATUS_INVALID, "unknown command '%s'", name);
    if (nearest != NULL) {
        error_set_hint(err, "did you mean '%s'?", nearest);
    } else {
        error_set_hint(err, "%s --help lists the commands", line->program->name);
    }
    return STATUS_INVALID;
}

/* A word that is no option: the command's name (or "help"), else an argument. */
static enum status parse_word(struct command_line *line, const char *word, struct error *err)
{
    if (line->command != NULL) {
        line->arguments[line->argument_count++] = word;
        return STATUS_OK;
    }
    if (strcmp(word, "help") == 0) {
        line->wants_help = true;
        return STATUS_OK;
    }
    return find_command(line, word, err);
}

static enum status parse_all(struct command_line *line, struct cursor *cursor, struct error *err)
{
    bool options_ended = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && cursor->index < cursor->argc) {
        const char *word = cursor->argv[cursor->index++];
        if (options_ended || word[0] != '-' || word[1] == '\0') {
            status = parse_word(line, word, err);
        } else if (strcmp(word, "--") == 0) {
            options_ended = true;
        } else if (word[1] == '-') {
            status = parse_long(line, word + 2, cursor, err);
        } else {
            status = parse_letters(line, word + 1, cursor, err);
        }
    }
    return status;
}

static enum status check_arguments(const struct command_line *line, struct error *err)
{
    const struct command *command = line->command;
    int count = line->argument_count;
    enum status status = STATUS_OK;
    if (count < command->argument_min) {
        status = error_set(err, STATUS_INVALID, "too few arguments");
    } else if (command->argument_max >= 0 && count > command->argument_max) {
        status = error_set(err, STATUS_INVALID, "unexpected argument '%s'",
                           line->arguments[command->argument_max]);
    }
    if (status) {
        error_set_hint(err, "usage: %s%s%s%s%s", line->program->name,
                       line->program->commands == NULL ? "" : " ",
                       line->program->commands == NULL ? "" : command->name,
                       command->usage[0] == '\0' ? "" : " ", command->usage);
    }
    return status;
}

static void print_error_lines(const char *program_name, const struct error *err)
{
    (void)fprintf(stderr, "%s: %s\n", program_name, err->message);
    if (err->field[0] != '\0') {
        (void)fprintf(stderr, "  field: %s\n", err->field);
    }
    if (err->hint[0] != '\0') {
        (void)fprintf(stderr, "  hint: %s\n", err->hint);
    }
}

/* What was printed must have arrived; a full disk behind stdout is a failure of the command. */
static enum status flush_results(struct error *err)
{
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        return error_from_errno(err, errno, "write to standard output");
    }
    return STATUS_OK;
}

static enum status run_line(const struct command_line *line, int *exit_code, struct error *err)
{
    if (line->wants_version) {
        (void)printf("%s %s\n", line->program->name, REMORA_VERSION);
        return STATUS_OK;
    }
    if (line->wants_help) {
        command_help_print(line->program, line->command);
        return STATUS_OK;
    }
    if (line->command == NULL) {
        (void)error_set(err, STATUS_INVALID, "no command is given");
        error_set_hint(err, "%s --help lists the commands", line->program->name);
        return STATUS_INVALID;
    }
    enum status status = check_arguments(line, err);
    return status ? status : line->command->run(line, exit_code, err);
}

int command_main(const struct command_program *program, int argc, char **argv)
{
    struct error err = {0};
    int exit_code = 0;
    struct command_line line = {.program = program, .command = program->only};
    struct cursor cursor = {.argv = argv, .argc = argc, .index = 1};
    size_t slots = (size_t)argc + 1;
    enum status status = STATUS_OK;

    /* A word holds at most as many options as it has letters. */
    size_t occurrence_slots = slots;
    for (int i = 1; i < argc; i++) {
        occurrence_slots += argv[i][0] == '-' ? strlen(argv[i]) : 0;
    }
    line.occurrences = sys_calloc(occurrence_slots, sizeof *line.occurrences);
    line.arguments = sys_calloc(slots, sizeof *line.arguments);
    if (line.occurrences == NULL || line.arguments == NULL) {
        status = error_set(&err, STATUS_NO_MEMORY, "out of memory");
        goto done;
    }
    status = parse_all(&line, &cursor, &err);
    if (status) {
        goto done;
    }
    status = run_line(&line, &exit_code, &err);
    if (status == STATUS_OK) {
        status = flush_results(&err);
    }
done:
    if (status) {
        (void)fflush(stdout);
        print_error_lines(program->name, &err);
        exit_code = status_exit_code(status);
    }
    free(line.occurrences);
    free(line.arguments);
    return exit_code;
}

const char *command_text_at(const struct command_line *line, const char *option, size_t index)
{
    for (size_t i = 0; i < line->occurrence_count; i++) {
        if (strcmp(line->occurrences[i].option->name, option) == 0 && index-- == 0) {
            return line->occurrences[i].value;
        }
    }
    return NULL;
}

const char *command_text(const struct command_line *line, const char *option, const char *fallback)
{
    for (size_t i = line->occurrence_count; i > 0; i--) {
        if (strcmp(line->occurrences[i - 1].option->name, option) == 0) {
            return line->occurrences[i - 1].value;
        }
    }
    return fallback;
}

bool command_flag(const struct command_line *line, const char *option)
{
    return command_text_at(line, option, 0) != NULL;
}

enum status command_int(const struct command_line *line, const char *option, long long min,
                        long long max, long long fallback, long long *out, struct error *err)
{
    const char *text = command_text(line, option, NULL);
    if (text == NULL) {
        *out = fallback;
        return STATUS_OK;
    }
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool starts_well = (text[0] >= '0' && text[0] <= '9') || text[0] == '-';
    if (!starts_well || end == text || *end != '\0') {
        return error_set(err, STATUS_INVALID, "option '--%s': '%s' is not a whole number", option,
                         text);
    }
    if (errno == ERANGE || value < min || value > max) {
        return error_set(err, STATUS_INVALID, "option '--%s': %s is not in %lld…%lld", option, text,
                         min, max);
    }
    *out = value;
    return STATUS_OK;
}

int command_argument_count(const struct command_line *line)
{
    return line->argument_count;
}

const char *command_argument(const struct command_line *line, int index)
{
    return index >= 0 && index < line->argument_count ? line->arguments[index] : NULL;
}

enum status command_own_folder(char *out, struct error *err)
{
    ssize_t length = readlink("/proc/self/exe", out, PATH_BYTES_MAX);
    if (length < 0) {
        return error_from_errno(err, errno, "read '/proc/self/exe'");
    }
    if (length >= PATH_BYTES_MAX) {
        return error_set(err, STATUS_LIMIT, "the path of this program is too long");
    }
    out[length] = '\0';
    char *slash = strrchr(out, '/');
    assert(slash != NULL);
    slash[slash == out ? 1 : 0] = '\0';
    return STATUS_OK;
}
