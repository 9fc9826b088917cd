/* The PROXY protocol's header, versions 1 and 2 (haproxy's proxy-protocol.txt): what a proxy sends
 * before anything else, to say whose connection it passes on. Pure and without state: the caller
 * keeps what has come in one buffer, and asks again with more. */
#ifndef HERALD_PROTO_PROXY_HEAD_H
#define HERALD_PROTO_PROXY_HEAD_H

#include "proto/bytes/cidr.h"

/* Version 1 is at most 107 bytes (section 2.1). Version 2 may name 65 551; nobody sends so many,
 * and more than this is refused. */
enum { PROXY_HEAD_V1_MAX_BYTES = 107, PROXY_HEAD_MAX_BYTES = 2048 };

enum proxy_head_result {
    PROXY_HEAD_MORE, /* a header's beginning, or too little to tell */
    PROXY_HEAD_DONE,
    PROXY_HEAD_NONE, /* the connection begins with something else */
    PROXY_HEAD_BAD,  /* a signature, and what follows is no header (or longer than the limit) */
};

struct proxy_head {
    size_t len;       /* the bytes that are the header */
    bool has_address; /* false: LOCAL, UNKNOWN or another family than IP: it is the proxy's own */
    struct ip address;
};

/* `ret_head` is written when it is DONE. */
MUST_CHECK enum proxy_head_result proxy_head_parse(struct span bytes, struct proxy_head *ret_head);

#endif
