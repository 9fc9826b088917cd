/* A position moves in memory when one of its sessions acknowledges (positions_acked), joins or
 * leaves, and position_writer.c is told. The first page of its first session says where the store
 * has it (positions_learn); until then nothing is known of it, and it does not move. */
#include "gateway/delivery/positions.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/position_writer.h"
#include "gateway/node/latencies.h"

#include <stdlib.h>

/* A position is also written at once when this many notifications of the user wait for that. */
enum { BATCH = 256 };

static void set_acked(struct position *position, uint64_t acked)
{
    atomic_store_explicit(&position->acked, acked, memory_order_relaxed);
}

void positions_stored(struct client *client, uint64_t acked)
{
    if (acked > client->shared.stored && acked <= position_acked(&client->shared))
        client->shared.stored = acked;
}

/* What waits to be written must not fill a small inbox. */
static uint64_t batch_of(const struct client *client)
{
    int64_t half = client_worker(client)->node->options->inbox_max / 2;
    return half < BATCH ? (uint64_t)half : BATCH;
}

static void advance_position(struct client *client, struct position *position, uint64_t acked)
{
    uint64_t before = position_acked(position);
    if (acked <= before)
        return;
    bool had_all = position_writer_has_all(client);
    metrics_add(METRIC_ACKED, position->is_known ? acked - before : 0);
    set_acked(position, acked);
    latencies_end(client, acked);
    client_worker(client)->node->delivery_events.on_position(client, acked);
    position_writer_mark(client, had_all);
    if (acked - position->stored >= batch_of(client))
        position_writer_write_if_moved(client, position);
}

/* A session whose first page has not come yet has acknowledged nothing beyond the position it was
 * promised, so the position does not move until it has. */
static uint64_t lowest_acked_of(const struct client *client, const struct position *position)
{
    uint64_t lowest = UINT64_MAX;
    LIST_FOR_EACH(link, &client->sessions)
    {
        const struct session *session = CONTAINER_OF(link, struct session, link);
        if (session->reader.position_number != position->number)
            continue;
        bool has_begun = reader_has_begun(&session->reader);
        uint64_t acked = has_begun ? session->acked : position_acked(position);
        if (acked < lowest)
            lowest = acked;
    }
    return lowest;
}

/* The lowest number that is not in use. There are fewer devices than sessions, and at most
 * --max-connections-per-user sessions. */
static uint16_t free_number(const struct client *client)
{
    uint16_t number = 1;
    const struct device_position *at = client->more->devices;
    while (at != NULL) {
        bool is_taken = at->position.number == number;
        number = (uint16_t)(number + is_taken);
        at = is_taken ? client->more->devices : at->next;
    }
    return number;
}

static struct position *add_device(struct client *client, struct span name)
{
    struct client_more *more = client_more(client);
    struct device_position *device = more == NULL ? NULL : calloc(1, sizeof *device + name.len);
    if (device == NULL)
        goto undo_more;
    device->position.number = free_number(client);
    device->position.device_len = (uint8_t)name.len;
    memcpy(device->name, name.bytes, name.len);
    device->next = more->devices;
    more->devices = device;
    atomic_store_explicit(&client->has_devices, true, memory_order_relaxed);
    return &device->position;

undo_more:
    client_trim(client);
    return NULL;
}

static void remove_device(struct client *client, struct position *position)
{
    struct device_position **link = &client->more->devices;
    while (&(*link)->position != position)
        link = &(*link)->next;
    struct device_position *device = *link;
    *link = device->next;
    free(device);
    client_trim(client);
}

enum err positions_enter(struct session *session, struct span device)
{
    struct client *client = session->client;
    struct position *position = client_position(client, device);
    if (position == NULL)
        position = add_device(client, device);
    if (position == NULL)
        return ERR_NO_MEMORY;
    position->n_sessions++;
    session->reader.position_number = position->number;
    return ERR_OK;
}

struct position *positions_of(const struct session *session)
{
    return client_position_numbered(session->client, session->reader.position_number);
}

/* A session that begins here begins at the position. Only one that has begun in another process may
 * be beyond it; what it had acknowledged was counted there. While sessions are held, others of the
 * user may be on their way that have acknowledged less. */
static void take_up(struct client *client, struct position *position)
{
    if (!position->is_known || session_any_is_held(client))
        return;
    uint64_t lowest = lowest_acked_of(client, position);
    if (lowest == UINT64_MAX || lowest <= position_acked(position))
        return;
    bool had_all = position_writer_has_all(client);
    set_acked(position, lowest);
    latencies_end(client, lowest);
    client_worker(client)->node->delivery_events.on_position(client, lowest);
    position_writer_mark(client, had_all);
}

void positions_revived(struct session *session)
{
    struct position *position = positions_of(session);
    if (session->acked > position->best)
        position->best = session->acked;
    take_up(session->client, position);
}

void positions_learn(struct client *client, struct position *position, uint64_t stored)
{
    if (position->is_known)
        return;
    position->is_known = true;
    position->stored = stored;
    if (stored > position->best)
        position->best = stored;
    if (stored >= position_acked(position))
        set_acked(position, stored);
    else
        position_writer_mark(client, false); /* what the last session left could not be written */
    take_up(client, position);
}

void positions_compare(struct client *client, struct position *position, uint64_t stored)
{
    if (!position->is_known || stored >= position->stored)
        return;
    position->stored = stored;
    position_writer_mark(client, false);
}

void positions_acked(struct session *session)
{
    struct position *position = positions_of(session);
    if (session->acked > position->best)
        position->best = session->acked;
    if (position->is_known) /* else with the first page, after another process */
        advance_position(session->client, position, lowest_acked_of(session->client, position));
}

/* true: it was its last session. */
static bool leave_position(struct session *session, struct position *position)
{
    session->reader.position_number = 0;
    return --position->n_sessions == 0;
}

static void end_position(struct client *client, struct position *position)
{
    position->is_known = false; /* the next session asks the store */
    if (position->device_len > 0)
        remove_device(client, position);
}

void positions_leave(struct session *session)
{
    struct client *client = session->client;
    struct position *position = positions_of(session);
    bool has_devices = atomic_load_explicit(&client->has_devices, memory_order_relaxed);
    uint64_t sent = session_sent(session);
    uint64_t written = sent > session->acked ? sent : 0;
    bool is_last = leave_position(session, position);
    if (is_last)
        advance_position(client, position, position->best);
    else
        advance_position(client, position, lowest_acked_of(client, position));
    /* What was written and is not acknowledged may have been shown. And in an inbox with devices,
     * the shared position without sessions no longer keeps notifications. */
    bool must_write = written > 0 || (is_last && position->device_len == 0 && has_devices);
    if (epoch_is_none(client->epoch) || !position->is_known || client->is_unsure)
        must_write = false;
    /* Whose session has just closed may be about to open one at another node, which asks the store.
     */
    if (must_write)
        position_writer_write(client, position, written);
    else
        position_writer_write_if_moved(client, position);
    if (is_last)
        end_position(client, position);
}

void positions_part(struct session *session)
{
    struct position *position = positions_of(session);
    if (leave_position(session, position))
        end_position(session->client, position);
}
