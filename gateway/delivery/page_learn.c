#include "gateway/delivery/page_learn.h"

#include "gateway/delivery/positions.h"
#include "gateway/node/worker.h"

static void learn_epoch(struct client *client, struct epoch epoch, uint64_t head, uint32_t time)
{
    client_map_learn(client_worker(client)->node->map, client, epoch, head, time);
}

/* What was heard meanwhile counts now. */
static void confirm_head(struct client *client)
{
    const struct channel *kept = client->more->kept;
    client->is_unsure = false;
    for (uint32_t i = 0; kept != NULL && i < kept->n; i++) {
        struct inbox_event event = channel_at(kept, i);
        if (event.kind == INBOX_NOTIFICATION && epoch_equal(event.note->epoch, client->epoch))
            learn_epoch(client, client->epoch, event.note->seq, store_time(event.note->time_ms));
    }
}

bool page_learn(struct session *session, const struct store_page *page)
{
    struct client *client = session->client;
    const struct channel *kept = client->more->kept;
    bool is_same = epoch_equal(client->epoch, page->epoch);
    /* Of one without an epoch nothing was known when the page was asked for, so nothing was lost.
     */
    bool is_first = epoch_is_none(client->epoch) || epoch_is_none(page->epoch);
    if (client->is_unsure && (is_same || is_first))
        confirm_head(client);
    if (page->has_devices)
        atomic_store_explicit(&client->has_devices, true, memory_order_relaxed);
    if (epoch_is_none(page->epoch)) {
        /* Nothing was ever pushed to this user, when the page was read. */
        if (kept != NULL && kept->n > 0) /* but the first push has come since */
            learn_epoch(client, inbox_event_epoch(channel_at(kept, 0)), 0, 0);
        positions_learn(client, positions_of(session), 0);
        return true;
    }
    if (!epoch_is_none(client->epoch) && !is_same)
        return false;
    learn_epoch(client, page->epoch, page->head, page->head_time);
    positions_learn(client, positions_of(session), page->position);
    return true;
}
