/* A push that comes from another thread reaches the home worker as the client's letter.
 * delivery_on_letter takes all that is in the client's channel and gives it, one by one and in
 * order, to each of the user's sessions. A push that is made on the home worker itself
 * (delivery_offer) is given to them at once, if nothing waits before it. A
 * session that is LIVE and has had the number before is written the notification at once. A session
 * whose tail is further back has missed a number, and reads the inbox again (replay.c); one that is
 * not LIVE gets it from a page, or from what replay_keep keeps. Notifications with ttl 0 have no
 * number: they go to every session that has room, or to the one that they are for, and are dropped
 * (counted) where there is none.
 *
 * A notification of another epoch means that the store has lost the inbox: all sessions of the user
 * are closed and resume from the beginning.
 *
 * A client leaves the client map with its last session. Its memory stays until nothing points at
 * it: a letter that is under way, a slot of the position writer, or a caller further up. */
#include "gateway/delivery/delivery.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/delivery/kicks.h"
#include "gateway/delivery/page_queue.h"
#include "gateway/delivery/position_writer.h"
#include "gateway/delivery/positions.h"
#include "gateway/delivery/replay.h"
#include "gateway/node/latencies.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_write.h"

enum err delivery_new(struct worker *worker)
{
    enum err error = page_queue_new(worker);
    if (error == ERR_OK)
        error = position_writer_new(worker);
    if (error == ERR_OK)
        error = kicked_streams_new(worker);
    return error; /* delivery_free frees what was made */
}

void delivery_free(struct worker *worker)
{
    kicks_free(worker);
    kicked_streams_free(worker);
    position_writer_free(worker);
    page_queue_free(worker);
}

static struct client_map *map_of(const struct client *client)
{
    return client_worker(client)->node->map;
}

static void free_client(struct deferred_free *deferred)
{
    client_free(CONTAINER_OF(deferred, struct client, deferred));
}

/* At the end of the turn, because callers further up may still look at it. A client whose letter is
 * under way is freed when the letter arrives, and one in a slot of the position writer with it. */
static void free_client_later(struct client *client)
{
    if (!client->is_posted && client->unstored_slot == 0)
        worker_free_later(client_worker(client), &client->deferred, free_client);
}

/* true: it was the last session. */
static bool leave_client_map(struct client *client)
{
    if (!client_map_leave(map_of(client), client))
        return false;
    metrics_gauge_add(METRIC_USERS, -1);
    client_drop_kept(client);
    store_leave(client_worker(client)->node->store, client_worker(client)->index,
                client_user_id(client));
    client->is_removed = true;
    free_client_later(client); /* outside the map no letter of it is posted any more */
    return true;
}

enum err delivery_join(struct session *session, struct span user_id, struct span device)
{
    struct worker *worker = session_worker(session);
    struct client *client =
        client_map_enter(worker->node->map, user_id, worker, worker_mailbox(worker));
    if (client == NULL)
        return ERR_NO_MEMORY;
    if (client->n_sessions == 1)
        metrics_gauge_add(METRIC_USERS, 1);
    session->client = client;
    if (positions_enter(session, device) != ERR_OK) {
        session->client = NULL;
        leave_client_map(client);
        return ERR_NO_MEMORY;
    }
    session_become(session, SESSION_ENTERED);
    list_append(&client->sessions, &session->link);
    return ERR_OK;
}

/* What delivery/ reports to the parts above it. */
static const struct delivery_events *delivery_events_of(const struct client *client)
{
    return &client_worker(client)->node->delivery_events;
}

enum err delivery_enter(struct session *session, struct span user_id, struct span device)
{
    const struct options *options = session_options(session);
    enum err error = delivery_join(session, user_id, device);
    if (error != ERR_OK)
        return error;
    struct client *client = session->client;
    while (client->n_sessions > (uint32_t)options->max_connections_per_user) {
        struct list *oldest = client->sessions.next;
        session_close(CONTAINER_OF(oldest, struct session, link), ERR_REPLACED);
    }
    session_log(session, "session began", NULL);
    replay_arrive(session);
    return ERR_OK;
}

/* true: it was the client's last session. */
static bool leave_with(struct session *session, void (*leave_positions)(struct session *session))
{
    struct client *client = session->client;
    replay_forget(session);
    list_remove(&session->link);
    leave_positions(session);
    session->client = NULL;
    return leave_client_map(client);
}

/* What a held one had acknowledged was written by the process that it comes from, and others of its
 * position may be on their way. */
void delivery_leave(struct session *session, enum offline_cause cause)
{
    struct client *client = session->client; /* it is freed at the end of the turn */
    bool is_last = leave_with(session, session_is_held(session) ? positions_part : positions_leave);
    if (is_last && client->is_present && delivery_events_of(client)->on_offline != NULL)
        delivery_events_of(client)->on_offline(client, cause);
}

void delivery_part(struct session *session)
{
    leave_with(session, positions_part);
}

static void withdraw_from(struct session *session, uint64_t from, uint64_t to, enum gap_cause cause)
{
    if (session_withdraw(session, from, to, cause) == ERR_FULL)
        replay_look_back_when_drained(session);
}

/* One live notification to one session. */
static void deliver_note(struct session *session, struct notification *note)
{
    if (note->seq == 0) {
        if (note->connection != 0 && note->connection != session->id)
            return;
        if (session_write(session, note) == ERR_FULL)
            metrics_count(METRIC_EPHEMERAL_DROPPED);
        else
            metrics_count(METRIC_DELIVERED_LIVE);
        return;
    }
    if (note->replaces != 0)
        withdraw_from(session, note->replaces, note->replaces, GAP_COLLAPSED);
    if (!reader_is_live(&session->reader) || note->seq <= reader_tail(&session->reader) ||
        session->client->is_unsure) /* a page brings it, if the numbers are still the same */
        return;
    if (note->seq != reader_tail(&session->reader) + 1) {
        replay_reread(session, MISSED_WITHDRAWALS); /* what was lost may have replaced another */
        return;
    }
    enum err error = session_write(session, note);
    if (error == ERR_OK)
        metrics_count(METRIC_DELIVERED_LIVE);
    else if (error == ERR_FULL)
        replay_when_drained(session);
}

static void deliver_event(struct session *session, struct inbox_event event)
{
    if (event.kind == INBOX_NOTIFICATION)
        deliver_note(session, event.note);
    else
        withdraw_from(session, event.withdrawal->from, event.withdrawal->to,
                      event.withdrawal->cause);
}

/* Has a page of the inbox come for any session? */
static bool has_begun_to_read(const struct client *client)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        if (reader_has_begun(&CONTAINER_OF(link, struct session, link)->reader))
            return true;
    }
    return false;
}

/* false: another epoch has begun, and the sessions of the old one are closed. */
static bool accept_event(struct client *client, struct inbox_event event)
{
    uint64_t seq = inbox_event_seq(event);
    struct epoch epoch = inbox_event_epoch(event);
    if (seq == 0)
        return true;
    if (event.kind == INBOX_NOTIFICATION && epoch_is_none(client->epoch) &&
        has_begun_to_read(client)) {
        /* the inbox was empty so far: this is the first of its epoch */
        client_map_learn(map_of(client), client, epoch, seq, store_time(event.note->time_ms));
    }
    if (!epoch_is_none(client->epoch) && !epoch_equal(client->epoch, epoch)) {
        session_resync_all(client);
        return false;
    }
    replay_keep(client, event);
    return true;
}

/* What all sessions of the user share: their latencies, and the position that is stored. */
static void update_client(struct client *client, struct inbox_event event)
{
    if (event.kind == INBOX_WITHDRAWAL || event.note->seq == 0)
        return;
    latencies_begin(client, event.note);
    if (event.note->acked != 0)
        positions_stored(client, event.note->acked);
}

static void reread_all_sessions(struct client *client, enum missed missed)
{
    LIST_FOR_EACH(link, &client->sessions)
    {
        replay_reread(CONTAINER_OF(link, struct session, link), missed);
    }
}

/* false: another epoch has begun. */
static bool deliver_to_all(struct client *client, struct inbox_event event)
{
    if (!accept_event(client, event))
        return false;
    update_client(client, event);
    LIST_FOR_EACH_SAFE(link, &client->sessions)
    {
        deliver_event(CONTAINER_OF(link, struct session, link), event);
    }
    return true;
}

static void deliver_taken(struct client *client, const struct channel *taken)
{
    if (taken->has_overflowed)
        metrics_count(METRIC_CHANNEL_OVERFLOW);
    for (uint32_t i = 0; i < taken->n; i++)
        if (!deliver_to_all(client, channel_at(taken, i)))
            return;
}

void delivery_on_letter(struct letter *letter)
{
    struct client *client = CONTAINER_OF(letter, struct client, letter);
    struct worker *worker = client_worker(client);
    enum missed missed;
    struct channel *taken = client_map_take(map_of(client), client, &missed);
    worker->is_delivering = true;
    if (client->is_removed) {
        free_client_later(client);
    } else {
        if (taken != NULL)
            deliver_taken(client, taken);
        if (missed != MISSED_NOTHING)
            reread_all_sessions(client, missed);
    }
    worker->is_delivering = false;
    channel_free(taken);
}

/* The worker of this thread, if it may deliver now. */
static struct worker *free_worker(const struct node *node)
{
    struct worker *worker = worker_here();
    bool is_free = worker != NULL && worker->node == node && worker->answering == NULL &&
                   !worker->is_delivering;
    return is_free ? worker : NULL;
}

unsigned delivery_offer(struct node *node, struct span user_id, struct inbox_event event)
{
    struct worker *worker = free_worker(node);
    struct client *client;
    if (worker == NULL)
        return client_map_offer(node->map, user_id, event);
    unsigned online = client_map_offer_here(node->map, user_id, event, worker->index, &client);
    if (client != NULL) {
        worker->is_delivering = true;
        deliver_to_all(client, event);
        worker->is_delivering = false;
    }
    return online;
}
