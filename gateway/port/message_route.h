/* POST /message?userId=ID&id=CLIENTID: the page of an event stream says something to the backends.
 */
#ifndef HERALD_MESSAGE_ROUTE_H
#define HERALD_MESSAGE_ROUTE_H

#include "gateway/http/http_conn.h"

/* On the HTTP connection's worker, where the node takes messages. Answers 202 when the message is
 * kept; 400: a bad query, a body that is no JSON; 401: bad credentials; 413: more than
 * CLIENT_MESSAGE_MAX_BYTES; 415: another media type; 429: the user has sent too much; 503: the node
 * drains, or the message cannot be kept. */
void message_route_serve(struct http_conn *http_conn);

#endif
