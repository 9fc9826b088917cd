#include "gateway/positions.h"

#include "gateway/base/log.h"
#include "gateway/base/metrics.h"

#include <stdlib.h>

/* A batch is written when so many users, or so many of one user's notifications, wait; or after a
 * second. */
enum { BATCH = 256 };

/* One position on its way to the store. A write that failed is tried again while the user is here;
 * when nobody is, the notifications come again (CONTRACT 5.3). */
struct position_write {
    struct store_ack ack;
    struct letter letter;
    struct worker *worker;
    char user_id[];
};

static void mark_unstored(struct client *client)
{
    struct worker *worker = client->worker;
    if (client->is_unstored)
        return;
    client->is_unstored = true;
    client->next_unstored = worker->unstored;
    worker->unstored = client;
    worker->n_unstored++;
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

static void unlink_unstored(struct client *client)
{
    struct client **place = &client->worker->unstored;
    while (*place != client)
        place = &(*place)->next_unstored;
    *place = client->next_unstored;
    client->worker->n_unstored--;
    client->is_unstored = false;
}

void positions_store(struct client *client)
{
    if (client->is_unstored)
        unlink_unstored(client);
    write_position(client);
}

void positions_flush(struct worker *worker)
{
    while (worker->unstored != NULL) {
        struct client *client = worker->unstored;
        worker->unstored = client->next_unstored;
        worker->n_unstored--;
        client->is_unstored = false;
        write_position(client);
    }
}

static void advance(struct client *client, uint64_t acked)
{
    if (acked <= client->acked)
        return;
    metrics_add(METRIC_ACKED, acked - client->acked);
    client->acked = acked;
    mark_unstored(client);
    if (client->acked - client->stored_acked >= BATCH || client->worker->n_unstored >= BATCH)
        positions_flush(client->worker);
}

static uint64_t lowest_of(const struct client *client)
{
    uint64_t lowest = UINT64_MAX;
    LIST_FOR_EACH(link, &client->sessions)
    {
        const struct session *session = CONTAINER_OF(link, struct session, link);
        if (session->acked < lowest && !session->is_new)
            lowest = session->acked;
    }
    return lowest;
}

void positions_acked(struct session *session)
{
    struct client *client = session->client;
    if (session->acked > client->best_acked)
        client->best_acked = session->acked;
    advance(client, lowest_of(client));
}

void positions_left(struct session *session)
{
    struct client *client = session->client;
    if (!list_is_empty(&client->sessions)) {
        uint64_t lowest = lowest_of(client);
        if (lowest != UINT64_MAX)
            advance(client, lowest);
        return;
    }
    advance(client, client->best_acked);
    positions_store(client);
}
