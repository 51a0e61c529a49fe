#include "client/spawn.h"

#include <assert.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/command.h"
#include "proto/base/file.h"
#include "proto/base/limits.h"

extern char **environ;

/* exec takes char *const[] for history's sake and leaves the texts alone. */
static char *const *exec_vector(const char *const *arguments)
{
    union {
        const char *const *ours;
        char *const *theirs;
    } vector = {.ours = arguments};

    return vector.theirs;
}

enum status spawn_program_path(char *out, const char *program, struct error *err)
{
    char folder[PATH_BYTES_MAX];

    enum status status = command_own_folder(folder, err);
    if (status) {
        return status;
    }
    status = path_printf(out, err, "%s/%s", folder, program);
    if (status) {
        return status;
    }
    if (access(out, X_OK) != 0) {
        (void)error_from_errno(err, errno, "%s", out);
        error_set_hint(err, "%s belongs beside remora: install both", program);
        return err->status;
    }
    return STATUS_OK;
}

static enum status wait_for(pid_t pid, const char *path, int *exit_code, struct error *err)
{
    int wait_status = 0;

    while (waitpid(pid, &wait_status, 0) < 0) {
        if (errno != EINTR) {
            return error_from_errno(err, errno, "wait for %s", path);
        }
    }
    *exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
    return STATUS_OK;
}

enum status spawn_and_wait(const char *const *arguments, int *exit_code, struct error *err)
{
    char path[PATH_BYTES_MAX];
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;

    assert(arguments[0] != NULL);
    enum status status = spawn_program_path(path, arguments[0], err);
    if (status) {
        return status;
    }
    if (posix_spawn_file_actions_init(&actions) != 0) {
        return error_set(err, STATUS_NO_MEMORY, "start %s: out of memory", path);
    }
    (void)fflush(stdout); /* what we said so far comes first */
    int failure = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    if (failure == 0) {
        failure = posix_spawn(&pid, path, &actions, NULL, exec_vector(arguments), environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) {
        return error_from_errno(err, failure, "start %s", path);
    }
    return wait_for(pid, path, exit_code, err);
}

enum status spawn_become(const char *const *arguments, struct error *err)
{
    char path[PATH_BYTES_MAX];

    assert(arguments[0] != NULL);
    enum status status = spawn_program_path(path, arguments[0], err);
    if (status) {
        return status;
    }
    (void)fflush(stdout);
    (void)execv(path, exec_vector(arguments));
    return error_from_errno(err, errno, "start %s", path);
}
