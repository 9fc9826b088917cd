/* What a Cluster does while its slots move, told by one that says what a test wants: nothing of it
 * needs luck with the time. */
#include "tests/store/ask_calls.h"
#include "tests/store/broadcast_calls.h"
#include "tests/store/fake_cluster.h"
#include "tests/store/redis_backend.h"

static struct fake_cluster cluster;
static int64_t reconnects;

static void begin_cluster(fake_node_rule *rule)
{
    char problem[800] = "?";
    backend_close(store);
    fake_cluster_start(&cluster, &server, rule);
    struct store_config config = contract_config(1000, 1 << 20);
    store = open_on(&config, cluster.url);
    for (int i = 0; i < SOON_MS / 5 && problem[0] != '\0'; i++) {
        pause_ms(5);
        store_describe(store, problem, sizeof problem);
    }
    cr_assert_str_empty(problem);
    reconnects = metrics_read(METRIC_STORE_RECONNECTS);
}

static void end_cluster(void)
{
    backend_close(store);
    fake_cluster_stop(&cluster);
    struct store_config config = contract_config(1000, 1 << 20);
    store = backend_open(&config);
}

static void expect_same_links(void)
{
    cr_assert_eq(metrics_read(METRIC_STORE_RECONNECTS), reconnects);
}

/* ---- answers find who asked ---- */

static const char *leaver, *comer;
static atomic_bool has_come;

struct posted {
    struct letter letter;
    sem_t done;
};

static void deliver_posted(struct letter *letter)
{
    sem_post(&CONTAINER_OF(letter, struct posted, letter)->done);
}

/* What was submitted before has been sent. */
static void wait_for_lane(void)
{
    for (int i = 0; i < 2; i++) { /* a turn sends at its end */
        struct posted posted = {.letter.deliver = deliver_posted};
        sem_init(&posted.done, 0, 0);
        mailbox_post(reactor_mailbox(lane), &posted.letter);
        sem_wait(&posted.done);
    }
}

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
