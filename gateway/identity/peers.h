/* Where subscribers come from: the addresses that trusted proxies tell, and how many connections
 * and handshakes each address has (CONTRACT 7, --trusted-proxy, --max-connections-per-address).
 *
 * A `source` is one connection's, from its HTTP connection to its end, and passed along with its
 * socket; NULL where there is nothing to remember: the peer is who it says, and no limit is set.
 * One thread at a time has it; the counts behind it are shared by all workers. */
#ifndef HERALD_PEERS_H
#define HERALD_PEERS_H

#include "gateway/base/options.h"
#include "proto/bytes/cidr.h"
#include "proto/http/http_head.h"

struct sources;
struct source;

/* ERR_NO_MEMORY; ERR_INVALID_FIELD: a --trusted-proxy is no range. */
MUST_CHECK enum err sources_new(const struct options *options, struct sources **ret_sources);
void sources_free(struct sources *sources); /* when no source is left; NULL is fine */

/* A connection has come from `peer`; NULL: from a unix socket, whose peers have no address and are
 * trusted together (--trusted-proxy unix:) or not.
 * ERR_CROWDED: its address has so many already that no request is read from it. ERR_NO_MEMORY. */
MUST_CHECK enum err source_arrive(struct sources *sources, const struct ip *peer,
                                  struct source **ret_source);
void source_leave(struct source *source); /* NULL is fine */

/* The peer is a trusted proxy and has not said yet whose connection it is. */
bool source_is_untold(const struct source *source);

/* What the PROXY header says; has_address false: the proxy's own connection. As source_arrive. */
MUST_CHECK enum err source_tell(struct source *source, bool has_address, const struct ip *ip);

/* The same from the head of a request, for one that is untold. */
void source_tell_by_head(struct source *source, const struct http_head *head, const char *bytes);

/* A request is over, and another may follow on its connection. What a trusted proxy has told in a
 * head holds no longer: the next one may be another client's. NULL is fine, here and below. */
void source_next(struct source *source);

/* The connection has no request under way: it counts for nothing, since it makes room for others,
 * until something comes. source_wake answers as source_arrive. */
void source_rest(struct source *source);
MUST_CHECK enum err source_wake(struct source *source);

/* Did a PROXY header or X-Forwarded-For name somebody? */
bool source_is_proxied(const struct source *source);

/* May it subscribe? ERR_CROWDED: its address has its connections; ERR_RATE: too many handshakes in
 * this second. Asked once for each request. */
MUST_CHECK enum err source_enter(struct source *source);

/* Whom the PROXY header names, or else the peer. */
const struct ip *source_address(const struct source *source);

/* For whom work on the connection `fd` is done: whom a trusted proxy has named, or else the peer.
 * All zero: it has no address. */
struct ip source_of_work(const struct source *source, int fd);

/* The address of one that is proxied. false: it is the peer's (listener_peer). */
bool source_describe(const struct source *source, char *out, size_t cap);

#endif
