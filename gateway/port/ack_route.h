/* POST /ack?userId=ID&id=MSGID: an event stream's page acknowledges (CONTRACT 2). */
#ifndef HERALD_ACK_ROUTE_H
#define HERALD_ACK_ROUTE_H

#include "gateway/http/http_conn.h"

/* 204; 400 a bad query; 409 another epoch, or what was never written to a stream of that user;
 * 503 the store is away. */
void ack_request(struct http_conn *http_conn);

#endif
