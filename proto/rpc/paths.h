/*
 * paths — where the daemon's socket and state are when nobody says otherwise.
 *
 *   socket: given, else $XDG_RUNTIME_DIR/remora/remora.sock, else /run/remora/remora.sock for root,
 *           else ~/.local/state/remora/remora.sock
 *   state:  given, else $XDG_STATE_HOME/remora, else ~/.local/state/remora
 *
 * A relative path in an XDG variable is ignored, as their specification asks. A relative given path
 * is made absolute. ~ is $HOME, else the password entry's folder.
 */
#pragma once

#include "proto/base/error.h"
#include "proto/base/limits.h"

/* out[PATH_BYTES_MAX]. given may be NULL. A path that does not fit a socket address is STATUS_LIMIT
 * with a hint. */
MUST_USE enum status rpc_socket_path(char *out, const char *given, struct error *err);
MUST_USE enum status rpc_state_folder(char *out, const char *given, struct error *err);
/* The home folder of the user. */
MUST_USE enum status rpc_home_folder(char *out, struct error *err);
