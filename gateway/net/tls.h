/* TLS as a transport (transport.h), for the connections that come in and for those that we make. */
#ifndef HERALD_NET_TLS_H
#define HERALD_NET_TLS_H

#include "gateway/net/tls_client.h"
#include "gateway/net/tls_context.h"
#include "gateway/net/transport.h"

/* Makes the transport of one connection. It needs little memory until the first step of the
 * handshake, then about 14 KB. The context must outlive it. It may move between threads, if one
 * thread at a time uses it. */
MUST_CHECK enum err tls_new(struct tls_context *context, struct transport **ret_transport);

/* The same towards a server whose certificate must name `name`. The client is not needed any more
 * when this returns. */
MUST_CHECK enum err tls_new_outgoing(struct tls_client *client, const char *name,
                                     struct transport **ret_transport);

enum tls_problem {
    TLS_BROKEN,     /* for another reason */
    TLS_UNTRUSTED,  /* the server's certificate is not good */
    TLS_NOT_SPOKEN, /* what the server answered is no TLS */
};
/* Of an outgoing transport after TRANSPORT_BROKEN: why, as OpenSSL says it, in *ret_text, which
 * stays while the transport does. */
enum tls_problem tls_outgoing_problem(const struct transport *transport, const char **ret_text);

#endif
