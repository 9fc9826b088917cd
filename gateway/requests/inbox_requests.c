/* What backends and operators ask about a user's notifications: what became of one, what waits; and
 * how they take them back (CONTRACT 3).
 *
 * Each request passes the user's home worker first, which writes the acknowledgements that are not
 * in the store yet, and then goes to the store. A cancellation then asks all nodes that have the
 * user whether the notification was written to a session. */
#include "gateway/requests/requests.h"

#include "gateway/delivery/position_writer.h"

#include <stdlib.h>

enum { INBOX_PAGE_BYTES = 8 << 20 };

/* On the home worker: what the store answers from here on includes what the user's sessions have
 * acknowledged. */
static void flush_positions(struct node *node, struct span user_id)
{
    struct client *client = client_map_find(node->map, user_id);
    if (client != NULL)
        position_writer_flush(client);
}

static unsigned lane_of(const struct node *node, struct span user_id)
{
    return node_home(node, user_id)->index;
}

/* ---- one notification ---- */

struct message_work {
    struct letter letter;
    struct store_look look;
    struct node *node;
    struct gateway_message *message;
};

static void on_message_looked(struct store_request *request)
{
    struct message_work *work = CONTAINER_OF(request, struct message_work, look.request);
    struct gateway_message *message = work->message;
    message->error = work->look.error;
    message->fate = (enum gateway_fate)work->look.found.fate;
    message->cause = work->look.found.cause;
    free(work);
    message->on_done(message);
}

static void on_message_letter(struct letter *letter)
{
    struct message_work *work = CONTAINER_OF(letter, struct message_work, letter);
    const struct gateway_message *message = work->message;
    flush_positions(work->node, message->user_id);
    work->look = (struct store_look){
        .request = {.on_done = on_message_looked, .lane = lane_of(work->node, message->user_id)},
        .user_id = message->user_id,
        .epoch = message->epoch,
        .seq = message->seq,
    };
    store_look(work->node->store, &work->look);
}

void gateway_message(struct node *node, struct gateway_message *message)
{
    struct message_work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        message->error = ERR_NO_MEMORY;
        message->on_done(message);
        return;
    }
    work->node = node;
    work->message = message;
    node_ask_home(node, message->user_id, &work->letter, on_message_letter);
}

/* ---- cancelling one ---- */

struct cancel_work {
    struct letter letter;
    struct store_withdraw withdraw;
    struct store_ask ask;
    struct node *node;
    struct gateway_cancel *cancel;
};

static void finish_cancel(struct cancel_work *work)
{
    struct gateway_cancel *cancel = work->cancel;
    free(work);
    cancel->on_done(cancel);
}

/* A node that did not answer may have written it. */
static void on_written_asked(struct store_request *request)
{
    struct cancel_work *work = CONTAINER_OF(request, struct cancel_work, ask.request);
    struct store_ask *ask = &work->ask;
    store_ask_clear(ask); /* nobody was asked for a text */
    work->cancel->is_written =
        ask->error != ERR_OK || ask->is_alone || ask->count > 0 || ask->n_answered < ask->n_asked;
    finish_cancel(work);
}

/* Where it was pending, the nodes that have the user are asked whether a session was written it. At
 * a stop the store may be closed already. */
static void on_cancelled(struct store_request *request)
{
    struct cancel_work *work = CONTAINER_OF(request, struct cancel_work, withdraw.request);
    struct gateway_cancel *cancel = work->cancel;
    const struct store_withdraw *withdraw = &work->withdraw;
    bool is_pending = withdraw->error == ERR_OK && withdraw->found.fate == FATE_PENDING;
    cancel->error = withdraw->error;
    cancel->fate = (enum gateway_fate)withdraw->found.fate;
    cancel->cause = withdraw->found.cause;
    cancel->is_written = withdraw->found.is_written || atomic_load(&work->node->is_stopping);
    if (!is_pending || cancel->is_written) {
        finish_cancel(work);
        return;
    }
    work->ask = (struct store_ask){
        .request = {.on_done = on_written_asked},
        .user_id = cancel->user_id,
        .asked = {.kind = STORE_ASK_WRITTEN, .seq = cancel->seq, .epoch = cancel->epoch},
    };
    store_ask(work->node->store, &work->ask);
}

static void on_cancel_letter(struct letter *letter)
{
    struct cancel_work *work = CONTAINER_OF(letter, struct cancel_work, letter);
    const struct gateway_cancel *cancel = work->cancel;
    flush_positions(work->node, cancel->user_id);
    work->withdraw = (struct store_withdraw){
        .request = {.on_done = on_cancelled, .lane = lane_of(work->node, cancel->user_id)},
        .user_id = cancel->user_id,
        .epoch = cancel->epoch,
        .seq = cancel->seq,
    };
    store_withdraw(work->node->store, &work->withdraw);
}

void gateway_cancel(struct node *node, struct gateway_cancel *cancel)
{
    struct cancel_work *work = calloc(1, sizeof *work);
    cancel->is_written = false;
    if (work == NULL) {
        cancel->error = ERR_NO_MEMORY;
        cancel->on_done(cancel);
        return;
    }
    work->node = node;
    work->cancel = cancel;
    node_ask_home(node, cancel->user_id, &work->letter, on_cancel_letter);
}

/* ---- the inbox ---- */

struct inbox_work {
    struct letter letter;
    struct store_page page;
    struct node *node;
    struct gateway_inbox *inbox;
};

static void on_inbox_page(struct store_request *request)
{
    struct inbox_work *work = CONTAINER_OF(request, struct inbox_work, page.request);
    const struct store_page *page = &work->page;
    struct gateway_inbox *inbox = work->inbox;
    inbox->error = page->error;
    if (page->error == ERR_OK) {
        inbox->epoch = page->epoch;
        inbox->head = page->head;
        inbox->acked = page->acked;
        inbox->next = page->last < page->head ? page->last : 0;
        inbox->n_notes = page->n_notes;
        inbox->notes = page->notes;
    }
    free(page->gaps);
    free(work);
    inbox->on_done(inbox);
}

static void on_inbox_letter(struct letter *letter)
{
    struct inbox_work *work = CONTAINER_OF(letter, struct inbox_work, letter);
    const struct gateway_inbox *inbox = work->inbox;
    flush_positions(work->node, inbox->user_id);
    work->page = (struct store_page){
        .request = {.on_done = on_inbox_page, .lane = lane_of(work->node, inbox->user_id)},
        .user_id = inbox->user_id,
        .can_wait = true,
        .after = inbox->after,
        .max_count = inbox->limit,
        .max_bytes = INBOX_PAGE_BYTES,
    };
    store_page(work->node->store, &work->page);
}

void gateway_inbox(struct node *node, struct gateway_inbox *inbox)
{
    struct inbox_work *work = calloc(1, sizeof *work);
    inbox->epoch = (struct epoch){{0}};
    inbox->head = 0;
    inbox->acked = 0;
    inbox->next = 0;
    inbox->n_notes = 0;
    inbox->notes = NULL;
    if (work == NULL) {
        inbox->error = ERR_NO_MEMORY;
        inbox->on_done(inbox);
        return;
    }
    work->node = node;
    work->inbox = inbox;
    node_ask_home(node, inbox->user_id, &work->letter, on_inbox_letter);
}

void gateway_inbox_clear(struct gateway_inbox *inbox)
{
    for (size_t i = 0; i < inbox->n_notes; i++)
        notification_unref(inbox->notes[i]);
    free(inbox->notes);
    inbox->notes = NULL;
    inbox->n_notes = 0;
}

/* ---- purging it ---- */

struct purge_work {
    struct letter letter;
    struct store_withdraw withdraw;
    struct node *node;
    struct gateway_purge *purge;
};

static void on_purged(struct store_request *request)
{
    struct purge_work *work = CONTAINER_OF(request, struct purge_work, withdraw.request);
    struct gateway_purge *purge = work->purge;
    purge->error = work->withdraw.error;
    purge->purged = work->withdraw.n_removed;
    free(work);
    purge->on_done(purge);
}

static void on_purge_letter(struct letter *letter)
{
    struct purge_work *work = CONTAINER_OF(letter, struct purge_work, letter);
    const struct gateway_purge *purge = work->purge;
    flush_positions(work->node, purge->user_id);
    work->withdraw = (struct store_withdraw){
        .request = {.on_done = on_purged, .lane = lane_of(work->node, purge->user_id)},
        .user_id = purge->user_id,
        .is_all = true,
    };
    store_withdraw(work->node->store, &work->withdraw);
}

void gateway_purge(struct node *node, struct gateway_purge *purge)
{
    struct purge_work *work = calloc(1, sizeof *work);
    purge->purged = 0;
    if (work == NULL) {
        purge->error = ERR_NO_MEMORY;
        purge->on_done(purge);
        return;
    }
    work->node = node;
    work->purge = purge;
    node_ask_home(node, purge->user_id, &work->letter, on_purge_letter);
}
