/* A second node on the store of node_fixture.h, in the place of the process that takes its sockets
 * over: each has a descriptor of its own for each socket. What goes from one to the other is
 * written as a record and read again. Failures end the test (criterion). */
#ifndef HERALD_TESTS_SUCCESSOR_H
#define HERALD_TESTS_SUCCESSOR_H

#include "gateway/identity/peers.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"

struct successor {
    struct options options; /* those of the fixture; may be changed before successor_take */
    struct node node;
    struct worker *worker;
    struct peers *peers;
    unsigned n_adopted;
    unsigned n_refused; /* sessions that could not be made; their sockets are closed */
};

extern struct successor successor;

/* After node_fixture_start; and a test suite's .fini, which stops the fixture, too. */
void successor_start(void);
void successor_stop(void);

/* The fixture's node stands still, and the successor holds all that it carries. */
void successor_take(void);
/* The node lets them go, and the successor goes on with them, in one turn of each. */
void successor_go(void);
/* The successor gives up, and the node goes on. */
void successor_give_up(void);

/* All of it. */
void successor_take_over(void);

/* The first session of a user, or of those who wait in AUTH (user_id NULL). */
struct session *successor_session(const char *user_id);

#endif
