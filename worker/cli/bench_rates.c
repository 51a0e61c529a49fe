#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "worker/cli/bench.h"

#define PROGRAM "remora-bench-gemm"

struct bench_rates {
    pid_t pid; /* 0: not started */
    FILE *to;
    FILE *from;
    int64_t count;
    int64_t repetitions;
    int64_t best_ns[COST_PRODUCTS_MAX];
};

/* Starts the program with its ends of two pipes; ours are in fds. */
static enum status spawn(struct bench_rates *rates, const char *path, int threads, int fds[2],
                         struct error *err)
{
    int to[2] = {-1, -1};
    int from[2] = {-1, -1};
    char count[16];
    posix_spawn_file_actions_t actions;

    (void)snprintf(count, sizeof count, "%d", threads);
    char *const arguments[] = {(char[]){PROGRAM}, count, NULL};
    if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC)) {
        return error_from_errno(err, errno, "pipe");
    }
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    (void)posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    int failed = posix_spawn(&rates->pid, path, &actions, NULL, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(to[0]);
    (void)close(from[1]);
    fds[0] = from[0];
    fds[1] = to[1];
    if (failed) {
        rates->pid = 0;
        return error_from_errno(err, failed, "%s", path);
    }
    return STATUS_OK;
}

static void describe(FILE *to, const struct cost_product *product)
{
    const struct gemm_shape *s = &product->shape;

    (void)fprintf(to, "%" PRId64 " %" PRId64 " %" PRId64 " %d %d %d %d %d %" PRId64 "\n", s->m,
                  s->n, s->k, s->transpose_a, s->transpose_b, s->accumulate,
                  s->operands == DTYPE_BF16, s->result == DTYPE_BF16, product->batch);
}

enum status bench_rates_create(struct bench_rates **out, const struct cost *cost, int threads,
                               struct error *err)
{
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX + sizeof PROGRAM];
    int fds[2] = {-1, -1};
    struct bench_rates *rates = sys_calloc(1, sizeof *rates);

    if (rates == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory to measure products");
    }
    enum status status = command_own_folder(folder, err);
    if (!status) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, PROGRAM);
        (void)signal(SIGPIPE, SIG_IGN); /* its death is told by what is read */
        status = spawn(rates, path, threads, fds, err);
    }
    rates->from = fds[0] < 0 ? NULL : fdopen(fds[0], "r");
    rates->to = fds[1] < 0 ? NULL : fdopen(fds[1], "w");
    if (status || rates->from == NULL || rates->to == NULL) {
        bench_rates_destroy(rates);
        return status ? status : error_set(err, STATUS_NO_MEMORY, "no memory for pipes");
    }
    rates->count = cost->count;
    for (int64_t i = 0; i < cost->count; i++) {
        describe(rates->to, &cost->products[i]);
    }
    *out = rates;
    return STATUS_OK;
}

enum status bench_rates_run(struct bench_rates *rates, int repetitions, struct error *err)
{
    (void)fprintf(rates->to, "run %d\n", repetitions);
    (void)fflush(rates->to);
    for (int64_t i = 0; i < rates->count; i++) {
        char line[64];
        if (fgets(line, sizeof line, rates->from) == NULL ||
            sscanf(line, "%" SCNd64, &rates->best_ns[i]) != 1) {
            return error_set(err, STATUS_IO, "%s stopped", PROGRAM);
        }
    }
    rates->repetitions += repetitions;
    return STATUS_OK;
}

void bench_rates_destroy(struct bench_rates *rates)
{
    if (rates == NULL) {
        return;
    }
    if (rates->to != NULL) {
        (void)fclose(rates->to); /* it ends by itself */
    }
    if (rates->from != NULL) {
        (void)fclose(rates->from);
    }
    if (rates->pid > 0) {
        (void)waitpid(rates->pid, NULL, 0);
    }
    free(rates);
}

double bench_rates_seconds(const struct bench_rates *rates, int64_t index)
{
    return (double)rates->best_ns[index] * 1e-9;
}

int64_t bench_rates_repetitions(const struct bench_rates *rates)
{
    return rates->repetitions;
}

double bench_rates_cpu_s(const struct bench_rates *rates)
{
    char path[64];
    unsigned long long user = 0;
    unsigned long long system = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)rates->pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0.0;
    }
    /* Fields 14 and 15; the name in parentheses is ours and has no blank. */
    int count = fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
                       &system);
    (void)fclose(file);
    return count == 2 ? (double)(user + system) / (double)sysconf(_SC_CLK_TCK) : 0.0;
}
