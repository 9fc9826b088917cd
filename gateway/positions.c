#include "gateway/positions.h"

#include "gateway/base/metrics.h"

#include <stdlib.h>

/* A user's position is written a second after it first moved (in slots of 64 ms, so that the writes
 * of many users are spread), or when so many notifications of that user wait. */
enum { BATCH = 256 };

/* One position on its way to the store. A write that failed is tried again while the user is here;
 * when nobody is, the notifications come again (CONTRACT 5.3). */
struct position_write {
    struct store_ack ack;
    struct letter letter;
    struct worker *worker;
    char user_id[];
};

static void on_slot(struct timer *timer);

static void set_slot_timer(struct worker *worker)
{
    timer_set(reactor_timers(worker->reactor), &worker->unstored_timer,
              worker_now_ms(worker) + POSITION_SLOT_MS);
}

static void mark_unstored(struct client *client)
{
    struct worker *worker = client->worker;
    if (client->unstored_slot != 0)
        return;
    if (worker->unstored_timer.on_due == NULL)
        timer_init(&worker->unstored_timer, on_slot);
    if (worker->n_unstored++ == 0)
        set_slot_timer(worker);
    unsigned slot = (worker->unstored_slot + POSITION_SLOTS - 1) % POSITION_SLOTS;
    client->unstored_slot = (uint8_t)(slot + 1);
    client->next_unstored = worker->unstored[slot];
    worker->unstored[slot] = client;
}

/* On the home worker: the store was away. */
static void on_failed_letter(struct letter *letter)
{
    struct position_write *write = CONTAINER_OF(letter, struct position_write, letter);
    struct client *client = client_map_find(write->worker->node->map, write->ack.user_id);
    if (client != NULL && epoch_equal(client->epoch, write->ack.epoch)) {
        client->stored_acked = 0;
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

static void write_position(struct client *client)
{
    if (client->acked <= client->stored_acked || epoch_is_none(client->epoch))
        return;
    struct position_write *write = calloc(1, sizeof *write + client->user_id_len);
    if (write == NULL)
        return; /* it stays unwritten, and is tried again with the next acknowledgement */
    memcpy(write->user_id, client->user_id, client->user_id_len);
    write->worker = client->worker;
    write->ack = (struct store_ack){
        .request = {.on_done = on_written, .lane = client->worker->index},
        .user_id = {write->user_id, client->user_id_len},
        .epoch = client->epoch,
        .seq = client->acked,
    };
    client->stored_acked = client->acked;
    store_ack(client->worker->node->store, &write->ack);
}

void positions_store(struct client *client)
{
    write_position(client); /* it stays in its slot, which then finds nothing to write */
}

static void write_slot(struct worker *worker, struct client **slot)
{
    while (*slot != NULL) {
        struct client *client = *slot;
        *slot = client->next_unstored;
        worker->n_unstored--;
        client->unstored_slot = 0;
        if (!client->is_removed)
            write_position(client);
        else if (!client->is_posted)
            client_free(client); /* it left meanwhile, and was only still in this list */
    }
}

/* The slot whose second is over. */
static void on_slot(struct timer *timer)
{
    struct worker *worker = CONTAINER_OF(timer, struct worker, unstored_timer);
    struct client **slot = &worker->unstored[worker->unstored_slot];
    worker->unstored_slot = (worker->unstored_slot + 1) % POSITION_SLOTS;
    write_slot(worker, slot);
    if (worker->n_unstored > 0)
        set_slot_timer(worker);
}

void positions_stop(struct worker *worker)
{
    for (unsigned i = 0; i < POSITION_SLOTS; i++)
        write_slot(worker, &worker->unstored[i]);
}

/* What waits to be written must not fill a small inbox. */
static uint64_t batch_of(const struct client *client)
{
    int64_t quarter = client->worker->node->options->inbox_max / 4;
    return quarter < BATCH ? (uint64_t)quarter : BATCH;
}

static void advance(struct client *client, uint64_t acked)
{
    if (acked <= client->acked)
        return;
    metrics_add(METRIC_ACKED, acked - client->acked);
    client->acked = acked;
    mark_unstored(client);
    if (client->acked - client->stored_acked >= batch_of(client))
        positions_store(client);
}

/* A session whose first page has not come yet has acknowledged nothing beyond the position it was
 * promised, so the position stands still until it has. */
static uint64_t lowest_of(const struct client *client)
{
    uint64_t lowest = UINT64_MAX;
    LIST_FOR_EACH(link, &client->sessions)
    {
        const struct session *session = CONTAINER_OF(link, struct session, link);
        uint64_t acked = session->is_new ? client->acked : session->acked;
        if (acked < lowest)
            lowest = acked;
    }
    return lowest;
}

void positions_settle(struct client *client)
{
    advance(client, lowest_of(client));
}

void positions_acked(struct session *session)
{
    struct client *client = session->client;
    if (session->acked > client->best_acked)
        client->best_acked = session->acked;
    positions_settle(client);
}

void positions_left(struct session *session)
{
    struct client *client = session->client;
    if (!list_is_empty(&client->sessions)) {
        positions_settle(client);
        return;
    }
    advance(client, client->best_acked);
    positions_store(client);
}
