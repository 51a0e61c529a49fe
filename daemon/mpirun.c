#include "daemon/mpirun.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/base/file.h"

#define VERSION_LINE_BYTES_MAX 256

/* Words that differ between major versions; %s and friends are not needed: the folders follow. */
struct mpirun_facts {
    const char *fixed[12];         /* ends with NULL */
    const char *tmp_parameter;     /* MCA parameter of the folder for temporary files, or NULL: the
                                      environment's TMPDIR is enough */
    const char *shared_folder;     /* MCA parameter of the folder for shared memory */
    const char *no_direct_copy[4]; /* words that avoid process_vm_readv; ends with NULL */
};

static const struct mpirun_facts facts_4 = {
    .fixed = {"--bind-to", "none", "--oversubscribe", "--mca", "plm", "isolated", "--mca", "pml",
              "ob1", NULL},
    .tmp_parameter = "orte_tmpdir_base",
    .shared_folder = "btl_vader_backing_directory",
    .no_direct_copy = {"--mca", "btl_vader_single_copy_mechanism", "none", NULL},
};

static const struct mpirun_facts facts_5 = {
    .fixed = {"--bind-to", "none", "--map-by", ":OVERSUBSCRIBE", "--mca", "pml", "ob1", NULL},
    .tmp_parameter = NULL,
    .shared_folder = "btl_sm_backing_directory",
    .no_direct_copy = {"--mca", "smsc", "^cma", NULL},
};

bool mpirun_parse_version(const char *text, int *major)
{
    static const char prefix[] = "mpirun (Open MPI) ";
    char *end = NULL;

    if (strncmp(text, prefix, sizeof prefix - 1) != 0) {
        return false;
    }
    long value = strtol(text + sizeof prefix - 1, &end, 10);
    if (*end != '.' || value < 1 || value > 1000) {
        return false;
    }
    *major = (int)value;
    return true;
}

/* Whether one process may read another's memory: where it is forbidden, it is so for our own. */
static bool probe_direct_copy(void)
{
    char from = 'x';
    char to = 0;
    struct iovec local = {.iov_base = &to, .iov_len = 1};
    struct iovec remote = {.iov_base = &from, .iov_len = 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

static enum status find_in_path(char *out, struct error *err)
{
    const char *path = getenv("PATH");

    for (const char *entry = path ? path : "/usr/bin:/bin"; *entry != '\0';) {
        size_t size = strcspn(entry, ":");
        enum status status = path_printf(out, err, "%.*s/mpirun", (int)size, entry);
        if (status == STATUS_OK && access(out, X_OK) == 0) {
            return STATUS_OK;
        }
        entry += size + (entry[size] == ':' ? 1 : 0);
    }
    (void)error_set(err, STATUS_NOT_FOUND, "mpirun is not in PATH");
    error_set_hint(err, "install Open MPI (apt-get install openmpi-bin), then restart remorad");
    return STATUS_NOT_FOUND;
}

enum status mpirun_probe(struct mpirun *out, struct error *err)
{
    char command[PATH_BYTES_MAX + 64];
    char line[VERSION_LINE_BYTES_MAX] = "";

    enum status status = find_in_path(out->path, err);
    if (status) {
        return status;
    }
    if (strpbrk(out->path, "'\\")) {
        return error_set(err, STATUS_UNSUPPORTED, "'%s': this path has a quote in it", out->path);
    }
    (void)snprintf(command, sizeof command, "'%s' --version 2>/dev/null </dev/null", out->path);
    FILE *pipe = popen(command, "re");
    if (!pipe) {
        return error_from_errno(err, errno, "run '%s'", out->path);
    }
    if (!fgets(line, sizeof line, pipe)) {
        line[0] = '\0';
    }
    (void)pclose(pipe);
    line[strcspn(line, "\n")] = '\0';
    if (!mpirun_parse_version(line, &out->major)) {
        (void)error_set(err, STATUS_UNSUPPORTED, "'%s' says '%s', not that it is Open MPI",
                        out->path, line);
        error_set_hint(err, "put Open MPI's mpirun first in PATH, then restart remorad");
        return STATUS_UNSUPPORTED;
    }
    if (out->major < 4) {
        return error_set(err, STATUS_UNSUPPORTED, "'%s' is Open MPI %d; 4 or newer is needed",
                         out->path, out->major);
    }
    out->can_copy_direct = probe_direct_copy();
    return STATUS_OK;
}

/* Appends a NULL-terminated list of words. */
static int append_words(json_t *argv, const char *const *words)
{
    int failures = 0;
    for (size_t i = 0; words[i]; i++) {
        failures += json_array_append_new(argv, json_string(words[i])) < 0;
    }
    return failures;
}

enum status mpirun_append_words(json_t *argv, const struct mpirun *mpirun, int ranks,
                                const char *tmp_folder, const char *shared_folder,
                                struct error *err)
{
    const struct mpirun_facts *facts = mpirun->major == 4 ? &facts_4 : &facts_5;
    char rank_count[16];

    (void)snprintf(rank_count, sizeof rank_count, "%d", ranks);
    const char *const tmp[] = {"--mca", facts->tmp_parameter, tmp_folder, NULL};
    const char *const tail[] = {"--mca", facts->shared_folder, shared_folder,
                                "-n",    rank_count,           NULL};
    int failures = append_words(argv, (const char *const[]){mpirun->path, NULL});
    failures += append_words(argv, facts->fixed);
    if (!mpirun->can_copy_direct) {
        failures += append_words(argv, facts->no_direct_copy);
    }
    if (facts->tmp_parameter) {
        failures += append_words(argv, tmp);
    }
    failures += append_words(argv, tail);
    return failures == 0 ? STATUS_OK
                         : error_set(err, STATUS_NO_MEMORY, "command of mpirun: out of memory");
}
