/* What a session's request is answered with: the 101 or the 200, at once or when the first page has
 * told that the user is not blocked, or a refusal in its place. */
#include "gateway/session/session_parts.h"

#include "gateway/node/refusals.h"
#include "proto/http/http_answer.h"

#include <stdlib.h>

char *session_copy(struct span text)
{
    char *copy = malloc(text.len + 1);
    if (copy == NULL)
        return NULL;
    if (text.len > 0)
        memcpy(copy, text.bytes, text.len);
    copy[text.len] = '\0';
    return copy;
}

/* The answer to the request is held back until the first page tells whether the user is blocked:
 * only a status says so. A page sees none, and is answered at once. */
static enum err hold_accept(struct session *session, const struct admission *admission)
{
    struct session_extra *extra = session_extra(session);
    if (extra == NULL)
        return ERR_NO_MEMORY;
    extra->held = session_copy((struct span){admission->accept, HANDSHAKE_ACCEPT_LEN});
    extra->held_terms = admission->deflate;
    return extra->held == NULL ? ERR_NO_MEMORY : ERR_OK;
}

static enum err queue_accept(struct session *session, const char accept[HANDSHAKE_ACCEPT_LEN],
                             struct deflate_terms terms)
{
    struct buf head;
    buf_init(&head, 512);
    char extensions[EXTENSIONS_ANSWER_MAX_BYTES];
    enum err error = handshake_accept(&head, (enum handshake_level)session->level, accept,
                                      extensions_answer(terms, extensions),
                                      worker_date(session_worker(session)));
    if (error == ERR_OK)
        error = session_say_head(session, buf_span(&head));
    buf_fini(&head);
    return error;
}

enum err session_answer_request(struct session *session, const struct admission *admission)
{
    if (admission->is_open)
        return ERR_OK;
    if (admission->level == LEVEL_SSE)
        return sse_hold_head(session, admission);
    if (admission->is_page || admission->is_unknown)
        return queue_accept(session, admission->accept, admission->deflate);
    return hold_accept(session, admission);
}

void session_open(struct session *session)
{
    struct session_extra *extra = session->extra;
    if (extra == NULL || extra->held == NULL)
        return;
    if (session->level == LEVEL_SSE) {
        sse_open(session);
        return;
    }
    enum err error = queue_accept(session, extra->held, extra->held_terms);
    free(extra->held);
    extra->held = NULL;
    if (error != ERR_OK)
        session_give_up(session);
}

/* In place of the answer that was held back. */
void session_refuse(struct session *session, enum err error)
{
    struct buf answer;
    struct http_terms terms = {.date = worker_date(session_worker(session))};
    refused_count(error_http_status(error));
    buf_init(&answer, 4096);
    free(session->extra->held);
    session->extra->held = NULL;
    if (http_refusal(&answer, error, NULL, NULL, NULL, &terms,
                     worker_random(session_worker(session))) == ERR_OK)
        session_say(session, SAY_ONCE, answer.bytes, answer.len);
    buf_fini(&answer);
    conn_shutdown(&session->conn);
}
