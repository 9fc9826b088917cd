/* Where a subscriber's request carries its token (CONTRACT 2, Identity). Pure. */
#ifndef HERALD_PROTO_CREDENTIALS_H
#define HERALD_PROTO_CREDENTIALS_H

#include "proto/http/http_head.h"

/* Where the token is looked for, besides Authorization and the subprotocols. */
struct credentials_rules {
    struct span cookie; /* the cookie's name; empty: no cookie is read */
    bool is_token_in_query;
};

/* Finds the token in the first of these that the request has: Authorization: Bearer, the offered
 * subprotocol bearer.TOKEN, the cookie, `token` in the query. It points into `bytes`, or into
 * `room` if it had to be decoded. ERR_NOT_FOUND: none of them is there; an Authorization of another
 * scheme counts as absent, because it may be meant for a proxy. ERR_UNAUTHORIZED: Bearer without a
 * token. ERR_BAD_HEAD: two Authorization fields, two bearer. subprotocols, or two tokens in the
 * query. *ret_detail is a constant sentence for the last two. */
enum { CREDENTIALS_ROOM_BYTES = HTTP_HEAD_MAX_BYTES };
MUST_CHECK enum err credentials_token(const struct http_head *head, const char *bytes,
                                      const struct credentials_rules *rules,
                                      char room[CREDENTIALS_ROOM_BYTES], struct span *ret_token,
                                      const char **ret_detail);

#endif
