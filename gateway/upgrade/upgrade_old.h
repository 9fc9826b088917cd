/* The process that hands its sessions over, as the sources of its side share it: for upgrade_give,
 * upgrade_freeze and upgrade_stream alone, and filled in by whoever starts an upgrade. */
#ifndef HERALD_UPGRADE_OLD_H
#define HERALD_UPGRADE_OLD_H

#include "gateway/node/node.h"
#include "gateway/upgrade/upgrade.h"
#include "gateway/upgrade/upgrade_hello.h"
#include "gateway/upgrade/upgrade_link.h"

#include <sys/types.h>

/* As long as nodes know one that has not said goodbye. */
enum { NAMESAKE_MS = 15000 };

/* What an upgrade is about, and who is asked on the way. Everything stays the caller's, and as it
 * is until the upgrade has ended. On the main thread. */
struct upgrade_old {
    struct node *node;
    struct http_port *admin_port;
    char **argv;       /* the new program, and what it is called with */
    struct span place; /* which store this process has (stores.h) */
    int64_t timeout_ms;
    void *owner;
    /* Admin requests end: no new connection is kept, waits are answered. true: none is under way.
     * Called again and again until then. */
    bool (*quiesce)(void *owner);
    void (*resume)(void *owner); /* ...and go on as before */
    /* While the main thread waits in a freeze, several times a second: says that it is alive. */
    void (*on_wait)(void *owner);
};

/* An upgrade from START on. */
struct upgrade_give {
    struct upgrade_old old;
    struct upgrade_link *link;
    pid_t pid;        /* of the new process; 0: there is none (any more) */
    int64_t begun_ms; /* monotonic, as all */
    int64_t end_ms;   /* of --upgrade-timeout */
    int64_t settle_end_ms;
    bool is_ready;
    bool holds_requests; /* the admin port accepts no more, so that what is under way can end */
    uint32_t format;
    char version[UPGRADE_VERSION_MAX_BYTES]; /* of the new process */
    char why[UPGRADE_WHY_MAX_BYTES];         /* it is given up */
    uint32_t n_sessions;                     /* that were given */
    uint32_t n_http;
    uint32_t in_flight; /* descriptors that were sent and that TAKEN has not told of */
};

/* Has the new process refused, or is the link of no more use? Then give->why says how. */
MUST_CHECK bool upgrade_peer_has_failed(struct upgrade_give *give, enum upgrade_receipt receipt,
                                        const struct upgrade_message *message);

/* The new process has received as many descriptors as TAKEN says. false: give->why. */
MUST_CHECK bool upgrade_count_taken(struct upgrade_give *give,
                                    const struct upgrade_message *message);

/* Takes each TAKEN that has come, so that what the new process says never fills the link, and sends
 * it before the upgrade's time is over. false: give->why says why not; what the new process
 * has said before it closed the link counts most. */
MUST_CHECK bool upgrade_send(struct upgrade_give *give, enum upgrade_kind kind, struct span bytes,
                             const int *fds, unsigned n_fds);

/* Waits for the next message until `end_ms`, with signs of life. false: there is none in time, a
 * signal to stop has come (it stays pending), or the new process has failed: give->why. */
MUST_CHECK bool upgrade_await(struct upgrade_give *give, int64_t end_ms,
                              struct upgrade_message *ret_message);

#endif
