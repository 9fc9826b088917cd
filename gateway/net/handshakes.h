/* TLS handshakes under way on the connections of one thread; for conn.c.
 *
 * A handshake costs as much as a hundred pushes, and after an outage thousands come at once. So at
 * most HANDSHAKE_STEPS of them are carried on in a turn, behind what live connections have to do,
 * and at most HANDSHAKES_BEGUN have been answered and are not complete. The others wait, those that
 * have begun first, then in the order of arrival; nothing is read of them meanwhile. When all
 * places are taken, the one that has begun first gives way, once it is HANDSHAKE_GIVES_WAY_MS old:
 * whoever opens handshakes and does not go on with them keeps nobody out for longer. */
#ifndef HERALD_NET_HANDSHAKES_H
#define HERALD_NET_HANDSHAKES_H

#include "gateway/net/reactor.h"

struct conn;
struct handshake;

enum { HANDSHAKE_STEPS = 4, HANDSHAKES_BEGUN = 512, HANDSHAKE_GIVES_WAY_MS = 2000 };

struct handshakes {
    struct reactor *reactor;
    struct list ready;   /* became ready in this turn */
    struct list waiting; /* were put off; nothing is read of them */
    struct list begun;   /* the oldest first */
    unsigned n_begun;
    struct reactor_task task;
    struct timer give_way;
};

void handshakes_init(struct handshakes *handshakes, struct reactor *reactor);
void handshakes_fini(struct handshakes *handshakes);

MUST_CHECK enum err handshake_new(struct conn *conn, struct handshake **ret_handshake);

/* The socket is ready for the next step, which is taken at the end of this turn or of a later one.
 * Then conn_shaken says that it is complete, or on_gone that it has failed. */
void handshake_ready(struct handshakes *handshakes, struct handshake *handshake);

/* Is it waiting for its turn? */
bool handshake_is_waiting(const struct handshake *handshake);

void handshake_free(struct handshakes *handshakes, struct handshake *handshake);

#endif
