/* What a message of the running process holds, built here on the workers, held. For
 * upgrade_take. */
#ifndef HERALD_UPGRADE_ADOPT_H
#define HERALD_UPGRADE_ADOPT_H

#include "gateway/node/node.h"
#include "gateway/upgrade/upgrade_link.h"

enum { UPGRADE_TAG_RECORD = 1 }; /* each record of a message is an item of this tag */

/* What was built, and what could not be. */
struct upgrade_adopted {
    struct node *node;
    struct http_port *ports[2]; /* subscribers, admin */
    uint32_t n_sessions;        /* also those that could not be built */
    uint32_t n_http;
    unsigned next_worker; /* for connections that have no home */
    struct away *away;
};

/* Each takes a message's descriptors. ERR_INVALID_FIELD: it does not hold what it should, one
 * record for each descriptor. ERR_NO_MEMORY. What is wrong in one record concerns that connection
 * alone. */
MUST_CHECK enum err upgrade_adopt_sessions(struct upgrade_adopted *adopted,
                                           struct upgrade_message *message);
MUST_CHECK enum err upgrade_adopt_http(struct upgrade_adopted *adopted,
                                       struct upgrade_message *message);

/* The sockets are this process's: all go on, and those that could not be built are turned away. */
void upgrade_adopt_go(struct upgrade_adopted *adopted);

#endif
