#include "proto/rpc/socket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/sys.h"

/* Connections that wait to be accepted; the daemon may be busy starting up. */
#define BACKLOG 128

static_assert(RPC_SOCKET_PATH_BYTES_MAX == sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
              "the limit is the system's");

enum status rpc_socket_path_check(const char *path, struct error *err)
{
    const size_t size = strlen(path);
    if (size <= RPC_SOCKET_PATH_BYTES_MAX) {
        return STATUS_OK;
    }
    enum status status =
        error_set(err, STATUS_LIMIT, "socket path '%s' has %zu bytes; the system's maximum is %d",
                  path, size, RPC_SOCKET_PATH_BYTES_MAX);
    error_set_hint(err, "pass a shorter one with --socket");
    return status;
}

static enum status address_of(struct sockaddr_un *out, const char *path, struct error *err)
{
    enum status status = rpc_socket_path_check(path, err);
    if (!status) {
        *out = (struct sockaddr_un){.sun_family = AF_UNIX};
        memcpy(out->sun_path, path, strlen(path) + 1);
    }
    return status;
}

/* ---- Listening ---- */

static enum status create_folder_of(const char *path, struct error *err)
{
    char copy[PATH_BYTES_MAX];
    enum status status = path_printf(copy, err, "%s", path);
    return status ? status : folder_create(dirname(copy), 0700, err);
}

/* Whoever holds the lock owns the path. The file stays behind: removing it would let two processes
 * lock two files of the same name. */
static enum status take_lock(struct rpc_listener *listener, struct error *err)
{
    char lock_path[PATH_BYTES_MAX];
    enum status status = path_printf(lock_path, err, "%s.lock", listener->path);
    if (status) {
        return status;
    }
    listener->lock_fd = sys_open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (listener->lock_fd < 0) {
        return error_from_errno(err, errno, "lock '%s'", lock_path);
    }
    if (sys_flock(listener->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        return STATUS_OK;
    }
    if (errno == EWOULDBLOCK) {
        return error_set(err, STATUS_BUSY, "a daemon already listens at '%s'", listener->path);
    }
    return error_from_errno(err, errno, "lock '%s'", lock_path);
}

/* With the lock held, a socket that is there was left by a daemon that was killed. */
static enum status remove_stale(const char *path, struct error *err)
{
    struct stat facts;
    if (lstat(path, &facts) != 0) {
        return errno == ENOENT ? STATUS_OK : error_from_errno(err, errno, "socket '%s'", path);
    }
    if (!S_ISSOCK(facts.st_mode)) {
        return error_set(err, STATUS_CONFLICT, "'%s' is there and is not a socket", path);
    }
    return sys_unlink(path) == 0 ? STATUS_OK
                                 : error_from_errno(err, errno, "stale socket '%s'", path);
}

/* The umask makes the socket 0600 from its first moment; a chmod afterwards would come too late. */
static enum status bind_private(int fd, const char *path, struct error *err)
{
    struct sockaddr_un address;
    enum status status = address_of(&address, path, err);
    if (status) {
        return status;
    }
    const mode_t umask_before = umask(0177);
    const int result = bind(fd, (const struct sockaddr *)&address, sizeof address);
    const int problem = errno;
    (void)umask(umask_before);
    return result == 0 ? STATUS_OK : error_from_errno(err, problem, "socket '%s'", path);
}

static enum status listen_at(struct rpc_listener *listener, struct error *err)
{
    enum status status = remove_stale(listener->path, err);
    if (status) {
        return status;
    }
    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0) {
        return error_from_errno(err, errno, "socket '%s'", listener->path);
    }
    status = bind_private(listener->fd, listener->path, err);
    if (!status && listen(listener->fd, BACKLOG) != 0) {
        status = error_from_errno(err, errno, "socket '%s'", listener->path);
    }
    return status;
}

enum status rpc_listener_open(struct rpc_listener *out, const char *path, struct error *err)
{
    struct rpc_listener listener = RPC_LISTENER_EMPTY;
    enum status status = rpc_socket_path_check(path, err);
    if (!status) {
        status = path_printf(listener.path, err, "%s", path);
    }
    if (!status) {
        status = create_folder_of(path, err);
    }
    if (!status) {
        status = take_lock(&listener, err);
    }
    if (!status) {
        status = listen_at(&listener, err);
    }
    if (status) {
        if (listener.fd >= 0) {
            (void)close(listener.fd);
        }
        if (listener.lock_fd >= 0) {
            (void)close(listener.lock_fd);
        }
        return status;
    }
    *out = listener;
    return STATUS_OK;
}

void rpc_listener_close(struct rpc_listener *listener)
{
    if (listener->lock_fd < 0) {
        return;
    }
    if (listener->fd >= 0) {
        (void)close(listener->fd);
    }
    (void)sys_unlink(listener->path);
    (void)close(listener->lock_fd);
    *listener = RPC_LISTENER_EMPTY;
}

/* ---- Peers ---- */

enum status rpc_peer_of(struct rpc_peer *out, int fd, struct error *err)
{
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        return error_from_errno(err, errno, "credentials of a peer");
    }
    *out =
        (struct rpc_peer){.pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
    return STATUS_OK;
}

static enum status refuse_connect(int problem, const char *path, struct error *err)
{
    if (problem == ENOENT || problem == ECONNREFUSED || problem == ENOTDIR) {
        enum status status = error_set(err, STATUS_NOT_FOUND, "no daemon listens at '%s'", path);
        error_set_hint(err, "'remora up' starts one");
        return status;
    }
    if (problem == EAGAIN) {
        return error_set(err, STATUS_BUSY, "the daemon at '%s' does not accept connections", path);
    }
    return error_from_errno(err, problem, "socket '%s'", path);
}

enum status rpc_connect(int *fd, const char *path, struct error *err)
{
    struct sockaddr_un address;
    enum status status = address_of(&address, path, err);
    if (status) {
        return status;
    }
    const int made = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made < 0) {
        return error_from_errno(err, errno, "socket");
    }
    if (connect(made, (const struct sockaddr *)&address, sizeof address) != 0) {
        status = refuse_connect(errno, path, err);
        (void)close(made);
        return status;
    }
    *fd = made;
    return STATUS_OK;
}
