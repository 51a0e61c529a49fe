#include "worker/cli/commands.h"

static const struct command *const commands[] = {
#define X(name) &command_##name,
    WORKER_COMMANDS(X)
#undef X
        NULL,
};

int main(int argc, char **argv)
{
    const struct command_program program = {
        .name = "remora-worker",
        .summary = "trains, prepares data and exports models; mpirun starts it as several ranks",
        .examples = "  mpirun -n 2 remora-worker train job.yaml\n"
                    "  remora-worker export runs/pubmed-demo --to model/\n",
        .commands = commands,
        .command_count = sizeof commands / sizeof commands[0] - 1,
    };

    return command_main(&program, argc, argv);
}
