/* The user of a request of a page (POST /ack, POST /message), by its credentials. */
#ifndef HERALD_ROUTE_USER_H
#define HERALD_ROUTE_USER_H

#include "gateway/http/http_conn.h"
#include "proto/bytes/user_id.h"

/* In on_request, on the HTTP connection's worker. `user_id` holds the one that the query names
 * (*len 0: none), and is that of the credentials then. false: the request is refused. */
MUST_CHECK bool route_user_identify(struct http_conn *http_conn, char user_id[USER_ID_MAX_BYTES],
                                    size_t *len);

#endif
