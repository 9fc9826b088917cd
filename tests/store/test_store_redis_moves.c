/* What a Cluster does while its slots move, told by one that says what a test wants: nothing of it
 * needs luck with the time. */
#include "tests/store/ask_calls.h"
#include "tests/store/broadcast_calls.h"
#include "tests/store/redis_backend.h"

#include "tests/store/fake_cluster_store.h"

#include "gateway/stores/redis/redis_slots.h"

/* ---- answers find who asked ---- */

static const char *leaver, *comer;
static atomic_bool has_come;

/* The slot moves before SUNSUBSCRIBE is read: Redis has ended the subscription by itself, and
 * answers the command with MOVED. */
static enum fake_verdict cross_a_leave(struct fake_cluster *of, unsigned node,
                                       struct fake_command *command)
{
    if (!fake_is(command, "SUNSUBSCRIBE") || !fake_names(command, leaver))
        return FAKE_PASS;
    while (!atomic_load(&has_come))
        pause_ms(1);
    return fake_say(command,
                    "*3\r\n$12\r\nsunsubscribe\r\n$%zu\r\nherald:{%s}\r\n:0\r\n"
                    "-MOVED %u 127.0.0.1:%u\r\n",
                    strlen(leaver) + 9, leaver, fake_cluster_slot(leaver),
                    of->nodes[(node + 1) % FAKE_NODES].port);
}

Test(store_redis, a_leave_that_crosses_the_end_of_a_subscription_moves_no_answer_to_another_user)
{
    struct page_call arrival;
    leaver = fake_cluster_user(0, 0);
    comer = fake_cluster_user(0, 1);
    begin_cluster(cross_a_leave);
    arrive(store, leaver);
    backend_leave(store, 0, span_of(leaver));
    wait_for_lane();
    arrival.page = page_asked(comer);
    arrival.page.is_arrival = true;
    page_start(store, &arrival);
    wait_for_lane();
    atomic_store(&has_come, true);
    call_wait(&arrival.call);
    cr_assert_eq(arrival.page.error, ERR_OK);
    page_free(&arrival.page);
    cr_assert_eq(append_one(store, comer, "{}", 60).nodes, 1);
    wait_for_notification(comer, 1);
    cr_assert_eq(atomic_load(&n_missed), 0, "he was subscribed at once");
    expect_same_links();
    end_cluster();
}

static enum fake_verdict confirm_another(struct fake_cluster *of, unsigned node,
                                         struct fake_command *command)
{
    (void)of;
    (void)node;
    if (!fake_is(command, "SSUBSCRIBE") || !fake_names(command, comer) ||
        atomic_exchange(&has_come, true))
        return FAKE_PASS;
    return fake_say(command, "*3\r\n$10\r\nssubscribe\r\n$13\r\nherald:{none}\r\n:1\r\n");
}

Test(store_redis, a_confirmation_of_another_user_is_believed_of_nobody)
{
    comer = fake_cluster_user(1, 0);
    begin_cluster(confirm_another);
    struct store_page page = arrive_and_read(store, comer);
    cr_assert_eq(page.error, ERR_STORE_UNAVAILABLE);
    page_free(&page);
    wait_for_missed(1);
    cr_assert_eq(append_one(store, comer, "{}", 60).nodes, 1);
    wait_for_notification(comer, 1);
    cr_assert_gt(metrics_read(METRIC_STORE_RECONNECTS), reconnects);
    end_cluster();
}

/* ---- what nobody asked for ---- */

static atomic_int subscribed_link; /* of node 0; 0: none */

static enum fake_verdict end_before_a_pong(struct fake_cluster *of, unsigned node,
                                           struct fake_command *command)
{
    (void)of;
    if (node != 0)
        return FAKE_PASS;
    if (fake_is(command, "SSUBSCRIBE") && fake_names(command, comer))
        atomic_store(&subscribed_link, (int)command->link + 1);
    if (!fake_is(command, "PING") || (int)command->link + 1 != atomic_load(&subscribed_link) ||
        atomic_exchange(&has_come, true))
        return FAKE_PASS;
    return fake_say(command,
                    "*3\r\n$12\r\nsunsubscribe\r\n$%zu\r\nherald:{%s}\r\n:0\r\n"
                    "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
                    strlen(comer) + 9, comer);
}

Test(store_redis, the_end_of_a_subscription_that_crosses_a_ping_is_no_pong)
{
    comer = fake_cluster_user(0, 0);
    begin_cluster(end_before_a_pong);
    arrive(store, comer);
    wait_for_missed(1);
    append_number(store, comer, 0, 60);
    wait_for_notification(comer, 1);
    expect_same_links();
    end_cluster();
}

/* ---- what is published while a slot moves ---- */

Test(store_redis, what_is_sent_with_ttl_0_finds_a_slot_that_has_moved)
{
    const char *user = fake_cluster_user(0, 0);
    begin_cluster(NULL);
    arrive(store, user);
    move_quietly(fake_cluster_slot(user), 1);
    struct store_target target = send_one(store, user, SPAN_LITERAL("{}"));
    cr_assert_eq(target.error, ERR_OK);
    cr_assert_geq(target.nodes, 1);
    cr_assert_str_eq(recorded_at(user, 0).text, "{}");
    end_cluster();
}

static atomic_int n_left; /* commands to be refused */
static atomic_int n_refused;

static enum fake_verdict refuse_publishing(struct fake_cluster *of, unsigned node,
                                           struct fake_command *command)
{
    (void)of;
    (void)node;
    bool is_of_user = fake_is(command, "SPUBLISH") && fake_names(command, comer);
    if (!is_of_user || atomic_load(&n_left) == 0)
        return FAKE_PASS;
    atomic_fetch_sub(&n_left, 1);
    atomic_fetch_add(&n_refused, 1);
    return fake_say(command, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
}

Test(store_redis, what_is_sent_with_ttl_0_keeps_its_order_while_it_is_refused)
{
    comer = fake_cluster_user(0, 0);
    begin_cluster(refuse_publishing);
    arrive(store, comer);
    atomic_store(&n_left, 3);
    cr_assert_eq(send_one(store, comer, SPAN_LITERAL("1")).nodes, 1);
    cr_assert_eq(atomic_load(&n_refused), 3);
    atomic_store(&n_left, 1 << 30);
    int64_t began_ms = clock_monotonic_ms();
    cr_assert_eq(send_one(store, comer, SPAN_LITERAL("2")).error, ERR_STORE_UNAVAILABLE);
    cr_assert_geq(clock_monotonic_ms() - began_ms, 2900);
    cr_assert_eq(count_told(comer), 1);
    end_cluster();
}

/* The other node is at the Redis behind, where nothing moves. */
static struct store_ask ask_over_a_move(void)
{
    struct other_node other;
    struct store_asked asked = {.kind = STORE_ASK_DESCRIBE};
    const char *user = fake_cluster_user(0, 0);
    questions.count = 1;
    questions.absent = NULL; /* the owner of `store` */
    begin_cluster(NULL);
    other_open(&other);
    arrive(other.store, user);
    move_quietly(fake_cluster_slot(user), 2);
    struct store_ask ask = ask_one(store, user, asked);
    other_close(&other);
    end_cluster();
    return ask;
}

/* A question is over after STORE_REPLIES_MS: on a busy machine its answer may come too late. */
Test(store_redis, a_question_finds_a_slot_that_has_moved)
{
    struct store_ask ask = ask_over_a_move();
    for (int i = 0; i < 10 && ask.n_answered == 0; i++)
        ask = ask_over_a_move();
    cr_assert_eq(ask.n_answered, 1);
    cr_assert_eq(ask.n_asked, 1);
    cr_assert_not(ask.is_alone);
}

Test(store_redis, a_question_that_is_refused_is_over_in_its_time_and_never_asked_later)
{
    struct store_asked asked = {.kind = STORE_ASK_DESCRIBE};
    comer = fake_cluster_user(0, 0);
    begin_cluster(refuse_publishing);
    arrive(store, comer);
    atomic_store(&n_left, 1 << 30);
    int64_t began_ms = clock_monotonic_ms();
    struct store_ask ask = ask_one(store, comer, asked);
    cr_assert_geq(clock_monotonic_ms() - began_ms, STORE_REPLIES_MS - 20);
    cr_assert_gt(ask.n_asked, ask.n_answered);
    pause_ms(50);
    atomic_store(&n_left, 0);
    size_t n_asked = count_questions(NULL);
    append_number(store, comer, 0, 60); /* the queue of its slot is empty */
    wait_for_notification(comer, 1);
    cr_assert_eq(count_questions(NULL), n_asked);
    end_cluster();
}

static atomic_bool must_hold;

static enum fake_verdict hold_positions(struct fake_cluster *of, unsigned node,
                                        struct fake_command *command)
{
    (void)of;
    (void)node;
    while (fake_is(command, "EVALSHA") && fake_names(command, comer) && atomic_load(&must_hold))
        pause_ms(1);
    return FAKE_PASS;
}

/* The answer goes to another primary than the position, but for one of three. */
Test(store_redis, an_answer_never_overtakes_the_positions_that_were_written_for_it)
{
    struct other_node other;
    struct store_asked asked = {.kind = STORE_ASK_DESCRIBE};
    comer = fake_cluster_user(0, 0);
    begin_cluster(hold_positions);
    other_open(&other);
    questions.count = 1;
    questions.absent = &other;
    for (unsigned i = 0; i < FAKE_NODES; i++) {
        struct ask_call ask;
        struct ack_call ack = {.ack = {.seq = 1}};
        comer = fake_cluster_user(i, 0);
        atomic_store(&must_hold, false);
        arrive(store, comer);
        struct epoch epoch = append_one(store, comer, "{}", 60).epoch;
        for (int is_held = 1; is_held >= 0; is_held--) {
            questions.must_hold = true;
            ask_begin(other.store, &ask, comer, asked);
            struct store_user_question *question = wait_for_held_user_question();
            atomic_store(&must_hold, is_held != 0);
            ack_begin(store, &ack, comer, epoch, 1);
            store_answer(&question->question, 1);
            ask_end(&ask);
            cr_assert_eq(ask.ask.n_answered, is_held ? 0 : 1, "node %u", i);
            atomic_store(&must_hold, false);
            call_wait(&ack.call);
            cr_assert_eq(ack.ack.error, ERR_OK);
        }
    }
    other_close(&other);
    end_cluster();
}

/* ---- channels of the fleet ---- */

/* Who is where that channel was loses nothing. */
static void take_the_channel_of_all(unsigned to)
{
    static const char all[] = "herald:all";
    unsigned slot = redis_slot_of(span_of(all));
    unsigned from = cluster.owner[slot];
    cluster.owner[slot] = (unsigned char)to;
    if (from != FAKE_NOBODY)
        fake_redis_end(&cluster.nodes[from], all);
}

static size_t count_here(const struct other_node *other)
{
    return count_told_broadcasts(NULL) - count_told_broadcasts(other);
}

static void wait_until_told(struct other_node *other)
{
    size_t before = count_here(other);
    for (int i = 0; i < SOON_MS / 10 && count_here(other) == before; i++) {
        (void)broadcast_one(other->store, "1"); /* until the channel is subscribed again */
        pause_ms(10);
    }
    cr_assert_gt(count_here(other), before);
}

Test(store_redis, the_channel_of_all_nodes_moves_and_takes_no_link_with_it)
{
    struct other_node other;
    begin_cluster(NULL);
    unsigned from = cluster.owner[redis_slot_of(SPAN_LITERAL("herald:all"))];
    const char *user = fake_cluster_user(from, 0);
    other_open(&other);
    arrive(store, user);
    wait_until_told(&other);
    take_the_channel_of_all((from + 1) % FAKE_NODES);
    wait_until_told(&other);
    take_the_channel_of_all(FAKE_NOBODY);
    cr_assert_eq(append_one(store, user, "{}", 60).nodes, 1);
    for (int i = 0; i < SOON_MS && store_slots_missing(store) != 1; i++)
        pause_ms(1);
    cr_assert_eq(send_one(store, user, SPAN_LITERAL("{}")).nodes, 1);
    take_the_channel_of_all(from);
    wait_until_told(&other);
    cr_assert_eq(atomic_load(&n_missed), 0);
    expect_same_links();
    other_close(&other);
    end_cluster();
}
