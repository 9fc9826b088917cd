/* Each question goes to the user's home worker first, which writes what was acknowledged and is not
 * in the store yet, and then to the store. A cancelled notification's answer passes the home worker
 * once more, to see whether a session was written it. */
#include "gateway/requests/requests.h"

#include "gateway/delivery/position_writer.h"
#include "gateway/session/session.h"

#include <stdlib.h>

enum { INBOX_PAGE_BYTES = 8 << 20 };

/* The user's client, its positions on their way to the store; NULL: not present. */
static struct client *settle(struct node *node, struct span user_id)
{
    struct client *client = client_map_find(node->map, user_id);
    if (client != NULL)
        position_writer_flush(client);
    return client;
}

/* ---- one notification ---- */

struct message_work {
    struct letter letter;
    struct store_look look;
    struct store_withdraw cancel;
    struct node *node;
    struct gateway_message *message;
};

static void finish_message(struct message_work *work, enum err error,
                           const struct store_found *found)
{
    struct gateway_message *message = work->message;
    message->error = error;
    message->fate = (enum gateway_fate)found->fate;
    message->cause = found->cause;
    message->is_written |= found->is_written;
    free(work);
    message->on_done(message);
}

static void on_cancelled_letter(struct letter *letter)
{
    struct message_work *work = CONTAINER_OF(letter, struct message_work, letter);
    const struct store_withdraw *cancel = &work->cancel;
    struct client *client = client_map_find(work->node->map, cancel->user_id);
    if (client != NULL && epoch_equal(client->epoch, cancel->epoch)) {
        LIST_FOR_EACH(link, &client->sessions)
        {
            if (CONTAINER_OF(link, struct session, link)->sent >= cancel->seq)
                work->message->is_written = true;
        }
    }
    finish_message(work, cancel->error, &cancel->found);
}

static void on_cancelled(struct store_request *request)
{
    struct message_work *work = CONTAINER_OF(request, struct message_work, cancel.request);
    work->letter.deliver = on_cancelled_letter;
    mailbox_post(worker_mailbox(node_home(work->node, work->cancel.user_id)), &work->letter);
}

static void on_looked(struct store_request *request)
{
    struct message_work *work = CONTAINER_OF(request, struct message_work, look.request);
    finish_message(work, work->look.error, &work->look.found);
}

static void on_message(struct letter *letter)
{
    struct message_work *work = CONTAINER_OF(letter, struct message_work, letter);
    const struct gateway_message *message = work->message;
    unsigned lane = node_home(work->node, message->user_id)->index;
    settle(work->node, message->user_id);
    if (message->is_cancel) {
        work->cancel = (struct store_withdraw){
            .request = {.on_done = on_cancelled, .lane = lane},
            .user_id = message->user_id,
            .epoch = message->epoch,
            .seq = message->seq,
        };
        store_withdraw(work->node->store, &work->cancel);
        return;
    }
    work->look = (struct store_look){
        .request = {.on_done = on_looked, .lane = lane},
        .user_id = message->user_id,
        .epoch = message->epoch,
        .seq = message->seq,
    };
    store_look(work->node->store, &work->look);
}

void gateway_message(struct node *node, struct gateway_message *message)
{
    struct message_work *work = calloc(1, sizeof *work);
    message->is_written = false;
    if (work == NULL) {
        message->error = ERR_NO_MEMORY;
        message->on_done(message);
        return;
    }
    work->letter.deliver = on_message;
    work->node = node;
    work->message = message;
    mailbox_post(worker_mailbox(node_home(node, message->user_id)), &work->letter);
}

/* ---- the inbox ---- */

struct inbox_work {
    struct letter letter;
    struct store_page page;
    struct store_withdraw purge;
    struct node *node;
    struct gateway_inbox *inbox;
};

static void on_page(struct store_request *request)
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

static void on_purged(struct store_request *request)
{
    struct inbox_work *work = CONTAINER_OF(request, struct inbox_work, purge.request);
    struct gateway_inbox *inbox = work->inbox;
    inbox->error = work->purge.error;
    inbox->purged = work->purge.n_removed;
    free(work);
    inbox->on_done(inbox);
}

static void on_inbox(struct letter *letter)
{
    struct inbox_work *work = CONTAINER_OF(letter, struct inbox_work, letter);
    const struct gateway_inbox *inbox = work->inbox;
    unsigned lane = node_home(work->node, inbox->user_id)->index;
    settle(work->node, inbox->user_id);
    if (inbox->is_purge) {
        work->purge = (struct store_withdraw){
            .request = {.on_done = on_purged, .lane = lane},
            .user_id = inbox->user_id,
            .is_all = true,
        };
        store_withdraw(work->node->store, &work->purge);
        return;
    }
    work->page = (struct store_page){
        .request = {.on_done = on_page, .lane = lane},
        .user_id = inbox->user_id,
        .after = inbox->after,
        .max_count = inbox->limit,
        .max_bytes = INBOX_PAGE_BYTES,
    };
    store_page(work->node->store, &work->page);
}

void gateway_inbox(struct node *node, struct gateway_inbox *inbox)
{
    struct inbox_work *work = calloc(1, sizeof *work);
    inbox->purged = 0;
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
    work->letter.deliver = on_inbox;
    work->node = node;
    work->inbox = inbox;
    mailbox_post(worker_mailbox(node_home(node, inbox->user_id)), &work->letter);
}

void gateway_inbox_clear(struct gateway_inbox *inbox)
{
    for (size_t i = 0; i < inbox->n_notes; i++)
        notification_unref(inbox->notes[i]);
    free(inbox->notes);
    inbox->notes = NULL;
    inbox->n_notes = 0;
}
