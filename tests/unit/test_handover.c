/* How a subscriber's socket becomes a session of its user: at once, or when its first message has
 * said who it is (CONTRACT 2, "auth"). */
#include "gateway/port/handover.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/kicked_streams.h"
#include "gateway/identity/auth.h"
#include "gateway/session/session_close.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_leaving.h"
#include "tests/support/node_fixture.h"
#include "tests/support/subscriber.h"
#include "tests/unit/jwt_tokens.h"

#include <unistd.h>

static struct subscriber subscriber;
static struct worker *accepting; /* the worker that accepts: the home of all users, or another */

static void set_up(void)
{
    node_fixture_start();
    accepting = fixture.worker;
}

TestSuite(handover, .init = set_up, .fini = node_fixture_stop);

/* As port/subscribe.c does: the places among the sockets and the sessions are taken already. */
static void hand_over(struct admission admission, struct span early)
{
    int ours;
    subscriber_dial(&subscriber, &ours);
    memset(admission.accept, 'a', sizeof admission.accept);
    struct handover *handover = handover_new(&admission, early);
    cr_assert_not_null(handover);
    handover->admission.socket = (struct transport_socket){ours, &transport_plain};
    atomic_fetch_add(&fixture.node.n_sockets, 1);
    atomic_fetch_add(&fixture.node.n_sessions, 1);
    handover_send(handover, accepting);
}

static struct admission admission_of(enum handshake_level level, const char *user_id, bool is_known)
{
    struct admission admission = {.level = level, .is_page = true, .claim.is_known = is_known};
    admission.claim.identity.user_id_len = strlen(user_id);
    memcpy(admission.claim.identity.user_id, user_id, strlen(user_id));
    return admission;
}

static struct session *first_of(struct list *sessions)
{
    cr_assert_not(list_is_empty(sessions));
    return CONTAINER_OF(sessions->next, struct session, link);
}

static struct session *session_of(const char *user_id)
{
    struct client *client = client_map_find(fixture.node.map, span_of(user_id));
    cr_assert_not_null(client, "%s has no session", user_id);
    return first_of(&client->sessions);
}

static void skip_head(void)
{
    reactor_turn(accepting->reactor, 0);
    node_fixture_turn();
    subscriber_receive(&subscriber);
    subscriber.bytes[subscriber.len] = '\0';
    const char *end = strstr((const char *)subscriber.bytes, "\r\n\r\n");
    cr_assert_not_null(end);
    size_t len = (size_t)(end + 4 - (const char *)subscriber.bytes);
    subscriber.len -= len;
    memmove(subscriber.bytes, subscriber.bytes + len, subscriber.len);
}

/* ---- a known user ---- */

Test(handover, makes_a_session_of_its_user_that_reads_what_came_with_the_head)
{
    static const uint8_t ping[] = {0x89, 0x82, 0, 0, 0, 0, 'h', 'i'};
    hand_over(admission_of(LEVEL_PLAIN, "u", true), (struct span){(const char *)ping, sizeof ping});
    skip_head();
    subscriber_expect(&subscriber, WS_PONG, "hi");
    cr_expect_eq(client_map_count(fixture.node.map, SPAN_LITERAL("u")), 1);
}

Test(handover, gives_the_session_its_device_and_its_user_agent)
{
    struct admission admission = admission_of(LEVEL_PLAIN, "u", true);
    memcpy(admission.claim.device, "phone", 5);
    admission.claim.device_len = 5;
    admission.user_agent = SPAN_LITERAL("Agent/1");
    hand_over(admission, SPAN_NONE);
    node_fixture_turn();
    struct session *session = session_of("u");
    cr_expect_eq(session->agent->len, 7);
    cr_assert_not_null(session->client->more->devices);
    cr_expect(span_equal(position_device(&session->client->more->devices->position),
                         SPAN_LITERAL("phone")));
}

Test(handover, to_a_draining_node_makes_a_session_that_is_closed_with_the_others)
{
    atomic_store(&fixture.node.drain_ends_ms, node_fixture_now_ms() + 1000);
    atomic_store(&fixture.node.drain_kind, DRAIN_ALL);
    hand_over(admission_of(LEVEL_V1, "u", true), SPAN_NONE);
    skip_head();
    cr_expect(session_of("u")->is_draining);
    subscriber_expect_start(&subscriber, "{\"type\":\"goaway\"");
}

Test(handover, of_a_session_that_got_the_time_of_its_end_keeps_that_time)
{
    struct admission admission = admission_of(LEVEL_V1, "u", true);
    admission.is_answered = true;
    admission.is_draining = true;
    admission.drain_at_ms = (uint32_t)node_fixture_now_ms() + 321;
    atomic_store(&fixture.node.drain_kind, DRAIN_ALL);
    hand_over(admission, SPAN_NONE);
    node_fixture_turn();
    cr_expect_eq(session_of("u")->drain_at_ms, admission.drain_at_ms);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
    subscriber_expect_nothing(&subscriber); /* no second goaway */
}

Test(handover, of_a_session_whose_drain_is_taken_back_meanwhile_makes_one_that_stays)
{
    struct admission admission = admission_of(LEVEL_PLAIN, "u", true);
    admission.is_answered = true;
    admission.is_draining = true;
    hand_over(admission, SPAN_NONE);
    cr_expect_not(session_of("u")->is_draining);
}

Test(handover, while_some_are_closed_makes_a_session_that_stays)
{
    atomic_store(&fixture.node.drain_kind, DRAIN_SOME);
    hand_over(admission_of(LEVEL_PLAIN, "u", true), SPAN_NONE);
    cr_expect_not(session_of("u")->is_draining);
}

Test(handover, to_a_node_that_stops_closes_the_socket_and_gives_its_places_back)
{
    atomic_store(&fixture.node.is_stopping, true);
    hand_over(admission_of(LEVEL_PLAIN, "u", true), SPAN_NONE);
    cr_expect(subscriber_has_ended(&subscriber));
    cr_expect_eq(fixture.node.n_sockets, 0);
    cr_expect_eq(fixture.node.n_sessions, 0);
}

/* CONTRACT 3, deleteClient: an EventSource comes back by itself, unless it is answered 204. */
Test(handover, of_a_stream_that_was_kicked_and_comes_back_is_a_204_once)
{
    struct admission back = admission_of(LEVEL_SSE, "u", true);
    struct admission fresh = back;
    back.resume = (struct resume){{"abcdefgh"}, 7};
    kicked_streams_remember(fixture.worker, SPAN_LITERAL("u"));
    hand_over(fresh, SPAN_NONE);
    node_fixture_turn();
    cr_expect_eq(strncmp(subscriber_text(&subscriber), "HTTP/1.1 200 ", 13), 0, "it is another");
    subscriber_hang_up(&subscriber);
    node_fixture_turn();
    hand_over(back, SPAN_NONE);
    cr_expect_eq(strncmp(subscriber_text(&subscriber), "HTTP/1.1 204 ", 13), 0);
    cr_expect(subscriber_has_ended(&subscriber));
    cr_expect_eq(fixture.node.n_sockets, 0);
    cr_expect_eq(fixture.node.n_sessions, 0);
    subscriber_hang_up(&subscriber);
    hand_over(back, SPAN_NONE);
    node_fixture_turn();
    cr_expect_eq(strncmp(subscriber_text(&subscriber), "HTTP/1.1 200 ", 13), 0);
}

/* ---- a user that is not known yet ---- */

static void begin_unauthenticated(const char *user_id)
{
    static struct options with_keys;
    char path[] = "/tmp/herald-unit-XXXXXX";
    char why[300] = "";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, TOKEN_SECRET, strlen(TOKEN_SECRET)), (ssize_t)strlen(TOKEN_SECRET));
    close(fd);
    fixture.options.ping_interval = 3600000; /* of no interest here */
    fixture.options.silence_timeout = 7200000;
    with_keys = fixture.options;
    with_keys.auth = "jwt";
    with_keys.jwt_keys = path;
    auth_close(fixture.node.auth);
    cr_assert_eq(auth_open(&with_keys, &fixture.node.auth, why, sizeof why), ERR_OK, "%s", why);
    unlink(path);
    with_keys.jwt_keys = "";
    hand_over(admission_of(LEVEL_V1, user_id, false), SPAN_NONE);
    skip_head();
    cr_assert_eq(first_of(&accepting->unauthenticated)->state, SESSION_AUTH);
}

static struct span auth_message(const char *payload)
{
    static char text[4096];
    struct token_text token = token_make(JWT_HS256, payload);
    int len = snprintf(text, sizeof text, "{\"type\":\"auth\",\"token\":\"%s\"}", token.text);
    return (struct span){text, (size_t)len};
}

static void say_token(const char *payload)
{
    subscriber_send(&subscriber, WS_TEXT, auth_message(payload));
    node_fixture_turn();
}

static void expect_refused(unsigned code, const char *reason)
{
    struct span got = subscriber_expect_close(&subscriber, code);
    cr_expect(span_equal(got, span_of(reason)), "%s", got.bytes);
}

Test(handover, follows_the_message_with_the_token)
{
    begin_unauthenticated("");
    cr_expect_eq(client_map_users(fixture.node.map), 0);
    say_token(TOKEN_PAYLOAD);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\",\"expires\":1700000300000");
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
    cr_expect(list_is_empty(&fixture.worker->unauthenticated));
    cr_expect_eq(session_of("anna")->until_s, 1700000300);
    cr_expect_eq(fixture.node.n_sessions, 1);
    cr_expect_eq(fixture.node.n_sockets, 1);
}

/* The old session has read both messages; only the new one answers the second. */
Test(handover, takes_along_what_came_after_the_message_with_the_token)
{
    begin_unauthenticated("anna");
    subscriber_send(&subscriber, WS_TEXT, auth_message(TOKEN_PAYLOAD));
    subscriber_send(&subscriber, WS_TEXT, SPAN_LITERAL("{\"type\":\"ping\"}"));
    node_fixture_turn();
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
    struct subscriber_frame frame;
    unsigned n_pongs = 0;
    while (subscriber_next(&subscriber, &frame))
        n_pongs += span_equal(frame.payload, SPAN_LITERAL("{\"type\":\"pong\"}"));
    cr_expect_eq(n_pongs, 1);
}

Test(handover, does_not_happen_without_a_token_in_time)
{
    fixture.options.auth_timeout = 3000;
    begin_unauthenticated("");
    node_fixture_wait_ms(2900);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(200);
    expect_refused(4102, "no credentials in time");
}

Test(handover, does_not_happen_for_another_message_a_bad_token_or_another_user)
{
    begin_unauthenticated("");
    subscriber_say(&subscriber, "{\"type\":\"ping\"}");
    expect_refused(4101, "auth must come first");
    subscriber_hang_up(&subscriber);
    begin_unauthenticated("berta");
    say_token(TOKEN_PAYLOAD);
    subscriber_expect_close(&subscriber, 4101);
    subscriber_hang_up(&subscriber);
    begin_unauthenticated("");
    say_token("{\"sub\":\"anna\",\"exp\":1700000000}");
    subscriber_expect_close(&subscriber, 4100);
}

Test(handover, keeps_the_time_at_which_a_drain_will_close_it)
{
    begin_unauthenticated("");
    struct session *before = first_of(&fixture.worker->unauthenticated);
    atomic_store(&fixture.node.drain_kind, DRAIN_SOME);
    session_drain_at(before, (uint32_t)node_fixture_now_ms() + 60000);
    uint32_t drain_at_ms = before->drain_at_ms;
    say_token(TOKEN_PAYLOAD);
    cr_expect(session_of("anna")->is_draining);
    cr_expect_eq(session_of("anna")->drain_at_ms, drain_at_ms);
}

/* CONTRACT 2: a session has one token verified in a second; another one waits, and is not refused.
 * The token that the handover followed counts. */
Test(handover, makes_the_next_token_wait_for_the_next_second)
{
    begin_unauthenticated("");
    say_token(TOKEN_PAYLOAD);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
    say_token("{\"sub\":\"anna\",\"exp\":1700000400}");
    subscriber_say(&subscriber, "{\"type\":\"ping\"}");
    cr_expect(session_is_holding(session_of("anna")));
    node_fixture_wait_ms(900);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(200);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\",\"expires\":1700000400000");
    subscriber_expect_start(&subscriber, "{\"type\":\"pong\"}");
    cr_expect_eq(session_of("anna")->until_s, 1700000400);
}

Test(handover, is_followed_by_the_end_of_the_credentials)
{
    begin_unauthenticated("");
    say_token("{\"sub\":\"anna\",\"exp\":1700000010}");
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
    node_fixture_wait_ms(4900);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(1200);
    expect_refused(4100, "the token has expired");
}

/* The new session may not write before all that the old one has queued. */
Test(handover, waits_until_what_the_session_has_queued_is_written)
{
    begin_unauthenticated("");
    struct session *before = first_of(&accepting->unauthenticated);
    subscriber_fill_socket(before);
    subscriber_send(&subscriber, WS_PING, SPAN_LITERAL("first"));
    say_token(TOKEN_PAYLOAD);
    cr_expect(session_is_identified(before));
    cr_expect_eq(client_map_users(fixture.node.map), 0);
    const char *text = subscriber_read_all(&subscriber);
    const char *pong = strstr(text, "first");
    cr_assert_not_null(pong);
    cr_expect_not_null(strstr(pong, "{\"type\":\"auth\""));
    cr_expect_not_null(session_of("anna"));
}

/* The token came in time: that the subscriber reads slowly is another matter (--slow-timeout). */
Test(handover, may_wait_for_longer_than_a_token_may_take)
{
    fixture.options.auth_timeout = 1000;
    begin_unauthenticated("");
    struct session *before = first_of(&accepting->unauthenticated);
    subscriber_fill_socket(before);
    subscriber_send(&subscriber, WS_PING, SPAN_LITERAL("first"));
    say_token(TOKEN_PAYLOAD);
    node_fixture_wait_ms(1500);
    cr_assert_eq(before->state, SESSION_AUTH);
    cr_expect_not_null(strstr(subscriber_read_all(&subscriber), "{\"type\":\"auth\""));
    cr_expect_not_null(session_of("anna"));
}

/* ---- between two workers ---- */

static struct worker *both[2];

static void on_second(struct worker *unused)
{
    (void)unused;
}

/* The home of all users stays the fixture's worker; the other one only accepts. */
static void accept_on_another_worker(void)
{
    both[0] = fixture.worker;
    fixture.node.workers = both;
    fixture.node.n_workers = 2;
    cr_assert_eq(worker_new(&fixture.node, 1, on_second, &both[1]), ERR_OK);
    accepting = both[1];
}

static void stop_the_other_worker(void)
{
    reactor_turn(both[1]->reactor, 0);
    worker_free(both[1]);
    fixture.node.n_workers = 1;
}

/* The accepting worker reads the token, and gives the socket away at the end of its turn. */
static void say_token_there(void)
{
    subscriber_send(&subscriber, WS_TEXT, auth_message(TOKEN_PAYLOAD));
    subscriber_send(&subscriber, WS_TEXT, SPAN_LITERAL("{\"type\":\"ping\"}"));
    for (int i = 0; i < 3; i++)
        reactor_turn(both[1]->reactor, 0);
}

Test(handover, of_a_known_user_begins_the_session_on_the_users_home_worker)
{
    accept_on_another_worker();
    hand_over(admission_of(LEVEL_PLAIN, "u", true), SPAN_NONE);
    cr_expect_eq(client_map_users(fixture.node.map), 0, "a letter is on its way");
    node_fixture_turn();
    cr_expect_eq(session_worker(session_of("u")), fixture.worker);
    stop_the_other_worker();
}

Test(handover, to_another_worker_takes_along_the_places_and_what_was_read_ahead)
{
    accept_on_another_worker();
    begin_unauthenticated("");
    cr_expect_eq(session_worker(first_of(&both[1]->unauthenticated)), both[1]);
    say_token_there();
    cr_expect(list_is_empty(&both[1]->unauthenticated));
    cr_expect_eq(client_map_users(fixture.node.map), 0, "a letter is on its way");
    cr_expect_eq(fixture.node.n_sessions, 1);
    cr_expect_eq(fixture.node.n_sockets, 1);
    node_fixture_turn();
    cr_expect_eq(session_worker(session_of("anna")), fixture.worker);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
    cr_expect_not_null(strstr(subscriber_text(&subscriber), "{\"type\":\"pong\"}"));
    cr_expect_eq(fixture.node.n_sessions, 1);
    cr_expect_eq(fixture.node.n_sockets, 1);
    stop_the_other_worker();
}

Test(handover, that_is_on_its_way_when_the_node_stops_is_closed)
{
    accept_on_another_worker();
    begin_unauthenticated("");
    say_token_there();
    atomic_store(&fixture.node.is_stopping, true);
    node_fixture_turn();
    cr_expect(subscriber_has_ended(&subscriber));
    cr_expect_eq(fixture.node.n_sessions, 0);
    cr_expect_eq(fixture.node.n_sockets, 0);
    stop_the_other_worker();
}

/* ---- tokens that renew ---- */

static void become_anna(void)
{
    begin_unauthenticated("");
    say_token(TOKEN_PAYLOAD);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
    node_fixture_wait_ms(1100);
}

Test(handover, is_not_undone_by_a_token_of_another_user)
{
    become_anna();
    say_token("{\"sub\":\"berta\",\"exp\":1700000300}");
    expect_refused(4101, "the new token is for another user");
}

Test(handover, lets_a_session_renew_its_credentials)
{
    int64_t before = metrics_read(METRIC_RENEWALS);
    become_anna();
    say_token("{\"sub\":\"anna\",\"exp\":1700000900}");
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\",\"expires\":1700000900000");
    cr_expect_eq(session_of("anna")->until_s, 1700000900);
    cr_expect_eq(metrics_read(METRIC_RENEWALS), before + 1);
}

/* The close frame that answers ours stands after the token in the stream. */
Test(handover, of_a_session_that_ends_while_a_token_waits_reads_the_clients_close_frame)
{
    become_anna();
    say_token(TOKEN_PAYLOAD);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
    say_token(TOKEN_PAYLOAD);
    cr_assert(session_is_holding(session_of("anna")));
    session_close(session_of("anna"), ERR_KICKED);
    node_fixture_turn();
    subscriber_expect_close(&subscriber, 4503);
    subscriber_send(&subscriber, WS_CLOSE, SPAN_LITERAL("\x11\x97"));
    node_fixture_wait_ms(100);
    cr_expect(subscriber_has_ended(&subscriber));
}

/* Signatures of all sessions together have a share of the worker's time (net/throttle.h). */
Test(handover, waits_while_others_use_up_the_share_for_signatures)
{
    int64_t before = metrics_read(METRIC_CREDENTIALS_SHARE);
    begin_unauthenticated("");
    conn_loop_count_work(&fixture.worker->loop, 1000000);
    say_token(TOKEN_PAYLOAD);
    subscriber_expect_nothing(&subscriber);
    cr_expect_eq(metrics_read(METRIC_CREDENTIALS_SHARE), before + 1);
    node_fixture_wait_ms(5000);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
}

Test(handover, is_for_servers_that_take_tokens_alone)
{
    char why[300];
    cr_assert_eq(auth_open(&fixture.options, &fixture.node.auth, why, sizeof why), ERR_OK);
    subscriber_enter(&subscriber, LEVEL_V1, "anna", NULL);
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
    say_token(TOKEN_PAYLOAD);
    subscriber_expect_start(&subscriber, "{\"type\":\"error\",\"code\":\"auth-off\"");
}
