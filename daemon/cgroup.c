#include "daemon/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"

/* A machine with thousands of mounts, or a group with as many processes, stays below. */
#define KERNEL_FILE_BYTES_MAX (4 * MIB)

/* A second in all: many times what a loaded machine takes to end a process. */
#define REMOVE_TRIES    100
#define REMOVE_PAUSE_MS 10

/* ---- Where it is ---- */

/* Of a line "36 35 0:31 ROOT MOUNT rw,relatime … - cgroup2 cgroup rw": ROOT and MOUNT; false for
 * other file systems. Cuts the line up. */
static bool read_mount(char *line, const char **root, const char **mount)
{
    char *state = NULL;

    if (!strstr(line, " - cgroup2 ")) {
        return false;
    }
    char *field = strtok_r(line, " ", &state);
    for (int number = 1; field && number < 4; number++) {
        field = strtok_r(NULL, " ", &state);
    }
    *root = field;
    *mount = strtok_r(NULL, " ", &state);
    return *root && *mount;
}

/* Our own group, as "/a/b" below the root of the hierarchy: the line "0::/a/b". */
static const char *own_group(char *text)
{
    char *line = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");

    if (!line) {
        return NULL;
    }
    line = strchr(line, '/');
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* What of group lies below the root that is mounted; NULL when it is outside (another namespace).
 */
static const char *below(const char *group, const char *root)
{
    size_t size = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(group, root, size) != 0 || group[size] != '/') {
        return NULL;
    }
    return strcmp(group + size, "/") == 0 ? "" : group + size;
}

void cgroup_path(char *out, const char *attempt_id)
{
    struct bytes groups = {0};
    struct bytes mounts = {0};
    char *state = NULL;
    const char *group = NULL;

    out[0] = '\0';
    if (file_read(&groups, "/proc/self/cgroup", KERNEL_FILE_BYTES_MAX, NULL) == STATUS_OK &&
        file_read(&mounts, "/proc/self/mountinfo", KERNEL_FILE_BYTES_MAX, NULL) == STATUS_OK) {
        group = own_group(groups.data);
    }
    for (char *line = group ? strtok_r(mounts.data, "\n", &state) : NULL; line;
         line = strtok_r(NULL, "\n", &state)) {
        const char *root = NULL;
        const char *mount = NULL;
        const char *rest = read_mount(line, &root, &mount) ? below(group, root) : NULL;
        if (rest &&
            path_printf(out, NULL, "%s%s/remora.%s", mount, rest, attempt_id) == STATUS_OK) {
            break;
        }
        out[0] = '\0';
    }
    bytes_deinit(&groups);
    bytes_deinit(&mounts);
}

/* ---- What is in it ---- */

/* Writes a word to a file of the group. */
static bool write_word(const char *path, const char *name, const char *word)
{
    char file[PATH_BYTES_MAX];

    if (path_printf(file, NULL, "%s/%s", path, name) != STATUS_OK) {
        return false;
    }
    int fd = sys_open(file, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool is_written = sys_write_all(fd, word, strlen(word)) == 0;
    (void)close(fd);
    return is_written;
}

bool cgroup_enter(const char *path)
{
    if (path[0] == '\0' || sys_mkdir(path, 0755) < 0) {
        return false;
    }
    if (write_word(path, "cgroup.procs", "0")) { /* 0 is the writer */
        return true;
    }
    cgroup_remove(path);
    return false;
}

/* Counts the processes, and sends each the signal; 0 only counts. */
static size_t walk(const char *path, int signal)
{
    char file[PATH_BYTES_MAX];
    struct bytes pids = {0};
    size_t count = 0;

    if (path[0] != '\0' && path_printf(file, NULL, "%s/cgroup.procs", path) == STATUS_OK &&
        file_read(&pids, file, KERNEL_FILE_BYTES_MAX, NULL) == STATUS_OK) {
        char *state = NULL;
        for (char *line = pids.size > 0 ? strtok_r(pids.data, "\n", &state) : NULL; line;
             line = strtok_r(NULL, "\n", &state)) {
            pid_t pid = (pid_t)strtol(line, NULL, 10);
            count++;
            if (signal != 0 && pid > 1) { /* one in a foreign namespace is shown as 0 */
                (void)kill(pid, signal);
            }
        }
    }
    bytes_deinit(&pids);
    return count;
}

size_t cgroup_count(const char *path)
{
    return walk(path, 0);
}

void cgroup_kill(const char *path)
{
    if (path[0] != '\0' && !write_word(path, "cgroup.kill", "1")) {
        (void)walk(path, SIGKILL); /* before Linux 5.14 */
    }
}

/* A process that is ending is not listed any more, but makes its group busy for a moment. */
void cgroup_remove(const char *path)
{
    const struct timespec pause = {.tv_nsec = REMOVE_PAUSE_MS * 1000000L};

    for (int i = 0; path[0] != '\0' && i < REMOVE_TRIES; i++) {
        if (sys_rmdir(path) == 0 || errno != EBUSY) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
}
