/* A broadcast goes through the store, which knows the other nodes and reports it to this one too.
 * Here each worker walks over its clients in slices and does its other work between them, so that a
 * broadcast to many users delays no notification by more than a slice. Walks go in one fixed order
 * and begin in the order of the broadcasts, so that broadcasts reach each session in their order.
 */
#include "gateway/requests/broadcast.h"

#include "gateway/base/log_limit.h"
#include "gateway/base/metrics.h"
#include "gateway/requests/requests.h"
#include "gateway/session/session.h"
#include "gateway/session/session_write.h"

#include <stdlib.h>

enum { SLICE_CLIENTS = 128 }; /* their sends take a worker about a millisecond */

struct walk {
    struct letter letter;
    struct broadcast_work *work;
    struct worker *worker;
    uint64_t cursor;
};

struct broadcast_work {
    struct node *node;
    struct notification *note;
    struct store_question *question;
    atomic_uint n_left; /* workers */
    atomic_uint_fast64_t online;
    struct walk walks[];
};

static void answer_question(struct broadcast_work *work)
{
    struct store_question *question = work->question;
    uint64_t online = atomic_load(&work->online);
    notification_unref(work->note);
    free(work);
    store_answer(question, online);
}

static void write_client(struct client *client, void *argument)
{
    struct walk *walk = argument;
    LIST_FOR_EACH_SAFE(link, &client->sessions)
    {
        struct session *session = CONTAINER_OF(link, struct session, link);
        enum err error = session_write(session, walk->work->note);
        metrics_count(error == ERR_OK ? METRIC_DELIVERED_BROADCAST : METRIC_EPHEMERAL_DROPPED);
        if (error == ERR_OK)
            atomic_fetch_add_explicit(&walk->work->online, 1, memory_order_relaxed);
    }
}

static void on_slice(struct letter *letter)
{
    struct walk *walk = CONTAINER_OF(letter, struct walk, letter);
    struct broadcast_work *work = walk->work;
    client_map_visit(work->node->map, walk->worker->index, &walk->cursor, SLICE_CLIENTS,
                     write_client, walk);
    if (walk->cursor != UINT64_MAX)
        worker_post(walk->worker, &walk->letter, on_slice);
    else if (atomic_fetch_sub(&work->n_left, 1) == 1)
        answer_question(work);
}

void broadcast_on_received(void *owner, struct notification *note, struct store_question *question)
{
    struct node *node = owner;
    struct broadcast_work *work = calloc(1, sizeof *work + node->n_workers * sizeof work->walks[0]);
    if (work == NULL) {
        static struct log_limit drops = LOG_LIMIT(1000);
        log_limited(&drops, span_of("any"), LOG_WARN, "a broadcast was dropped: out of memory",
                    LOG_INT("bytes", (int64_t)note->payload->len));
        store_answer(question, 0);
        return;
    }
    work->node = node;
    work->note = notification_ref(note);
    work->question = question;
    atomic_init(&work->n_left, node->n_workers);
    for (unsigned i = 0; i < node->n_workers; i++)
        work->walks[i] = (struct walk){.work = work, .worker = node->workers[i]};
    mailbox_release(); /* they are woken at once, and work side by side */
    for (unsigned i = 0, n = node->n_workers; i < n; i++) /* the last answer frees the work */
        worker_post(node->workers[i], &work->walks[i].letter, on_slice);
}

/* A broadcast of this node that the store has. */
struct broadcast_request {
    struct store_broadcast stored;
    struct gateway_broadcast *broadcast;
};

static void on_broadcast_answered(struct store_request *request)
{
    struct broadcast_request *asked =
        CONTAINER_OF(request, struct broadcast_request, stored.request);
    struct gateway_broadcast *broadcast = asked->broadcast;
    broadcast->error = asked->stored.error;
    broadcast->online = asked->stored.online;
    broadcast->nodes = asked->stored.nodes;
    payload_unref(asked->stored.payload);
    free(asked);
    broadcast->on_done(broadcast);
}

void gateway_broadcast(struct node *node, struct gateway_broadcast *broadcast)
{
    struct broadcast_request *asked = calloc(1, sizeof *asked);
    struct payload *payload = payload_new(broadcast->data);
    broadcast->online = 0;
    broadcast->nodes = 0;
    if (asked == NULL || payload == NULL) {
        payload_unref(payload);
        free(asked);
        broadcast->error = ERR_NO_MEMORY;
        broadcast->on_done(broadcast);
        return;
    }
    metrics_count(METRIC_BROADCASTS);
    asked->broadcast = broadcast;
    asked->stored =
        (struct store_broadcast){.request = {.on_done = on_broadcast_answered}, .payload = payload};
    store_broadcast(node->store, &asked->stored);
}
