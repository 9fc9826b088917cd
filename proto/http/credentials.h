/* Where a subscriber's request carries its token (CONTRACT 2, Identity). Pure. */
#ifndef HERALD_PROTO_CREDENTIALS_H
#define HERALD_PROTO_CREDENTIALS_H

#include "proto/http/http_head.h"

/* Where it may stand. */
struct credentials_rules {
    struct span cookie; /* the cookie's name; empty: in none */
    bool is_token_in_query;
};

/* The token, from the first of these that is there: Authorization: Bearer, the offered subprotocol
 * bearer.TOKEN, the cookie, `token` in the query. It lies in `bytes`, or decoded in `room`.
 * ERR_NOT_FOUND: there is none. ERR_BAD_HEAD: Authorization stands twice or has another scheme, or
 * two bearer. names are offered, or token stands twice in the query; *ret_detail is a constant. */
enum { CREDENTIALS_ROOM_BYTES = HTTP_HEAD_MAX_BYTES };
MUST_CHECK enum err credentials_token(const struct http_head *head, const char *bytes,
                                      const struct credentials_rules *rules,
                                      char room[CREDENTIALS_ROOM_BYTES], struct span *ret_token,
                                      const char **ret_detail);

#endif
