/* Parses the options that say where to listen, and the mode of a Unix socket. It opens nothing;
 * gateway/net/listener.h does. Any thread. */
#ifndef HERALD_BASE_LISTEN_ADDRESS_H
#define HERALD_BASE_LISTEN_ADDRESS_H

#include "proto/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* The parts of HOST:PORT, [V6]:PORT or unix:PATH. */
struct listen_address {
    bool is_unix;
    bool is_v6_only; /* set by the caller: [::] accepts no IPv4 */
    char host[256];  /* the path if it is a Unix socket */
    char port[6];
};
MUST_CHECK enum err listen_address_parse(const char *text, struct listen_address *ret_address);
bool listen_address_is_loopback(
    const struct listen_address *address); /* true for 127/8, ::1, localhost, unix */

/* Reads --socket-mode: "0660", "600"; octal, at most 0777. */
bool socket_mode_parse(const char *text, mode_t *ret_mode);

#endif
