/* TLS, server side, as a transport (transport.h). */
#ifndef HERALD_NET_TLS_H
#define HERALD_NET_TLS_H

#include "gateway/net/tls_context.h"
#include "gateway/net/transport.h"

/* Makes the transport of one connection. It needs little memory until the first step of the
 * handshake, then about 14 KB. The context must outlive it. It may move between threads, if one
 * thread at a time uses it. */
MUST_CHECK enum err tls_new(struct tls_context *context, struct transport **ret_transport);

#endif
