/* Where subscribers come from: the client addresses that trusted proxies report, and how many
 * connections and handshakes each address has (CONTRACT 7, --trusted-proxy,
 * --max-connections-per-address).
 *
 * A `peer` belongs to one connection, from its arrival to its end, and is passed along with the
 * socket. It is NULL where nothing has to be remembered: the socket's own address counts
 * (getpeername), and no limit is set. One thread at a time uses it; the counts that it points to
 * are shared by all workers, under a mutex of their own. */
#ifndef HERALD_PEERS_H
#define HERALD_PEERS_H

#include "gateway/base/options.h"
#include "proto/bytes/cidr.h"
#include "proto/http/http_head.h"

struct peers;
struct peer;

/* ERR_NO_MEMORY; ERR_INVALID_FIELD: a --trusted-proxy is no range. */
MUST_CHECK enum err peers_new(const struct options *options, struct peers **ret_peers);
void peers_free(struct peers *peers); /* when no peer is left; NULL is fine */

/* A connection has come from the address `from`; NULL: from a unix socket, whose peers have no
 * address and are trusted together (--trusted-proxy unix:) or not at all. ERR_CROWDED: its address
 * is so far above its limit that not even the request is read. ERR_NO_MEMORY. */
MUST_CHECK enum err peer_arrive(struct peers *peers, const struct ip *from, struct peer **ret_peer);
void peer_leave(struct peer *peer); /* NULL is fine */

/* It is a trusted proxy, which has not said yet for which client it connects. */
bool peer_is_unresolved(const struct peer *peer);

/* The client's address by the PROXY header; has_address false: the connection is the proxy's own.
 * Errors as of peer_arrive. */
MUST_CHECK enum err peer_tell(struct peer *peer, bool has_address, const struct ip *ip);

/* The same by the head of a request (X-Forwarded-For), of a peer that is unresolved. */
void peer_tell_by_head(struct peer *peer, const struct http_head *head, const char *bytes);

/* A request is over, and another may follow on its connection. An address that a head has named
 * counts no longer, because the next request may be another client's. NULL is fine, here and below.
 */
void peer_next(struct peer *peer);

/* The connection rests between two requests. It does not count until the next one begins, since it
 * makes room for others. Errors of peer_wake as of peer_arrive. */
void peer_rest(struct peer *peer);
MUST_CHECK enum err peer_wake(struct peer *peer);

/* Has a PROXY header or X-Forwarded-For named a client? */
bool peer_is_proxied(const struct peer *peer);

/* May it subscribe? ERR_CROWDED: its address has all of its connections; ERR_RATE: too many
 * handshakes in this second. Once for each request. */
MUST_CHECK enum err peer_enter(struct peer *peer);

/* The client that the PROXY header names, or else the peer itself. */
const struct ip *peer_address(const struct peer *peer);

/* The address that work for the connection `fd` counts for: the client that a trusted proxy has
 * named, or else the peer itself. All zero: it has no address. */
struct ip peer_of_work(const struct peer *peer, int fd);

/* Writes the client's address, if it is proxied. false: it is the socket's own (listener_peer). */
bool peer_describe(const struct peer *peer, char *out, size_t cap);

#endif
