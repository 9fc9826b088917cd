#include "gateway/delivery/client_describe.h"

#include "gateway/delivery/positions.h"
#include "gateway/net/listener.h"
#include "gateway/session/session.h"

_Static_assert(SESSION_NAME_MAX_BYTES + ADDRESS_MAX_BYTES <= CLIENT_DESCRIPTION_BYTES,
               "a description has room for a name and an address");

static void describe_address(const struct session *session, char out[ADDRESS_MAX_BYTES])
{
    if (!peer_describe(session->peer, out, ADDRESS_MAX_BYTES))
        listener_peer(session->conn.watch.fd, out, ADDRESS_MAX_BYTES);
}

bool client_describe(const struct client *client, char room[CLIENT_DESCRIPTION_BYTES],
                     struct event_online *ret_online)
{
    char *name = room;
    char *address = room + SESSION_NAME_MAX_BYTES;
    if (list_is_empty(&client->sessions))
        return false;
    struct session *session = CONTAINER_OF(client->sessions.next, struct session, link);
    session_name(session, name);
    *ret_online = (struct event_online){
        .user_id = client_user_id(client),
        .node = span_of(session_worker(session)->node->name),
        .connection = span_of(name),
        .level = span_of(handshake_level_word((enum handshake_level)session->level)),
        .device = position_device(positions_of(session)),
    };
    if (session_options(session)->events_address) {
        describe_address(session, address);
        ret_online->address = span_of(address);
    }
    return true;
}

void client_note_present(struct client *client)
{
    const struct delivery_events *events = &client_worker(client)->node->delivery_events;
    if (client->is_present || events->on_online == NULL)
        return;
    client->is_present = true;
    events->on_online(client);
}
