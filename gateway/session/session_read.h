/* What comes in on a WebSocket. */
#ifndef HERALD_SESSION_READ_H
#define HERALD_SESSION_READ_H

#include "gateway/session/session.h"

/* conn_ops.on_bytes */
size_t session_on_bytes(struct conn *conn, uint8_t *bytes, size_t len);

#endif
