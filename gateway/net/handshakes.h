/* TLS handshakes under way on the connections of one thread; for conn.c.
 *
 * A handshake costs as much as a hundred pushes, and after an outage thousands come at once. So at
 * most HANDSHAKE_STEPS of them are carried on in a turn, behind what live connections have to do.
 * The others wait for their turn, and nothing is read of them meanwhile. Those that have begun and
 * those that are fresh have every second step; among the fresh, an address that has begun fewer
 * comes first.
 *
 * One that waits for its client takes memory alone: at most HANDSHAKES_BEGUN have been answered and
 * are not complete. When all places are taken, a fresh one takes that of the oldest of the address
 * that has begun the most, if that has more than its own will have; so nobody is kept out by
 * whoever opens many from a few addresses, and an address with one loses it to nobody. Where all
 * have as many, it waits until one is complete, or HANDSHAKE_GIVES_WAY_MS old: a storm of honest
 * clients does not push each other out. */
#ifndef HERALD_NET_HANDSHAKES_H
#define HERALD_NET_HANDSHAKES_H

#include "gateway/net/handshake_addresses.h"
#include "gateway/net/reactor.h"

struct conn;
struct handshake;

enum { HANDSHAKE_STEPS = 4, HANDSHAKE_GIVES_WAY_MS = 2000 };

struct handshakes {
    struct reactor *reactor;
    struct handshake_addresses addresses;
    struct list ready; /* became ready in this turn, and are still watched */
    struct reactor_task task;
    struct timer give_way;
};

MUST_CHECK enum err handshakes_init(struct handshakes *handshakes, struct reactor *reactor);
void handshakes_fini(struct handshakes *handshakes);

/* `from`: the client's address, for whose sake a limit is kept. ERR_NO_MEMORY. */
MUST_CHECK enum err handshake_new(struct conn *conn, const struct ip *from,
                                  struct handshake **ret_handshake);

/* The socket is ready for the next step, which is taken at the end of this turn or of a later one.
 * Then conn_shaken says that it is complete, or on_gone that it has failed. */
void handshake_ready(struct handshakes *handshakes, struct handshake *handshake);

/* Is it waiting for its turn? */
bool handshake_is_waiting(const struct handshake *handshake);

/* Has the client said anything? Who leaves before that (a health check) has not failed. */
bool handshake_has_spoken(const struct handshake *handshake);

void handshake_free(struct handshakes *handshakes, struct handshake *handshake);

#endif
