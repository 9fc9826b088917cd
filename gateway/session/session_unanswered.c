/* A client that sends faster than its messages are kept must not fill the memory, and each message
 * that was taken is owed an answer. So a session's socket rests while SESSION_MAX_UNANSWERED wait,
 * and while its client does not take what was answered: what it sends waits in the kernel. Pings
 * and notifications go out as ever. The peer does not count as silent meanwhile
 * (session_life.c). */
#include "gateway/session/session_unanswered.h"

#include "gateway/base/metrics.h"
#include "gateway/session/session_say.h"

/* More than the frame of an `accepted` whose id is written in escapes. */
enum { ANSWER_MAX_BYTES = 512 };

static unsigned unanswered_of(const struct session *session)
{
    return session->extra == NULL ? 0 : session->extra->n_unanswered;
}

/* The answers that are owed find room as well. */
static bool has_room_for_answers(const struct session *session)
{
    return session_has_room(session, (unanswered_of(session) + 1) * ANSWER_MAX_BYTES);
}

void session_count_unanswered(struct session *session)
{
    session->extra->n_unanswered++;
    session_worker(session)->n_unanswered++;
}

void session_count_answered(struct session *session)
{
    session->extra->n_unanswered--;
    session_read_on(session);
    session_trim(session);
}

static void begin_rest(struct session *session)
{
    session->is_resting = true;
    conn_pause(&session->conn);
}

void session_rest_if_full(struct session *session)
{
    if (session->is_resting || !session_is_open(session))
        return;
    if (unanswered_of(session) < SESSION_MAX_UNANSWERED && has_room_for_answers(session))
        return;
    metrics_count(METRIC_LIMITED_UNANSWERED);
    begin_rest(session);
}

void session_rest_while_held(struct session *session)
{
    if (!session->is_resting && session_is_open(session))
        begin_rest(session);
}

void session_read_on(struct session *session)
{
    if (!session->is_resting || session_worker(session)->holds_messages ||
        unanswered_of(session) > SESSION_MAX_UNANSWERED / 2 || !has_room_for_answers(session))
        return;
    session_rest_end(session);
}

void session_rest_end(struct session *session)
{
    if (!session->is_resting)
        return;
    session->is_resting = false;
    conn_resume(&session->conn);
}

void session_hold_all(struct worker *worker)
{
    worker->holds_messages = true;
}

static void read_on_all_of(struct client *client, void *argument)
{
    (void)argument;
    LIST_FOR_EACH(link, &client->sessions)
    {
        session_read_on(CONTAINER_OF(link, struct session, link));
    }
}

void session_read_on_all(struct worker *worker)
{
    worker->holds_messages = false;
    client_map_each(worker->node->map, worker->index, read_on_all_of, NULL);
    LIST_FOR_EACH(link, &worker->unauthenticated)
    {
        session_read_on(CONTAINER_OF(link, struct session, link));
    }
}
