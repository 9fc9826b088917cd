/* The noun of a session: its states, what only some sessions need (session_extra), its name in the
 * log, and its acknowledgements. What it does is in the files above this one (session.h). */
#include "gateway/session/session.h"

#include "gateway/base/log.h"
#include "gateway/net/listener.h"
#include "gateway/node/refusals.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert(sizeof(struct session) <= 200, "one for each open connection");
_Static_assert(sizeof(struct session_extra) <= 200, "one for each stream");

enum { RETRY_SPREAD_MS = 5000, VERIFY_EACH_MS = 1000 };

static const uint8_t successors[] = {
    [SESSION_NEW] =
        1u << SESSION_AUTH | 1u << SESSION_ENTERED | 1u << SESSION_CLOSING | 1u << SESSION_CLOSED,
    [SESSION_AUTH] = 1u << SESSION_CLOSING | 1u << SESSION_CLOSED,
    [SESSION_ENTERED] = 1u << SESSION_CLOSING | 1u << SESSION_CLOSED,
    [SESSION_CLOSING] = 1u << SESSION_CLOSED,
    [SESSION_CLOSED] = 0,
};

void session_become(struct session *session, enum session_state state)
{
    assert(successors[session->state] >> state & 1);
    session->state = state & 0xf;
}

/* ---- what only some sessions need ---- */

/* The last token may have been verified weeks ago, and a comparison of two moments of 32 bits goes
 * wrong after 25 days. The time since then wraps after 49. */
int32_t session_verify_wait_ms(const struct session *session)
{
    const struct session_hold *held;
    if (session->extra == NULL)
        return 0;
    held = &session->extra->hold;
    uint32_t since_ms = session_clock(session) - held->verified_ms;
    return held->has_verified && since_ms < VERIFY_EACH_MS ? (int32_t)(VERIFY_EACH_MS - since_ms)
                                                           : 0;
}

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

struct session_extra *session_extra(struct session *session)
{
    if (session->extra != NULL)
        return session->extra;
    struct session_extra *extra = calloc(1, sizeof *extra);
    if (extra == NULL)
        return NULL;
    extra->wait.reader = &session->reader;
    if (session->level != LEVEL_SSE)
        buf_init(&extra->incoming.message, (size_t)session_options(session)->max_message);
    session->extra = extra;
    return extra;
}

void session_extra_free(struct session *session)
{
    struct session_extra *extra = session->extra;
    if (extra == NULL)
        return;
    if (session->level != LEVEL_SSE)
        buf_fini(&extra->incoming.message);
    free(extra->answer.text);
    free(extra->auth.claim);
    free(extra->hold.token);
    free(extra->rates);
    free(extra);
    session->extra = NULL;
}

static bool needs_extra(const struct session *session)
{
    const struct session_extra *extra = session->extra;
    return session->level == LEVEL_SSE || session->is_unfinished || session->n_unmatched == 2 ||
           ws_decoder_is_in_message(&extra->incoming.decoder) ||
           reader_is_waiting(&session->reader) || extra->rates != NULL || extra->backlog != NULL ||
           !epoch_is_none(extra->resume.epoch) || extra->answer.text != NULL ||
           extra->auth.claim != NULL || extra->hold.token != NULL || extra->n_unanswered > 0 ||
           extra->is_torn || session_verify_wait_ms(session) > 0;
}

void session_trim(struct session *session)
{
    if (session->extra != NULL && !needs_extra(session))
        session_extra_free(session);
}

/* ---- who it is ---- */

static const struct claim *claim_of(const struct session *session)
{
    if (session->state != SESSION_AUTH || session->extra == NULL)
        return NULL;
    return session->extra->auth.claim;
}

bool session_claim_is_known(const struct session *session)
{
    const struct claim *claim = claim_of(session);
    return claim != NULL && claim->is_known;
}

void session_who(const struct session *session, struct refusal_subject *ret_who)
{
    const struct claim *claim = claim_of(session);
    struct span user = {0};
    if (claim != NULL)
        user = claim_user(claim);
    else if (session->client != NULL)
        user = client_user_id(session->client);
    if (user.len > 0)
        memcpy(ret_who->user, user.bytes, user.len);
    ret_who->user_len = user.len;
    if (!peer_describe(session->peer, ret_who->address, sizeof ret_who->address))
        listener_peer(session->conn.watch.fd, ret_who->address, sizeof ret_who->address);
}

size_t session_name(const struct session *session, char out[SESSION_NAME_MAX_BYTES])
{
    size_t len = connection_id_write(session->id, out);
    out[len] = '\0';
    return len;
}

void session_log(const struct session *session, const char *event, const char *cause)
{
    char name[SESSION_NAME_MAX_BYTES];
    struct span user = {0};
    if (!log_is_enabled(LOG_DEBUG))
        return;
    session_name(session, name);
    if (session->client != NULL)
        user = client_user_id(session->client);
    if (cause == NULL)
        log_event(LOG_DEBUG, event, LOG_TEXT("connection", name), LOG_SPAN("user", user));
    else
        log_event(LOG_DEBUG, event, LOG_TEXT("connection", name), LOG_SPAN("user", user),
                  LOG_TEXT("cause", cause));
}

bool session_any_is_held(const struct client *client)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        if (session_is_held(CONTAINER_OF(link, struct session, link)))
            return true;
    }
    return false;
}

uint32_t session_until_s(int64_t until_ms)
{
    int64_t until_s = until_ms / 1000; /* a part of a second early is within the second */
    if (until_ms == 0)
        return 0;
    if (until_s >= UINT32_MAX)
        return UINT32_MAX; /* in 2106 */
    return until_s > 0 ? (uint32_t)until_s : 1;
}

/* ---- acknowledgements, and the end ---- */

bool session_ack(struct session *session, uint64_t seq)
{
    if (seq > session_sent(session))
        return false;
    if (seq > session->acked) {
        session->acked = seq;
        session_events_of(session)->on_acked(session);
    }
    return true;
}

void session_give_up(struct session *session)
{
    session->is_given_up = true;
    conn_break(&session->conn);
}

uint32_t session_retry_ms(struct session *session)
{
    return 500 + (uint32_t)(worker_random(session_worker(session)) % RETRY_SPREAD_MS);
}
