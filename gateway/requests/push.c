/* A push with a time to live goes to the store, which numbers and keeps it; the store's event then
 * takes it to the sessions (push_on_inbox_event), on this node as on others, and the store's answer
 * to the caller. One with ttl 0 goes to the sessions that are open (push_ephemeral.c): through a
 * store that other nodes share, which tells those where the user is, or straight; it is kept
 * nowhere.
 *
 * A push to one user, which most are, has the store's request in its own struct and needs no memory
 * but its payload. The targets of another one go to the store in slices: each has users of one home
 * only, because the store keeps the order of requests within a lane alone, and at most
 * SLICE_TARGETS, because the commit of many thousands would delay everything else. When the last
 * slice is answered the push is: every target with its own result, or with ERR_NO_MEMORY for all
 * when nothing was begun. */
#include "gateway/requests/push.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/requests/push_connection.h"
#include "gateway/requests/push_ephemeral.h"
#include "gateway/requests/push_waits.h"
#include "gateway/requests/requests.h"
#include "proto/bytes/digest.h"

#include <stdlib.h>

enum { SLICE_TARGETS = 1000 };

struct slice {
    struct store_append append;
    struct push_work *work;
};

/* A push to many that the store has, in one block of memory. Its targets are sorted by their home.
 */
struct push_work {
    struct gateway_push *push;
    struct payload *payload;
    atomic_size_t n_left; /* slices */
    size_t n_slices;
    struct slice *slices;
    size_t *indexes; /* for each of `targets`: its index in the push */
    struct store_target targets[];
};

/* The appends of one call, which the store is asked for together. */
struct append_chain {
    struct store_append *first;
    struct store_append *last;
};

static void chain_append(struct append_chain *chain, struct store_append *append)
{
    append->request.next = NULL;
    if (chain->first == NULL)
        chain->first = append;
    else
        chain->last->request.next = &append->request;
    chain->last = append;
}

static void refuse_push(struct gateway_push *push, enum err error)
{
    for (size_t i = 0; i < push->n_targets; i++) {
        push->targets[i].error = error;
        push->targets[i].has_no_room = false;
    }
    metrics_add(METRIC_PUSH_FAILED, push->n_targets);
    push->on_done(push);
}

/* ---- what the store answers ---- */

static void count_target(const struct gateway_target *target)
{
    if (target->error != ERR_OK)
        metrics_count(METRIC_PUSH_FAILED);
    else
        metrics_count(target->nodes > 0 ? METRIC_PUSH_SENT : METRIC_PUSH_STORED);
}

/* To a caller a full store is one that is away: it tries again later. */
static void take_refusal(const struct gateway_push *push, const struct store_target *stored,
                         struct gateway_target *target)
{
    target->has_no_room = stored->error == ERR_FULL;
    if (!target->has_no_room)
        return;
    target->error = ERR_STORE_UNAVAILABLE;
    if (push->alert_after_s > 0)
        metrics_count(METRIC_ALERTS_REFUSED);
}

static void take_target_answer(const struct gateway_push *push, const struct store_target *stored,
                               struct gateway_target *target)
{
    const struct node *node = push->own.node;
    target->error = stored->error;
    if (stored->error == ERR_OK) {
        target->is_duplicate = stored->is_duplicate;
        target->epoch = stored->epoch;
        target->seq = stored->seq;
        target->expires_ms = stored->expires_ms;
        target->online = client_map_count(node->map, target->user_id);
        target->nodes = stored->nodes;
        if (target->online > 0 && target->nodes == 0)
            target->nodes = 1;
    } else {
        take_refusal(push, stored, target);
    }
    count_target(target);
}

static void take_sent_answer(const struct store_target *sent, struct gateway_target *target)
{
    target->error = sent->error;
    target->nodes = sent->nodes;
    target->is_unheard = sent->is_unheard;
}

static void on_one_appended(struct store_request *request)
{
    struct gateway_push *push = CONTAINER_OF(request, struct gateway_push, own.append.request);
    struct payload *payload = push->own.append.payload;
    if (push->ttl_s == 0) {
        take_sent_answer(&push->own.target, &push->targets[0]);
        push_ephemeral_sent(push->own.node, push, payload); /* the push may be freed */
        payload_unref(payload);
        return;
    }
    payload_unref(payload);
    take_target_answer(push, &push->own.target, &push->targets[0]);
    if (push->wait_ms > 0 && push->targets[0].error == ERR_OK &&
        push_waits_begin(push->own.node, push, &push->own.target))
        return;
    push->on_done(push);
}

static void finish_push(struct push_work *work)
{
    struct gateway_push *push = work->push;
    struct payload *payload = work->payload;
    bool is_sent = push->ttl_s == 0;
    for (size_t i = 0; i < push->n_targets; i++) {
        struct gateway_target *target = &push->targets[work->indexes[i]];
        if (is_sent)
            take_sent_answer(&work->targets[i], target);
        else
            take_target_answer(push, &work->targets[i], target);
    }
    free(work);
    if (is_sent)
        push_ephemeral_sent(push->own.node, push, payload);
    else
        push->on_done(push);
    payload_unref(payload);
}

static void on_slice_appended(struct store_request *request)
{
    struct push_work *work = CONTAINER_OF(request, struct slice, append.request)->work;
    if (atomic_fetch_sub(&work->n_left, 1) == 1)
        finish_push(work);
}

/* ---- what the store is asked ---- */

/* Of what must be the same in a repeat with the same idempotency key. That of a push without an
 * alert is the same as before there were alerts. */
static enum err fingerprint_push(const struct gateway_push *push, struct store_print *ret_print)
{
    struct span parts[] = {push->data,
                           push->collapse_key,
                           {(const char *)&push->ttl_s, sizeof push->ttl_s},
                           {(const char *)&push->alert_after_s, sizeof push->alert_after_s}};
    size_t n = sizeof parts / sizeof parts[0] - (push->alert_after_s == 0);
    return digest_of(parts, n, ret_print->bytes);
}

/* Answers the user's home. */
static unsigned fill_target(const struct node *node, struct span user_id,
                            struct store_target *target)
{
    struct client_known known = client_map_known(node->map, user_id);
    target->user_id = user_id;
    target->known_epoch = known.epoch;
    target->known_head = known.head;
    target->known_time = known.head_time;
    target->known_acked = known.acked;
    target->has_devices = false;
    target->is_unheard = false;
    return known.home;
}

static void fill_append(struct store_append *append, const struct gateway_push *push,
                        struct payload *payload, const struct store_print *print)
{
    append->payload = payload;
    append->ttl_s = push->ttl_s;
    append->alert_after_s = push->alert_after_s;
    append->idempotency_key = push->idempotency_key;
    append->print = *print;
}

static void push_to_one(struct gateway_push *push, struct payload *payload,
                        const struct store_print *print, struct append_chain *chain)
{
    struct store_append *append = &push->own.append;
    fill_append(append, push, payload_ref(payload), print);
    append->request.on_done = on_one_appended;
    append->request.lane = fill_target(push->own.node, push->targets[0].user_id, &push->own.target);
    append->n_targets = 1;
    append->targets = &push->own.target;
    chain_append(chain, append);
}

/* One block: the work and its targets, then the slices, the indexes, and last what is needed only
 * while the targets are sorted. NULL: out of memory. */
static struct push_work *push_work_new(size_t n, unsigned n_homes, unsigned **ret_homes)
{
    size_t n_slices = n / SLICE_TARGETS + (n < n_homes ? n : n_homes);
    size_t slices_at = sizeof(struct push_work) + n * sizeof(struct store_target);
    size_t indexes_at = slices_at + n_slices * sizeof(struct slice);
    size_t homes_at = indexes_at + n * sizeof(size_t);
    char *block = malloc(homes_at + n * sizeof(unsigned));
    if (block == NULL)
        return NULL;
    struct push_work *work = (struct push_work *)(void *)block;
    *work = (struct push_work){.slices = (struct slice *)(void *)(block + slices_at),
                               .indexes = (size_t *)(void *)(block + indexes_at)};
    *ret_homes = (unsigned *)(void *)(block + homes_at);
    return work;
}

/* Puts the targets whose home is that worker into work->targets from `at` on. Answers their end. */
static size_t fill_group(struct push_work *work, unsigned home, const unsigned *homes, size_t at)
{
    for (size_t i = 0; i < work->push->n_targets; i++) {
        if (homes[i] != home)
            continue;
        work->indexes[at] = i;
        fill_target(work->push->own.node, work->push->targets[i].user_id, &work->targets[at++]);
    }
    return at;
}

static void fill_slices(struct push_work *work, unsigned home, size_t at, size_t end,
                        const struct store_print *print)
{
    for (; at < end; at += SLICE_TARGETS) {
        struct slice *slice = &work->slices[work->n_slices++];
        slice->work = work;
        fill_append(&slice->append, work->push, work->payload, print);
        slice->append.request.on_done = on_slice_appended;
        slice->append.request.lane = home;
        slice->append.n_targets = end - at < SLICE_TARGETS ? end - at : SLICE_TARGETS;
        slice->append.targets = work->targets + at;
    }
}

/* ERR_NO_MEMORY: nothing is asked of the store. */
static enum err push_to_many(struct gateway_push *push, struct payload *payload,
                             const struct store_print *print, struct append_chain *chain)
{
    const struct node *node = push->own.node;
    unsigned *homes;
    struct push_work *work = push_work_new(push->n_targets, node->n_workers, &homes);
    if (work == NULL)
        return ERR_NO_MEMORY;
    work->push = push;
    work->payload = payload_ref(payload);
    for (size_t i = 0; i < push->n_targets; i++)
        homes[i] = client_map_home(node->map, push->targets[i].user_id);
    size_t at = 0;
    for (unsigned home = 0; home < node->n_workers && at < push->n_targets; home++) {
        size_t end = fill_group(work, home, homes, at);
        fill_slices(work, home, at, end, print);
        at = end;
    }
    atomic_init(&work->n_left, work->n_slices);
    for (size_t i = 0; i < work->n_slices; i++)
        chain_append(chain, &work->slices[i].append);
    return ERR_OK;
}

/* What a request points to stays until it is done: the payload has a reference for it. */
static void push_stored(struct gateway_push *push, struct payload *payload,
                        struct append_chain *chain)
{
    struct store_print print = {{0}};
    enum err error = push->idempotency_key.len > 0 ? fingerprint_push(push, &print) : ERR_OK;
    if (error == ERR_OK && push->n_targets == 1)
        push_to_one(push, payload, &print, chain);
    else if (error == ERR_OK)
        error = push_to_many(push, payload, &print, chain);
    if (error != ERR_OK)
        refuse_push(push, ERR_NO_MEMORY);
}

/* What the store is asked for in one call. */
struct chains {
    struct append_chain kept;
    struct append_chain sent; /* with ttl 0 */
};

static void begin_push(struct node *node, struct gateway_push *push, struct chains *chains)
{
    push->has_waited = false;
    push->own.node = node;
    push->own.number = push->wait_ms > 0 ? push_waits_next_number(node) : 0;
    push->fate = GATEWAY_PENDING;
    struct payload *payload = payload_new_keyed(push->data, push->collapse_key);
    if (payload == NULL) {
        refuse_push(push, ERR_NO_MEMORY);
        return;
    }
    if (push->ttl_s > 0)
        push_stored(push, payload, &chains->kept);
    else if (push->is_to_connection)
        push_to_connection(push, payload);
    else if (store_is_shared(node->store))
        push_stored(push, payload, &chains->sent);
    else if (push_ephemeral(node, push, payload) != ERR_OK)
        refuse_push(push, ERR_NO_MEMORY);
    payload_unref(payload);
}

void gateway_push(struct node *node, struct gateway_push *push)
{
    push->next = NULL;
    gateway_push_many(node, push);
}

void gateway_push_many(struct node *node, struct gateway_push *first)
{
    struct chains chains = {0};
    struct gateway_push *next;
    if (first->next != NULL)
        mailbox_release(); /* the users' homes are woken at once, and work side by side */
    for (struct gateway_push *push = first; push != NULL; push = next) {
        next = push->next; /* one that is answered is its caller's */
        begin_push(node, push, &chains);
    }
    if (chains.kept.first != NULL)
        store_append_many(node->store, chains.kept.first);
    if (chains.sent.first != NULL)
        store_send_many(node->store, chains.sent.first);
}

void push_on_inbox_event(void *owner, struct span user_id, struct inbox_event event)
{
    struct node *node = owner;
    delivery_offer(node, user_id, event);
    push_waits_on_event(node, user_id, event);
}

void push_on_missed(void *owner, struct span user_id, bool has_withdrawals)
{
    struct node *node = owner;
    client_map_missed(node->map, user_id,
                      has_withdrawals ? MISSED_WITHDRAWALS : MISSED_NOTIFICATIONS);
}

/* A page of one session may have named a number whose message has not come: then what the others
 * have is what is known. */
void push_get_known(void *owner, struct span user_id, struct store_known *ret_known)
{
    const struct node *node = owner;
    struct client_known known = client_map_known(node->map, user_id);
    *ret_known = (struct store_known){known.epoch, known.head, known.head_time};
    const struct client *client = client_map_find(node->map, user_id);
    if (client == NULL)
        return;
    LIST_FOR_EACH(link, &client->sessions)
    {
        const struct reader *reader = &CONTAINER_OF(link, struct session, link)->reader;
        if (!reader_is_live(reader) || reader_tail(reader) >= ret_known->head)
            continue;
        ret_known->head = reader_tail(reader);
        ret_known->time = 0;
    }
}
