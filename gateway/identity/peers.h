/* Where subscribers come from: the addresses that trusted proxies tell, and how many connections
 * and handshakes each address has (CONTRACT 7, --trusted-proxy, --max-connections-per-address).
 *
 * A `peer` is one connection's, from its HTTP connection to its end, and passed along with its
 * socket; NULL where there is nothing to remember: the peer is who it says, and no limit is set.
 * One thread at a time has it; the counts behind it are shared by all workers. */
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

/* A connection has come from `peer`; NULL: from a unix socket, whose peers have no address and are
 * trusted together (--trusted-proxy unix:) or not.
 * ERR_CROWDED: its address has so many already that no request is read from it. ERR_NO_MEMORY. */
MUST_CHECK enum err peer_arrive(struct peers *peers, const struct ip *from, struct peer **ret_peer);
void peer_leave(struct peer *peer); /* NULL is fine */

/* The peer is a trusted proxy and has not said yet whose connection it is. */
bool peer_is_unresolved(const struct peer *peer);

/* What the PROXY header says; has_address false: the proxy's own connection. As peer_arrive. */
MUST_CHECK enum err peer_tell(struct peer *peer, bool has_address, const struct ip *ip);

/* The same from the head of a request, for one that is unresolved. */
void peer_tell_by_head(struct peer *peer, const struct http_head *head, const char *bytes);

/* A request is over, and another may follow on its connection. What a trusted proxy has told in a
 * head holds no longer: the next one may be another client's. NULL is fine, here and below. */
void peer_next(struct peer *peer);

/* The connection has no request under way: it counts for nothing, since it makes room for others,
 * until something comes. peer_wake answers as peer_arrive. */
void peer_rest(struct peer *peer);
MUST_CHECK enum err peer_wake(struct peer *peer);

/* Did a PROXY header or X-Forwarded-For name somebody? */
bool peer_is_proxied(const struct peer *peer);

/* May it subscribe? ERR_CROWDED: its address has its connections; ERR_RATE: too many handshakes in
 * this second. Asked once for each request. */
MUST_CHECK enum err peer_enter(struct peer *peer);

/* Whom the PROXY header names, or else the peer. */
const struct ip *peer_address(const struct peer *peer);

/* For whom work on the connection `fd` is done: whom a trusted proxy has named, or else the peer.
 * All zero: it has no address. */
struct ip peer_of_work(const struct peer *peer, int fd);

/* The address of one that is proxied. false: it is the peer's (listener_peer). */
bool peer_describe(const struct peer *peer, char *out, size_t cap);

#endif
