/* The address of a Redis or a Sentinel: a name or a number, and a port. */
#ifndef HERALD_STORE_REDIS_ADDRESS_H
#define HERALD_STORE_REDIS_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    REDIS_HOST_MAX_BYTES = 255,
    REDIS_ADDRESS_TEXT_BYTES =
        REDIS_HOST_MAX_BYTES + 2 + 1 + 5 + 1, /* brackets, colon, port, NUL */
};

struct redis_address {
    char host[REDIS_HOST_MAX_BYTES + 1]; /* an IPv6 without its brackets */
    uint16_t port;
};

static inline bool redis_address_equal(const struct redis_address *a, const struct redis_address *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

/* HOST:PORT, with brackets around an IPv6. */
static inline void redis_address_write(const struct redis_address *address,
                                       char out[REDIS_ADDRESS_TEXT_BYTES])
{
    bool is_ipv6 = strchr(address->host, ':') != NULL;
    snprintf(out, REDIS_ADDRESS_TEXT_BYTES, is_ipv6 ? "[%s]:%u" : "%s:%u", address->host,
             (unsigned)address->port);
}

#endif
