/* POST /ack?userId=ID&id=MSGID: the page of an event stream acknowledges (CONTRACT 2). */
#ifndef HERALD_ACK_ROUTE_H
#define HERALD_ACK_ROUTE_H

#include "gateway/http/http_conn.h"

/* On the HTTP connection's worker. Answers 204; 400: a bad query; 401: bad credentials; 409: an id
 * of another epoch, or one that was never written to a stream of that user; 503: the store is away.
 */
void ack_route_serve(struct http_conn *http_conn);

#endif
