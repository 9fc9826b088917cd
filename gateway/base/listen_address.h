/* Where to listen, as an option says it, and the rights of a Unix socket. Nothing is opened here
 * (gateway/net/listener.h does that). Any thread. */
#ifndef HERALD_BASE_LISTEN_ADDRESS_H
#define HERALD_BASE_LISTEN_ADDRESS_H

#include "proto/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* Splits HOST:PORT, [V6]:PORT, unix:PATH. ERR_INVALID_FIELD: none of these. */
struct listen_address {
    bool is_unix;
    bool is_v6_only; /* the caller's: [::] takes no IPv4 */
    char host[256];  /* or the path */
    char port[6];
};
MUST_CHECK enum err listen_address_parse(const char *text, struct listen_address *ret_address);
bool listen_address_is_loopback(
    const struct listen_address *address); /* 127/8, ::1, localhost, unix */

/* --socket-mode: "0660", "600", octal and at most 0777. */
bool socket_mode_parse(const char *text, mode_t *ret_mode);

#endif
