/* The listening sockets of a port: one for each address that its option names, all served alike.
 * Constant once they are open, and settled where some were given.
 *
 * They may come from another process that has listened at them until now (listeners_adopt). Until
 * listeners_settle both have them, and nothing is changed that the other one would notice. */
#ifndef HERALD_LISTENERS_H
#define HERALD_LISTENERS_H

#include "gateway/net/socket_rights.h"

struct listeners;

/* Opens all of them, or none, with `rights` for unix sockets. `[::]` takes IPv4 as well, unless
 * another address has the same port and is not IPv6. `option` is the option's name without its
 * dashes. ERR_INVALID_FIELD, ERR_SYSTEM: *why is a sentence that says what to do. */
MUST_CHECK enum err listeners_open(const struct option_list *addresses, const char *option,
                                   const struct socket_rights *rights,
                                   struct listeners **ret_listeners, char *why, size_t why_cap);
void listeners_close(struct listeners *listeners); /* NULL is fine */

/* A listening socket of another process. */
struct given_listener {
    int fd;
    const char *text; /* the value of the option that named it there */
};

/* As listeners_open, but an address at which one of the given sockets listens is not opened again.
 * Takes over the sockets, also on an error. What cannot be changed of a socket that listens stays:
 * a given [::] takes IPv4 or not, as it did before. */
MUST_CHECK enum err listeners_adopt(const struct option_list *addresses, const char *option,
                                    const struct socket_rights *rights,
                                    const struct given_listener *given, size_t n_given,
                                    struct listeners **ret_listeners, char *why, size_t why_cap);

/* The other process has let go. Those that no address names any more are closed, and the sockets'
 * files have the rights that the options name from now on. A given unix socket whose file somebody
 * has removed is replaced by a new one at its path, with the same descriptor; where that cannot be
 * it stays, a line of the log says that nobody can connect there, and what is at the path is left
 * alone. Call it before anything is accepted. */
void listeners_settle(struct listeners *listeners);

/* Another process has the sockets: closes them here and leaves the files of unix sockets. NULL is
 * fine. */
void listeners_let_go(struct listeners *listeners);

/* From now on connections can be accepted without their first bytes, for which the kernel may have
 * held them back: within a second it has none that acceptors do not see. */
void listeners_await_nothing(const struct listeners *listeners);
/* The files of unix sockets are removed, so that nobody finds them any more. */
void listeners_hide(struct listeners *listeners);
/* Connects are refused; what waits to be accepted is reset. Both before listeners_close; NULL is
 * fine. */
void listeners_end(const struct listeners *listeners);

size_t listeners_count(const struct listeners *listeners); /* NULL, after it was let go: none */
int listeners_fd(const struct listeners *listeners, size_t i);
/* The option's value that named it, for given_listener; it is the options'. */
const char *listeners_text(const struct listeners *listeners, size_t i);

/* The addresses that they listen at (port 0 is a real one by then), separated by commas; cut at
 * cap. */
void listeners_describe(const struct listeners *listeners, char *out, size_t cap);

#endif
