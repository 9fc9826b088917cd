/* What of an HTTP connection travels to the process that takes its socket over: one that rests
 * between two requests, or whose next request is not complete. One with a request under way stays
 * where it is, as its answer would be lost; so does one with TLS, whose state cannot be carried. */
#ifndef HERALD_CARRIED_HTTP_H
#define HERALD_CARRIED_HTTP_H

#include "gateway/identity/peers.h"

enum carried_http_state {
    CARRIED_HTTP_PROXY,   /* of a trusted proxy: its PROXY header is awaited, and nothing is read */
    CARRIED_HTTP_HEAD,    /* a head is awaited, and `bytes` of it have come */
    CARRIED_HTTP_RESTING, /* between two requests */
    CARRIED_HTTP_STATES,
};

struct carried_http {
    enum carried_http_state state;
    struct carried_peer peer;
    uint32_t waited_ms; /* for the head, or since it rests */
    uint64_t n_skipped; /* HEAD: bytes still to come, before it, of a body that is not read */
    struct span bytes;  /* whoever filled it in owns them */
};

/* The connection and its socket stay the caller's. true: it has been given away, and is to be let
 * go when the other process has it. */
typedef bool carried_http_fn(void *closure, int fd, const struct carried_http *carried);

#endif
