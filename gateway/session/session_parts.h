/* Between the files of a session (session.h); for session*.c alone. */
#ifndef HERALD_SESSION_PARTS_H
#define HERALD_SESSION_PARTS_H

#include "gateway/session/session.h"

/* Milliseconds that wrap after 49 days; only differences are looked at. */
static inline uint32_t session_clock(const struct session *session)
{
    return (uint32_t)worker_now_ms(session_worker(session));
}

static inline bool session_has_come(uint32_t now_ms, uint32_t due_ms)
{
    return (int32_t)(now_ms - due_ms) >= 0;
}

static inline const struct options *session_options(const struct session *session)
{
    return session_worker(session)->node->options;
}

static inline const struct session_events *session_events_of(const struct session *session)
{
    return session_worker(session)->node->session_events;
}

/* For what has come in, when the clock says that nothing has: it may be this process that stood
 * still. */
enum { SESSION_LAST_CHANCE_MS = 50 };

/* session.c */

/* The socket is closed; the memory goes at the end of the turn. */
void session_finish(struct session *session);
/* It leaves its client and waits for the end of its connection, two seconds at most. */
void session_begin_closing(struct session *session);
/* To the earliest of what is to come; it fires then and looks again. */
void session_set_timer(struct session *session);
/* How long a client that has to come again should wait: spread, so that all do not come at once. */
uint32_t session_retry_ms(struct session *session);
/* session->extra, made when it is first asked for. NULL: out of memory. */
struct session_extra *session_extra(struct session *session);

/* session_say.c: all that is written to its connection */

/* Why something is said, and what happens to it when --session-max-bytes wait already. */
enum say {
    SAY_ANSWER, /* the client asked: left out, and counted */
    SAY_SIGN,   /* a sign of life: left out */
    SAY_INBOX,  /* of what stands in the inbox: whoever says it has looked (session_is_busy) */
    SAY_ONCE, /* written: in the life of a session it is said once (hello, reset, goaway, close) */
};

/* false: it was left out. A failure of another kind ends the session (its state tells). */
bool session_say(struct session *session, enum say why, const void *bytes, size_t len);
bool session_say_text(struct session *session, enum say why, struct span text); /* as a frame */
/* The answer to the request: before all else. */
MUST_CHECK enum err session_say_head(struct session *session, struct span head);
/* A notification's frame, while the session is not busy. */
MUST_CHECK enum err session_say_payload(struct session *session, struct payload *payload);

/* Is there room for so many bytes more in memory? There is for anything while nothing waits. */
bool session_has_room(const struct session *session, size_t len);
/* May what is of the inbox be handed to the connection, as far as that is concerned? */
bool session_takes_more(const struct session *session);
/* Must what is of the inbox wait in the backlog? */
bool session_is_busy(const struct session *session);

/* session_answer.c */
MUST_CHECK enum err session_answer_request(struct session *session,
                                           const struct admission *admission);
/* In place of the answer that is held back. */
void session_refuse(struct session *session, enum err error);
/* A copy with a NUL, which the span need not have. NULL: out of memory. */
char *session_copy(struct span text);

/* session_read.c: WebSocket frames */
size_t session_on_bytes(struct conn *conn, uint8_t *bytes, size_t len);
/* How long the end of what has begun may still take; INT32_MAX: nothing has. */
int32_t session_unfinished_wait_ms(const struct session *session);
bool session_is_unfinished_late(struct session *session);

/* session_rate.c: something has come in. Over a limit the session is closed. */
void session_count_in(struct session *session, size_t n_messages, size_t n_bytes);

/* session_write.c */
void session_on_flush(struct conn *conn);
void session_on_drained(struct conn *conn);
bool session_send_ping(struct session *session); /* false: there is no room for it */
void session_send_goaway(struct session *session, uint32_t delay_ms);
void session_send_error(struct session *session, const char *code, struct span raw_id,
                        const char *detail);
void session_send_pong(struct session *session); /* herald.v1 */

/* session_auth.c: credentials of sessions */
void session_on_auth(struct session *session, struct span token); /* an auth message */
/* Closes it for its credentials; the page is told which check failed, and so is the operator. `why`
 * is a constant. */
void session_refuse_auth(struct session *session, enum err error, const char *why);
bool session_auth_is_over(const struct session *session, enum err *ret_error);
void session_end_auth(struct session *session, enum err error); /* that one */
int32_t
session_auth_wait_ms(const struct session *session); /* until it might be; INT32_MAX: never */
uint32_t session_until_s(int64_t until_ms);
/* Reports that its user is known (on_identified), unless something waits to be written first. */
void session_auth_go(struct session *session);
bool session_is_moving(const struct session *session);

void session_on_turn(struct session *session); /* the auth message that waited */

/* session_hold.c: auth messages that come too early */

/* false: the token is kept, and what comes behind it is not read. */
MUST_CHECK bool session_may_verify(struct session *session, struct span token);
bool session_is_holding(const struct session *session);
/* The kept token, which the caller frees; it is kept no longer. */
char *session_take_held(struct session *session, struct span *ret_token);
int32_t session_hold_wait_ms(const struct session *session); /* INT32_MAX: for its turn */
bool session_hold_is_over(const struct session *session);    /* its second has come */
void session_hold_go_on(struct session *session);
void session_hold_drop(struct session *session); /* the session is closing */

/* session_sse.c: event streams */
MUST_CHECK enum err sse_hold_head(struct session *session, const struct admission *admission);
void sse_open(struct session *session); /* the head, if it is held back */
void sse_end(struct session *session, enum err error, uint32_t retry_ms); /* last words, and FIN */
void sse_on_drained(struct session *session); /* the kernel has taken all */
/* Looks at what TCP has acknowledged, writes the comment when it is due. false: the peer has taken
 * nothing for --slow-timeout. */
MUST_CHECK bool sse_on_timer(struct session *session);
int32_t sse_wait_ms(const struct session *session, uint32_t now_ms); /* to the next look */

#endif
