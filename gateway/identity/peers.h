/* The addresses of subscribers, including those that trusted proxies report, and the limits on
 * connections and handshakes of each address (CONTRACT 7, --trusted-proxy,
 * --max-connections-per-address).
 *
 * A `peer` belongs to one connection, from its arrival to its end, and is passed along with the
 * socket. It is NULL if nothing has to be stored, that is if the socket's own address is used
 * (getpeername) and no limit is set. One thread at a time uses it; the counts that it points to are
 * shared by all workers, under a mutex. */
#ifndef HERALD_PEERS_H
#define HERALD_PEERS_H

#include "gateway/base/options.h"
#include "proto/bytes/cidr.h"
#include "proto/http/http_head.h"

struct peers;
struct peer;

/* ERR_NO_MEMORY; ERR_INVALID_FIELD: a --trusted-proxy is not a valid range. */
MUST_CHECK enum err peers_new(const struct options *options, struct peers **ret_peers);
/* For a port that only bounds how many of its connections an address has, idle ones included:
 * peer_arrive answers ERR_CROWDED beyond that. No proxy is trusted. ERR_NO_MEMORY. */
MUST_CHECK enum err peers_new_share(uint32_t max_connections, struct peers **ret_peers);
void peers_free(struct peers *peers); /* when no peer is left; NULL is fine */

/* What of a peer travels to a process that takes its connection over. */
struct carried_peer {
    bool is_proxied;    /* a trusted proxy has named its client's address... */
    struct ip address;  /* ...this */
    bool is_unresolved; /* it is a trusted proxy that has not named its client yet */
};

/* NULL is a peer whose socket says all. */
void peer_carry(const struct peer *peer, struct carried_peer *ret_carried);
/* The same between two requests: an address that a head has named is dropped, as in peer_next. */
void peer_carry_unnamed(const struct peer *peer, struct carried_peer *ret_carried);
/* As peer_arrive, for a connection that comes from another process. It counts for its address, and
 * is taken however many that has. A proxy that is not trusted any more is its own client.
 * ERR_NO_MEMORY. */
MUST_CHECK enum err peer_adopt(struct peers *peers, const struct ip *from,
                               const struct carried_peer *carried, struct peer **ret_peer);

/* Call it when a connection arrives from the address `from`; NULL: from a unix socket, whose peers
 * have no address and are either all trusted (--trusted-proxy unix:) or not. ERR_CROWDED: its
 * address is so far above its limit that the request is not read. ERR_NO_MEMORY. */
MUST_CHECK enum err peer_arrive(struct peers *peers, const struct ip *from, struct peer **ret_peer);
void peer_leave(struct peer *peer); /* NULL is fine */

/* Is it a trusted proxy that has not named its client yet? */
bool peer_is_unresolved(const struct peer *peer);

/* Sets the client's address from the PROXY header; has_address false: the connection is the proxy's
 * own. Errors as peer_arrive. */
MUST_CHECK enum err peer_resolve(struct peer *peer, bool has_address, const struct ip *ip);

/* The same from the head of a request (X-Forwarded-For), for an unresolved peer. */
void peer_resolve_by_head(struct peer *peer, const struct http_head *head, const char *bytes);

/* Call it when a request is over and another may follow on its connection. An address that a head
 * named is dropped, because the next request may be another client's. NULL is fine, here and
 * below. */
void peer_next(struct peer *peer);

/* An idle connection between two requests does not count, because it is closed when others need its
 * place. peer_rest begins that state, peer_wake ends it, with the errors of peer_arrive. */
void peer_rest(struct peer *peer);
MUST_CHECK enum err peer_wake(struct peer *peer);

/* Has a PROXY header or X-Forwarded-For named a client? */
bool peer_is_proxied(const struct peer *peer);

/* May it subscribe? Call it once for each request. ERR_CROWDED: its address is at its limit of
 * connections; ERR_RATE: at its limit of handshakes a second. */
MUST_CHECK enum err peer_enter(struct peer *peer);

/* The address of the client that a PROXY header or a head has named, or else of the peer itself. */
const struct ip *peer_address(const struct peer *peer);

/* The address for which work of the connection `fd` is counted: that of the client that a trusted
 * proxy has named, or else of the peer itself. All zero: it has none. */
struct ip peer_of_work(const struct peer *peer, int fd);

/* Writes the client's address if a proxy has named it. false: use the socket's (listener_peer). */
bool peer_describe(const struct peer *peer, char *out, size_t cap);

#endif
