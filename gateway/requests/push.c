/* A push with a time to live goes to the store, which numbers and keeps it; the store's event then
 * takes it to the sessions (push_on_inbox_event), on this node as on others, and the store's answer
 * to the caller. One with ttl 0 goes straight to the sessions that are open, and the store never
 * sees it.
 *
 * The targets of a push go to the store in slices: each has users of one home only, because the
 * store keeps the order of requests within a lane alone, and at most SLICE_TARGETS, because the
 * commit of many thousands would delay everything else. When the last slice is answered the push
 * is: every target with its own result, or with ERR_NO_MEMORY for all when nothing was begun. */
#include "gateway/requests/push.h"

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "gateway/requests/push_waits.h"
#include "gateway/requests/requests.h"
#include "proto/bytes/digest.h"

#include <stdlib.h>

enum { SLICE_TARGETS = 1000 };

struct slice {
    struct store_append append;
    struct push_work *work;
};

/* One push that the store has. Its targets are sorted into groups by their home. */
struct push_work {
    struct gateway_push *push;
    struct node *node;
    struct payload *payload;
    atomic_size_t n_left; /* slices */
    size_t n_slices;
    struct slice *slices;
    size_t *indexes; /* for each of `targets`: its index in the push */
    struct store_target targets[];
};

static void refuse_push(struct gateway_push *push, enum err error)
{
    for (size_t i = 0; i < push->n_targets; i++)
        push->targets[i].error = error;
    metrics_add(METRIC_PUSH_FAILED, push->n_targets);
    push->on_done(push);
}

static void count_target(const struct gateway_target *target, enum metric when_offline)
{
    if (target->error != ERR_OK)
        metrics_count(METRIC_PUSH_FAILED);
    else
        metrics_count(target->nodes > 0 ? METRIC_PUSH_SENT : when_offline);
}

static void take_target_answer(struct push_work *work, size_t i)
{
    const struct store_target *stored = &work->targets[i];
    struct gateway_target *target = &work->push->targets[work->indexes[i]];
    /* To a caller a full store is one that is away: it tries again later. */
    target->error = stored->error == ERR_FULL ? ERR_STORE_UNAVAILABLE : stored->error;
    if (stored->error == ERR_OK) {
        target->is_duplicate = stored->is_duplicate;
        target->epoch = stored->epoch;
        target->seq = stored->seq;
        target->expires_ms = stored->expires_ms;
        target->online = client_map_count(work->node->map, target->user_id);
        target->nodes = stored->nodes;
        if (target->online > 0 && target->nodes == 0)
            target->nodes = 1;
    }
    count_target(target, METRIC_PUSH_STORED);
}

static void free_push_work(struct push_work *work)
{
    if (work == NULL)
        return;
    free(work->indexes);
    free(work->slices);
    free(work);
}

static void finish_push(struct push_work *work)
{
    struct gateway_push *push = work->push;
    struct node *node = work->node;
    int64_t time_ms = work->targets[0].time_ms;
    for (size_t i = 0; i < push->n_targets; i++)
        take_target_answer(work, i);
    payload_unref(work->payload);
    free_push_work(work);
    if (push->wait_ms > 0 && push->targets[0].error == ERR_OK &&
        push_waits_begin(node, push, time_ms))
        return;
    push->on_done(push);
}

static void on_appended(struct store_request *request)
{
    struct push_work *work = CONTAINER_OF(request, struct slice, append.request)->work;
    if (atomic_fetch_sub(&work->n_left, 1) == 1)
        finish_push(work);
}

/* Of what must be the same in a repeat with the same idempotency key. */
static enum err fingerprint_push(const struct gateway_push *push, struct store_print *ret_print)
{
    struct span parts[] = {
        push->data, push->collapse_key, {(const char *)&push->ttl_s, sizeof push->ttl_s}};
    return digest_of(parts, sizeof parts / sizeof parts[0], ret_print->bytes);
}

/* Puts the targets whose home is that worker into work->targets from `at` on. Answers their end. */
static size_t fill_group(struct push_work *work, unsigned home, const unsigned *homes, size_t at)
{
    for (size_t i = 0; i < work->push->n_targets; i++) {
        if (homes[i] != home)
            continue;
        work->indexes[at] = i;
        struct store_target *target = &work->targets[at++];
        target->user_id = work->push->targets[i].user_id;
        struct client_known known = client_map_known(work->node->map, target->user_id);
        target->known_epoch = known.epoch;
        target->known_head = known.head;
        target->known_acked = known.acked;
    }
    return at;
}

static void fill_slices(struct push_work *work, unsigned home, size_t at, size_t end,
                        const struct store_print *print)
{
    for (; at < end; at += SLICE_TARGETS) {
        struct slice *slice = &work->slices[work->n_slices++];
        slice->work = work;
        slice->append = (struct store_append){
            .request = {.on_done = on_appended, .lane = home},
            .payload = work->payload,
            .ttl_s = work->push->ttl_s,
            .idempotency_key = work->push->idempotency_key,
            .print = *print,
            .n_targets = end - at < SLICE_TARGETS ? end - at : SLICE_TARGETS,
            .targets = work->targets + at,
        };
    }
}

/* ERR_NO_MEMORY: nothing was asked of the store. */
static enum err divide_targets(struct push_work *work, const struct store_print *print)
{
    size_t n = work->push->n_targets;
    unsigned n_homes = work->node->n_workers;
    unsigned *homes = calloc(n, sizeof *homes);
    work->indexes = calloc(n, sizeof *work->indexes);
    work->slices = calloc(n / SLICE_TARGETS + (n < n_homes ? n : n_homes), sizeof *work->slices);
    enum err error = ERR_NO_MEMORY;
    if (homes == NULL || work->indexes == NULL || work->slices == NULL)
        goto out;
    for (size_t i = 0; i < n; i++)
        homes[i] = client_map_home(work->node->map, work->push->targets[i].user_id);
    size_t at = 0;
    for (unsigned home = 0; home < n_homes && at < n; home++) {
        size_t end = fill_group(work, home, homes, at);
        fill_slices(work, home, at, end, print);
        at = end;
    }
    error = ERR_OK;
out:
    free(homes);
    return error;
}

static void push_stored(struct node *node, struct gateway_push *push, struct payload *payload)
{
    struct store_print print = {{0}};
    struct push_work *work = calloc(1, sizeof *work + push->n_targets * sizeof work->targets[0]);
    if (work == NULL)
        goto fail;
    work->push = push;
    work->node = node;
    work->payload = payload;
    if ((push->idempotency_key.len > 0 && fingerprint_push(push, &print) != ERR_OK) ||
        divide_targets(work, &print) != ERR_OK)
        goto fail;
    payload_ref(payload); /* what a request points to stays until it is done */
    atomic_init(&work->n_left, work->n_slices);
    struct slice *slices = work->slices; /* with the last answer the work is gone */
    size_t n_slices = work->n_slices;
    for (size_t i = 0; i < n_slices; i++)
        store_append(node->store, &slices[i].append);
    return;
fail:
    free_push_work(work);
    refuse_push(push, ERR_NO_MEMORY);
}

static void push_ephemeral(struct node *node, struct gateway_push *push, struct payload *payload)
{
    struct notification *note =
        notification_new(payload, (struct epoch){{0}}, 0, clock_wall_ms(), 0);
    if (note == NULL) {
        refuse_push(push, ERR_NO_MEMORY);
        return;
    }
    for (size_t i = 0; i < push->n_targets; i++) {
        struct gateway_target *target = &push->targets[i];
        target->error = ERR_OK;
        target->online = client_map_offer(node->map, target->user_id, inbox_event_of_note(note));
        target->nodes = target->online > 0 ? 1 : 0;
        count_target(target, METRIC_PUSH_DROPPED);
    }
    notification_unref(note);
    push->on_done(push);
}

void gateway_push(struct node *node, struct gateway_push *push)
{
    push->has_waited = false;
    push->number = push->wait_ms > 0 ? push_waits_next_number(node) : 0;
    push->fate = GATEWAY_PENDING;
    struct payload *payload = payload_new_keyed(push->data, push->collapse_key);
    if (payload == NULL) {
        refuse_push(push, ERR_NO_MEMORY);
        return;
    }
    if (push->ttl_s > 0)
        push_stored(node, push, payload);
    else
        push_ephemeral(node, push, payload);
    payload_unref(payload);
}

void push_on_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    struct node *node = owner;
    client_map_offer(node->map, user_id, event);
    push_waits_on_event(node, user_id, event);
}

void push_on_missed(void *owner, struct span user_id, bool has_withdrawals)
{
    struct node *node = owner;
    client_map_missed(node->map, user_id,
                      has_withdrawals ? MISSED_WITHDRAWALS : MISSED_NOTIFICATIONS);
}
