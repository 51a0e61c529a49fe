/*
 * command — the command line of our programs: "program [global options] command [options] [args]".
 *
 * Each command is one file exporting one const struct command that main.c lists. --help prints
 * usage, examples first, then options; --version prints "<program> <version>". An unknown command
 * or option is an error with a "did you mean". "--" ends options; "--name=value" and "--name value"
 * are the same. Results go to stdout, all else to stderr; the exit code is status_exit_code().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/error.h"

struct command_option {
    const char *name;  /* long name without "--" */
    char letter;       /* 0: none */
    const char *value; /* what the value is called ("PATH"); NULL: a flag */
    const char *help;
    bool repeats; /* may be given more than once */
};

struct command_line; /* what was given; owned by command_main */

struct command {
    const char *name;
    const char *usage;    /* "SPEC [options]", after "program name " */
    const char *summary;  /* one line for the list of commands */
    const char *examples; /* shown first by --help */
    const struct command_option *options;
    size_t option_count;
    int argument_min;
    int argument_max; /* -1: any number */
    /* Runs it. exit_code starts as 0; a command sets it for outcomes that are no error. */
    enum status (*run)(const struct command_line *line, int *exit_code, struct error *err);
};

struct command_program {
    const char *name; /* "remora" */
    const char *summary;
    const char *examples;
    const struct command_option *options; /* global, before the command */
    size_t option_count;
    const struct command *const *commands;
    size_t command_count;
    /* For a program without commands (remorad): run this instead; commands is NULL. */
    const struct command *only;
};

/* Parses, runs, prints an error ("remora: message", "  field", "  hint"); returns the exit code. */
int command_main(const struct command_program *program, int argc, char **argv);

/* Value of the last occurrence (command's option or a global one), or fallback. */
const char *command_text(const struct command_line *line, const char *option, const char *fallback);
/* The index-th occurrence, or NULL. */
const char *command_text_at(const struct command_line *line, const char *option, size_t index);
bool command_flag(const struct command_line *line, const char *option);
/* Whole decimal number in [min, max], or fallback when not given. */
MUST_USE enum status command_int(const struct command_line *line, const char *option, long long min,
                                 long long max, long long fallback, long long *out,
                                 struct error *err);
int command_argument_count(const struct command_line *line);
const char *command_argument(const struct command_line *line, int index); /* NULL past the end */
/* argv[0] resolved to an absolute path of the running executable's folder (/proc/self/exe). */
MUST_USE enum status command_own_folder(char *out, struct error *err); /* out[PATH_BYTES_MAX] */

/* The candidate nearest to text, at most a third of its length (1 to 3 edits) away, or NULL. */
const char *command_nearest(const char *text, const char *const *candidates, size_t count);
