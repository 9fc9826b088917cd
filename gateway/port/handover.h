/* A subscriber's socket on its way to the user's home worker, where it becomes a session. */
#ifndef HERALD_HANDOVER_H
#define HERALD_HANDOVER_H

#include "gateway/session/session.h"
#include "proto/note/subscribe_query.h"

struct handover {
    struct letter letter;
    struct worker *home;
    struct admission admission;   /* its spans lie in what follows */
    struct subscribe_query query; /* userId and device; `after` is in the admission */
    char bytes[];                 /* the User-Agent, the origin, the early bytes */
};

/* NULL: out of memory. `early` and the others are copied. */
struct handover *handover_new(struct span user_agent, struct span origin, struct span early);

/* For session_events.on_identified: the session's socket goes to the home of its user, which is
 * known now, and what it received and did not read goes along. */
void handover_identified(struct session *session);

/* From the worker `from`, whose socket it was: the session begins there at once if that is the
 * home, and otherwise there soon. Takes over the move and its socket, for which there is a place
 * among node->n_sessions. */
void handover_send(struct handover *handover, struct worker *from);

/* The user is known now: the admission's device and userId are the query's. */
static inline struct span handover_user(const struct handover *handover)
{
    return (struct span){handover->query.user_id, handover->query.user_id_len};
}

#endif
