/* Runs the TLS handshakes on the sockets of one thread. It does not know connections: the owner
 * passes its reactor_watch, and the two callbacks return it.
 *
 * A handshake costs as much as a hundred pushes, and after an outage thousands come at once. So
 * each turn carries on at most HANDSHAKE_STEPS of them, after the work of live connections. The
 * others are deferred, and nothing is read from them meanwhile. Handshakes that have started and
 * fresh ones take every second step each; among the fresh ones, the address with the fewest started
 * goes first.
 *
 * A started handshake that waits for its client costs memory: at most HANDSHAKES_BEGUN have been
 * answered and are not complete. When all these slots are taken, a fresh handshake takes the slot
 * of the oldest one of the address that has started the most, if that address has more than its own
 * would then have. So a client that opens many from a few addresses shuts out nobody else, and the
 * only handshake of an address is never evicted. If all addresses have the same number, a fresh one
 * waits until a handshake completes or is HANDSHAKE_GIVES_WAY_MS old, so that many honest clients
 * that connect at once do not evict each other. */
#ifndef HERALD_NET_HANDSHAKES_H
#define HERALD_NET_HANDSHAKES_H

#include "gateway/net/handshake_addresses.h"
#include "gateway/net/reactor.h"

struct handshake;
struct transport;

enum { HANDSHAKE_STEPS = 4, HANDSHAKE_GIVES_WAY_MS = 2000 };

/* The outcome of a handshake, at the end of a turn. Either one frees the handshake (handshake_free)
 * before it returns. */
struct handshake_ops {
    void (*on_shaken)(struct reactor_watch *socket);
    void (*on_failed)(struct reactor_watch *socket); /* broken, gone, or evicted by another one */
};

struct handshakes {
    struct reactor *reactor;
    const struct handshake_ops *ops;
    struct handshake_addresses addresses;
    struct list ready; /* handshakes that became ready in this turn, and are still watched */
    struct reactor_task task;
    struct timer give_way;
};

MUST_CHECK enum err handshakes_init(struct handshakes *handshakes, struct reactor *reactor,
                                    const struct handshake_ops *ops);
void handshakes_fini(struct handshakes *handshakes);

/* `socket` must be watched for EPOLLIN; `transport` runs the handshake on it. Both outlive the
 * handshake, which changes the events that the socket is watched for. `from` is the client's
 * address, to which the limits apply. ERR_NO_MEMORY. */
MUST_CHECK enum err handshake_new(struct handshakes *handshakes, struct reactor_watch *socket,
                                  struct transport *transport, const struct ip *from,
                                  struct handshake **ret_handshake);

/* Call it when the socket is ready. The next step runs at the end of this turn or of a later
 * one. */
void handshake_ready(struct handshakes *handshakes, struct handshake *handshake);

/* Is it waiting for its turn? */
bool handshake_is_waiting(const struct handshake *handshake);

/* Has the client sent anything? A client that leaves before (a health check) has not failed. */
bool handshake_has_spoken(const struct handshake *handshake);

void handshake_free(struct handshakes *handshakes, struct handshake *handshake);

#endif
