#include "gateway/delivery/positions.h"

#include "gateway/base/metrics.h"
#include "gateway/node/latencies.h"

#include <stdlib.h>

/* A user's positions are written a second after the first of them moved (in slots of 64 ms, so that
 * the writes of many users are spread), or when so many notifications of that user wait. */
enum { BATCH = 256 };

/* One position on its way to the store. A write that failed is tried again while the user is here;
 * when nobody is, the notifications come again (CONTRACT 5.3). */
struct position_write {
    struct store_ack ack;
    struct letter letter;
    struct worker *worker;
    char names[]; /* the userId, the device */
};

static uint64_t acked_of(const struct position *position)
{
    return atomic_load_explicit(&position->acked, memory_order_relaxed);
}

static void set_acked(struct position *position, uint64_t acked)
{
    atomic_store_explicit(&position->acked, acked, memory_order_relaxed);
}

/* The position of the sessions with that device (empty: without one); NULL: none is open. */
static struct position *find(struct client *client, struct span device)
{
    if (device.len == 0)
        return &client->shared;
    struct device_position *at = client->devices;
    while (at != NULL && !span_equal(position_device(&at->position), device))
        at = at->next;
    return at == NULL ? NULL : &at->position;
}

static void on_slot(struct timer *timer);

static void set_slot_timer(struct worker *worker)
{
    timer_set(reactor_timers(worker->reactor), &worker->unstored_timer,
              worker_now_ms(worker) + POSITION_SLOT_MS);
}

static enum err make_room(struct unstored_slot *slot)
{
    if (slot->n < slot->cap)
        return ERR_OK;
    uint32_t cap = slot->cap == 0 ? 16 : 2 * slot->cap;
    struct client **clients = realloc(slot->clients, cap * sizeof(struct client *));
    if (clients == NULL)
        return ERR_NO_MEMORY;
    slot->clients = clients;
    slot->cap = cap;
    return ERR_OK;
}

/* Without memory for its place the user is found again by a walk over all of them (on_slot). */
static void mark_unstored(struct client *client)
{
    struct worker *worker = client->worker;
    if (client->unstored_slot != 0)
        return;
    unsigned index = (worker->unstored_slot + POSITION_SLOTS - 1) % POSITION_SLOTS;
    struct unstored_slot *slot = &worker->unstored[index];
    if (worker->unstored_timer.on_due == NULL)
        timer_init(&worker->unstored_timer, on_slot);
    if (worker->n_unstored == 0 && !worker->has_unmarked)
        set_slot_timer(worker);
    if (make_room(slot) != ERR_OK) {
        worker->has_unmarked = true;
        return;
    }
    worker->n_unstored++;
    client->unstored_slot = (uint8_t)(index + 1);
    slot->clients[slot->n++] = client;
}

/* On the home worker: the store was away. */
static void on_failed_letter(struct letter *letter)
{
    struct position_write *write = CONTAINER_OF(letter, struct position_write, letter);
    struct client *client = client_map_find(write->worker->node->map, write->ack.user_id);
    if (client != NULL && epoch_equal(client->epoch, write->ack.epoch)) {
        struct position *position = find(client, write->ack.device);
        if (position != NULL)
            position->stored = 0;
        mark_unstored(client);
    }
    free(write);
}

static void on_written(struct store_request *request)
{
    struct position_write *write = CONTAINER_OF(request, struct position_write, ack.request);
    if (write->ack.error == ERR_STORE_UNAVAILABLE) {
        write->letter.deliver = on_failed_letter;
        mailbox_post(worker_mailbox(write->worker), &write->letter);
        return;
    }
    free(write); /* another epoch: the sessions hear of it from the store's next word */
}

/* `written`: as in store_ack. */
static void write_position(struct client *client, struct position *position, uint64_t written)
{
    struct span device = position_device(position);
    struct position_write *write = calloc(1, sizeof *write + client->user_id_len + device.len);
    if (write == NULL)
        return; /* it stays unwritten, and is tried again while the user is here */
    memcpy(write->names, client->user_id, client->user_id_len);
    if (device.len > 0)
        memcpy(write->names + client->user_id_len, device.bytes, device.len);
    write->worker = client->worker;
    write->ack = (struct store_ack){
        .request = {.on_done = on_written, .lane = client->worker->index},
        .user_id = {write->names, client->user_id_len},
        .device = {write->names + client->user_id_len, device.len},
        .is_held = client->shared.n_sessions > 0,
        .epoch = client->epoch,
        .seq = acked_of(position),
        .written = written,
    };
    position->stored = write->ack.seq;
    store_ack(client->worker->node->store, &write->ack);
}

static bool has_moved(const struct client *client, const struct position *position)
{
    return acked_of(position) > position->stored && !epoch_is_none(client->epoch);
}

static void write_if_moved(struct client *client, struct position *position)
{
    if (has_moved(client, position))
        write_position(client, position, 0);
}

static void mark_if_moved(struct client *client, void *unused)
{
    (void)unused;
    bool must_mark = has_moved(client, &client->shared);
    for (struct device_position *device = client->devices; device != NULL; device = device->next)
        must_mark |= has_moved(client, &device->position);
    if (must_mark)
        mark_unstored(client);
}

void positions_store(struct client *client)
{
    /* It stays in its slot, which then finds nothing to write. */
    write_if_moved(client, &client->shared);
    for (struct device_position *device = client->devices; device != NULL; device = device->next)
        write_if_moved(client, &device->position);
}

void positions_stored(struct client *client, uint64_t acked)
{
    if (acked > client->shared.stored && acked <= acked_of(&client->shared))
        client->shared.stored = acked;
}

/* `may_retry`: what could not be written is marked again, in the slot that comes last. */
static void write_slot(struct worker *worker, struct unstored_slot *slot, bool may_retry)
{
    struct unstored_slot taken = *slot;
    *slot = (struct unstored_slot){0};
    while (taken.n > 0) {
        struct client *client = taken.clients[--taken.n];
        worker->n_unstored--;
        client->unstored_slot = 0;
        if (!client->is_removed) {
            positions_store(client);
            if (may_retry)
                mark_if_moved(client, NULL);
        } else if (!client->is_posted) {
            client_free(client); /* it left meanwhile, and was only still in this list */
        }
    }
    free(taken.clients);
}

/* The slot whose second is over. */
static void on_slot(struct timer *timer)
{
    struct worker *worker = CONTAINER_OF(timer, struct worker, unstored_timer);
    struct unstored_slot *slot = &worker->unstored[worker->unstored_slot];
    worker->unstored_slot = (worker->unstored_slot + 1) % POSITION_SLOTS;
    write_slot(worker, slot, true);
    if (worker->has_unmarked && worker->unstored_slot == 0) { /* once a second */
        worker->has_unmarked = false;
        client_map_each(worker->node->map, worker->index, mark_if_moved, NULL);
    }
    if (worker->n_unstored > 0 || worker->has_unmarked)
        set_slot_timer(worker);
}

void positions_stop(struct worker *worker)
{
    for (unsigned i = 0; i < POSITION_SLOTS; i++)
        write_slot(worker, &worker->unstored[i], false);
}

/* What waits to be written must not fill a small inbox. */
static uint64_t batch_of(const struct client *client)
{
    int64_t quarter = client->worker->node->options->inbox_max / 4;
    return quarter < BATCH ? (uint64_t)quarter : BATCH;
}

static void advance(struct client *client, struct position *position, uint64_t acked)
{
    uint64_t before = acked_of(position);
    if (acked <= before)
        return;
    metrics_add(METRIC_ACKED, acked - before);
    set_acked(position, acked);
    latencies_end(client, acked);
    client->worker->node->delivery_events.on_position(client, acked);
    mark_unstored(client);
    if (acked - position->stored >= batch_of(client))
        write_if_moved(client, position);
}

/* A session whose first page has not come yet has acknowledged nothing beyond the position it was
 * promised, so the position stands still until it has. */
static uint64_t lowest_of(const struct client *client, const struct position *position)
{
    uint64_t lowest = UINT64_MAX;
    LIST_FOR_EACH(link, &client->sessions)
    {
        const struct session *session = CONTAINER_OF(link, struct session, link);
        if (session->position != position->number)
            continue;
        bool has_begun = reader_has_begun(&session->reader);
        uint64_t acked = has_begun ? session->acked : acked_of(position);
        if (acked < lowest)
            lowest = acked;
    }
    return lowest;
}

/* The lowest that is not in use. There are fewer devices than sessions, and of those no more than
 * --max-connections-per-user. */
static uint16_t free_number(const struct client *client)
{
    uint16_t number = 1;
    const struct device_position *at = client->devices;
    while (at != NULL) {
        bool is_taken = at->position.number == number;
        number = (uint16_t)(number + is_taken);
        at = is_taken ? client->devices : at->next;
    }
    return number;
}

static struct position *add_device(struct client *client, struct span name)
{
    struct device_position *device = calloc(1, sizeof *device + name.len);
    if (device == NULL)
        return NULL;
    device->position.number = free_number(client);
    device->position.device_len = (uint8_t)name.len;
    memcpy(device->name, name.bytes, name.len);
    device->next = client->devices;
    client->devices = device;
    atomic_store_explicit(&client->has_devices, true, memory_order_relaxed);
    return &device->position;
}

static void remove_device(struct client *client, struct position *position)
{
    struct device_position **link = &client->devices;
    while (&(*link)->position != position)
        link = &(*link)->next;
    struct device_position *device = *link;
    *link = device->next;
    free(device);
}

enum err positions_enter(struct session *session, struct span device)
{
    struct client *client = session->client;
    struct position *position = find(client, device);
    if (position == NULL)
        position = add_device(client, device);
    if (position == NULL)
        return ERR_NO_MEMORY;
    position->n_sessions++;
    session->position = position->number;
    return ERR_OK;
}

struct position *positions_of(const struct session *session)
{
    struct client *client = session->client;
    if (session->position == 0)
        return &client->shared;
    struct device_position *device = client->devices;
    while (device->position.number != session->position)
        device = device->next;
    return &device->position;
}

void positions_learn(struct client *client, struct position *position, uint64_t stored)
{
    if (position->is_known)
        return;
    position->is_known = true;
    position->stored = stored;
    if (stored > position->best)
        position->best = stored;
    if (stored >= acked_of(position))
        set_acked(position, stored);
    else
        mark_unstored(client); /* what the last session left could not be written */
}

void positions_acked(struct session *session)
{
    struct position *position = positions_of(session);
    if (session->acked > position->best)
        position->best = session->acked;
    advance(session->client, position, lowest_of(session->client, position));
}

void positions_left(struct session *session)
{
    struct client *client = session->client;
    struct position *position = positions_of(session);
    bool has_devices = atomic_load_explicit(&client->has_devices, memory_order_relaxed);
    uint64_t written = session->sent > session->acked ? session->sent : 0;
    bool is_last = --position->n_sessions == 0;
    session->position = 0;
    if (is_last)
        advance(client, position, position->best);
    else
        advance(client, position, lowest_of(client, position));
    /* What was written and is not acknowledged may have been shown; and without its sessions the
     * shared position no longer holds the inbox beside devices. */
    bool must_tell = written > 0 || (is_last && position->device_len == 0 && has_devices);
    if (epoch_is_none(client->epoch) || !position->is_known)
        must_tell = false;
    if (must_tell)
        write_position(client, position, written);
    else if (is_last)
        write_if_moved(client, position);
    position->is_known &= !is_last; /* whoever comes next asks the store */
    if (is_last && position->device_len > 0)
        remove_device(client, position);
}
