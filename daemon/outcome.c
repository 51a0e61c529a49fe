#include "daemon/outcome.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/cgroup.h"
#include "daemon/launcher.h"
#include "daemon/process.h"
#include "proto/base/file.h"
#include "proto/base/log.h"
#include "proto/base/sys.h"

#define SWEEP_MS 20

/* SIGKILL until nothing is left, at most wait_ms long; returns how many are. Who has lost its
 * environment is in the control group, who has left that (root may) has its environment. */
static size_t kill_tree(const char *attempt_id, const char *cgroup, int wait_ms)
{
    const struct timespec pause = {.tv_nsec = SWEEP_MS * 1000000L};
    int64_t deadline_ns = sys_monotonic_ns() + (int64_t)wait_ms * 1000000;

    for (;;) {
        cgroup_kill(cgroup);
        size_t left = process_signal_attempt(attempt_id, SIGKILL);
        size_t grouped = cgroup_count(cgroup);
        left = left > grouped ? left : grouped;
        if (left == 0 || sys_monotonic_ns() > deadline_ns) {
            return left;
        }
        (void)nanosleep(&pause, NULL);
    }
}

/* Litter is a pity, but no reason to keep a job waiting. */
static void remove_scratch(const char *attempt_folder, const char *attempt_id, const char *cgroup)
{
    char shared[PATH_BYTES_MAX];
    struct error err;

    cgroup_remove(cgroup);
    enum status status = launch_shared_folder(shared, attempt_folder, attempt_id, &err);
    if (status == STATUS_OK) {
        status = attempt_scratch_remove(attempt_folder, shared, &err);
    }
    if (status) {
        log_error(&err);
    }
}

/* Reads the exit record, or writes one in place of a shim that could not. */
static enum status settle_exit(struct outcome *out, const char *folder, struct error *err)
{
    enum status status = exit_record_read(folder, &out->exit, err);
    if (status == STATUS_OK) {
        out->is_shim_lost = !out->exit.never_started && out->exit.exit_code < 0 &&
                            out->exit.signal == 0 && !out->exit.is_cancelled &&
                            out->exit.message[0] == '\0';
        return STATUS_OK;
    }
    out->exit = (struct exit_record){
        .exit_code = -1, .never_started = !out->has_shim, .ended_ms = sys_realtime_ms()};
    out->is_shim_lost = out->has_shim;
    if (!file_exists(folder)) {
        return STATUS_OK; /* no folder, no shim */
    }
    return exit_record_write(folder, &out->exit, err);
}

enum status outcome_gather(struct outcome *out, const char *attempt_folder, const char *attempt_id,
                           int ranks, int wait_ms, struct error *err)
{
    char boot_id[BOOT_ID_BYTES];
    char cgroup[PATH_BYTES_MAX];

    memset(out, 0, sizeof *out);
    attempt_cgroup_read(cgroup, attempt_folder, attempt_id);
    out->left = kill_tree(attempt_id, cgroup, wait_ms);
    if (out->left > 0) {
        return STATUS_OK;
    }
    enum status status = boot_id_read(boot_id, err);
    if (status) {
        return status;
    }
    out->has_shim = shim_record_read(attempt_folder, &out->shim, NULL) == STATUS_OK;
    out->is_other_boot = out->has_shim && strcmp(out->shim.boot_id, boot_id) != 0;
    status = settle_exit(out, attempt_folder, err);
    if (status) {
        return status;
    }
    remove_scratch(attempt_folder, attempt_id, cgroup);
    out->has_rank_error = rank_error_read(attempt_folder, ranks > 0 ? ranks : 1, &out->rank_error);
    output_last_line(attempt_folder, out->last_line, sizeof out->last_line);
    return STATUS_OK;
}

/* What the ranks or the output say, as the evidence of a failure. */
static void describe_failure(struct verdict *out, const struct outcome *outcome,
                             enum reason_type type, const char *what)
{
    if (outcome->has_rank_error) {
        reason_set(&out->reason, type, "%s: %s", what, outcome->rank_error.message);
        if (outcome->rank_error.hint[0] != '\0') {
            reason_set_hint(&out->reason, "%s", outcome->rank_error.hint);
        }
    } else if (outcome->last_line[0] != '\0') {
        reason_set(&out->reason, type, "%s; its last line: %s", what, outcome->last_line);
    } else {
        reason_set(&out->reason, type, "%s", what);
    }
}

/* Open MPI's mpirun passes a rank's death by signal n on as exit code 128 + n. */
static int signal_of(const struct exit_record *exit)
{
    if (exit->signal != 0) {
        return exit->signal;
    }
    return exit->exit_code > 128 && exit->exit_code < 128 + 65 ? exit->exit_code - 128 : 0;
}

/* The attempt ended by itself, badly. */
static void judge_failure(struct verdict *out, const struct outcome *outcome)
{
    char what[96];
    int signal = signal_of(&outcome->exit);

    if (outcome->exit.message[0] != '\0') {
        reason_set(&out->reason, REASON_LAUNCH_FAILED, "%s", outcome->exit.message);
        reason_set_hint(&out->reason, "%s", outcome->rank_error.hint);
    } else if (signal != 0) {
        (void)snprintf(what, sizeof what, "killed by signal %d (%s)", signal, strsignal(signal));
        describe_failure(out, outcome, REASON_WORKER_KILLED, what);
    } else {
        bool is_hopeless = exit_code_is_hopeless(outcome->exit.exit_code);
        (void)snprintf(what, sizeof what, "exit code %d", outcome->exit.exit_code);
        describe_failure(out, outcome, is_hopeless ? REASON_INVALID_JOB : REASON_WORKER_FAILED,
                         what);
    }
}

static void judge_attempt(struct verdict *out, const struct outcome *outcome)
{
    const struct exit_record *exit = &outcome->exit;

    out->attempt_state = ATTEMPT_STATE_FAILED;
    out->counts = true;
    if (exit->never_started) {
        out->counts = false;
        reason_set(&out->reason, REASON_NEVER_STARTED, "no process was started");
    } else if (outcome->is_shim_lost && outcome->is_other_boot) {
        out->counts = false;
        reason_set(&out->reason, REASON_HOST_RESTARTED, "the machine was restarted");
    } else if (outcome->is_shim_lost) {
        reason_set(&out->reason, REASON_SHIM_LOST,
                   "the shim (process %lld) vanished without an exit record",
                   (long long)outcome->shim.pid);
    } else if (exit->is_cancelled) {
        out->attempt_state = ATTEMPT_STATE_CANCELLED;
        reason_set(&out->reason, REASON_CANCELLED, "no process of it is left");
    } else if (exit->exit_code == 0) {
        out->attempt_state = ATTEMPT_STATE_SUCCEEDED;
        reason_set(&out->reason, REASON_COMPLETED, "exit code 0");
    } else {
        judge_failure(out, outcome);
    }
}

void outcome_judge(struct verdict *out, const struct outcome *outcome, const struct job *job)
{
    int used = 0;

    assert(outcome->left == 0);
    memset(out, 0, sizeof *out);
    judge_attempt(out, outcome);
    used = job->attempts_used + (out->counts ? 1 : 0);
    if (out->attempt_state == ATTEMPT_STATE_SUCCEEDED) {
        out->job_state = JOB_STATE_SUCCEEDED;
    } else if (job->state == JOB_STATE_STOPPING) {
        out->attempt_state = ATTEMPT_STATE_CANCELLED;
        out->job_state = JOB_STATE_CANCELLED;
        reason_set(&out->reason, REASON_CANCELLED, "no process of it is left");
        reason_set_hint(&out->reason, "remora resume %lld", (long long)job->id);
    } else if (out->reason.type == REASON_INVALID_JOB || used >= job->attempts_max) {
        out->job_state = JOB_STATE_FAILED;
        if (out->reason.hint[0] == '\0') {
            reason_set_hint(&out->reason, "remora logs %lld", (long long)job->id);
        }
    } else {
        out->job_state = JOB_STATE_QUEUED;
    }
}
