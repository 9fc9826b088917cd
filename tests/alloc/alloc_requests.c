/* What backends and operators ask, without memory: each request is answered once, as done or with
 * ERR_NO_MEMORY, and what it took is given back (requests.h). */
#include "gateway/base/hash.h"
#include "gateway/base/log.h"
#include "gateway/delivery/delivery.h"
#include "gateway/delivery/replay.h"
#include "gateway/identity/auth.h"
#include "gateway/requests/broadcast.h"
#include "gateway/requests/push.h"
#include "gateway/requests/push_waits.h"
#include "gateway/store/store_backend.h"
#include "tests/alloc/fail.h"

enum { TURNS = 3, TARGETS = 3 };

static const struct epoch epoch = {"abcdefgh"};
static const struct options options = {
    .auth = "ticket",
    .jwt_keys = "",
    .jwt_user_claim = "sub",
    .jwt_audience_claim = "aud",
    .token_cookie = "",
    .session_max_bytes = 262144,
    .max_data = 65536,
    .inbox_max = 1000,
    .inbox_max_bytes = 1048576,
};

static struct worker *worker;
static struct store store;
static struct node node;
static unsigned n_answers;

/* ---- a store that does at once what it is asked ---- */

static void append_targets(struct store_append *append)
{
    for (size_t i = 0; i < append->n_targets; i++) {
        append->targets[i].error = ERR_OK;
        append->targets[i].is_duplicate = false;
        append->targets[i].nodes = 0;
        append->targets[i].epoch = epoch;
        append->targets[i].seq = 1;
        append->targets[i].time_ms = 1;
        append->targets[i].expires_ms = INT64_MAX / 2;
    }
}

static void submit(struct store *asked, struct store_request *request, enum store_op op)
{
    (void)asked;
    while (request != NULL) {
        struct store_request *next = request->next;
        if (op == STORE_OP_APPEND)
            append_targets(CONTAINER_OF(request, struct store_append, request));
        request->on_done(request);
        request = next;
    }
}

static void broadcast(struct store *asked, struct store_broadcast *question)
{
    (void)asked;
    question->nodes = 1;
    question->request.on_done(&question->request);
}

static int64_t now_ms(const struct store *asked)
{
    (void)asked;
    return 1;
}

static const struct store_ops ops = {.submit = submit, .broadcast = broadcast, .now_ms = now_ms};

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
    struct withdrawal *withdrawal = withdrawal_new(epoch, 7, 7, GAP_CANCELLED);
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
    free(user.connections);
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
        .on_done = on_message, .user_id = SPAN_LITERAL("u"), .epoch = epoch, .seq = 1};
    gateway_message(&node, &message);
    expect_one_answer();
    (void)WENT_WELL(message.error);
    struct gateway_cancel cancel = {
        .on_done = on_cancelled, .user_id = SPAN_LITERAL("u"), .epoch = epoch, .seq = 1};
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

static void list_clients(void)
{
    struct gateway_client clients[2];
    char next[32];
    size_t n;
    if (WENT_WELL(gateway_clients(&node, SPAN_NONE, clients, 2, &n, next)))
        CHECK(n == 0 && next[0] == '\0');
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

static void ask_everything(void)
{
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

static void run(void)
{
    char why[200];
    store.ops = &ops;
    node = (struct node){
        .workers = &worker, .n_workers = 1, .store = &store, .pages_at_once = REPLAY_PAGES_AT_ONCE};
    atomic_init(&node.options, &options);
    if (!WENT_WELL(client_map_new(1, 262144, delivery_on_letter, &node.map)))
        return;
    if (WENT_WELL(push_waits_new(1, &node.wait_table)) &&
        WENT_WELL(auth_open(&options, &node.auth, why, sizeof why)) &&
        WENT_WELL(worker_new(&node, 0, replay_try_again, &worker))) {
        if (WENT_WELL(delivery_new(worker)))
            ask_everything();
        delivery_free(worker);
        worker_free(worker);
    }
    auth_close(node.auth);
    push_waits_free(node.wait_table);
    client_map_free(node.map);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    CHECK(hash_init() == ERR_OK);
    fail_each("what is asked of a node", run);
    return 0;
}
