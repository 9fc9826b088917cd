/* The bytes of the floor's sockets, with TLS if it was started with a certificate. One thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { MAX_FDS = 20000 };

_Noreturn void die(const char *what);

/* Before the first connection. cert, key: PEM files. */
void secure_all(const char *cert, const char *key);
/* A socket that was accepted. */
void open_bytes(int fd);
void close_bytes(int fd);
/* As recv(2) and send(2) without waiting, except that a message is sent as a whole or not at all.
 * TLS shakes hands within these calls. */
ssize_t receive_bytes(int fd, void *bytes, size_t cap);
bool send_bytes(int fd, const void *bytes, size_t len);
/* TLS has taken more from the kernel than was asked for: receive again. */
bool has_more_bytes(int fd);
