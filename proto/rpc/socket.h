/*
 * socket — the unix socket between daemon, clients and workers.
 *
 * The socket has mode 0600 from the moment that it exists, in a folder of mode 0700. One listener
 * per path: it holds a lock on "<path>.lock" while it lives, so a socket found beside a free lock
 * is stale (its daemon was killed) and is replaced.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/error.h"
#include "proto/base/limits.h"

/* What fits struct sockaddr_un, without its NUL. */
#define RPC_SOCKET_PATH_BYTES_MAX 107

/* STATUS_LIMIT with a hint when path is longer. */
MUST_USE enum status rpc_socket_path_check(const char *path, struct error *err);

struct rpc_listener {
    int fd;      /* listening, non-blocking, close-on-exec; -1: none */
    int lock_fd; /* -1: none */
    char path[PATH_BYTES_MAX];
};
#define RPC_LISTENER_EMPTY ((struct rpc_listener){.fd = -1, .lock_fd = -1})

/* Makes the folder where it is missing. Sets the umask for a moment: call it before there are
 * threads. STATUS_BUSY when another process listens there, STATUS_CONFLICT when path is something
 * else than a socket, which is left alone. */
MUST_USE enum status rpc_listener_open(struct rpc_listener *out, const char *path,
                                       struct error *err);
/* Removes the socket, then lets the lock go. When the fd was handed to a libuv handle, set it to -1
 * first. */
void rpc_listener_close(struct rpc_listener *listener);

/* Who is at the other end, as the kernel says (SO_PEERCRED). */
struct rpc_peer {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};
MUST_USE enum status rpc_peer_of(struct rpc_peer *out, int fd, struct error *err);

/* Connects; *fd is non-blocking and close-on-exec. STATUS_NOT_FOUND when nobody listens (no socket,
 * or a stale one), STATUS_BUSY when the daemon has too many waiting. Never waits. */
MUST_USE enum status rpc_connect(int *fd, const char *path, struct error *err);
