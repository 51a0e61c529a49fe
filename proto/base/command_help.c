#include "proto/base/command_help.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES_MAX 48
#define HELP_COLUMN    28

static void print_options(const char *title, const struct command_option *options, size_t count)
{
    if (count == 0) {
        return;
    }
    (void)printf("\n%s:\n", title);
    for (size_t i = 0; i < count; i++) {
        const struct command_option *option = &options[i];
        char left[80];
        char letter[8] = "";
        if (option->letter != 0) {
            (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
        }
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, option->name,
                       option->value == NULL ? "" : " ",
                       option->value == NULL ? "" : option->value);
        (void)printf("  %-*s%s%s\n", HELP_COLUMN - 2, left,
                     strlen(left) < HELP_COLUMN - 2 ? "" : "  ", option->help);
    }
}

/* Each line of text, indented by two. */
static void print_indented(const char *title, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        return;
    }
    (void)printf("\n%s:\n", title);
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        (void)printf("  %.*s\n", (int)length, text);
        text += length + (text[length] == '\n' ? 1 : 0);
    }
}

static void print_command_help(const struct command_program *program, const struct command *command)
{
    bool is_only = program->commands == NULL;
    (void)printf("%s%s%s — %s\n", program->name, is_only ? "" : " ", is_only ? "" : command->name,
                 command->summary);
    print_indented("Examples", command->examples);
    (void)printf("\nUsage: %s%s%s%s%s\n", program->name, is_only ? "" : " ",
                 is_only ? "" : command->name, command->usage[0] == '\0' ? "" : " ",
                 command->usage);
    print_options("Options", command->options, command->option_count);
    print_options("Options of every command", program->options, program->option_count);
}

void command_help_print(const struct command_program *program, const struct command *command)
{
    if (command != NULL) {
        print_command_help(program, command);
        return;
    }
    (void)printf("%s — %s\n", program->name, program->summary);
    print_indented("Examples", program->examples);
    (void)printf("\nUsage: %s [options] COMMAND [options] [arguments]\n\nCommands:\n",
                 program->name);
    for (size_t i = 0; i < program->command_count; i++) {
        (void)printf("  %-14s%s\n", program->commands[i]->name, program->commands[i]->summary);
    }
    print_options("Options", program->options, program->option_count);
    (void)printf("\n'%s COMMAND --help' explains a command; --version prints the version.\n",
                 program->name);
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edits from a to b: insert, delete, replace, swap neighbours (optimal string alignment). */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][NAME_BYTES_MAX + 1]; /* the last three rows of the table */
    size_t a_length = strlen(a);
    size_t b_length = strlen(b);
    for (size_t j = 0; j <= b_length; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = min3(above[j] + 1, row[j - 1] + 1, replaced);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                two_above[j - 2] + 1 < row[j]) {
                row[j] = two_above[j - 2] + 1;
            }
        }
    }
    return rows[a_length % 3][b_length];
}

const char *command_nearest(const char *text, const char *const *candidates, size_t count)
{
    size_t length = strlen(text);
    size_t distance_max = min3(length / 3 < 1 ? 1 : length / 3, 3, 3);
    const char *nearest = NULL;
    if (length == 0 || length > NAME_BYTES_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(candidates[i]) > NAME_BYTES_MAX) {
            continue;
        }
        size_t distance = edit_distance(text, candidates[i]);
        if (distance <= distance_max) {
            nearest = candidates[i];
            if (distance == 0) {
                break;
            }
            distance_max = distance - 1; /* of equals, the first */
        }
    }
    return nearest;
}
