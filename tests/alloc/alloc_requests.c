/* What backends and operators ask, without memory: each request is answered once, as done or with
 * ERR_NO_MEMORY, and what it took is given back (requests.h). */
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/delivery/replay.h"
#include "gateway/identity/auth.h"
#include "gateway/requests/broadcast.h"
#include "gateway/requests/drain.h"
#include "gateway/requests/nodes.h"
#include "gateway/requests/push.h"
#include "gateway/requests/push_waits.h"
#include "gateway/session/session.h"
#include "tests/alloc/fail.h"
#include "tests/alloc/prompt_store.h"
#include "tests/support/bare_node.h"

enum { TURNS = 3, TARGETS = 3 };

static struct options options;
static struct worker *worker;
static struct store store;
static struct node node;
static unsigned n_answers;

/* ---- what is asked ---- */

static void turn(void)
{
    for (int i = 0; i < TURNS; i++)
        reactor_turn(worker->reactor, 0);
}

static void expect_one_answer(void)
{
    turn();
    CHECK(n_answers == 1);
    n_answers = 0;
}

static void on_pushed(struct gateway_push *push)
{
    (void)push;
    n_answers++;
}

/* It asks for memory at most so many times. */
static void push_to(size_t n, uint32_t ttl_s, struct span idempotency_key, unsigned long most)
{
    struct gateway_target targets[TARGETS] = {{.user_id = SPAN_LITERAL("u")},
                                              {.user_id = SPAN_LITERAL("v")},
                                              {.user_id = SPAN_LITERAL("w")}};
    struct gateway_push push = {.on_done = on_pushed,
                                .data = SPAN_LITERAL("1"),
                                .ttl_s = ttl_s,
                                .idempotency_key = idempotency_key,
                                .n_targets = n,
                                .targets = targets};
    unsigned long asked = fail_asked();
    gateway_push(&node, &push);
    expect_one_answer();
    CHECK(fail_asked() - asked <= most);
    for (size_t i = 0; i < n; i++)
        (void)WENT_WELL(targets[i].error);
}

/* All or nothing, and one answer. */
static void push_to_many(void)
{
    enum { MANY = 2 * GATEWAY_AT_ONCE + 1 };
    static struct gateway_target targets[MANY];
    struct gateway_push push = {
        .on_done = on_pushed, .data = SPAN_LITERAL("1"), .n_targets = MANY, .targets = targets};
    for (size_t i = 0; i < MANY; i++)
        targets[i] = (struct gateway_target){.user_id = SPAN_LITERAL("u")};
    unsigned long asked = fail_asked();
    gateway_push(&node, &push);
    expect_one_answer();
    CHECK(fail_asked() - asked <= 3);
    for (size_t i = 0; i < MANY; i++)
        CHECK(targets[i].error == targets[0].error);
    (void)WENT_WELL(targets[0].error);
}

static void report_withdrawal(void)
{
    struct withdrawal *withdrawal = withdrawal_new(prompt_store_epoch, 7, 7, GAP_CANCELLED);
    if (withdrawal != NULL)
        push_on_inbox_event(&node, SPAN_LITERAL("u"), inbox_event_of_withdrawal(withdrawal));
    withdrawal_unref(withdrawal);
    turn();
}

/* A wait that there is no memory to end is answered when its worker stops. */
static void push_and_wait(void)
{
    struct gateway_target target = {.user_id = SPAN_LITERAL("u")};
    struct gateway_push push = {.on_done = on_pushed,
                                .data = SPAN_LITERAL("1"),
                                .ttl_s = 60,
                                .wait_ms = 60000,
                                .n_targets = 1,
                                .targets = &target};
    gateway_push(&node, &push);
    turn();
    CHECK(n_answers == (push.has_waited ? 0 : 1));
    report_withdrawal();
    if (push.has_waited)
        gateway_end_wait(&node, &push);
    turn();
    push_waits_stop(worker);
    expect_one_answer();
    if (WENT_WELL(target.error))
        CHECK(push.has_waited || fail_has_happened());
}

static void on_kicked(struct gateway_kick *kick)
{
    (void)kick;
    n_answers++;
}

static void kick_user(void)
{
    struct gateway_kick kick = {
        .on_done = on_kicked, .user_id = SPAN_LITERAL("u"), .is_purge = true, .block_s = 60};
    gateway_kick(&node, &kick);
    expect_one_answer();
    (void)WENT_WELL(kick.error);
}

static void on_user(struct gateway_user *user)
{
    (void)user;
    n_answers++;
}

static void look_at_user(void)
{
    struct gateway_user user = {.on_done = on_user, .user_id = SPAN_LITERAL("u")};
    gateway_user(&node, &user);
    expect_one_answer();
    (void)WENT_WELL(user.error);
    gateway_user_clear(&user);
}

static void on_message(struct gateway_message *message)
{
    (void)message;
    n_answers++;
}

static void on_cancelled(struct gateway_cancel *cancel)
{
    (void)cancel;
    n_answers++;
}

static void ask_about_message(void)
{
    struct gateway_message message = {
        .on_done = on_message, .user_id = SPAN_LITERAL("u"), .epoch = prompt_store_epoch, .seq = 1};
    gateway_message(&node, &message);
    expect_one_answer();
    (void)WENT_WELL(message.error);
    struct gateway_cancel cancel = {.on_done = on_cancelled,
                                    .user_id = SPAN_LITERAL("u"),
                                    .epoch = prompt_store_epoch,
                                    .seq = 1};
    gateway_cancel(&node, &cancel);
    expect_one_answer();
    (void)WENT_WELL(cancel.error);
}

static void on_inbox(struct gateway_inbox *inbox)
{
    (void)inbox;
    n_answers++;
}

static void on_purged(struct gateway_purge *purge)
{
    (void)purge;
    n_answers++;
}

static void ask_about_inbox(void)
{
    struct gateway_inbox inbox = {.on_done = on_inbox, .user_id = SPAN_LITERAL("u"), .limit = 10};
    gateway_inbox(&node, &inbox);
    expect_one_answer();
    (void)WENT_WELL(inbox.error);
    gateway_inbox_clear(&inbox);
    struct gateway_purge purge = {.on_done = on_purged, .user_id = SPAN_LITERAL("u")};
    gateway_purge(&node, &purge);
    expect_one_answer();
    (void)WENT_WELL(purge.error);
}

static void on_listed(struct gateway_clients *clients)
{
    (void)clients;
    n_answers++;
}

static void list_clients(void)
{
    struct gateway_clients clients = {.on_done = on_listed, .limit = 2};
    gateway_clients(&node, &clients);
    expect_one_answer();
    if (WENT_WELL(clients.error))
        CHECK(span_equal(buf_span(&clients.page), SPAN_LITERAL("{\"clients\":[],\"next\":null}")));
    gateway_clients_clear(&clients);
}

static void on_ticket(struct gateway_ticket *ticket)
{
    (void)ticket;
    n_answers++;
}

static void ask_for_ticket(void)
{
    struct gateway_ticket ticket = {.on_done = on_ticket, .user_id = SPAN_LITERAL("u")};
    gateway_ticket(&node, &ticket);
    expect_one_answer();
    (void)WENT_WELL(ticket.error);
}

static void on_broadcast(struct gateway_broadcast *done)
{
    (void)done;
    n_answers++;
}

static void on_answer(struct store_question *question)
{
    (void)question;
    n_answers++;
}

/* What this node asks, and what it answers when the store reports a broadcast to it. */
static void broadcast_to_all(void)
{
    struct gateway_broadcast asked = {.on_done = on_broadcast, .data = SPAN_LITERAL("1")};
    gateway_broadcast(&node, &asked);
    expect_one_answer();
    (void)WENT_WELL(asked.error);

    struct store_question question = {.on_answer = on_answer};
    struct payload *payload = payload_new(SPAN_LITERAL("1"));
    struct notification *note =
        payload == NULL ? NULL : notification_new(payload, (struct epoch){{0}}, 0, 1, 0);
    if (note != NULL) {
        broadcast_on_received(&node, note, &question);
        expect_one_answer();
    }
    notification_unref(note);
    payload_unref(payload);
}

static void on_drained(struct gateway_drain *drain)
{
    (void)drain;
    n_answers++;
}

static enum err drain_with(struct gateway_drain drain)
{
    drain.on_done = on_drained;
    gateway_drain(&node, &drain);
    for (int i = 0; i < 20 && n_answers == 0; i++)
        turn();
    expect_one_answer();
    return drain.error;
}

static void expire(struct timer *timer)
{
    (void)timer;
}

/* Of a session that has nothing but its place among those who have not said who they are. */
static void drain_sessions(void)
{
    struct session session = {.state = SESSION_ENTERED, .level = LEVEL_PLAIN};
    session.conn.loop = &worker->loop;
    timer_init(&session.timer, expire);
    list_append(&worker->unauthenticated, &session.link);
    (void)WENT_WELL(drain_with((struct gateway_drain){.connections = 1}));
    CHECK(!atomic_load(&node.is_draining));
    if (WENT_WELL(drain_with((struct gateway_drain){.connections = 0})))
        CHECK(atomic_load(&node.is_draining) && session.is_draining);
    CHECK(drain_with((struct gateway_drain){.is_cancel = true}) == ERR_OK);
    for (int i = 0; i < 20 && session.is_draining; i++)
        turn();
    CHECK(!atomic_load(&node.is_draining) && !session.is_draining);
    list_remove(&session.link);
    worker_cancel_timer(worker, &session.timer);
}

static void ask_everything(void)
{
    drain_sessions();
    push_to(1, 60, SPAN_NONE, 1);
    push_to(TARGETS, 60, SPAN_LITERAL("key"), 2);
    push_to(1, 0, SPAN_NONE, 1);
    push_to_many();
    push_and_wait();
    kick_user();
    look_at_user();
    ask_about_message();
    ask_about_inbox();
    list_clients();
    ask_for_ticket();
    broadcast_to_all();
}

static const worker_command_fn commands[COMMANDS] = {
    [COMMAND_STORE_IS_BACK] = replay_try_again,
    [COMMAND_DRAIN] = drain_apply,
    [COMMAND_END_WAITS] = push_waits_stop,
};

static void run(void)
{
    char why[200];
    store.ops = &prompt_store_ops;
    bare_node_init(&node, &options, &worker);
    options.auth = "ticket";
    options.max_data = 65536;
    node.store = &store;
    if (!WENT_WELL(bare_node_open(&node)))
        return;
    node.command_fns = commands;
    if (WENT_WELL(auth_open(&options, &node.auth, why, sizeof why)) &&
        WENT_WELL(nodes_new(&node, &node.nodes)) && WENT_WELL(drains_new(&node, &node.drains)))
        ask_everything();
    drains_free(node.drains);
    nodes_free(node.nodes);
    auth_close(node.auth);
    bare_node_close(&node);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    CHECK(hash_init() == ERR_OK);
    fail_each("what is asked of a node", run);
    return 0;
}
