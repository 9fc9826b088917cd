/* A client whose position has moved is put into the slot that comes last, and stays there until the
 * slot's time has come; then its positions are written, each in a request of its own. The timer
 * runs while a client is in a slot.
 *
 * A write that fails because the store is away comes back as a letter, and marks its client again.
 * A client that leaves while it is in a slot is freed when the slot is written, because the slot
 * points at it. Where there is no memory to put a client into its slot, or to write its position,
 * it is found again by a walk over all clients, once a second. */
#include "gateway/delivery/position_writer.h"

#include <stdlib.h>

enum { SLOTS = 16, SLOT_MS = 64 };

/* Clients whose positions are written at one time. */
struct slot {
    struct client **clients;
    uint32_t n;
    uint32_t cap;
};

struct position_writer {
    struct worker *worker;
    struct timer timer; /* to the next slot; set while a client is marked */
    struct slot slots[SLOTS];
    unsigned next; /* the slot that is written next */
    unsigned n_marked;
    bool has_unlisted; /* there was no memory to put a client into its slot */
};

/* One position on its way to the store. */
struct position_write {
    struct store_ack ack;
    struct letter letter;
    struct worker *worker;
    char names[]; /* the userId, the device */
};

static void set_slot_timer(struct position_writer *writer)
{
    worker_set_timer(writer->worker, &writer->timer, worker_now_ms(writer->worker) + SLOT_MS);
}

static enum err slot_reserve(struct slot *slot)
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

/* A client that cannot be put into its slot is found again by a walk over all of them (on_slot). */
void position_writer_mark(struct client *client)
{
    struct position_writer *writer = client->worker->position_writer;
    if (client->unstored_slot != 0)
        return;
    unsigned index = (writer->next + SLOTS - 1) % SLOTS;
    struct slot *slot = &writer->slots[index];
    if (writer->n_marked == 0 && !writer->has_unlisted)
        set_slot_timer(writer);
    if (slot_reserve(slot) != ERR_OK) {
        writer->has_unlisted = true;
        return;
    }
    writer->n_marked++;
    client->unstored_slot = (uint8_t)(index + 1);
    slot->clients[slot->n++] = client;
}

/* On the home worker: the store was away. */
static void on_failed_letter(struct letter *letter)
{
    struct position_write *write = CONTAINER_OF(letter, struct position_write, letter);
    struct client *client = client_map_find(write->worker->node->map, write->ack.user_id);
    if (client != NULL && epoch_equal(client->epoch, write->ack.epoch)) {
        struct position *position = client_position(client, write->ack.device);
        if (position != NULL)
            position->stored = 0;
        position_writer_mark(client);
    }
    free(write);
}

static void on_written(struct store_request *request)
{
    struct position_write *write = CONTAINER_OF(request, struct position_write, ack.request);
    if (write->ack.error == ERR_STORE_UNAVAILABLE) {
        worker_post(write->worker, &write->letter, on_failed_letter);
        return;
    }
    free(write); /* written, or of another epoch, which the next notification or page shows */
}

void position_writer_write(struct client *client, struct position *position, uint64_t written)
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
        .seq = position_acked(position),
        .written = written,
    };
    position->stored = write->ack.seq;
    store_ack(client->worker->node->store, &write->ack);
}

static bool has_moved(const struct client *client, const struct position *position)
{
    return position_acked(position) > position->stored && !epoch_is_none(client->epoch);
}

void position_writer_write_if_moved(struct client *client, struct position *position)
{
    if (has_moved(client, position))
        position_writer_write(client, position, 0);
}

void position_writer_flush(struct client *client)
{
    /* The client stays in its slot, which then finds nothing to write. */
    position_writer_write_if_moved(client, &client->shared);
    for (struct device_position *device = client->devices; device != NULL; device = device->next)
        position_writer_write_if_moved(client, &device->position);
}

static void mark_if_moved(struct client *client, void *unused)
{
    (void)unused;
    bool must_mark = has_moved(client, &client->shared);
    for (struct device_position *device = client->devices; device != NULL; device = device->next)
        must_mark |= has_moved(client, &device->position);
    if (must_mark)
        position_writer_mark(client);
}

/* `may_retry`: what could not be written is marked again, in the slot that comes last. */
static void write_slot(struct position_writer *writer, struct slot *slot, bool may_retry)
{
    struct slot taken = *slot;
    *slot = (struct slot){0};
    while (taken.n > 0) {
        struct client *client = taken.clients[--taken.n];
        writer->n_marked--;
        client->unstored_slot = 0;
        if (!client->is_removed) {
            position_writer_flush(client);
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
    struct position_writer *writer = CONTAINER_OF(timer, struct position_writer, timer);
    struct slot *slot = &writer->slots[writer->next];
    writer->next = (writer->next + 1) % SLOTS;
    write_slot(writer, slot, true);
    if (writer->has_unlisted && writer->next == 0) { /* once a second */
        struct worker *worker = writer->worker;
        writer->has_unlisted = false;
        client_map_each(worker->node->map, worker->index, mark_if_moved, NULL);
    }
    if (writer->n_marked > 0 || writer->has_unlisted)
        set_slot_timer(writer);
}

enum err position_writer_new(struct worker *worker)
{
    struct position_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return ERR_NO_MEMORY;
    writer->worker = worker;
    timer_init(&writer->timer, on_slot);
    worker->position_writer = writer;
    return ERR_OK;
}

void position_writer_free(struct worker *worker)
{
    struct position_writer *writer = worker->position_writer;
    if (writer == NULL)
        return;
    for (unsigned i = 0; i < SLOTS; i++)
        write_slot(writer, &writer->slots[i], false);
    worker_cancel_timer(worker, &writer->timer);
    free(writer);
    worker->position_writer = NULL;
}
