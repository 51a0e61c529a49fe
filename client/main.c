#include <locale.h>
#include <signal.h>

#include "client/commands.h"

static const struct command *const commands[] = {
#define X(name) &command_##name,
    CLIENT_COMMANDS(X)
#undef X
};

static const struct command_option options[] = {
    {.name = "socket",
     .value = "PATH",
     .help = "the daemon's socket; without it, the per-user daemon is used and started"},
};

int main(int argc, char **argv)
{
    const struct command_program program = {
        .name = "remora",
        .summary = "submits training jobs and follows them",
        .examples = "  remora run --data 'abstracts/*.xml.gz' --model llama-20m --steps 500\n"
                    "  remora submit spec.yaml --watch\n"
                    "  remora ls\n"
                    "  remora watch pubmed-demo\n"
                    "  remora export pubmed-demo --to model/\n",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
        .commands = commands,
        .command_count = sizeof commands / sizeof commands[0],
    };

    /* The character set decides what charts are drawn with; numbers keep their '.' everywhere. */
    (void)setlocale(LC_CTYPE, "");
    /* `remora ls | head` ends quietly even where the parent ignored the signal. The connection to
     * the daemon never raises it. */
    (void)signal(SIGPIPE, SIG_DFL);
    return command_main(&program, argc, argv);
}
