/* The PROXY protocol's header, versions 1 and 2 (haproxy's proxy-protocol.txt): a proxy sends it
 * before anything else, to name the client of the connection that it forwards. Pure and without
 * state: the caller collects the bytes in one buffer, and parses them again when there are more. */
#ifndef HERALD_PROTO_PROXY_HEAD_H
#define HERALD_PROTO_PROXY_HEAD_H

#include "proto/bytes/cidr.h"

/* Version 1 is at most 107 bytes (section 2.1). Version 2 allows up to 65 551; no known proxy comes
 * near that, and a header longer than PROXY_HEAD_MAX_BYTES is refused. */
enum { PROXY_HEAD_V1_MAX_BYTES = 107, PROXY_HEAD_MAX_BYTES = 2048 };

enum proxy_head_result {
    PROXY_HEAD_MORE, /* a header that is not complete, or too few bytes to decide */
    PROXY_HEAD_DONE,
    PROXY_HEAD_NONE, /* the connection begins with something else */
    PROXY_HEAD_BAD,  /* a signature whose header is malformed or over the limit */
};

struct proxy_head {
    size_t len;       /* the bytes that are the header */
    bool has_address; /* false: LOCAL, UNKNOWN or a family other than IP; the connection is the
                         proxy's own */
    struct ip address;
};

/* Writes *ret_head when it returns PROXY_HEAD_DONE. */
MUST_CHECK enum proxy_head_result proxy_head_parse(struct span bytes, struct proxy_head *ret_head);

#endif
