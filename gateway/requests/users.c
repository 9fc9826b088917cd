/* What is known of a user, and which users are online. The question about one user passes the home
 * worker first, which describes the connections and writes what was acknowledged and is not in the
 * store yet; then the store is asked about the inbox. */
#include "gateway/requests/requests.h"

#include "gateway/delivery/position_writer.h"
#include "gateway/delivery/positions.h"
#include "gateway/net/listener.h"
#include "gateway/session/session_say.h"
#include "proto/bytes/hex.h"

#include <stdio.h>
#include <stdlib.h>

struct user_work {
    struct letter letter;
    struct store_peek peek;
    struct node *node;
    struct gateway_user *user;
};

static void on_peeked(struct store_request *request)
{
    struct user_work *work = CONTAINER_OF(request, struct user_work, peek.request);
    const struct store_peek *peek = &work->peek;
    struct gateway_user *user = work->user;
    user->error = peek->error;
    if (peek->error == ERR_OK) {
        user->epoch = peek->epoch;
        user->head = peek->head;
        user->acked = peek->acked;
        user->pending = peek->pending;
        int64_t age_ms = store_now_ms(work->node->store) - peek->oldest_time_ms;
        user->oldest_pending_ms = peek->pending > 0 && age_ms > 0 ? age_ms : 0;
        user->blocked_until_ms = peek->blocked_until_ms;
    }
    free(work);
    user->on_done(user);
}

static void describe_session(const struct session *session, struct gateway_connection *out)
{
    session_name(session, out->connection);
    if (!peer_describe(session->peer, out->address, sizeof out->address))
        listener_peer(session->conn.watch.fd, out->address, sizeof out->address);
    if (session->agent != NULL)
        snprintf(out->user_agent, sizeof out->user_agent, "%.*s", (int)session->agent->len,
                 session->agent->text);
    out->level = handshake_level_word((enum handshake_level)session->level);
    struct span device = position_device(positions_of(session));
    snprintf(out->device, sizeof out->device, "%.*s", (int)device.len,
             device.len > 0 ? device.bytes : "");
    out->since_ms = (int64_t)session_since_s(session) * 1000;
    out->round_trip_ms =
        session->round_trip_ms == UINT16_MAX ? -1 : (int64_t)session->round_trip_ms;
    out->queued_bytes = session_queued_bytes(session);
    out->acked = session->acked;
}

static void describe_sessions(const struct client *client, struct gateway_user *user)
{
    user->connections = calloc(client->n_sessions, sizeof user->connections[0]);
    if (user->connections == NULL)
        return;
    LIST_FOR_EACH(link, &client->sessions)
    {
        describe_session(CONTAINER_OF(link, struct session, link),
                         &user->connections[user->n_connections++]);
    }
}

static void on_user_letter(struct letter *letter)
{
    struct user_work *work = CONTAINER_OF(letter, struct user_work, letter);
    struct node *node = work->node;
    struct client *client = client_map_find(node->map, work->user->user_id);
    if (client != NULL) {
        describe_sessions(client, work->user);
        position_writer_flush(client); /* so that what the store answers includes it */
        work->user->epoch = client->epoch;
        work->user->head = client->head;
    }
    work->peek = (struct store_peek){
        .request = {.on_done = on_peeked, .lane = node_home(node, work->user->user_id)->index},
        .user_id = work->user->user_id,
    };
    store_peek(node->store, &work->peek);
}

void gateway_user(struct node *node, struct gateway_user *user)
{
    struct user_work *work = calloc(1, sizeof *work);
    user->n_connections = 0;
    user->connections = NULL;
    user->epoch = (struct epoch){{0}};
    user->head = 0;
    user->acked = 0;
    user->pending = 0;
    user->oldest_pending_ms = 0;
    user->blocked_until_ms = 0;
    if (work == NULL) {
        user->error = ERR_NO_MEMORY;
        user->on_done(user);
        return;
    }
    work->node = node;
    work->user = user;
    node_ask_home(node, user->user_id, &work->letter, on_user_letter);
}

enum err gateway_clients(struct node *node, struct span after, struct gateway_client *clients,
                         size_t cap, size_t *ret_n, char ret_next[32])
{
    uint64_t cursor;
    if (!hex_read(after, &cursor))
        return ERR_INVALID_FIELD;
    struct client_map_row *rows = calloc(cap, sizeof *rows);
    if (rows == NULL)
        return ERR_NO_MEMORY;
    size_t n = client_map_list(node->map, &cursor, rows, cap);
    for (size_t i = 0; i < n; i++) {
        clients[i].user_id_len = rows[i].user_id_len;
        memcpy(clients[i].user_id, rows[i].user_id, rows[i].user_id_len);
        clients[i].connections = rows[i].n_sessions;
    }
    free(rows);
    *ret_n = n;
    ret_next[0] = '\0';
    if (cursor != UINT64_MAX)
        snprintf(ret_next, 32, "%016llx", (unsigned long long)cursor);
    return ERR_OK;
}

bool gateway_is_online(struct node *node, struct span user_id)
{
    return client_map_count(node->map, user_id) > 0;
}
