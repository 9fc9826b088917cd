/* Where other nodes share the store, a push with ttl 0 goes through it, so that this node's
 * sessions get it as those of the others do; what follows is for a store of one node, while the
 * store is away, and where it does not tell this node. A push to one user, or a few, is offered to
 * their sessions at once. One to many is a walk on each home worker over the targets that live
 * there: without a letter for each of them, and in slices between which the worker does its other
 * work, so that nobody waits for thousands of sends. The last walk answers the push. */
#include "gateway/requests/push_ephemeral.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/node/worker.h"

#include <stdlib.h>

/* With more targets the users' homes are woken at once, and work side by side. */
enum { FEW_TARGETS = 4 };

struct walk {
    struct letter letter;
    struct fan_out *fan_out;
    unsigned home;
    size_t at, end; /* in fan_out->indexes */
};

/* In one block of memory. */
struct fan_out {
    struct node *node;
    struct gateway_push *push;
    struct notification *note;
    atomic_uint n_left; /* walks */
    uint32_t *indexes;  /* of the push's targets, sorted by their homes; after the walks */
    struct walk walks[];
};

static void offer_target(struct node *node, struct notification *note,
                         struct gateway_target *target)
{
    target->error = ERR_OK;
    target->online = delivery_offer(node, target->user_id, inbox_event_of_note(note));
    target->nodes = target->online > 0 ? 1 : 0;
    metrics_count(target->nodes > 0 ? METRIC_PUSH_SENT : METRIC_PUSH_DROPPED);
}

static void finish_fan_out(struct fan_out *fan_out)
{
    struct gateway_push *push = fan_out->push;
    notification_unref(fan_out->note);
    free(fan_out);
    push->on_done(push);
}

static void on_slice(struct letter *letter)
{
    struct walk *walk = CONTAINER_OF(letter, struct walk, letter);
    struct fan_out *fan_out = walk->fan_out;
    struct node *node = fan_out->node;
    size_t end = walk->end - walk->at < GATEWAY_AT_ONCE ? walk->end : walk->at + GATEWAY_AT_ONCE;
    for (; walk->at < end; walk->at++)
        offer_target(node, fan_out->note, &fan_out->push->targets[fan_out->indexes[walk->at]]);
    if (walk->at < walk->end)
        worker_post(node->workers[walk->home], letter, on_slice);
    else if (atomic_fetch_sub(&fan_out->n_left, 1) == 1)
        finish_fan_out(fan_out);
}

/* NULL: out of memory. Behind the indexes is room for the home of each target. */
static struct fan_out *fan_out_new(struct node *node, struct gateway_push *push,
                                   uint32_t **ret_homes)
{
    size_t indexes_at = sizeof(struct fan_out) + node->n_workers * sizeof(struct walk);
    char *block = calloc(1, indexes_at + 2 * push->n_targets * sizeof(uint32_t));
    if (block == NULL)
        return NULL;
    struct fan_out *fan_out = (struct fan_out *)(void *)block;
    fan_out->node = node;
    fan_out->push = push;
    fan_out->indexes = (uint32_t *)(void *)(block + indexes_at);
    *ret_homes = fan_out->indexes + push->n_targets;
    return fan_out;
}

/* Counts the targets of each home in its walk's `end`, and makes of that where the walk begins and
 * ends. */
static void sort_by_home(struct fan_out *fan_out, uint32_t *homes)
{
    const struct node *node = fan_out->node;
    const struct gateway_push *push = fan_out->push;
    struct walk *walks = fan_out->walks;
    size_t at = 0;
    for (size_t i = 0; i < push->n_targets; i++) {
        homes[i] = client_map_home(node->map, push->targets[i].user_id);
        walks[homes[i]].end++;
    }
    for (unsigned home = 0; home < node->n_workers; home++) {
        size_t n = walks[home].end;
        walks[home] = (struct walk){.fan_out = fan_out, .home = home, .at = at, .end = at};
        at += n;
    }
    for (size_t i = 0; i < push->n_targets; i++)
        fan_out->indexes[walks[homes[i]].end++] = (uint32_t)i;
}

static enum err begin_fan_out(struct node *node, struct gateway_push *push,
                              struct notification *note)
{
    uint32_t *homes;
    struct fan_out *fan_out = fan_out_new(node, push, &homes);
    if (fan_out == NULL)
        return ERR_NO_MEMORY;
    fan_out->note = notification_ref(note);
    sort_by_home(fan_out, homes);
    atomic_init(&fan_out->n_left, node->n_workers);
    for (unsigned i = 0, n = node->n_workers; i < n; i++) /* the last walk frees it */
        worker_post(node->workers[i], &fan_out->walks[i].letter, on_slice);
    return ERR_OK;
}

enum err push_ephemeral(struct node *node, struct gateway_push *push, struct payload *payload)
{
    struct notification *note =
        notification_new(payload, (struct epoch){{0}}, 0, store_now_ms(node->store), 0);
    if (note == NULL)
        return ERR_NO_MEMORY;
    enum err error = ERR_OK;
    if (push->n_targets > FEW_TARGETS)
        mailbox_release();
    if (push->n_targets > GATEWAY_AT_ONCE) {
        error = begin_fan_out(node, push, note);
    } else {
        for (size_t i = 0; i < push->n_targets; i++)
            offer_target(node, note, &push->targets[i]);
        push->on_done(push);
    }
    notification_unref(note);
    return error;
}

/* The store has told the nodes where the user is, perhaps without this one. */
static void settle_target(struct node *node, struct payload *payload, struct gateway_target *target)
{
    struct notification *note = NULL;
    unsigned others = target->error == ERR_OK ? target->nodes : 0;
    bool is_unheard = others == 0 || target->is_unheard;
    target->online = client_map_count(node->map, target->user_id);
    if (is_unheard && target->online > 0)
        note = notification_new(payload, (struct epoch){{0}}, 0, store_now_ms(node->store), 0);
    if (note != NULL) {
        offer_target(node, note, target);
        notification_unref(note);
        target->nodes += others;
        return;
    }
    target->nodes = others;
    target->error = others == 0 && target->online > 0 ? ERR_NO_MEMORY : ERR_OK;
    metrics_count(target->nodes > 0 ? METRIC_PUSH_SENT : METRIC_PUSH_DROPPED);
}

void push_ephemeral_sent(struct node *node, struct gateway_push *push, struct payload *payload)
{
    size_t n_failed = 0;
    for (size_t i = 0; i < push->n_targets; i++)
        n_failed += push->targets[i].error != ERR_OK;
    if (n_failed == push->n_targets && push_ephemeral(node, push, payload) == ERR_OK)
        return;
    for (size_t i = 0; i < push->n_targets; i++)
        settle_target(node, payload, &push->targets[i]);
    push->on_done(push);
}
