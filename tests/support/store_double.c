/* Each request gets an on_done of the double's own before the memory store sees it, and is kept in
 * a list until its answer is handed on: at once, or when the test releases its kind. */
#include "tests/support/store_double.h"

#include "gateway/store/store_event_request.h"
#include "tests/support/node_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct asked {
    struct list link;
    struct store_request *request;
    void (*on_done)(struct store_request *request);
    enum store_op op;
    bool is_answered;
};

/* What stands between the node and `inner`, the memory store. */
static struct {
    struct store store;
    struct store *inner;
    struct list asked;
    unsigned n_arrivals;
    unsigned counts[STORE_OPS];
    unsigned calls[STORE_OPS];
    bool holds[STORE_OPS];
    bool is_away;
    const char *unseen_user; /* NULL: none */
    bool says_nodes;
    bool says_devices;
    bool says_unheard;
    unsigned n_nodes;
    int64_t ahead_ms;
    bool plays_events;
    enum err events_error;
    uint64_t event_heads[STORE_PARTITIONS];
    const struct store_event_append *last_append;
    unsigned failing_partition;
    struct store_double_ack last_ack;
    struct store_double_watch watches;
    struct store_double_alert_end last_end;
} between;

static void say_more(struct asked *asked)
{
    if (asked->op != STORE_OP_APPEND && asked->op != STORE_OP_SEND)
        return;
    struct store_append *append = CONTAINER_OF(asked->request, struct store_append, request);
    for (size_t i = 0; i < append->n_targets; i++) {
        struct store_target *target = &append->targets[i];
        target->nodes = between.says_nodes ? between.n_nodes : target->nodes;
        target->has_devices = between.says_devices;
        target->is_unheard = between.says_unheard && asked->op == STORE_OP_SEND;
    }
}

static void answer(struct asked *asked)
{
    struct store_request *request = asked->request;
    say_more(asked);
    list_remove(&asked->link);
    request->on_done = asked->on_done;
    free(asked);
    request->on_done(request);
}

static void on_inner_done(struct store_request *request)
{
    LIST_FOR_EACH_SAFE(link, &between.asked)
    {
        struct asked *asked = CONTAINER_OF(link, struct asked, link);
        if (asked->request != request)
            continue;
        asked->is_answered = true;
        if (!between.holds[asked->op])
            answer(asked);
        return;
    }
    cr_assert_fail("an answer to nothing that was asked");
}

static void refuse_send(struct store_append *send)
{
    for (size_t i = 0; i < send->n_targets; i++)
        send->targets[i].error = ERR_STORE_UNAVAILABLE;
    send->request.on_done(&send->request);
}

static bool fail_consumers(struct store_request *request, enum store_op op)
{
    if (op != STORE_OP_CONSUMERS ||
        CONTAINER_OF(request, struct store_consumers, request)->partition !=
            between.failing_partition)
        return false;
    store_event_answer(request, op, ERR_STORE_UNAVAILABLE);
    request->on_done(request);
    return true;
}

static bool refuse_if_away(struct store_request *request, enum store_op op)
{
    if (between.is_away && op == STORE_OP_SEND) {
        refuse_send(CONTAINER_OF(request, struct store_append, request));
        return true;
    }
    if (!between.is_away || (op != STORE_OP_PAGE && op != STORE_OP_ACK))
        return false;
    if (op == STORE_OP_PAGE)
        CONTAINER_OF(request, struct store_page, request)->error = ERR_STORE_UNAVAILABLE;
    else
        CONTAINER_OF(request, struct store_ack, request)->error = ERR_STORE_UNAVAILABLE;
    request->on_done(request);
    return true;
}

static bool can_look(const struct store_look *look)
{
    const char *user = between.unseen_user;
    return !between.is_away && (user == NULL || !span_equal(look->user_id, span_of(user)));
}

/* What is asked of alerts. false: it is for the memory store. */
static bool answer_alert_step(struct store_request *request, enum store_op op)
{
    if (op == STORE_OP_ALERT_END && !between.is_away) {
        struct store_alert_end *end = CONTAINER_OF(request, struct store_alert_end, request);
        struct store_double_alert_end *last = &between.last_end;
        cr_assert_lt(end->event.len, sizeof last->event);
        *last = (struct store_double_alert_end){.n = last->n + 1, .seq = end->alert.seq};
        if (end->event.len > 0)
            memcpy(last->event, end->event.bytes, end->event.len);
        end->error = ERR_OK;
    } else if (op == STORE_OP_ALERT_END) {
        CONTAINER_OF(request, struct store_alert_end, request)->error = ERR_STORE_UNAVAILABLE;
    } else if (op == STORE_OP_LOOK &&
               !can_look(CONTAINER_OF(request, struct store_look, request))) {
        CONTAINER_OF(request, struct store_look, request)->error = ERR_STORE_UNAVAILABLE;
    } else if (op == STORE_OP_ONLINE) {
        struct store_online *online = CONTAINER_OF(request, struct store_online, request);
        online->error = between.is_away ? ERR_STORE_UNAVAILABLE : ERR_OK;
        for (size_t i = 0; i < online->n_users && between.n_nodes > 0; i++)
            online->is_online[i] = true;
    } else {
        return false;
    }
    request->on_done(request);
    return true;
}

static void note_ack(const struct store_ack *ack)
{
    between.last_ack = (struct store_double_ack){.seq = ack->seq, .written = ack->written};
    cr_assert_lt(ack->device.len, sizeof between.last_ack.device);
    if (ack->device.len > 0)
        memcpy(between.last_ack.device, ack->device.bytes, ack->device.len);
}

/* true: it is answered when its kind is released, */
static bool play_events(struct asked *asked)
{
    if (asked->op != STORE_OP_EVENT_APPEND)
        return false;
    struct store_event_append *append =
        CONTAINER_OF(asked->request, struct store_event_append, request);
    between.last_append = append;
    if (!between.plays_events)
        return false;
    cr_assert_geq(append->n, 1);
    append->error = between.events_error;
    append->first_seq = between.event_heads[append->partition] + 1;
    if (append->error == ERR_OK)
        between.event_heads[append->partition] += append->n;
    asked->is_answered = true;
    return true;
}

static void submit_one(struct store_request *request, enum store_op op)
{
    between.counts[op]++;
    if (op == STORE_OP_PAGE)
        between.n_arrivals += CONTAINER_OF(request, struct store_page, request)->is_arrival;
    if (op == STORE_OP_ACK)
        note_ack(CONTAINER_OF(request, struct store_ack, request));
    if (refuse_if_away(request, op) || answer_alert_step(request, op) ||
        fail_consumers(request, op))
        return;
    struct asked *asked = calloc(1, sizeof *asked);
    *asked = (struct asked){.request = request, .on_done = request->on_done, .op = op};
    list_append(&between.asked, &asked->link);
    if (play_events(asked))
        return;
    request->on_done = on_inner_done;
    between.inner->ops->submit(between.inner, request, op);
}

/* Each by itself. */
static void submit(struct store *store, struct store_request *first, enum store_op op)
{
    struct store_request *next;
    (void)store;
    between.calls[op]++;
    for (struct store_request *request = first; request != NULL; request = next) {
        next = request->next;
        request->next = NULL;
        submit_one(request, op);
    }
}

static void broadcast(struct store *store, struct store_broadcast *question)
{
    (void)store;
    between.inner->ops->broadcast(between.inner, question);
}

static void ask(struct store *store, struct store_ask *question)
{
    (void)store;
    between.inner->ops->ask(between.inner, question);
}

static void watch(struct store *store, unsigned lane, struct span user_id,
                  const struct store_watch *asked)
{
    (void)store;
    (void)lane;
    (void)user_id;
    between.watches.n_watches++;
    between.watches.watch = *asked;
}

static void answer_watch(struct store *store, unsigned lane, struct span user_id,
                         const struct store_watch *asked, uint64_t acked)
{
    (void)user_id;
    (void)store;
    (void)lane;
    between.watches.n_answers++;
    between.watches.watch = *asked;
    between.watches.acked = acked;
    between.watches.acks_before = between.counts[STORE_OP_ACK];
}

static void leave(struct store *store, unsigned lane, struct span user_id)
{
    (void)store;
    between.inner->ops->leave(between.inner, lane, user_id);
}

static void describe(struct store *store, char *out, size_t cap)
{
    (void)store;
    between.inner->ops->describe(between.inner, out, cap);
}

static int64_t now_ms(const struct store *store)
{
    (void)store;
    return between.inner->ops->now_ms(between.inner);
}

static int64_t now_of(const struct store *store, struct span user_id)
{
    (void)user_id;
    return now_ms(store) + between.ahead_ms;
}

static void close_both(struct store *store)
{
    (void)store;
    between.inner->ops->close(between.inner);
    for (enum store_op op = 0; op < STORE_OPS; op++)
        store_double_release(op);
    cr_expect(list_is_empty(&between.asked), "the store has left requests unanswered");
}

static struct store_ops ops = {
    .kind = "double",
    .close = close_both,
    .submit = submit,
    .broadcast = broadcast,
    .ask = ask,
    .watch = watch,
    .answer_watch = answer_watch,
    .leave = leave,
    .describe = describe,
    .now_ms = now_ms,
    .now_of = now_of,
};

void store_double_start(void)
{
    memset(&between, 0, sizeof between);
    list_init(&between.asked);
    between.failing_partition = STORE_PARTITIONS;
    between.store.ops = &ops;
    ops.is_shared = false;
    between.inner = fixture.node.store;
    fixture.node.store = &between.store;
}

unsigned store_double_count(enum store_op op)
{
    return between.counts[op];
}

void store_double_play_events(enum err error)
{
    between.plays_events = true;
    between.events_error = error;
}

void store_double_fail_consumers(unsigned partition)
{
    between.failing_partition = partition;
}

const struct store_event_append *store_double_last_append(void)
{
    return between.last_append;
}

unsigned store_double_arrivals(void)
{
    return between.n_arrivals;
}

unsigned store_double_calls(enum store_op op)
{
    return between.calls[op];
}

unsigned store_double_under_way(enum store_op op)
{
    unsigned n = 0;
    LIST_FOR_EACH(link, &between.asked)
    {
        n += CONTAINER_OF(link, struct asked, link)->op == op;
    }
    return n;
}

void store_double_hold(enum store_op op)
{
    between.holds[op] = true;
}

void store_double_release(enum store_op op)
{
    between.holds[op] = false;
    LIST_FOR_EACH_SAFE(link, &between.asked)
    {
        struct asked *asked = CONTAINER_OF(link, struct asked, link);
        if (asked->op == op && asked->is_answered)
            answer(asked);
    }
}

void store_double_fail_looks(const char *user)
{
    between.unseen_user = user;
}

void store_double_set_away(bool is_away)
{
    between.is_away = is_away;
}

void store_double_set_shared(void)
{
    ops.is_shared = true;
}

void store_double_set_nodes(unsigned n_nodes)
{
    between.says_nodes = true;
    between.n_nodes = n_nodes;
}

void store_double_set_unheard(void)
{
    between.says_unheard = true;
}

void store_double_set_devices(void)
{
    between.says_devices = true;
}

struct store_double_watch store_double_watches(void)
{
    return between.watches;
}

struct store_double_ack store_double_last_ack(void)
{
    return between.last_ack;
}

struct store_double_alert_end store_double_last_alert_end(void)
{
    return between.last_end;
}

void store_double_set_ahead(int64_t ms)
{
    between.ahead_ms = ms;
}
