/* Questions about a user over several nodes on one Redis, and while it is away; questions of one
 * node; what is sent to users; pushes that wait. */
#include "tests/store/redis_backend.h"

#include "tests/store/ask_calls.h"
#include "tests/support/skipped_clock.h"

static const struct store_asked describe = {.kind = STORE_ASK_DESCRIBE};
static const struct store_asked kick = {.kind = STORE_ASK_KICK, .reason = {"moved", 5}};

static int64_t timed_ask(const char *user, struct store_ask *ret_got)
{
    int64_t before_ms = clock_monotonic_ms();
    *ret_got = ask_one(store, user, describe);
    cr_assert_eq(ret_got->error, ERR_OK);
    return clock_monotonic_ms() - before_ms;
}

Test(store_redis, a_question_is_answered_by_each_node_with_the_user_and_no_other)
{
    struct other_node others[3];
    for (int i = 0; i < 3; i++)
        other_open(&others[i]);
    arrive(store, "anna");
    arrive(others[0].store, "anna");
    arrive(others[1].store, "anna");
    arrive(others[2].store, "bert");
    questions.count = 2;
    questions.text = "[{}]";
    questions.absent = &others[2];
    stop_time();
    for (size_t round = 1; round <= 10; round++) {
        struct store *asker = round % 2 == 0 ? store : others[2].store;
        struct store_ask got = ask_one(asker, "anna", round % 3 == 0 ? kick : describe);
        cr_assert_eq(got.error, ERR_OK);
        cr_assert_eq(got.n_asked, 3);
        cr_assert_eq(got.n_answered, 3);
        cr_assert_eq(got.count, 6);
        cr_assert_eq(count_questions(NULL) - count_questions(&others[2]), 3 * round);
    }
    for (int i = 0; i < 3; i++)
        other_close(&others[i]);
}

Test(store_redis, a_question_about_a_user_who_is_nowhere_has_no_answer)
{
    struct other_node other;
    other_open(&other);
    questions.absent = NULL;
    stop_time();
    struct store_ask got = ask_one(store, "anna", describe);
    cr_assert_eq(got.error, ERR_OK);
    cr_assert_eq(got.n_asked, 0);
    cr_assert_eq(got.n_answered, 0);
    cr_assert_eq(got.count, 0);
    other_close(&other);
}

Test(store_redis, each_text_that_a_node_answers_is_kept)
{
    struct other_node other;
    struct ask_call call;
    static char text[STORE_ANSWER_MAX_BYTES + 1];
    memset(text, '7', STORE_ANSWER_MAX_BYTES);
    other_open(&other);
    arrive(store, "anna");
    arrive(other.store, "anna");
    questions.text = text;
    stop_time();
    ask_begin(store, &call, "anna", describe);
    ask_end(&call);
    size_t n = 0;
    for (struct store_text *at = call.ask.texts; at != NULL; at = at->next, n++)
        cr_assert(span_equal((struct span){at->bytes, at->len}, span_of(text)));
    cr_assert_eq(n, 2);
    store_ask_clear(&call.ask);
    other_close(&other);
}

Test(store_redis, a_node_that_does_not_answer_is_missing_after_250_ms)
{
    struct other_node other;
    struct store_ask got;
    other_open(&other);
    arrive(store, "anna");
    arrive(other.store, "anna");
    questions.count = 2;
    int64_t missing = metrics_read(METRIC_NODES_SILENT);
    other_stop(&other);
    cr_assert_geq(timed_ask("anna", &got), STORE_REPLIES_MS);
    cr_assert_eq(got.n_asked, 2);
    cr_assert_eq(got.n_answered, 1);
    cr_assert_eq(got.count, 2);
    cr_assert_eq(metrics_read(METRIC_NODES_SILENT), missing + 1);
    other_close(&other);
}

Test(store_redis, an_asker_that_is_not_subscribed_answers_for_no_other_node)
{
    struct other_node other;
    struct store_ask got;
    other_open(&other);
    arrive(other.store, "anna");
    questions.count = 2;
    other_stop(&other);
    timed_ask("anna", &got);
    cr_assert_eq(got.n_asked, 2);
    cr_assert_eq(got.n_answered, 1);
    cr_assert_eq(got.count, 2);
    other_close(&other);
}

Test(store_redis, an_answer_that_comes_too_late_counts_for_no_other_question_about_a_user)
{
    struct other_node other;
    struct store_ask got;
    other_open(&other);
    arrive(other.store, "anna");
    questions.absent = NULL;
    questions.must_hold = true;
    timed_ask("anna", &got);
    cr_assert_eq(got.n_answered, 0);
    struct store_user_question *late = wait_for_held_user_question();
    questions.count = 3;
    stop_time();
    timed_ask("anna", &got);
    store_answer(&late->question, 50);
    pause_ms(20);
    timed_ask("anna", &got);
    cr_assert_eq(got.count, 3);
    other_close(&other);
}

Test(store_redis, while_redis_is_away_this_node_alone_is_asked)
{
    struct store_ask got;
    arrive(store, "anna");
    questions.count = 3;
    redis_server_stop(&server);
    wait_for_state(false);
    stop_time();
    timed_ask("anna", &got);
    cr_assert(got.is_alone);
    cr_assert_eq(got.n_asked, 1);
    cr_assert_eq(got.n_answered, 1);
    cr_assert_eq(got.count, 3);
    questions.count = 0;
    timed_ask("bert", &got);
    cr_assert_eq(got.n_answered, 1);
    let_time_go();
    redis_server_start(&server, NULL, NULL);
    wait_for_state(true);
}

Test(store_redis, when_redis_has_not_said_who_was_asked_an_answer_is_missing)
{
    struct store_ask got;
    arrive(store, "anna");
    questions.count = 3;
    kill(server.pid, SIGSTOP);
    timed_ask("anna", &got);
    kill(server.pid, SIGCONT);
    cr_assert_not(got.is_alone);
    cr_assert_eq(got.count, 3, "its own");
    cr_assert_eq(got.n_answered, 1);
    cr_assert_eq(got.n_asked, 2);
}

/* Of another version, or of nobody of ours. */
Test(store_redis, what_is_no_question_is_not_reported)
{
    static const char *const messages[] = {
        "K:abcdefgh:1:moved",
        "K:abcdefgh:1",
        "K:ABCDEFGH:1:0:moved",
        "K:abcdefgh:x:0:moved",
        "Q:abcdefgh:1:x",
        "Q:abcdefgh:1:",
        "Q:abcdefgh:1:w:",
        "Q:abcdefgh:1:w:x",
        "Q:abcdefgh:1:w:5:abc",
        "Q:abc:1:c",
        "P:",
        "Z:abcdefgh:1:c",
        "K:abcdefgh:1:0:0123456789012345678901234567890123456789012345678901234567890123456789",
    };
    char line[200];
    arrive(store, "anna");
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        snprintf(line, sizeof line, "SPUBLISH herald:{anna} %s", messages[i]);
        redis_server_do(&server, line);
    }
    ask_one(store, "anna", describe);
    cr_assert_eq(count_questions(NULL), 1);
    redis_server_do(&server, "SPUBLISH herald:{anna} Q:abcdefgh:1:w:5");
    ask_one(store, "anna", describe);
    cr_assert_eq(count_questions(NULL), 3);
    cr_assert_eq(recorded_question(1).asked.seq, 5);
}

Test(store_redis, a_store_that_closes_answers_the_questions_that_wait)
{
    struct other_node hanging;
    struct other_node asking;
    struct ask_call call;
    other_open(&hanging);
    other_open(&asking);
    arrive(hanging.store, "anna");
    arrive(asking.store, "anna");
    other_stop(&hanging);
    stop_time();
    ask_begin(asking.store, &call, "anna", describe);
    for (int i = 0; i < 100 && count_questions(&asking) == 0; i++)
        pause_ms(1);
    other_close(&asking);
    ask_end(&call);
    cr_assert_eq(call.ask.error, ERR_STORE_UNAVAILABLE);
    other_close(&hanging);
}

/* ---- of one node ---- */

static const struct store_asked clients = {
    .kind = STORE_ASK_CLIENTS, .node = {"abcdefgh"}, .after = 7, .limit = 10};

static void open_named(struct other_node *other, const char *name)
{
    struct store_config config = contract_config(1000, 1 << 20);
    memcpy(config.name.text, name, EPOCH_LEN);
    other_open_with(other, &config);
}

Test(store_redis, a_question_of_one_node_is_answered_by_it_alone)
{
    struct other_node named;
    struct other_node other;
    struct ask_call call;
    open_named(&named, "abcdefgh");
    open_named(&other, "bcdefghi");
    questions.count = 3;
    questions.text = "{}";
    stop_time();
    for (size_t round = 1; round <= 3; round++) {
        ask_begin(round == 1 ? other.store : store, &call, "", clients);
        ask_end(&call);
        cr_assert_eq(call.ask.error, ERR_OK);
        cr_assert_eq(call.ask.n_asked, 1);
        cr_assert_eq(call.ask.n_answered, 1);
        cr_assert_eq(call.ask.count, 3);
        cr_assert(span_equal((struct span){call.ask.texts->bytes, call.ask.texts->len},
                             SPAN_LITERAL("{}")));
        store_ask_clear(&call.ask);
        cr_assert_eq(count_questions(&named), round);
        cr_assert_eq(count_questions(NULL), round);
    }
    cr_assert_eq(recorded_question(0).asked.after, 7);
    cr_assert_eq(recorded_question(0).asked.limit, 10);
    other_close(&named);
    other_close(&other);
}

/* Nor by this one in its place. */
Test(store_redis, a_question_of_a_node_that_is_not_there_has_no_answer)
{
    stop_time();
    struct store_ask got = ask_one(store, "", clients);
    let_time_go();
    cr_assert_eq(got.error, ERR_OK);
    cr_assert_eq(got.n_asked, 0);
    cr_assert_eq(got.n_answered, 0);
    redis_server_stop(&server);
    wait_for_state(false);
    got = ask_one(store, "", clients);
    cr_assert_eq(got.error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(count_questions(NULL), 0);
    redis_server_start(&server, NULL, NULL);
    wait_for_state(true);
}

Test(store_redis, a_node_that_does_not_answer_its_question_is_missing_after_250_ms)
{
    struct other_node hanging;
    open_named(&hanging, "abcdefgh");
    int64_t missing = metrics_read(METRIC_NODES_SILENT);
    other_stop(&hanging);
    int64_t before_ms = clock_monotonic_ms();
    struct store_ask got = ask_one(store, "", clients);
    cr_assert_geq(clock_monotonic_ms() - before_ms, STORE_REPLIES_MS);
    cr_assert_eq(got.n_asked, 1);
    cr_assert_eq(got.n_answered, 0);
    cr_assert_eq(metrics_read(METRIC_NODES_SILENT), missing + 1);
    other_close(&hanging);
}

/* What belongs on another kind of channel, and what a later version may ask. */
Test(store_redis, what_is_no_question_of_one_node_is_not_reported)
{
    static const char *const lines[] = {
        "SPUBLISH herald:node:abcdefgh K:bcdefghi:1:0:moved",
        "SPUBLISH herald:node:abcdefgh Q:bcdefghi:1:c",
        "SPUBLISH herald:node:abcdefgh L:bcdefghi:1:0:0",
        "SPUBLISH herald:node:abcdefgh L:bcdefghi:1:0",
        "SPUBLISH herald:node:abcdefgh Z:bcdefghi:1:0:1",
        "SPUBLISH herald:{anna} L:bcdefghi:1:0:1",
        "SPUBLISH herald:all L:bcdefghi:1:0:1",
    };
    struct other_node named;
    open_named(&named, "abcdefgh");
    arrive(named.store, "anna");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        redis_server_do(&server, lines[i]);
    ask_one(store, "anna", describe);
    ask_one(store, "", clients);
    cr_assert_eq(count_questions(&named), 2);
    other_close(&named);
}

/* ---- what is sent ---- */

Test(store_redis, what_is_sent_reaches_each_node_with_the_user_and_counts_them)
{
    struct other_node other;
    other_open(&other);
    cr_assert_eq(send_one(store, "anna", SPAN_LITERAL("1")).nodes, 0);
    arrive(other.store, "anna");
    cr_assert_eq(send_one(store, "anna", SPAN_LITERAL("2")).nodes, 1);
    arrive(store, "anna");
    cr_assert_eq(send_one(store, "anna", SPAN_LITERAL("3")).nodes, 2);
    wait_for_notifications("anna", 3);
    pause_ms(20);
    cr_assert_eq(count_told("anna"), 3);
    other_close(&other);
}

Test(store_redis, while_redis_is_away_nothing_is_sent)
{
    arrive(store, "anna");
    redis_server_stop(&server);
    wait_for_state(false);
    struct store_target target = send_one(store, "anna", SPAN_LITERAL("1"));
    cr_assert_eq(target.error, ERR_STORE_UNAVAILABLE);
    cr_assert_eq(target.nodes, 0);
    cr_assert_eq(count_told("anna"), 0);
    redis_server_start(&server, NULL, NULL);
    wait_for_state(true);
    cr_assert_eq(send_one(store, "anna", SPAN_LITERAL("2")).error, ERR_OK);
}

/* LENGTH 0: up to the end. */
Test(store_redis, what_is_no_message_of_ours_is_not_reported_as_sent)
{
    arrive(store, "anna");
    redis_server_do(&server, "SPUBLISH herald:{anna} E:1:");
    redis_server_do(&server, "SPUBLISH herald:{anna} E:1:2:[1]");
    redis_server_do(&server, "SPUBLISH herald:{anna} E:x:3:[1]");
    redis_server_do(&server, "SPUBLISH herald:{anna} E:1:0:");
    redis_server_do(&server, "SPUBLISH herald:{anna} E:1:3:[2]");
    redis_server_do(&server, "SPUBLISH herald:{anna} C:1:c-7f3a");
    redis_server_do(&server, "SPUBLISH herald:{anna} C:1:x-7f3a:3:[1]");
    redis_server_do(&server, "SPUBLISH herald:{anna} C:1:c-7f3a:2:[1]");
    redis_server_do(&server, "SPUBLISH herald:{anna} E:1:0:[3]");
    wait_for_notifications("anna", 2);
    cr_assert_str_eq(recorded_at("anna", 0).text, "[2]");
    cr_assert_str_eq(recorded_at("anna", 1).text, "[3]");
}

/* ---- who is online ---- */

Test(store_redis, thousands_of_users_are_looked_for_on_all_nodes)
{
    enum { USERS = 10000 };
    static char names[USERS][USER_ID_MAX_BYTES];
    static struct span users[USERS];
    static bool is_online[USERS];
    struct other_node other;
    other_open(&other);
    for (int i = 0; i < USERS; i++) {
        snprintf(names[i], sizeof names[i], "{%d}%0100d", i,
                 i); /* long, and with what is encoded */
        users[i] = span_of(names[i]);
    }
    arrive(store, names[0]);
    arrive(other.store, names[499]);
    arrive(other.store, names[USERS - 1]);
    is_online[7] = true; /* it stays */
    cr_assert_eq(online_of(store, users, USERS, is_online), ERR_OK);
    for (int i = 0; i < USERS; i++)
        cr_assert_eq(is_online[i], i == 0 || i == 7 || i == 499 || i == USERS - 1, "%d", i);
    other_close(&other);
    redis_server_stop(&server);
    wait_for_state(false);
    cr_assert_eq(online_of(store, users, 1, is_online), ERR_STORE_UNAVAILABLE);
    redis_server_start(&server, NULL, NULL);
    wait_for_state(true);
}

/* ---- pushes that wait ---- */

static struct heard_watch {
    atomic_int n;
    struct store_watch watch;
    atomic_int n_answers;
    uint64_t number, acked;
} heard_watch;

static void on_watch(void *owner, struct span user_id, const struct store_watch *watch)
{
    (void)owner;
    cr_assert(span_equal(user_id, SPAN_LITERAL("anna")));
    heard_watch.watch = *watch;
    atomic_fetch_add(&heard_watch.n, 1);
}

static void on_watch_answer(void *owner, uint64_t number, struct epoch epoch, uint64_t acked)
{
    (void)owner;
    cr_assert(epoch_equal(epoch, heard_watch.watch.epoch));
    heard_watch.number = number;
    heard_watch.acked = acked;
    atomic_fetch_add(&heard_watch.n_answers, 1);
}

/* What belongs to the lane's thread. */
struct watch_letter {
    struct letter letter;
    struct store *store;
    const struct store_watch *watch;
    uint64_t acked;
    sem_t done;
};

static void deliver_watch(struct letter *letter)
{
    struct watch_letter *watch = CONTAINER_OF(letter, struct watch_letter, letter);
    store_watch(watch->store, 0, SPAN_LITERAL("anna"), watch->watch);
    sem_post(&watch->done);
}

static void deliver_watch_answer(struct letter *letter)
{
    struct watch_letter *watch = CONTAINER_OF(letter, struct watch_letter, letter);
    store_watch_answer(watch->store, 0, SPAN_LITERAL("anna"), watch->watch, watch->acked);
    sem_post(&watch->done);
}

static void on_lane(struct reactor *reactor, struct watch_letter *letter)
{
    sem_init(&letter->done, 0, 0);
    mailbox_post(reactor_mailbox(reactor), &letter->letter);
    sem_wait(&letter->done);
}

static void wait_for_count(atomic_int *count, int wanted)
{
    for (int i = 0; i < SOON_MS && atomic_load(count) < wanted; i++)
        pause_ms(1);
    cr_assert_eq(atomic_load(count), wanted);
}

Test(store_redis, a_push_that_waits_is_told_to_other_nodes_and_answered_by_them)
{
    struct other_node other;
    struct store_watch watch = {.number = 123456789, .epoch = {"abcdefgh"}, .seq = 7};
    backend_close(store);
    struct store_config config = contract_config(1000, 1 << 20);
    config.events.on_watch_answer = on_watch_answer;
    config.events.on_watch = on_watch;
    store = backend_open(&config);
    other_open_with(&other, &config);
    arrive(store, "anna");
    arrive(other.store, "anna");
    on_lane(lane, &(struct watch_letter){
                      .letter = {.deliver = deliver_watch}, .store = store, .watch = &watch});
    wait_for_count(&heard_watch.n, 1);
    cr_assert_eq(heard_watch.watch.number, watch.number);
    cr_assert_eq(heard_watch.watch.seq, 7);
    cr_assert(epoch_equal(heard_watch.watch.epoch, watch.epoch));
    on_lane(other.lane, &(struct watch_letter){.letter = {.deliver = deliver_watch_answer},
                                               .store = other.store,
                                               .watch = &heard_watch.watch,
                                               .acked = 9});
    wait_for_count(&heard_watch.n_answers, 1);
    cr_assert_eq(heard_watch.number, watch.number);
    cr_assert_eq(heard_watch.acked, 9);
    redis_server_do(&server, "SPUBLISH herald:{anna} Y:abcdefgh:1:abcdefgh:x:");
    redis_server_do(&server, "SPUBLISH herald:{anna} Y:abcdefgh:1:abc:1:");
    redis_server_do(&server, "SPUBLISH herald:{anna} Y:abcdefgh:1:abcdefgh:0:");
    redis_server_do(&server, "SPUBLISH herald:{anna} Y:otherone:5:abcdefgh:3");
    wait_for_count(&heard_watch.n, 3); /* on both nodes */
    cr_assert_eq(heard_watch.watch.number, 5);
    other_close(&other);
}
