/* The dispatch of all calls to the store that was opened. A request's answer is made empty first,
 * so that its owner may free what it holds whatever becomes of it; then the backend has it. What a
 * backend does not need (a local store has no other nodes) stays a NULL among its functions, and
 * the call does nothing. */
#include "gateway/store/store.h"

#include "gateway/store/store_backend.h"
#include "gateway/store/store_event_request.h"
#include "proto/bytes/utf8.h"

#include <assert.h>

void store_close(struct store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

/* ---- requests ---- */

static void submit_one(struct store *store, struct store_request *request, enum store_op op)
{
    request->next = NULL;
    store->ops->submit(store, request, op);
}

void store_append(struct store *store, struct store_append *append)
{
    submit_one(store, &append->request, STORE_OP_APPEND);
}

void store_append_many(struct store *store, struct store_append *first)
{
    store->ops->submit(store, &first->request, STORE_OP_APPEND);
}

void store_send_many(struct store *store, struct store_append *first)
{
    store->ops->submit(store, &first->request, STORE_OP_SEND);
}

static void clear_answer(struct store_page *page)
{
    page->n_notes = 0;
    page->notes = NULL;
    page->n_gaps = 0;
    page->gaps = NULL;
    page->n_withdrawn = 0;
    page->withdrawn = NULL;
    page->blocked_until_ms = 0;
    page->head_time = 0;
    page->has_device = false;
}

void store_page(struct store *store, struct store_page *page)
{
    clear_answer(page);
    submit_one(store, &page->request, STORE_OP_PAGE);
}

bool store_page_at_once(struct store *store, struct store_page *page)
{
    clear_answer(page);
    return store->ops->page_at_once != NULL && store->ops->page_at_once(store, page);
}

void store_ack(struct store *store, struct store_ack *ack)
{
    submit_one(store, &ack->request, STORE_OP_ACK);
}

void store_ack_many(struct store *store, struct store_ack *first)
{
    store->ops->submit(store, &first->request, STORE_OP_ACK);
}

void store_peek(struct store *store, struct store_peek *peek)
{
    submit_one(store, &peek->request, STORE_OP_PEEK);
}

void store_online(struct store *store, struct store_online *online)
{
    submit_one(store, &online->request, STORE_OP_ONLINE);
}

void store_look(struct store *store, struct store_look *look)
{
    submit_one(store, &look->request, STORE_OP_LOOK);
}

void store_withdraw(struct store *store, struct store_withdraw *withdraw)
{
    withdraw->n_removed = 0;
    withdraw->n_committed = 0;
    submit_one(store, &withdraw->request, STORE_OP_WITHDRAW);
}

void store_block(struct store *store, struct store_block *block)
{
    block->until_ms = 0;
    submit_one(store, &block->request, STORE_OP_BLOCK);
}

void store_ticket_give(struct store *store, struct store_ticket_give *give)
{
    submit_one(store, &give->request, STORE_OP_TICKET_GIVE);
}

void store_ticket_take(struct store *store, struct store_ticket_take *take)
{
    take->user_id_len = 0;
    submit_one(store, &take->request, STORE_OP_TICKET_TAKE);
}

void store_event_append(struct store *store, struct store_event_append *append)
{
    assert(append->n > 0 && append->n <= STORE_EVENTS_AT_ONCE);
    submit_one(store, &append->request, STORE_OP_EVENT_APPEND);
}

void store_consumers(struct store *store, struct store_consumers *consumers)
{
    store_event_answer(&consumers->request, STORE_OP_CONSUMERS, ERR_OK);
    submit_one(store, &consumers->request, STORE_OP_CONSUMERS);
}

void store_presence(struct store *store, struct store_presence *presence)
{
    store_event_answer(&presence->request, STORE_OP_PRESENCE, ERR_OK);
    submit_one(store, &presence->request, STORE_OP_PRESENCE);
}

void store_present(struct store *store, struct store_present *present)
{
    present->users = NULL;
    store_event_answer(&present->request, STORE_OP_PRESENT, ERR_OK);
    submit_one(store, &present->request, STORE_OP_PRESENT);
}

void store_serve(struct store *store, struct store_serve *serve)
{
    serve->alerts = NULL;
    store_event_answer(&serve->request, STORE_OP_SERVE, ERR_OK);
    submit_one(store, &serve->request, STORE_OP_SERVE);
}

void store_alert_end(struct store *store, struct store_alert_end *end)
{
    submit_one(store, &end->request, STORE_OP_ALERT_END);
}

void store_broadcast(struct store *store, struct store_broadcast *broadcast)
{
    broadcast->error = ERR_OK;
    broadcast->online = 0;
    broadcast->nodes = 0;
    store->ops->broadcast(store, broadcast);
}

void store_nodes(struct store *store, struct store_nodes *nodes)
{
    nodes->request.next = NULL;
    nodes->n = 0;
    nodes->nodes = NULL;
    store->ops->nodes(store, nodes);
}

void store_ask(struct store *store, struct store_ask *ask)
{
    ask->error = ERR_OK;
    ask->is_alone = false;
    ask->count = 0;
    ask->n_asked = 0;
    ask->n_answered = 0;
    ask->texts = NULL;
    store->ops->ask(store, ask);
}

void store_watch(struct store *store, unsigned lane, struct span user_id,
                 const struct store_watch *watch)
{
    if (store->ops->watch != NULL)
        store->ops->watch(store, lane, user_id, watch);
}

void store_watch_answer(struct store *store, unsigned lane, struct span user_id,
                        const struct store_watch *watch, uint64_t acked)
{
    if (store->ops->answer_watch != NULL)
        store->ops->answer_watch(store, lane, user_id, watch, acked);
}

void store_leave(struct store *store, unsigned lane, struct span user_id)
{
    store->ops->leave(store, lane, user_id);
}

/* ---- what it is, and how it is ---- */

const char *store_kind(const struct store *store)
{
    return store->ops->kind;
}

int64_t store_now_ms(const struct store *store)
{
    return store->ops->now_ms(store);
}

int64_t store_now_of(const struct store *store, struct span user_id)
{
    return store->ops->now_of != NULL ? store->ops->now_of(store, user_id)
                                      : store->ops->now_ms(store);
}

bool store_is_shared(const struct store *store)
{
    return store->ops->is_shared;
}

void store_reload(struct store *store)
{
    if (store->ops->reload != NULL)
        store->ops->reload(store);
}

unsigned store_slots_missing(struct store *store)
{
    return store->ops->slots_missing != NULL ? store->ops->slots_missing(store) : 0;
}

/* What a server or a file system says may be any bytes. */
void store_describe(struct store *store, char *out, size_t cap)
{
    store->ops->describe(store, out, cap);
    bool is_text = utf8_is_valid(span_of(out));
    for (char *at = out; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == '\x7f' || (!is_text && (unsigned char)*at > '~'))
            *at = '?';
}
