/* A client whose position has moved stands in a slot of a ring, and the timer runs slot after slot.
 * When the slot's time has come its positions are written, each in a request of its own, and all of
 * them with one call of the store.
 *
 * A push takes the shared position along, so the user who is pushed before that needs no write:
 * what his next notification makes him acknowledge has its own time to wait. He is then due in a
 * later slot than the one in which he stands, and is put there when his slot's time has come.
 *
 * A write that fails because the store is away comes back as a letter, and marks its client again.
 * A client that leaves while it is in a slot is freed when the slot is written, because the slot
 * points at it. Where there is no memory to put a client into its slot, or to write its position,
 * it is found again by a walk over all clients, once in a round of the ring. */
#include "gateway/delivery/position_writer.h"

#include <stdlib.h>

/* One round of the ring is the longest that a position waits: two seconds with a store that other
 * nodes share, one with a local store. */
enum { SLOTS = 64, SHARED_SLOT_MS = 31, LOCAL_SLOT_MS = 15 };

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
    int64_t next_ms; /* when the next slot's time has come, while the timer is set */
    unsigned next;   /* the slot that is written next */
    unsigned n_marked;
    bool has_unlisted;               /* there was no memory to put a client into its slot */
    bool is_gathering;               /* many are written: their positions go into the list */
    atomic_uint_fast64_t n_asked;    /* writes, ever */
    atomic_uint_fast64_t n_answered; /* of them */
    struct store_ack *first;
    struct store_ack *last;
};

/* One position on its way to the store. */
struct position_write {
    struct store_ack ack;
    struct letter letter;
    struct worker *worker;
    char names[]; /* the userId, the device */
};

static int64_t slot_ms_of(const struct position_writer *writer)
{
    return store_is_shared(writer->worker->node->store) ? SHARED_SLOT_MS : LOCAL_SLOT_MS;
}

static void set_slot_timer(struct position_writer *writer)
{
    worker_set_timer(writer->worker, &writer->timer, writer->next_ms);
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

static bool has_moved(const struct client *client, const struct position *position)
{
    return position_acked(position) > position->stored && !epoch_is_none(client->epoch);
}

bool position_writer_has_all(const struct client *client)
{
    bool has_all = !has_moved(client, &client->shared);
    const struct device_position *device = client->more->devices;
    for (; has_all && device != NULL; device = device->next)
        has_all = !has_moved(client, &device->position);
    return has_all;
}

/* A client that cannot be put into its slot is found again by a walk over all of them (on_slot). */
static void add_to_slot(struct position_writer *writer, struct client *client, unsigned index)
{
    struct slot *slot = &writer->slots[index];
    if (writer->n_marked == 0 && !writer->has_unlisted) {
        writer->next_ms = worker_now_ms(writer->worker) + slot_ms_of(writer);
        set_slot_timer(writer);
    }
    if (slot_reserve(slot) != ERR_OK) {
        writer->has_unlisted = true;
        return;
    }
    writer->n_marked++;
    client->unstored_slot = (uint8_t)(index + 1);
    client->due_slot = client->unstored_slot;
    slot->clients[slot->n++] = client;
}

/* How many slots pass before that of an index is written. */
static unsigned slots_before(const struct position_writer *writer, unsigned index)
{
    return (index + SLOTS - writer->next) % SLOTS;
}

/* A push does not take the positions of a user with devices along: with a shared store these wait
 * half a round, a second. */
static unsigned longest_wait(const struct client *client)
{
    bool has_devices = atomic_load_explicit(&client->has_devices, memory_order_relaxed);
    return has_devices && store_is_shared(client_worker(client)->node->store) ? SLOTS / 2 : SLOTS;
}

/* Due as late as it may be; in no case before the slot in which it stands. */
static void put_off(struct client *client)
{
    struct position_writer *writer = client_worker(client)->position_writer;
    unsigned due = (writer->next + longest_wait(client) - 1) % SLOTS;
    if (client->unstored_slot == 0)
        add_to_slot(writer, client, due);
    else if (slots_before(writer, due) >= slots_before(writer, client->unstored_slot - 1u))
        client->due_slot = (uint8_t)(due + 1);
}

void position_writer_mark(struct client *client, bool had_all)
{
    const struct position_writer *writer = client_worker(client)->position_writer;
    if (client->unstored_slot != 0 &&
        slots_before(writer, client->unstored_slot - 1u) >= longest_wait(client))
        position_writer_flush(client); /* its devices have come since */
    else if (client->unstored_slot == 0 || had_all)
        put_off(client);
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
        put_off(client);
    }
    free(write);
}

static void on_written(struct store_request *request)
{
    struct position_write *write = CONTAINER_OF(request, struct position_write, ack.request);
    atomic_fetch_add(&write->worker->position_writer->n_answered, 1);
    if (write->ack.error == ERR_STORE_UNAVAILABLE) {
        worker_post(write->worker, &write->letter, on_failed_letter);
        return;
    }
    free(write); /* written, or of another epoch, which the next notification or page shows */
}

/* The positions of a slot go to the store in one call: one by one, the first would wake the store's
 * thread, which would commit it alone. */
static void hand_over(struct position_writer *writer, struct store_ack *ack)
{
    if (!writer->is_gathering) {
        store_ack(writer->worker->node->store, ack);
        return;
    }
    ack->request.next = NULL;
    if (writer->first == NULL)
        writer->first = ack;
    else
        writer->last->request.next = &ack->request;
    writer->last = ack;
}

static void hand_over_gathered(struct position_writer *writer)
{
    struct store_ack *first = writer->first;
    writer->is_gathering = false;
    writer->first = NULL;
    writer->last = NULL;
    if (first != NULL)
        store_ack_many(writer->worker->node->store, first);
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
    write->worker = client_worker(client);
    write->ack = (struct store_ack){
        .request = {.on_done = on_written, .lane = client_worker(client)->index},
        .user_id = {write->names, client->user_id_len},
        .device = {write->names + client->user_id_len, device.len},
        .is_held = client->shared.n_sessions > 0,
        .epoch = client->epoch,
        .seq = position_acked(position),
        .written = written,
    };
    position->stored = write->ack.seq;
    atomic_fetch_add(&client_worker(client)->position_writer->n_asked, 1);
    hand_over(client_worker(client)->position_writer, &write->ack);
}

void position_writer_write_if_moved(struct client *client, struct position *position)
{
    if (has_moved(client, position) && !client->is_unsure) /* else later */
        position_writer_write(client, position, 0);
}

void position_writer_flush(struct client *client)
{
    /* The client stays in its slot, which then finds nothing to write. */
    position_writer_write_if_moved(client, &client->shared);
    struct device_position *device = client->more->devices;
    for (; device != NULL; device = device->next)
        position_writer_write_if_moved(client, &device->position);
}

static void flush_client(struct client *client, void *unused)
{
    (void)unused;
    position_writer_flush(client);
}

uint64_t position_writer_write_all(struct worker *worker)
{
    worker->position_writer->is_gathering = true;
    client_map_each(worker->node->map, worker->index, flush_client, NULL);
    hand_over_gathered(worker->position_writer);
    return atomic_load(&worker->position_writer->n_asked);
}

bool position_writer_has_written(const struct worker *worker, uint64_t n)
{
    return atomic_load(&worker->position_writer->n_answered) >= n;
}

static void mark_if_moved(struct client *client, void *unused)
{
    (void)unused;
    if (!position_writer_has_all(client) && client->unstored_slot == 0)
        put_off(client);
}

/* Writes what its slot has waited for. `may_wait`: a client that is due later waits until then, and
 * what could not be written is marked again, in the slot that comes last. */
static void write_client(struct position_writer *writer, struct client *client, bool may_wait)
{
    bool is_due = client->due_slot == client->unstored_slot;
    client->unstored_slot = 0;
    if (client->is_removed) {
        if (!client->is_posted)
            client_free(client); /* it left meanwhile, and was only still in this list */
    } else if (may_wait && !is_due) {
        if (!position_writer_has_all(client))
            add_to_slot(writer, client, client->due_slot - 1u);
    } else {
        position_writer_flush(client);
        if (may_wait)
            mark_if_moved(client, NULL);
    }
}

static void write_slot(struct position_writer *writer, unsigned index, bool may_wait)
{
    struct slot taken = writer->slots[index];
    writer->slots[index] = (struct slot){0};
    writer->is_gathering = true;
    while (taken.n > 0) {
        struct client *client = taken.clients[--taken.n];
        write_client(writer, client, may_wait);
        writer->n_marked--;
    }
    hand_over_gathered(writer);
    free(taken.clients);
}

/* Slots whose time has come: more than one where the worker was late. */
static void on_slot(struct timer *timer)
{
    struct position_writer *writer = CONTAINER_OF(timer, struct position_writer, timer);
    struct worker *worker = writer->worker;
    unsigned n = 0;
    do {
        unsigned index = writer->next;
        writer->next = (writer->next + 1) % SLOTS;
        writer->next_ms += slot_ms_of(writer);
        write_slot(writer, index, true);
        if (writer->has_unlisted && writer->next == 0) { /* once a round */
            writer->has_unlisted = false;
            client_map_each(worker->node->map, worker->index, mark_if_moved, NULL);
        }
    } while (++n < SLOTS && writer->next_ms <= worker_now_ms(worker));
    if (writer->next_ms <= worker_now_ms(worker)) /* it stood still for more than a round */
        writer->next_ms = worker_now_ms(worker) + slot_ms_of(writer);
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
        write_slot(writer, i, false);
    worker_cancel_timer(worker, &writer->timer);
    free(writer);
    worker->position_writer = NULL;
}
