#include "daemon/launcher.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/cgroup.h"
#include "daemon/process.h"
#include "daemon/shim.h"
#include "proto/base/file.h"
#include "proto/base/sys.h"

extern char **environ;

#define SHARED_MEMORY_FOLDER "/dev/shm"

void launch_deinit(struct launch *launch)
{
    free(launch->spec);
    free(launch->inputs);
    launch->spec = NULL;
    launch->inputs = NULL;
}

static int append_text(json_t *list, const char *text)
{
    return json_array_append_new(list, json_string(text));
}

/* "0,1,4" */
static void print_cpus(struct bytes *out, const struct cpu_list *cpus)
{
    for (int i = 0; i < cpus->count; i++) {
        bytes_printf(out, "%s%d", i > 0 ? "," : "", cpus->cpus[i]);
    }
}

/* The worker's own words. Its paths were checked to fit when launch was filled. */
static enum status append_worker(json_t *argv, const struct launch *launch, struct error *err)
{
    struct bytes cpus = {0};
    char spec[PATH_BYTES_MAX];
    char run[PATH_BYTES_MAX];
    char number[16];

    enum status status = path_printf(spec, err, "%s/spec.json", launch->job_folder);
    if (status == STATUS_OK) {
        status = path_printf(run, err, "%s/run", launch->job_folder);
    }
    print_cpus(&cpus, &launch->cpus);
    if (status == STATUS_OK) {
        status = bytes_status(&cpus, "list of cores", err);
    }
    if (status) {
        bytes_deinit(&cpus);
        return status;
    }
    (void)snprintf(number, sizeof number, "%d", launch->attempt);
    bool is_train = launch->ranks > 0;
    int failures = append_text(argv, launch->worker);
    failures += append_text(argv, is_train ? "train" : "prepare");
    failures += is_train ? 0 : append_text(argv, "--spec");
    const char *const words[] = {
        spec,       "--run",        run,      "--attempt-dir", launch->folder, "--attempt", number,
        "--socket", launch->socket, "--cpus", cpus.data,
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        failures += append_text(argv, words[i]);
    }
    bytes_deinit(&cpus);
    return failures == 0 ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "command: out of memory");
}

enum status launch_command(json_t **out, const struct launch *launch, struct error *err)
{
    char tmp[PATH_BYTES_MAX];
    json_t *argv = json_array();
    enum status status =
        argv ? STATUS_OK : error_set(err, STATUS_NO_MEMORY, "command: out of memory");

    if (status == STATUS_OK && launch->ranks > 0) {
        status = path_printf(tmp, err, "%s/%s", launch->folder, ATTEMPT_TMP_FOLDER);
        if (status == STATUS_OK) {
            status = mpirun_append_words(argv, &launch->mpirun, launch->ranks, tmp,
                                         launch->shared_folder, err);
        }
    }
    if (status == STATUS_OK) {
        status = append_worker(argv, launch, err);
    }
    if (status) {
        json_decref(argv);
        return status;
    }
    *out = argv;
    return STATUS_OK;
}

enum status launch_shared_folder(char *out, const char *attempt_folder, const char *attempt_id,
                                 struct error *err)
{
    if (access(SHARED_MEMORY_FOLDER, W_OK | X_OK) == 0) {
        return path_printf(out, err, "%s/remora.%s", SHARED_MEMORY_FOLDER, attempt_id);
    }
    return path_printf(out, err, "%s/%s/shared", attempt_folder, ATTEMPT_TMP_FOLDER);
}

static enum status write_file(const char *folder, const char *name, const char *text,
                              struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/%s", folder, name);
    return status ? status : file_write(path, text, strlen(text), 0600, err);
}

static enum status make_folders(const struct launch *launch, struct error *err)
{
    char path[PATH_BYTES_MAX];

    enum status status = path_printf(path, err, "%s/run", launch->job_folder);
    if (status == STATUS_OK) {
        status = folder_create(path, 0700, err);
    }
    if (status == STATUS_OK) {
        status = path_printf(path, err, "%s/%s", launch->folder, ATTEMPT_TMP_FOLDER);
    }
    if (status == STATUS_OK) {
        status = folder_create(path, 0700, err);
    }
    if (status == STATUS_OK && launch->ranks > 0) {
        status = folder_create(launch->shared_folder, 0700, err);
    }
    return status;
}

static enum status write_launch(const struct launch *launch, struct error *err)
{
    json_t *argv = NULL;
    char cgroup[PATH_BYTES_MAX];
    struct bytes text = {0};

    enum status status = launch_command(&argv, launch, err);
    if (status) {
        return status;
    }
    cgroup_path(cgroup, launch->attempt_id);
    json_t *object =
        json_pack("{s:s, s:o, s:s, s:s, s:i}", "attempt_id", launch->attempt_id, "argv", argv,
                  "shared_folder", launch->ranks > 0 ? launch->shared_folder : "", "cgroup", cgroup,
                  "grace_ms", LAUNCH_GRACE_MS);
    if (!object) {
        return error_set(err, STATUS_NO_MEMORY, "launch.json: out of memory");
    }
    json_canonical(&text, object);
    json_decref(object);
    status = bytes_status(&text, "launch.json", err);
    if (status == STATUS_OK) {
        status = write_file(launch->folder, ATTEMPT_LAUNCH_FILE, text.data, err);
    }
    bytes_deinit(&text);
    return status;
}

enum status launch_prepare(struct launch *launch, struct error *err)
{
    if (access(launch->worker, X_OK) < 0) {
        (void)error_from_errno(err, errno, "worker '%s'", launch->worker);
        error_set_hint(err, "start remorad with --worker PATH");
        return err->status;
    }
    enum status status = make_folders(launch, err);
    if (status == STATUS_OK) {
        status = write_file(launch->job_folder, "spec.json", launch->spec, err);
    }
    if (status == STATUS_OK) {
        status = write_file(launch->job_folder, "inputs.json", launch->inputs, err);
    }
    if (status == STATUS_OK) {
        status = token_create(launch->folder, launch->token, err);
    }
    return status ? status : write_launch(launch, err);
}

/* Whether a variable of ours must not reach the attempt: what another mpirun or attempt set for
 * its own processes, and what we set anew. */
static bool is_left_out(const char *entry)
{
    static const char *const prefixes[] = {"OMPI_", "PMIX_",   "PRTE_",
                                           "ORTE_", "TMPDIR=", ATTEMPT_ID_VARIABLE "="};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncmp(entry, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* The environment of the attempt; the texts added stand in storage. Freed with free(). */
static char **make_environment(const struct launch *launch, struct bytes *storage)
{
    /* Root may run MPI only when it says so, twice; nobody else is harmed by its saying so. */
    static char as_root[] = "OMPI_ALLOW_RUN_AS_ROOT=1";
    static char as_root_confirm[] = "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1";
    static char prte_as_root[] = "PRTE_ALLOW_RUN_AS_ROOT=1";
    static char prte_as_root_confirm[] = "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1";
    size_t count = 0;
    size_t kept = 0;

    while (environ[count]) {
        count++;
    }
    bytes_printf(storage, "%s=%s", ATTEMPT_ID_VARIABLE, launch->attempt_id);
    bytes_append_char(storage, '\0');
    size_t tmp_offset = storage->size;
    bytes_printf(storage, "TMPDIR=%s/%s", launch->folder, ATTEMPT_TMP_FOLDER);
    char **out = sys_calloc(count + 8, sizeof *out);
    if (!out || bytes_failed(storage)) {
        free(out);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_left_out(environ[i])) {
            out[kept] = environ[i];
            kept++;
        }
    }
    out[kept++] = storage->data;
    out[kept++] = storage->data + tmp_offset;
    if (geteuid() == 0) {
        out[kept++] = as_root;
        out[kept++] = as_root_confirm;
        out[kept++] = prte_as_root;
        out[kept++] = prte_as_root_confirm;
    }
    return out;
}

/* posix_spawn with a session of its own, nothing open but /dev/null and the ready pipe. */
static int spawn_detached(pid_t *pid, const char *program, const char *folder, int ready_fd,
                          char **environment)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;

    char *argv[] = {strdup(program), strdup(SHIM_OPTION), strdup(folder), NULL};
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(
        &attributes, (short)(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK));
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    int code = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    code =
        code ? code
             : posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    code =
        code ? code
             : posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    code = code ? code : posix_spawn_file_actions_adddup2(&actions, ready_fd, SHIM_READY_FD);
    if (code == 0) {
        code = argv[0] && argv[1] && argv[2]
                   ? posix_spawn(pid, program, &actions, &attributes, argv, environment)
                   : ENOMEM;
    }
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    for (size_t i = 0; argv[i]; i++) {
        free(argv[i]);
    }
    return code;
}

enum status launch_spawn(const struct launch *launch, const char *program, pid_t *pid, int *pidfd,
                         int *ready_fd, struct error *err)
{
    struct bytes storage = {0};
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) {
        return error_from_errno(err, errno, "pipe");
    }
    /* Were the write end SHIM_READY_FD already, dup2 would leave it close-on-exec. */
    int write_end = fcntl(ends[1], F_DUPFD_CLOEXEC, SHIM_READY_FD + 1);
    (void)close(ends[1]);
    char **environment = make_environment(launch, &storage);
    int code = environment && write_end >= 0
                   ? spawn_detached(pid, program, launch->folder, write_end, environment)
                   : ENOMEM;
    free(environment);
    bytes_deinit(&storage);
    if (write_end >= 0) {
        (void)close(write_end);
    }
    if (code != 0) {
        (void)close(ends[0]);
        return error_from_errno(err, code, "start the shim '%s'", program);
    }
    /* Our child: its number is not used again before we have waited for it. */
    *pidfd = (int)syscall(SYS_pidfd_open, *pid, 0);
    if (*pidfd < 0) {
        enum status status = error_from_errno(err, errno, "pidfd of the shim");
        (void)kill(*pid, SIGKILL);
        (void)waitpid(*pid, NULL, 0); /* at once, after SIGKILL */
        *pid = 0;
        (void)close(ends[0]);
        return status;
    }
    *ready_fd = ends[0];
    return STATUS_OK;
}
