/* What event streams do otherwise (session_sse.c). */
#ifndef HERALD_SESSION_SSE_H
#define HERALD_SESSION_SSE_H

#include "gateway/session/session.h"

void session_sse_end(struct session *session, enum err error,
                     uint32_t retry_ms);              /* a last `retry`, and FIN */
void session_sse_on_drained(struct session *session); /* the kernel has taken all */
/* Looks at what TCP has acknowledged, writes the comment when it is due. false: the peer has taken
 * nothing for --slow-timeout. */
MUST_CHECK bool session_sse_on_timer(struct session *session);

#endif
