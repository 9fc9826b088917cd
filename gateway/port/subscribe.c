/* The order of CONTRACT 2: the handshake (426, 400), the query (400), who it is (401), is there
 * room at its address (429) and here (503). A ticket is asked of the store, and the HTTP connection
 * waits for that. Whether the node takes one more session in this second is found out before a
 * token is verified or a ticket is used up, because a rush would pay for both in vain; who turns
 * out to be nobody has taken nothing from the others.
 *
 * A refusal depends on the kind of client. A browser's page does not see the HTTP status, so a
 * well-formed handshake with an Origin is upgraded and closed at once with a code. EventSource
 * gives up on every status but 200, so for a reason that passes it gets a stream that says when to
 * come again, and ends. All others get the status. */
#include "gateway/port/subscribe.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "gateway/identity/identity.h"
#include "gateway/node/refusals.h"
#include "gateway/port/handover.h"
#include "proto/http/http_answer.h"
#include "proto/note/sse.h"
#include "proto/note/subscribe_query.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- refusals ---- */

static uint32_t subscriber_retry_ms(struct http_conn *http_conn)
{
    return 1000 + (uint32_t)(worker_random(http_conn_worker(http_conn)) % 10000);
}

/* For a reason that passes. */
static bool may_come_again(enum err error)
{
    unsigned status = error_http_status(error);
    return status == 503 || status == 429;
}

static const char *retry_reason(enum err error)
{
    switch (error) {
    case ERR_DRAINING:
        return "draining";
    case ERR_RATE:
        return "rate";
    case ERR_FULL:
    case ERR_CROWDED:
        return "full";
    default:
        return error_title(error);
    }
}

/* The 101, followed by the close frame. */
static void upgrade_and_close(struct http_conn *http_conn, const struct admission *admission,
                              enum err error, const char *detail)
{
    struct buf answer;
    char reason[2 * WS_CONTROL_MAX_BYTES];
    uint8_t frame[WS_CONTROL_FRAME_MAX_BYTES];
    if (may_come_again(error))
        snprintf(reason, sizeof reason, "%s retry_ms=%u", retry_reason(error),
                 subscriber_retry_ms(http_conn));
    else
        snprintf(reason, sizeof reason, "%s", detail != NULL ? detail : error_title(error));
    size_t frame_len = ws_close_write(error_close_code(error), span_of(reason), frame);
    buf_init(&answer, 1024);
    metrics_count(METRIC_REFUSED_UPGRADED);
    if (handshake_accept(&answer, admission->level, admission->accept, "",
                         worker_date(http_conn_worker(http_conn))) == ERR_OK &&
        buf_append(&answer, frame, frame_len) == ERR_OK)
        http_conn_answer_raw(http_conn, &answer);
    else
        http_conn_refuse(http_conn, ERR_NO_MEMORY, NULL, NULL, NULL);
    buf_fini(&answer);
}

static void answer_retry_stream(struct http_conn *http_conn, enum err error)
{
    struct buf answer;
    struct http_terms terms = {.date = worker_date(http_conn_worker(http_conn))};
    http_conn_find_field(http_conn, "Origin", &terms.reader);
    buf_init(&answer, HTTP_HEAD_MAX_BYTES + 1024);
    refusals_count(error_http_status(error));
    if (http_stream_head(&answer, &terms) == ERR_OK &&
        sse_retry(&answer, subscriber_retry_ms(http_conn)) == ERR_OK)
        http_conn_answer_raw(http_conn, &answer);
    else
        http_conn_refuse(http_conn, ERR_NO_MEMORY, NULL, NULL, NULL);
    buf_fini(&answer);
}

static void refuse_subscriber(struct http_conn *http_conn, const struct admission *admission,
                              enum err error, const char *detail)
{
    struct span origin;
    if (error_http_status(error) == 401)
        http_conn_report_credentials(http_conn, error, detail);
    if (admission->level == LEVEL_SSE && may_come_again(error))
        answer_retry_stream(http_conn, error);
    else if (admission->level != LEVEL_SSE && error_close_code(error) != 0 &&
             http_conn_find_field(http_conn, "Origin", &origin))
        upgrade_and_close(http_conn, admission, error, detail);
    else
        http_conn_refuse(http_conn, error, detail, error == ERR_INVALID_FIELD ? "userId" : NULL,
                         NULL);
}

/* ---- letting in ---- */

/* One of the sessions of this second. A node that takes none says so instead. */
static bool take_handshake(struct node *node)
{
    int64_t per_second = atomic_load(&node->options)->max_handshakes_per_second;
    if (per_second == 0 || atomic_load(&node->is_refusing) ||
        shared_rate_take(&node->handshakes, clock_monotonic_us(), per_second))
        return true;
    metrics_count(METRIC_LIMITED_SESSIONS);
    return false;
}

/* For one that was taken and becomes no session. */
static void put_handshake_back(struct node *node)
{
    int64_t per_second = atomic_load(&node->options)->max_handshakes_per_second;
    if (per_second != 0)
        shared_rate_put_back(&node->handshakes, per_second);
}

/* Refuses one that has taken its handshake. */
static void turn_away(struct http_conn *http_conn, const struct admission *admission,
                      enum err error, const char *detail)
{
    put_handshake_back(http_conn_node(http_conn));
    refuse_subscriber(http_conn, admission, error, detail);
}

/* One place among max_connections. */
static enum err take_session_place(struct node *node)
{
    if (atomic_load(&node->is_refusing))
        return ERR_DRAINING;
    unsigned before = atomic_fetch_add(&node->n_sessions, 1);
    if (before < node->max_connections)
        return ERR_OK;
    atomic_fetch_sub(&node->n_sessions, 1);
    return ERR_FULL;
}

static struct handover *make_handover(struct http_conn *http_conn, struct admission *admission)
{
    struct span bytes = http_conn_bytes(http_conn);
    size_t head_len = http_conn_head(http_conn)->len;
    struct span early = {bytes.bytes + head_len, bytes.len - head_len};
    struct span origin = {0};
    bool has_origin = http_conn_find_field(http_conn, "Origin", &origin);
    http_conn_find_field(http_conn, "User-Agent", &admission->user_agent);
    if (admission->level == LEVEL_SSE) {
        admission->origin = origin;
        early.len = 0; /* nothing is said on an event stream */
    } else {
        admission->is_page = has_origin;
    }
    return handover_new(admission, early);
}

static void admit_subscriber(struct http_conn *http_conn, struct admission *admission)
{
    enum err error = take_session_place(http_conn_node(http_conn));
    if (error != ERR_OK) {
        turn_away(http_conn, admission, error, error == ERR_FULL ? "too many connections" : NULL);
        return;
    }
    struct handover *handover = make_handover(http_conn, admission);
    if (handover == NULL) {
        atomic_fetch_sub(&http_conn_node(http_conn)->n_sessions, 1);
        turn_away(http_conn, admission, ERR_NO_MEMORY, NULL);
        return;
    }
    if (!epoch_is_none(admission->resume.epoch))
        http_conn_count_work(http_conn, WORKER_ASK_US);
    struct worker *here = http_conn_worker(http_conn);
    handover->admission.socket = http_conn_release(http_conn, &handover->admission.peer);
    handover_send(handover, here);
}

/* ---- tickets ---- */

struct ticket_work {
    struct store_ticket_take take;
    struct letter letter;
    struct http_conn *http_conn;
    struct worker *worker; /* the HTTP connection's */
    struct admission admission;
    size_t ticket_len;
    char ticket[STORE_TICKET_MAX_BYTES];
};

static enum err identify_by_ticket(struct ticket_work *work, const char **ret_detail)
{
    struct jwt_claims claims = {.user_id_len = work->take.user_id_len};
    if (work->take.error == ERR_NOT_FOUND) {
        *ret_detail = "the ticket is unknown, used or too old";
        return ERR_UNAUTHORIZED;
    }
    if (work->take.error != ERR_OK)
        return work->take.error;
    memcpy(claims.user_id, work->take.user_id, claims.user_id_len);
    work->admission.claim.is_known = true;
    return identity_apply_claims(&work->admission.claim.identity, &claims, ret_detail);
}

static void on_ticket_letter(struct letter *letter)
{
    struct ticket_work *work = CONTAINER_OF(letter, struct ticket_work, letter);
    struct http_conn *http_conn = work->http_conn;
    const char *detail = NULL;
    enum err error = identify_by_ticket(work, &detail);
    if (http_conn_is_gone(http_conn) || http_conn_is_answered(http_conn))
        put_handshake_back(http_conn_node(http_conn));
    else if (error == ERR_OK)
        admit_subscriber(http_conn, &work->admission);
    else
        turn_away(http_conn, &work->admission, error, detail);
    http_conn_unpin(http_conn);
    free(work);
}

static void on_ticket_taken(struct store_request *request)
{
    struct ticket_work *work = CONTAINER_OF(request, struct ticket_work, take.request);
    worker_post(work->worker, &work->letter, on_ticket_letter);
}

/* ERR_NOT_FOUND: there is none. */
static enum err read_ticket(struct http_conn *http_conn, struct ticket_work *work)
{
    struct span raw;
    struct span query = http_conn_part(http_conn, http_conn_head(http_conn)->query);
    enum err error = query_find(query, "ticket", &raw);
    if (error == ERR_OK)
        error = percent_decode(raw, true, work->ticket, sizeof work->ticket, &work->ticket_len);
    return error;
}

static void redeem_ticket(struct http_conn *http_conn, const struct admission *admission)
{
    struct ticket_work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        turn_away(http_conn, admission, ERR_NO_MEMORY, NULL);
        return;
    }
    if (admission->level == LEVEL_SSE || read_ticket(http_conn, work) != ERR_OK ||
        work->ticket_len == 0) {
        turn_away(http_conn, admission, ERR_UNAUTHORIZED,
                  admission->level == LEVEL_SSE ? "tickets are for WebSockets"
                                                : "a ticket is needed");
        free(work);
        return;
    }
    work->admission = *admission;
    work->http_conn = http_conn;
    work->worker = http_conn_worker(http_conn);
    work->take = (struct store_ticket_take){
        .request = {.on_done = on_ticket_taken, .lane = work->worker->index},
        .ticket = {work->ticket, work->ticket_len},
    };
    http_conn_count_work(http_conn, WORKER_ASK_US);
    http_conn_pin(http_conn);
    http_conn_await(http_conn);
    store_ticket_take(http_conn_node(http_conn)->store, &work->take);
}

/* ---- the two requests ---- */

/* A token is verified, a ticket and a resume are asked of the store: work for a few bytes. */
static bool needs_work(struct http_conn *http_conn, const struct admission *admission)
{
    return auth_kind(http_conn_node(http_conn)->auth) != AUTH_NONE ||
           !epoch_is_none(admission->resume.epoch);
}

static void identify_subscriber(struct http_conn *http_conn, struct admission *admission)
{
    struct identity *identity = &admission->claim.identity;
    const char *detail = NULL;
    if (needs_work(http_conn, admission) && !http_conn_take_turn(http_conn)) {
        if (http_conn_is_late(http_conn))
            refuse_subscriber(http_conn, admission, ERR_BUSY, NULL);
        return;
    }
    enum err error = peer_enter(http_conn_peer(http_conn));
    if (error != ERR_OK) {
        refuse_subscriber(http_conn, admission, error, NULL);
        return;
    }
    if (!take_handshake(http_conn_node(http_conn))) {
        refuse_subscriber(http_conn, admission, ERR_FULL, "too many new sessions in this second");
        return;
    }
    enum auth_kind kind = auth_kind(http_conn_node(http_conn)->auth);
    if (kind == AUTH_TICKET) {
        redeem_ticket(http_conn, admission);
        return;
    }
    error = identify(http_conn_node(http_conn)->auth, http_conn_head(http_conn),
                     http_conn_bytes(http_conn).bytes, identity, &detail);
    http_conn_count_work(http_conn, identity->work_us);
    if (error == ERR_OK && identity_has_ended(identity->expires_ms))
        error = ERR_EXPIRED;
    admission->claim.is_known = error == ERR_OK;
    bool will_say = error == ERR_NOT_FOUND && admission->level == LEVEL_V1;
    if (error == ERR_OK || will_say)
        admit_subscriber(http_conn, admission);
    else
        turn_away(http_conn, admission, error == ERR_NOT_FOUND ? ERR_UNAUTHORIZED : error, detail);
}

static bool read_query(struct http_conn *http_conn, struct admission *admission)
{
    const char *field;
    const char *detail;
    struct subscribe_query query;
    struct span text = http_conn_part(http_conn, http_conn_head(http_conn)->query);
    if (subscribe_query_parse(text, &query, &field, &detail) != ERR_OK) {
        http_conn_refuse(http_conn, ERR_INVALID_FIELD, detail, field, NULL);
        return false;
    }
    struct claim *claim = &admission->claim;
    memcpy(claim->identity.user_id, query.user_id, query.user_id_len);
    claim->identity.user_id_len = query.user_id_len;
    memcpy(claim->device, query.device, query.device_len);
    claim->device_len = query.device_len;
    admission->is_explicit = query.is_ack_explicit;
    if (query.has_after)
        admission->resume = (struct resume){query.after_epoch, query.after_seq};
    return true;
}

/* Is it a WebSocket handshake, and what do both sides speak? */
static enum err check_websocket(struct http_conn *http_conn, struct admission *admission,
                                const char **ret_detail)
{
    const struct http_head *head = http_conn_head(http_conn);
    const char *bytes = http_conn_bytes(http_conn).bytes;
    enum err error = handshake_check(head, bytes, &admission->level, admission->accept, ret_detail);
    if (error == ERR_OK && http_conn_node(http_conn)->options->compress)
        error = extensions_choose(head, bytes, &admission->deflate, ret_detail);
    return error;
}

void subscribe_socket(struct http_conn *http_conn)
{
    const char *detail = NULL;
    struct admission admission = {.level = LEVEL_PLAIN};
    enum err error = check_websocket(http_conn, &admission, &detail);
    if (error != ERR_OK)
        http_conn_refuse(http_conn, error, detail, NULL, NULL);
    else if (read_query(http_conn, &admission))
        identify_subscriber(http_conn, &admission);
}

/* What EventSource remembers outranks what the page wrote into the address. A polyfill remembers it
 * in the address, too. */
static bool read_last_event_id(struct http_conn *http_conn, struct resume *resume)
{
    struct span id;
    struct span query = http_conn_part(http_conn, http_conn_head(http_conn)->query);
    const char *field = "Last-Event-ID";
    const char *detail = "Last-Event-ID must be EPOCH-SEQ";
    enum err error = ERR_NOT_FOUND;
    if (http_conn_count_fields(http_conn, field) > 1) {
        detail = "Last-Event-ID is given twice";
        error = ERR_INVALID_FIELD;
    } else if (http_conn_find_field(http_conn, field, &id) && id.len > 0) {
        error = message_position_parse(id, &resume->epoch, &resume->seq);
    } else {
        error = last_event_id_parse(query, &resume->epoch, &resume->seq, &field, &detail);
    }
    if (error == ERR_OK || error == ERR_NOT_FOUND)
        return true;
    http_conn_refuse(http_conn, ERR_INVALID_FIELD, detail, field, NULL);
    return false;
}

void subscribe_stream(struct http_conn *http_conn)
{
    const char *detail;
    struct admission admission = {.level = LEVEL_SSE};
    if (handshake_check_no_body(http_conn_head(http_conn), http_conn_bytes(http_conn).bytes,
                                &detail) != ERR_OK)
        http_conn_refuse(http_conn, ERR_BAD_HEAD, detail, NULL, NULL);
    else if (read_query(http_conn, &admission) && read_last_event_id(http_conn, &admission.resume))
        identify_subscriber(http_conn, &admission);
}
