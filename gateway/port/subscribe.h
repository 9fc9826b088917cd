/* GET /ws and GET /sse: from a request that may come in to a socket on its way to its home worker,
 * or a refusal. On the HTTP connection's worker. */
#ifndef HERALD_SUBSCRIBE_H
#define HERALD_SUBSCRIBE_H

#include "gateway/http/http_conn.h"

void subscribe_socket(struct http_conn *http_conn);
void subscribe_stream(struct http_conn *http_conn);

#endif
