#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/file.h"
#include "proto/base/log.h"
#include "worker/cli/attempt_error.h"
#include "worker/cli/commands.h"
#include "worker/dist/dist.h"
#include "worker/train/process.h"
#include "worker/train/run.h"

static const struct command_option options[] = {
    {.name = "set",
     .letter = 's',
     .value = "KEY=VALUE",
     .help = "change a field of the spec",
     .repeats = true},
    {.name = "run", .value = "DIR", .help = "folder of the run (default: runs/NAME); resumes it"},
    {.name = "cache", .value = "DIR", .help = "where data.train[].files are prepared"},
    {.name = "cpus", .value = "LIST", .help = "cores of this host's ranks, in order: 0,1,4-7"},
    {.name = "attempt", .value = "N", .help = "number of this attempt (default: the next)"},
    {.name = "attempt-dir", .value = "DIR", .help = "where failures and the token are"},
    {.name = "job",
     .value = "ID",
     .help = "the daemon's job (default: the spec's folder, as it names them)"},
    {.name = "socket", .value = "PATH", .help = "report to the daemon that listens there"},
};

/* The daemon keeps a job's spec in a folder named by its id; 0 for any other folder. */
static long long job_of_spec(const char *spec_path)
{
    const char *slash = strrchr(spec_path, '/');
    const char *start = slash;
    long long job = 0;

    while (start != NULL && start > spec_path && start[-1] != '/') {
        start--;
    }
    for (const char *at = start; start != NULL && at < slash; at++) {
        if (*at < '0' || *at > '9' || job > JSON_INTEGER_MAX / 10) {
            return 0;
        }
        job = 10 * job + (*at - '0');
    }
    return job;
}

static enum status read_options(const struct command_line *line, struct run_options *out,
                                char token_path[PATH_BYTES_MAX], const char **overrides,
                                size_t overrides_max, struct error *err)
{
    const char *attempt_folder = command_text(line, "attempt-dir", NULL);
    long long attempt = 0;
    long long job = 0;
    const char *text = NULL;

    *out = (struct run_options){
        .spec_path = command_argument(line, 0),
        .overrides = overrides,
        .folder = command_text(line, "run", NULL),
        .cpus = command_text(line, "cpus", NULL),
        .cache = command_text(line, "cache", NULL),
        .socket_path = command_text(line, "socket", NULL),
        .token_path = token_path,
    };
    while ((text = command_text_at(line, "set", out->override_count)) != NULL) {
        if (out->override_count == overrides_max) {
            return error_set(err, STATUS_LIMIT, "--set may be given %zu times", overrides_max);
        }
        overrides[out->override_count++] = text;
    }
    if (out->socket_path != NULL && attempt_folder == NULL) {
        return error_set(err, STATUS_INVALID, "--socket needs --attempt-dir, for the token");
    }
    enum status status =
        path_printf(token_path, err, "%s/token", attempt_folder == NULL ? "." : attempt_folder);
    if (!status) {
        status = command_int(line, "attempt", 1, 999999, 0, &attempt, err);
    }
    if (!status) {
        status =
            command_int(line, "job", 1, JSON_INTEGER_MAX, job_of_spec(out->spec_path), &job, err);
    }
    if (!status && out->socket_path != NULL && job == 0) {
        status =
            error_set(err, STATUS_INVALID, "--socket needs --job, or a spec in a job's folder");
    }
    out->attempt = (int)attempt;
    out->job = job;
    return status;
}

/* One rank tells what ended all, and the others leave after it: the launcher ends every rank as
 * soon as one has failed. A rank that fails alone takes the others down. */
static enum status end_failed(struct dist *dist, const struct run_result *result,
                              const char *attempt_folder, int *exit_code, struct error *err)
{
    int rank = dist_rank(dist);
    bool speaks = !result->together || rank == result->speaker;
    enum status status = err->status;

    if (speaks) {
        attempt_error_write(attempt_folder, rank, err);
    }
    if (dist_world(dist) == 1) {
        return status;
    }
    if (speaks) {
        log_error(err);
    }
    if (!result->together || dist_barrier(dist, err) != STATUS_OK) {
        dist_abort(dist, status_exit_code(status));
    }
    *exit_code = status_exit_code(status);
    return STATUS_OK;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    const char *attempt_folder = command_text(line, "attempt-dir", NULL);
    char token_path[PATH_BYTES_MAX];
    const char *overrides[64];
    struct run_options chosen;
    struct run_result result = {.together = true};
    struct dist *dist = NULL;
    static char part[32] = "train"; /* the log keeps it */

    process_tune();
    process_watch_signals();
    enum status status = dist_open(&dist, err);
    if (status) {
        attempt_error_write(attempt_folder, 0, err);
        return status;
    }
    if (dist_world(dist) > 1) {
        (void)snprintf(part, sizeof part, "rank %d", dist_rank(dist));
    }
    log_init(part);
    status = read_options(line, &chosen, token_path, overrides,
                          sizeof overrides / sizeof overrides[0], err);
    status = dist_agree(dist, status, &result.speaker, err);
    if (!status) {
        status = run_train(dist, &chosen, &result, err);
    }
    if (status) {
        status = end_failed(dist, &result, attempt_folder, exit_code, err);
    } else if (result.outcome == RUN_OUTCOME_STOPPED) {
        *exit_code = status_exit_code(STATUS_CANCELLED);
    }
    dist_close(dist);
    return status;
}

const struct command command_train = {
    .name = "train",
    .usage = "SPEC [options]",
    .summary = "train a model, or resume a run",
    .examples =
        "  remora-worker train job.yaml\n"
        "  mpirun --bind-to none -n 2 remora-worker train job.yaml --cpus 0,1\n"
        "  remora-worker train job.yaml -s steps=50 -s optimizer.lr=5e-4 --run runs/short\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
