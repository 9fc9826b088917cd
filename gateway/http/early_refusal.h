/* Refusing a connection whose request is not read: the port has no room for it. */
#ifndef HERALD_EARLY_REFUSAL_H
#define HERALD_EARLY_REFUSAL_H

#include "gateway/http/http_port.h"
#include "gateway/node/worker.h"

/* Sends a problem like any other (ERR_CROWDED: 429, ERR_FULL: 503), counts it, and closes the
 * socket. A port with TLS sends nothing, because that would take a handshake. On the worker's
 * thread. */
void early_refusal_send(struct worker *worker, const struct http_port *port, int fd,
                        enum err error);

#endif
