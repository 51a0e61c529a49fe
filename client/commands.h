/*
 * commands — the commands of remora. Each is one file cmd_<name>.c exporting
 * `const struct command command_<name>`; to add one, write that file, list it here (the order is
 * that of --help) and in CMakeLists.txt, and describe it in deploy/doc/remora.1.
 */
#pragma once

#include "proto/base/command.h"

#define CLIENT_COMMANDS(X) \
 X(run)                    \
 X(lint)                   \
 X(submit)                 \
 X(ls)                     \
 X(show)                   \
 X(watch)                  \
 X(wait)                   \
 X(logs)                   \
 X(events)                 \
 X(metrics)                \
 X(cancel)                 \
 X(resume)                 \
 X(export)                 \
 X(up)                     \
 X(down)                   \
 X(status)                 \
 X(version)

#define X(name) extern const struct command command_##name;
CLIENT_COMMANDS(X)
#undef X
