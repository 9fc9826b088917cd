/* Who may connect to the unix sockets that Herald makes: --socket-mode and --socket-group. */
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

/* ERR_INVALID_FIELD: *why names the option; there may be no such group here. */
MUST_CHECK enum err socket_rights_read(const struct options *options,
                                       struct socket_rights *ret_rights, char *why, size_t why_cap);

/* Between socket() and bind(): the file is made with these permissions, less what the umask takes
 * away, so never with more. */
void socket_rights_prepare(const struct socket_rights *rights, int fd);

/* Between bind() and listen(), so before anybody can connect. A link in the path's last part is not
 * followed. ERR_SYSTEM: errno and *ret_what, of static storage, say what could not be done; else it
 * is NULL. */
MUST_CHECK enum err socket_rights_apply(const struct socket_rights *rights, const char *path,
                                        const char **ret_what);

#endif
