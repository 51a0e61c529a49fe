#include "proto/rpc/paths.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/rpc/socket.h"

#define PASSWORD_BYTES_MAX 4096

/* The variable's value when it is an absolute path, else NULL. */
static const char *folder_variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] == '/' ? value : NULL;
}

/* A path from the command line, made absolute. */
static enum status resolve_given(char *out, const char *given, struct error *err)
{
    char current[PATH_BYTES_MAX];
    if (given[0] != '/' && !getcwd(current, sizeof current)) {
        return error_from_errno(err, errno, "current folder");
    }
    return path_resolve(out, given[0] == '/' ? NULL : current, given, err);
}

enum status rpc_home_folder(char *out, struct error *err)
{
    const char *home = folder_variable("HOME");
    char buffer[PASSWORD_BYTES_MAX];
    struct passwd entry;
    struct passwd *found = NULL;
    if (!home && getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found) == 0 && found) {
        home = found->pw_dir;
    }
    if (!home || home[0] != '/') {
        enum status status =
            error_set(err, STATUS_NOT_FOUND, "user %u has no home folder", (unsigned)geteuid());
        error_set_hint(err, "set HOME, or pass --socket and --state-dir");
        return status;
    }
    return path_printf(out, err, "%s", home);
}

static enum status default_socket_path(char *out, struct error *err)
{
    const char *runtime = folder_variable("XDG_RUNTIME_DIR");
    if (runtime) {
        return path_printf(out, err, "%s/remora/remora.sock", runtime);
    }
    if (geteuid() == 0) {
        return path_printf(out, err, "/run/remora/remora.sock");
    }
    char home[PATH_BYTES_MAX];
    enum status status = rpc_home_folder(home, err);
    return status ? status : path_printf(out, err, "%s/.local/state/remora/remora.sock", home);
}

enum status rpc_socket_path(char *out, const char *given, struct error *err)
{
    enum status status = given ? resolve_given(out, given, err) : default_socket_path(out, err);
    return status ? status : rpc_socket_path_check(out, err);
}

enum status rpc_state_folder(char *out, const char *given, struct error *err)
{
    const char *state = folder_variable("XDG_STATE_HOME");
    if (given) {
        return resolve_given(out, given, err);
    }
    if (state) {
        return path_printf(out, err, "%s/remora", state);
    }
    char home[PATH_BYTES_MAX];
    enum status status = rpc_home_folder(home, err);
    return status ? status : path_printf(out, err, "%s/.local/state/remora", home);
}
