/* The mode and group of the unix sockets that Herald makes: --socket-mode and --socket-group. */
#ifndef HERALD_NET_SOCKET_RIGHTS_H
#define HERALD_NET_SOCKET_RIGHTS_H

#include "gateway/base/options_struct.h"
#include "proto/error.h"

#include <sys/types.h>

struct socket_rights {
    mode_t mode;
    bool has_group; /* false: the group of the process, or of a setgid directory */
    gid_t group;
};

/* ERR_INVALID_FIELD: *why names the option, whose group may not exist on this machine. */
MUST_CHECK enum err socket_rights_read(const struct options *options,
                                       struct socket_rights *ret_rights, char *why, size_t why_cap);

/* Call it between socket() and bind(). The file is then created with these permissions minus the
 * umask, never with more. */
void socket_rights_prepare(const struct socket_rights *rights, int fd);

/* Call it between bind() and listen(), before anybody can connect. A symbolic link as the last part
 * of the path is not followed. ERR_SYSTEM: errno and *ret_what, a constant, say what failed;
 * otherwise *ret_what is NULL. */
MUST_CHECK enum err socket_rights_apply(const struct socket_rights *rights, const char *path,
                                        const char **ret_what);

#endif
