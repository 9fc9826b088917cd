/* A wait is registered once its push is stored. First it looks for what has happened meanwhile: at
 * the client's position, else in the store. From then on it is notified: of acknowledgements by
 * delivery/ and ack_route.c, of withdrawals and of notifications that replace its own by the
 * store's events. It asks the store again when its notification expires, when its time is over, and
 * once a second where the user has devices or other nodes share the store, because this node does
 * not see those positions move. Nodes that have the user when it begins are told (watches.h), and
 * say at once when it is acknowledged there; the second's look is for what gets lost, and for the
 * nodes that the user comes to later.
 *
 * Any thread may report an event, so the table counts the waits by the hash of their user: an event
 * of a user without one costs a few loads. A wait is counted before it looks and until it is
 * answered, so no event after the look is missed. Everything else of a wait belongs to the user's
 * home worker. */
#include "gateway/requests/push_waits.h"

#include "gateway/base/clock.h"
#include "gateway/base/hash.h"
#include "gateway/base/metrics.h"
#include "gateway/delivery/position_writer.h"
#include "gateway/requests/watches.h"

#include <stdlib.h>

enum { ASK_AGAIN_MS = 1000, BUCKETS = 64, FILTER_SLOTS = 256 };

/* The waits of one worker, by the hash of their user. Its thread's. */
struct wait_buckets {
    struct list buckets[BUCKETS];
};

struct wait_table {
    atomic_uint filter[FILTER_SLOTS]; /* how many of them, by the hash of their user */
    atomic_uint_fast64_t last_number;
    struct watches *watches;
    struct wait_buckets workers[]; /* by their index */
};

struct wait {
    struct list link; /* in its bucket */
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
    bool has_devices; /* the store has said so; this node may not know of them */
    bool is_looking;
    bool must_look_again;
    bool was_pending; /* a look since it began has said so */
    size_t user_id_len;
    char user_id[];
};

static struct span wait_user(const struct wait *wait)
{
    return (struct span){wait->user_id, wait->user_id_len};
}

static int64_t now_of(const struct wait *wait)
{
    return store_now_of(wait->home->node->store, wait_user(wait));
}

static atomic_uint *filter_of(struct wait_table *table, uint64_t hash)
{
    return &table->filter[hash % FILTER_SLOTS];
}

static struct list *bucket_of(struct worker *home, uint64_t hash)
{
    return &home->node->wait_table->workers[home->index].buckets[hash % BUCKETS];
}

static void count_wait(struct node *node, uint64_t hash, int delta)
{
    atomic_fetch_add(&node->waits.n_pushes, (unsigned)delta);
    atomic_fetch_add(filter_of(node->wait_table, hash), (unsigned)delta);
    metrics_gauge_add(METRIC_WAITS, delta);
}

static void answer_wait(struct wait *wait, enum gateway_fate fate, enum gap_cause cause)
{
    struct gateway_push *push = wait->push;
    struct worker *home = wait->home;
    list_remove(&wait->link);
    worker_cancel_timer(home, &wait->timer);
    count_wait(home->node, wait->hash, -1);
    push->fate = fate;
    push->cause = cause;
    int64_t latency_ms = now_of(wait) - wait->time_ms; /* below 0: the store's clock was set back */
    push->latency_ms = latency_ms > 0 ? latency_ms : 0;
    wait->push = NULL;
    if (!wait->is_looking)
        free(wait);
    push->on_done(push);
}

/* ---- the table ---- */

enum err push_waits_new(unsigned n_workers, struct wait_table **ret_table)
{
    struct wait_table *table = calloc(1, sizeof *table + n_workers * sizeof table->workers[0]);
    if (table == NULL)
        return ERR_NO_MEMORY;
    table->watches = watches_new(n_workers);
    if (table->watches == NULL) {
        free(table);
        return ERR_NO_MEMORY;
    }
    for (unsigned i = 0; i < n_workers; i++) {
        for (unsigned k = 0; k < BUCKETS; k++)
            list_init(&table->workers[i].buckets[k]);
    }
    *ret_table = table;
    return ERR_OK;
}

void push_waits_free(struct wait_table *table)
{
    if (table != NULL)
        watches_free(table->watches);
    free(table);
}

uint64_t push_waits_next_number(struct node *node)
{
    return atomic_fetch_add(&node->wait_table->last_number, 1) + 1;
}

/* ---- asking the store ---- */

static void look_up_wait(struct wait *wait);

static bool is_wait_over(const struct wait *wait)
{
    return worker_now_ms(wait->home) >= wait->deadline_ms;
}

/* NULL: he is not here. */
static bool has_devices(const struct wait *wait, const struct client *client)
{
    return wait->has_devices ||
           (client != NULL && atomic_load_explicit(&client->has_devices, memory_order_relaxed));
}

/* Does this node notice by itself when the notification leaves the inbox? Where others share the
 * store the user may come to one of them, and acknowledge there, at any time. */
static bool is_fate_seen_here(const struct wait *wait)
{
    const struct node *node = wait->home->node;
    const struct client *client = client_map_find(node->map, wait_user(wait));
    return !has_devices(wait, client) && !store_is_shared(node->store);
}

/* A position passes numbers that were not acknowledged, too. Does it show by itself that this one
 * was: has it not expired, was not pushed out, and not withdrawn before the wait began? */
static bool shows_fate(const struct client *client, const struct wait *wait)
{
    return wait->was_pending && now_of(wait) < wait->expires_ms && !wait->has_devices &&
           watches_show_fate(client, wait->seq);
}

static void set_wait_timer(struct wait *wait)
{
    int64_t due_ms = wait->deadline_ms;
    int64_t now_ms = worker_now_ms(wait->home);
    int64_t life_ms = wait->expires_ms - now_of(wait);
    if (now_ms + life_ms < due_ms)
        due_ms = now_ms + (life_ms > 0 ? life_ms : 1);
    if (!is_fate_seen_here(wait) && now_ms + ASK_AGAIN_MS < due_ms)
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
    wait->was_pending |= wait->look.error == ERR_OK && found->fate == FATE_PENDING;
    if (wait->push == NULL)
        free(wait);
    else if (wait->look.error == ERR_OK && found->fate != FATE_PENDING)
        answer_wait(wait, found->fate == FATE_DELIVERED ? GATEWAY_DELIVERED : GATEWAY_GONE,
                    found->cause);
    else if (is_wait_over(wait))
        answer_wait(wait, GATEWAY_PENDING, GAP_NONE);
    else if (must_look_again)
        look_up_wait(wait);
    else
        set_wait_timer(wait);
}

static void on_looked(struct store_request *request)
{
    struct wait *wait = CONTAINER_OF(request, struct wait, look.request);
    worker_post(wait->home, &wait->letter, on_looked_letter);
}

static void look_up_wait(struct wait *wait)
{
    if (wait->is_looking) {
        wait->must_look_again = true;
        return;
    }
    wait->is_looking = true;
    wait->look = (struct store_look){
        .request = {.on_done = on_looked, .lane = wait->home->index},
        .user_id = wait_user(wait),
        .epoch = wait->epoch,
        .seq = wait->seq,
    };
    store_look(wait->home->node->store, &wait->look);
}

static void on_wait_due(struct timer *timer)
{
    look_up_wait(CONTAINER_OF(timer, struct wait, timer));
}

/* ---- registering ---- */

/* Are there sessions of the user on another node, whose acknowledgements come in there? */
static bool may_be_acked_elsewhere(const struct wait *wait, const struct client *client)
{
    return store_is_shared(wait->home->node->store) &&
           wait->push->targets[0].nodes > (client == NULL ? 0 : 1);
}

/* The number says which worker has the wait, so that the answer finds it. */
static void tell_other_nodes(const struct wait *wait)
{
    const struct node *node = wait->home->node;
    struct store_watch watch = {
        .number = wait->push->own.number * node->n_workers + wait->home->index,
        .epoch = wait->epoch,
        .seq = wait->seq,
    };
    store_watch(node->store, wait->home->index, wait_user(wait), &watch);
}

static void on_begin_letter(struct letter *letter)
{
    struct wait *wait = CONTAINER_OF(letter, struct wait, letter);
    struct worker *home = wait->home;
    struct client *client = client_map_find(home->node->map, wait_user(wait));
    list_append(bucket_of(home, wait->hash), &wait->link);
    timer_init(&wait->timer, on_wait_due);
    if (atomic_load(&home->node->waits.have_ended)) {
        answer_wait(wait, GATEWAY_PENDING, GAP_NONE);
        return;
    }
    if (client != NULL)
        position_writer_flush(client);
    if (may_be_acked_elsewhere(wait, client))
        tell_other_nodes(wait);
    look_up_wait(wait);
}

bool push_waits_begin(struct node *node, struct gateway_push *push,
                      const struct store_target *stored)
{
    const struct gateway_target *target = &push->targets[0];
    struct wait *wait = NULL;
    if (waits_have_room(&node->waits))
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
    wait->time_ms = stored->time_ms;
    wait->has_devices = stored->has_devices;
    wait->expires_ms = target->expires_ms;
    wait->deadline_ms = clock_monotonic_ms() + push->wait_ms;
    wait->hash = hash_bytes(target->user_id);
    wait->user_id_len = target->user_id.len;
    memcpy(wait->user_id, target->user_id.bytes, target->user_id.len);
    list_init(&wait->link);
    count_wait(node, wait->hash, 1); /* from here on it is notified of events */
    worker_post(wait->home, &wait->letter, on_begin_letter);
    return true;
}

/* ---- being notified ---- */

static bool is_for(const struct wait *wait, uint64_t hash, struct span user_id, struct epoch epoch)
{
    return wait->hash == hash && span_equal(wait_user(wait), user_id) &&
           epoch_equal(wait->epoch, epoch);
}

void push_waits_acked(struct client *client, uint64_t acked)
{
    struct worker *home = client_worker(client);
    watches_acked(home->node->wait_table->watches, client);
    if (atomic_load_explicit(&home->node->waits.n_pushes, memory_order_relaxed) == 0)
        return;
    uint64_t hash = hash_bytes(client_user_id(client));
    LIST_FOR_EACH_SAFE(link, bucket_of(home, hash))
    {
        struct wait *wait = CONTAINER_OF(link, struct wait, link);
        if (!is_for(wait, hash, client_user_id(client), client->epoch) || wait->seq > acked)
            continue;
        if (shows_fate(client, wait)) {
            answer_wait(wait, GATEWAY_DELIVERED, GAP_NONE);
        } else { /* the store alone knows what became of it, and whether all devices have it */
            position_writer_flush(client);
            look_up_wait(wait);
        }
    }
}

void push_waits_asked(struct worker *home, struct span user_id)
{
    uint64_t hash = hash_bytes(user_id);
    LIST_FOR_EACH_SAFE(link, bucket_of(home, hash))
    {
        struct wait *wait = CONTAINER_OF(link, struct wait, link);
        if (wait->hash == hash && span_equal(wait_user(wait), user_id))
            look_up_wait(wait);
    }
}

void push_waits_on_watch(void *owner, struct span user_id, const struct store_watch *watch)
{
    struct node *node = owner;
    struct client *client = client_map_find(node->map, user_id);
    if (client != NULL)
        watches_add(node->wait_table->watches, client, watch);
}

/* An answer of another node on its way to the home worker. */
struct watch_answer {
    struct letter letter;
    struct worker *home;
    uint64_t push; /* its number */
    struct epoch epoch;
    uint64_t acked;
};

static struct wait *find_wait(struct worker *home, uint64_t push)
{
    struct wait_buckets *waits = &home->node->wait_table->workers[home->index];
    for (unsigned i = 0; i < BUCKETS; i++) {
        LIST_FOR_EACH(link, &waits->buckets[i])
        {
            struct wait *wait = CONTAINER_OF(link, struct wait, link);
            if (wait->push->own.number == push)
                return wait;
        }
    }
    return NULL;
}

/* What has expired was passed, and not acknowledged. The other node may not know of devices that
 * have connected elsewhere. */
static void on_watch_answer_letter(struct letter *letter)
{
    struct watch_answer *answer = CONTAINER_OF(letter, struct watch_answer, letter);
    struct wait *wait = find_wait(answer->home, answer->push);
    if (wait != NULL && epoch_equal(wait->epoch, answer->epoch)) {
        const struct client *client = client_map_find(answer->home->node->map, wait_user(wait));
        if (answer->acked >= wait->seq && now_of(wait) < wait->expires_ms &&
            !has_devices(wait, client))
            answer_wait(wait, GATEWAY_DELIVERED, GAP_NONE);
        else
            look_up_wait(wait);
    }
    free(answer);
}

void push_waits_on_watch_answer(void *owner, uint64_t number, struct epoch epoch, uint64_t acked)
{
    const struct node *node = owner;
    struct watch_answer *answer = malloc(sizeof *answer);
    if (answer == NULL)
        return; /* the wait looks by itself */
    answer->home = node->workers[number % node->n_workers];
    answer->push = number / node->n_workers;
    answer->epoch = epoch;
    answer->acked = acked;
    worker_post(answer->home, &answer->letter, on_watch_answer_letter);
}

/* An event on its way to the home worker of a user who has waits. */
struct waited_event {
    struct letter letter;
    struct worker *home;
    struct inbox_event event; /* one reference */
    size_t user_id_len;
    char user_id[];
};

static void apply_event(struct wait *wait, struct inbox_event event, uint64_t inbox_max)
{
    if (event.kind == INBOX_WITHDRAWAL && withdrawal_has(event.withdrawal, wait->seq))
        answer_wait(wait, GATEWAY_GONE, event.withdrawal->cause);
    else if (event.kind == INBOX_NOTIFICATION && event.note->replaces == wait->seq)
        answer_wait(wait, GATEWAY_GONE, GAP_COLLAPSED);
    else if (inbox_event_seq(event) >= wait->seq + inbox_max)
        look_up_wait(wait); /* it may have been pushed out */
}

static void on_event_letter(struct letter *letter)
{
    struct waited_event *reported = CONTAINER_OF(letter, struct waited_event, letter);
    struct span user_id = {reported->user_id, reported->user_id_len};
    uint64_t hash = hash_bytes(user_id);
    const struct node *node = reported->home->node;
    watches_on_event(node->wait_table->watches, reported->home, user_id, reported->event);
    LIST_FOR_EACH_SAFE(link, bucket_of(reported->home, hash))
    {
        struct wait *wait = CONTAINER_OF(link, struct wait, link);
        if (is_for(wait, hash, user_id, inbox_event_epoch(reported->event)))
            apply_event(wait, reported->event, (uint64_t)node->options->inbox_max);
    }
    inbox_event_unref(reported->event);
    free(reported);
}

void push_waits_on_event(struct node *node, struct span user_id, struct inbox_event event)
{
    struct wait_table *table = node->wait_table;
    bool may_wait = atomic_load(&node->waits.n_pushes) > 0 &&
                    atomic_load(filter_of(table, hash_bytes(user_id))) > 0;
    if (!may_wait && !watches_may_have(table->watches, user_id))
        return;
    struct waited_event *reported = calloc(1, sizeof *reported + user_id.len);
    if (reported == NULL)
        return; /* the wait asks the store when its time is over */
    reported->home = node_home(node, user_id);
    reported->event = inbox_event_ref(event);
    reported->user_id_len = user_id.len;
    memcpy(reported->user_id, user_id.bytes, user_id.len);
    worker_post(reported->home, &reported->letter, on_event_letter);
}

/* ---- ending ---- */

/* The end of one wait on its way to the home worker. */
struct wait_end {
    struct letter letter;
    struct worker *home;
    uint64_t push; /* its number: it may be answered by now, and its memory another's */
};

static void on_end_letter(struct letter *letter)
{
    struct wait_end *end = CONTAINER_OF(letter, struct wait_end, letter);
    struct wait *wait = find_wait(end->home, end->push);
    if (wait != NULL)
        answer_wait(wait, GATEWAY_PENDING, GAP_NONE);
    free(end);
}

void gateway_end_wait(struct node *node, struct gateway_push *push)
{
    struct span user_id = push->targets[0].user_id;
    struct wait_end *end = calloc(1, sizeof *end);
    if (end == NULL)
        return; /* its time will be over */
    end->home = node_home(node, user_id);
    end->push = push->own.number;
    worker_post(end->home, &end->letter, on_end_letter);
}

void gateway_end_waits(struct node *node)
{
    atomic_store(&node->waits.have_ended, true);
    worker_command_all(node, COMMAND_END_WAITS);
}

void gateway_resume_waits(struct node *node)
{
    atomic_store(&node->waits.have_ended, false);
}

void push_waits_stop(struct worker *worker)
{
    for (unsigned i = 0; i < BUCKETS; i++) {
        struct list *bucket = bucket_of(worker, i);
        while (!list_is_empty(bucket))
            answer_wait(CONTAINER_OF(bucket->next, struct wait, link), GATEWAY_PENDING, GAP_NONE);
    }
}
