#include "gateway/net/socket_rights.h"

#include "gateway/base/listen_address.h"
#include "proto/bytes/decimal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GROUP_BYTES = 16384, GROUP_MAX_BYTES = 1 << 20 };

/* For chown the highest number means "do not change", so it is not a valid group. */
static bool read_group(const char *text, gid_t *ret_group)
{
    uint64_t number;
    if (!decimal_read(span_of(text), UINT_MAX - 1, &number))
        return false;
    *ret_group = (gid_t)number;
    return true;
}

/* Looks up a group's number; the buffer grows for groups with many members. 0: found; ENOENT: there
 * is no such group. */
static int look_up_group(const char *name, gid_t *ret_group)
{
    struct group entry;
    struct group *found = NULL;
    int code = ERANGE;
    for (size_t cap = GROUP_BYTES; code == ERANGE && cap <= GROUP_MAX_BYTES; cap *= 4) {
        char *room = malloc(cap);
        if (room == NULL)
            return ENOMEM;
        code = getgrnam_r(name, &entry, room, cap, &found);
        if (code == 0 && found != NULL)
            *ret_group = entry.gr_gid;
        free(room);
    }
    return code != 0 ? code : found == NULL ? ENOENT : 0;
}

enum err socket_rights_read(const struct options *options, struct socket_rights *ret_rights,
                            char *why, size_t why_cap)
{
    struct socket_rights rights = {0};
    const char *group = options->socket_group;
    if (!socket_mode_parse(options->socket_mode, &rights.mode)) {
        snprintf(why, why_cap, "--socket-mode must be octal, from 0 to 0777, like 0660, not \"%s\"",
                 options->socket_mode);
        return ERR_INVALID_FIELD;
    }
    rights.has_group = group[0] != '\0';
    if (rights.has_group && !read_group(group, &rights.group)) {
        int code = look_up_group(group, &rights.group);
        if (code != 0) {
            snprintf(why, why_cap, "--socket-group: there is no group \"%s\" on this machine%s%s",
                     group, code == ENOENT ? "" : ": ", code == ENOENT ? "" : strerror(code));
            return ERR_INVALID_FIELD;
        }
    }
    *ret_rights = rights;
    return ERR_OK;
}

void socket_rights_prepare(const struct socket_rights *rights, int fd)
{
    (void)fchmod(fd, rights->mode); /* socket_rights_apply detects a failure */
}

/* Rights that are correct already are not set again: a seccomp filter may forbid chown, and without
 * /proc there is no chmod that does not follow links. */
enum err socket_rights_apply(const struct socket_rights *rights, const char *path,
                             const char **ret_what)
{
    struct stat found;
    *ret_what = "the unix socket cannot be looked at";
    if (lstat(path, &found) != 0)
        return ERR_SYSTEM;
    *ret_what = "--socket-group: this user may not give the socket to that group, of which it must "
                "be a member";
    if (rights->has_group && found.st_gid != rights->group &&
        lchown(path, (uid_t)-1, rights->group) != 0)
        return ERR_SYSTEM;
    *ret_what = "--socket-mode cannot be set";
    if ((found.st_mode & 07777) != rights->mode &&
        fchmodat(AT_FDCWD, path, rights->mode, AT_SYMLINK_NOFOLLOW) != 0)
        return ERR_SYSTEM;
    *ret_what = NULL;
    return ERR_OK;
}
