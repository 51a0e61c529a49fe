/*
 * commands — the commands of remora-worker. Each is one file cmd_<name>.c exporting
 * `const struct command command_<name>`; to add one, write that file, list it here and in
 * CMakeLists.txt.
 */
#pragma once

#include "proto/base/command.h"

#define WORKER_COMMANDS(X) \
 X(train)                  \
 X(prepare)                \
 X(export)                 \
 X(batches)                \
 X(score)                  \
 X(spectrum)               \
 X(synth)                  \
 X(bigram)                 \
 X(bench)                  \
 X(plan)

#define X(name) extern const struct command command_##name;
WORKER_COMMANDS(X)
#undef X
