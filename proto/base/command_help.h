/*
 * command_help — what --help prints, and the spelling help for mistyped names.
 */
#pragma once

#include "proto/base/command.h"

/* The help of a command, or of the whole program when command is NULL, on stdout. */
void command_help_print(const struct command_program *program, const struct command *command);
