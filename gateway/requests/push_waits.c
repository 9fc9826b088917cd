/* A wait is registered once the push is stored, and then looks: into the client for what has been
 * acknowledged meanwhile, otherwise into the store. From there on it is told: of acknowledgements
 * by positions.c and ack_route.c, of withdrawals and of what replaces its notification by the
 * store's events. It asks the store again when it expires, when its time is over, and once a second
 * while the user has devices, or other nodes may have the user: this node does not see those move.
 */
#include "gateway/requests/push_waits.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery/position_writer.h"

#include <stdlib.h>

enum { ASK_AGAIN_MS = 1000 };

struct wait {
    struct list link; /* in the home worker's bucket */
    struct letter letter;
    struct timer timer;
    struct worker *home;
    struct gateway_push *push; /* NULL: it is answered, and a look is still under way */
    struct epoch epoch;
    uint64_t seq;
    int64_t time_ms; /* since 1970: when it was accepted */
    int64_t expires_ms;
    int64_t deadline_ms; /* monotonic */
    uint64_t hash;
    struct store_look look;
    bool is_looking;
    bool must_look_again;
    size_t user_id_len;
    char user_id[];
};

static struct span user_of(const struct wait *wait)
{
    return (struct span){wait->user_id, wait->user_id_len};
}

static atomic_uint *filter_of(struct node *node, uint64_t hash)
{
    return &node->wait_filter[hash % WAIT_FILTER];
}

static struct list *bucket_of(struct worker *worker, uint64_t hash)
{
    return &worker->waits[hash % WAIT_BUCKETS];
}

static void count(struct node *node, uint64_t hash, int delta)
{
    atomic_fetch_add(&node->n_waits, (unsigned)delta);
    atomic_fetch_add(filter_of(node, hash), (unsigned)delta);
    metrics_gauge_add(METRIC_WAITS, delta);
}

static void answer(struct wait *wait, enum gateway_fate fate, enum gap_cause cause)
{
    struct gateway_push *push = wait->push;
    struct worker *home = wait->home;
    list_remove(&wait->link);
    worker_cancel_timer(home, &wait->timer);
    count(home->node, wait->hash, -1);
    push->fate = fate;
    push->cause = cause;
    push->latency_ms = store_now_ms(home->node->store) - wait->time_ms;
    if (push->latency_ms < 0)
        push->latency_ms = 0; /* the store's clock was set back */
    wait->push = NULL;
    if (!wait->is_looking)
        free(wait);
    push->on_done(push);
}

/* ---- asking the store ---- */

static void look(struct wait *wait);

static bool is_over(const struct wait *wait)
{
    return worker_now_ms(wait->home) >= wait->deadline_ms;
}

/* Does this node see by itself what becomes of it? */
static bool is_seen_here(const struct wait *wait)
{
    const struct node *node = wait->home->node;
    const struct client *client = client_map_find(node->map, user_of(wait));
    if (client != NULL && atomic_load_explicit(&client->has_devices, memory_order_relaxed))
        return false;
    if (!store_is_shared(node->store))
        return true; /* whoever comes to acknowledge it comes here */
    return client != NULL && epoch_equal(client->epoch, wait->epoch) &&
           wait->push->targets[0].nodes <= 1;
}

/* A position passes numbers that have left the inbox too. Does it say by itself that this one was
 * acknowledged: is it neither expired nor so old that a full inbox may have pushed it out? */
static bool is_told_by(const struct client *client, const struct wait *wait)
{
    const struct options *options = wait->home->node->options;
    int64_t room = options->inbox_max_bytes / options->max_data;
    if (options->inbox_max < room)
        room = options->inbox_max;
    return store_now_ms(wait->home->node->store) < wait->expires_ms &&
           client->head < wait->seq + (uint64_t)room &&
           !atomic_load_explicit(&client->has_devices, memory_order_relaxed);
}

static void set_timer(struct wait *wait)
{
    int64_t due_ms = wait->deadline_ms;
    int64_t now_ms = worker_now_ms(wait->home);
    int64_t life_ms = wait->expires_ms - store_now_ms(wait->home->node->store);
    if (now_ms + life_ms < due_ms)
        due_ms = now_ms + (life_ms > 0 ? life_ms : 1);
    if (!is_seen_here(wait) && now_ms + ASK_AGAIN_MS < due_ms)
        due_ms = now_ms + ASK_AGAIN_MS;
    worker_set_timer(wait->home, &wait->timer, due_ms);
}

static void on_looked_letter(struct letter *letter)
{
    struct wait *wait = CONTAINER_OF(letter, struct wait, letter);
    const struct store_found *found = &wait->look.found;
    bool must_look_again = wait->must_look_again;
    wait->is_looking = false;
    wait->must_look_again = false;
    if (wait->push == NULL)
        free(wait);
    else if (wait->look.error == ERR_OK && found->fate != FATE_PENDING)
        answer(wait, found->fate == FATE_DELIVERED ? GATEWAY_DELIVERED : GATEWAY_GONE,
               found->cause);
    else if (is_over(wait))
        answer(wait, GATEWAY_PENDING, GAP_NONE);
    else if (must_look_again)
        look(wait);
    else
        set_timer(wait);
}

static void on_looked(struct store_request *request)
{
    struct wait *wait = CONTAINER_OF(request, struct wait, look.request);
    wait->letter.deliver = on_looked_letter;
    mailbox_post(worker_mailbox(wait->home), &wait->letter);
}

static void look(struct wait *wait)
{
    if (wait->is_looking) {
        wait->must_look_again = true;
        return;
    }
    wait->is_looking = true;
    wait->look = (struct store_look){
        .request = {.on_done = on_looked, .lane = wait->home->index},
        .user_id = user_of(wait),
        .epoch = wait->epoch,
        .seq = wait->seq,
    };
    store_look(wait->home->node->store, &wait->look);
}

static void on_due(struct timer *timer)
{
    look(CONTAINER_OF(timer, struct wait, timer));
}

/* ---- registering ---- */

static void on_begin_letter(struct letter *letter)
{
    struct wait *wait = CONTAINER_OF(letter, struct wait, letter);
    struct worker *home = wait->home;
    struct client *client = client_map_find(home->node->map, user_of(wait));
    list_append(bucket_of(home, wait->hash), &wait->link);
    timer_init(&wait->timer, on_due);
    if (atomic_load(&home->node->has_ended_waits)) {
        answer(wait, GATEWAY_PENDING, GAP_NONE);
        return;
    }
    if (client != NULL) {
        if (epoch_equal(client->epoch, wait->epoch) && client->shared.is_known &&
            is_told_by(client, wait) && position_acked(&client->shared) >= wait->seq) {
            answer(wait, GATEWAY_DELIVERED, GAP_NONE);
            return;
        }
        position_writer_flush(client);
    }
    look(wait);
}

bool push_waits_begin(struct node *node, struct gateway_push *push, int64_t time_ms)
{
    const struct gateway_target *target = &push->targets[0];
    struct wait *wait = NULL;
    if (atomic_load(&node->n_waits) < WAITS_MAX && !atomic_load(&node->has_ended_waits))
        wait = calloc(1, sizeof *wait + target->user_id.len);
    if (wait == NULL) {
        metrics_count(METRIC_WAITS_REFUSED);
        return false;
    }
    push->has_waited = true;
    wait->push = push;
    wait->home = node_home(node, target->user_id);
    wait->epoch = target->epoch;
    wait->seq = target->seq;
    wait->time_ms = time_ms;
    wait->expires_ms = target->expires_ms;
    wait->deadline_ms = clock_monotonic_ms() + push->wait_ms;
    wait->hash = hash_bytes(target->user_id);
    wait->user_id_len = target->user_id.len;
    memcpy(wait->user_id, target->user_id.bytes, target->user_id.len);
    list_init(&wait->link);
    count(node, wait->hash, 1); /* before it looks: from here on it hears */
    wait->letter.deliver = on_begin_letter;
    mailbox_post(worker_mailbox(wait->home), &wait->letter);
    return true;
}

/* ---- being told ---- */

static bool is_for(const struct wait *wait, uint64_t hash, struct span user_id, struct epoch epoch)
{
    return wait->hash == hash && span_equal(user_of(wait), user_id) &&
           epoch_equal(wait->epoch, epoch);
}

void push_waits_acked(struct client *client, uint64_t acked)
{
    struct worker *home = client->worker;
    if (atomic_load_explicit(&home->node->n_waits, memory_order_relaxed) == 0)
        return;
    uint64_t hash = hash_bytes(client_user_id(client));
    LIST_FOR_EACH_SAFE(link, bucket_of(home, hash))
    {
        struct wait *wait = CONTAINER_OF(link, struct wait, link);
        if (!is_for(wait, hash, client_user_id(client), client->epoch) || wait->seq > acked)
            continue;
        if (is_told_by(client, wait)) {
            answer(wait, GATEWAY_DELIVERED, GAP_NONE);
        } else { /* the store alone knows what became of it, and whether all devices have it */
            position_writer_flush(client);
            look(wait);
        }
    }
}

void push_waits_asked(struct worker *home, struct span user_id)
{
    uint64_t hash = hash_bytes(user_id);
    LIST_FOR_EACH_SAFE(link, bucket_of(home, hash))
    {
        struct wait *wait = CONTAINER_OF(link, struct wait, link);
        if (wait->hash == hash && span_equal(user_of(wait), user_id))
            look(wait);
    }
}

struct hearing {
    struct letter letter;
    struct worker *home;
    struct inbox_event event; /* one reference */
    size_t user_id_len;
    char user_id[];
};

static void hear_one(struct wait *wait, struct inbox_event event, uint64_t inbox_max)
{
    if (event.kind == INBOX_WITHDRAWAL && withdrawal_has(event.withdrawal, wait->seq))
        answer(wait, GATEWAY_GONE, event.withdrawal->cause);
    else if (event.kind == INBOX_NOTIFICATION && event.note->replaces == wait->seq)
        answer(wait, GATEWAY_GONE, GAP_COLLAPSED);
    else if (inbox_event_seq(event) >= wait->seq + inbox_max)
        look(wait); /* it may have been pushed out */
}

static void on_hearing(struct letter *letter)
{
    struct hearing *hearing = CONTAINER_OF(letter, struct hearing, letter);
    struct span user_id = {hearing->user_id, hearing->user_id_len};
    uint64_t hash = hash_bytes(user_id);
    uint64_t inbox_max = (uint64_t)hearing->home->node->options->inbox_max;
    LIST_FOR_EACH_SAFE(link, bucket_of(hearing->home, hash))
    {
        struct wait *wait = CONTAINER_OF(link, struct wait, link);
        if (is_for(wait, hash, user_id, inbox_event_epoch(hearing->event)))
            hear_one(wait, hearing->event, inbox_max);
    }
    inbox_event_unref(hearing->event);
    free(hearing);
}

void push_waits_hear(struct node *node, struct span user_id, struct inbox_event event)
{
    if (atomic_load(&node->n_waits) == 0 || atomic_load(filter_of(node, hash_bytes(user_id))) == 0)
        return;
    struct hearing *hearing = calloc(1, sizeof *hearing + user_id.len);
    if (hearing == NULL)
        return; /* the wait asks the store when its time is over */
    hearing->home = node_home(node, user_id);
    hearing->event = inbox_event_ref(event);
    hearing->user_id_len = user_id.len;
    memcpy(hearing->user_id, user_id.bytes, user_id.len);
    hearing->letter.deliver = on_hearing;
    mailbox_post(worker_mailbox(hearing->home), &hearing->letter);
}

/* ---- ending ---- */

struct ending {
    struct letter letter;
    struct worker *home;
    uint64_t push; /* its number: it may be answered by now, and its memory another's */
    uint64_t hash;
};

static void on_ending(struct letter *letter)
{
    struct ending *ending = CONTAINER_OF(letter, struct ending, letter);
    LIST_FOR_EACH_SAFE(link, bucket_of(ending->home, ending->hash))
    {
        struct wait *wait = CONTAINER_OF(link, struct wait, link);
        if (wait->push->number == ending->push) {
            answer(wait, GATEWAY_PENDING, GAP_NONE);
            break;
        }
    }
    free(ending);
}

void gateway_end_wait(struct node *node, struct gateway_push *push)
{
    struct span user_id = push->targets[0].user_id;
    struct ending *ending = calloc(1, sizeof *ending);
    if (ending == NULL)
        return; /* its time will be over */
    ending->home = node_home(node, user_id);
    ending->push = push->number;
    ending->hash = hash_bytes(user_id);
    ending->letter.deliver = on_ending;
    mailbox_post(worker_mailbox(ending->home), &ending->letter);
}

void gateway_end_waits(struct node *node)
{
    atomic_store(&node->has_ended_waits, true);
    worker_command_all(node, COMMAND_END_WAITS);
}

void push_waits_stop(struct worker *worker)
{
    for (unsigned i = 0; i < WAIT_BUCKETS; i++) {
        while (!list_is_empty(&worker->waits[i]))
            answer(CONTAINER_OF(worker->waits[i].next, struct wait, link), GATEWAY_PENDING,
                   GAP_NONE);
    }
}
