/* The listening sockets of a port: one for each address that its option names, all served alike.
 * Constant once they are open. */
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

size_t listeners_count(const struct listeners *listeners);
int listeners_fd(const struct listeners *listeners, size_t i);

/* The addresses that they listen at (port 0 is a real one by then), separated by commas; cut at
 * cap. */
void listeners_describe(const struct listeners *listeners, char *out, size_t cap);

#endif
