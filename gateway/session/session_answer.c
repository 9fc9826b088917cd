/* The answer to a session's request: the 101 or the 200, at once, or held back until the first page
 * has shown that the user is not blocked. It is written before anything else, so session_say.c
 * calls this file, which writes to the connection itself: with session_say.c it is the only one. */
#include "gateway/session/session_answer.h"

#include "proto/http/http_answer.h"

#include <stdlib.h>

enum { HEAD_MAX_BYTES = 2048 };

/* The answer is held back until the first page shows whether the user is blocked, because only an
 * HTTP status can say so. A browser's page does not see the status, and is answered at once. */
static enum err postpone_accept(struct session *session, const struct admission *admission)
{
    struct session_extra *extra = session_extra(session);
    if (extra == NULL)
        return ERR_NO_MEMORY;
    extra->answer.text = session_copy((struct span){admission->accept, HANDSHAKE_ACCEPT_LEN});
    extra->answer.deflate = admission->deflate;
    return extra->answer.text == NULL ? ERR_NO_MEMORY : ERR_OK;
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
        error = conn_write_bytes(&session->conn, head.bytes, head.len);
    buf_fini(&head);
    return error;
}

static enum err postpone_stream_head(struct session *session, const struct admission *admission)
{
    struct session_extra *extra = session_extra(session);
    if (extra == NULL)
        return ERR_NO_MEMORY;
    extra->stream.is_explicit = admission->is_explicit;
    extra->answer.text = session_copy(admission->origin);
    return extra->answer.text == NULL ? ERR_NO_MEMORY : ERR_OK;
}

bool session_is_unanswered(const struct session *session)
{
    return session->extra != NULL && session->extra->answer.text != NULL;
}

void session_forget_answer(struct session *session)
{
    free(session->extra->answer.text);
    session->extra->answer.text = NULL;
}

void session_answer_stream(struct session *session, unsigned status)
{
    struct buf head;
    struct session_extra *extra = session->extra;
    struct http_terms terms = {.date = worker_date(session_worker(session)),
                               .reader = span_of(extra->answer.text)};
    buf_init(&head, HEAD_MAX_BYTES);
    enum err error = status == 200 ? http_stream_head(&head, &terms)
                                   : http_answer(&head, status, NULL, NULL, &terms, SPAN_NONE);
    if (error == ERR_OK)
        error = conn_write_bytes(&session->conn, head.bytes, head.len);
    buf_fini(&head);
    session_forget_answer(session);
    if (error != ERR_OK)
        session_give_up(session);
}

enum err session_answer_request(struct session *session, const struct admission *admission)
{
    if (admission->is_answered)
        return ERR_OK;
    if (admission->level == LEVEL_SSE)
        return postpone_stream_head(session, admission);
    if (admission->is_page || !admission->claim.is_known)
        return queue_accept(session, admission->accept, admission->deflate);
    return postpone_accept(session, admission);
}

void session_send_answer(struct session *session)
{
    if (!session_is_unanswered(session))
        return;
    if (session->level == LEVEL_SSE) {
        session_answer_stream(session, 200);
        return;
    }
    enum err error =
        queue_accept(session, session->extra->answer.text, session->extra->answer.deflate);
    session_forget_answer(session);
    if (error != ERR_OK)
        session_give_up(session);
}
