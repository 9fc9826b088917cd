/* A subscriber's socket on its way to the user's home worker, where it becomes a session. */
#ifndef HERALD_HANDOVER_H
#define HERALD_HANDOVER_H

#include "gateway/session/session.h"

struct handover {
    struct letter letter;
    struct worker *home;
    struct admission admission; /* its spans lie in what follows */
    size_t n_early;             /* received, and not read yet: at the end of what follows */
    uint8_t *early;
    char bytes[]; /* the User-Agent, the origin, the early bytes */
};

/* The admission, what its spans point to and the early bytes are copied. NULL: out of memory. */
struct handover *handover_new(const struct admission *admission, struct span early);

/* For session_events.on_identified: the session's socket goes to the home of its user, which is
 * known now, and what it received and did not read goes along. */
void handover_identified(struct session *session);

/* From the worker `from`, whose socket it was: the session begins there at once if that is the
 * home, and otherwise there soon. Takes over the handover and its socket, for which there is a
 * place among node->n_sessions. */
void handover_send(struct handover *handover, struct worker *from);

#endif
