/* The server's side of TLS as a transport (transport.h). */
#ifndef HERALD_NET_TLS_H
#define HERALD_NET_TLS_H

#include "gateway/net/tls_context.h"
#include "gateway/net/transport.h"

/* For one connection. It takes little until the first step of the handshake; then about 14 KB. The
 * context must outlive it. May move between threads, as long as one at a time uses it. The process
 * must ignore SIGPIPE: OpenSSL writes with write(2). */
MUST_CHECK enum err tls_new(struct tls_context *context, struct transport **ret_transport);

#endif
