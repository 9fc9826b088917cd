/* Event streams, and sessions whose user is not known yet, go from one process to another
 * (successor.h); and what is no session there. */
#include "gateway/session/session_revive.h"

#include "gateway/base/metrics.h"
#include "gateway/delivery/delivery.h"
#include "gateway/identity/auth.h"
#include "gateway/session/session_auth.h"
#include "gateway/session/session_carry.h"
#include "gateway/session/session_deadlines.h"
#include "gateway/session/session_life.h"
#include "tests/support/slow_subscriber.h"
#include "tests/support/successor.h"
#include "tests/unit/jwt_tokens.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct subscriber subscriber;

static void set_up(void)
{
    node_fixture_start();
    successor_start();
}

static void tear_down(void)
{
    auth_close(successor.node.auth);
    successor.node.auth = NULL;
    successor_stop();
}

TestSuite(session_revive, .init = set_up, .fini = tear_down);

/* ---- event streams ---- */

static const char *enter_stream(void)
{
    subscriber_enter(&subscriber, LEVEL_SSE, "u", NULL);
    return subscriber_text(&subscriber);
}

static void expect_part(const char *text, const char *part)
{
    cr_expect_not_null(strstr(text, part), "%s is not in: %s", part, text);
}

Test(session_revive, an_event_stream_goes_on_without_a_second_beginning)
{
    enter_stream();
    node_fixture_push("u", "1", 60);
    expect_part(subscriber_text(&subscriber), "data: 1\n");
    successor_take_over();
    cr_expect_eq(subscriber_receive(&subscriber), 0);
    node_fixture_push("u", "2", 60);
    const char *text = subscriber_text(&subscriber);
    expect_part(text, "data: 2\n");
    cr_expect_null(strstr(text, "retry:"), "%s", text);
    cr_expect_null(strstr(text, "data: 1\n"), "%s", text);
}

/* What the kernel has taken, but the peer has not read. */
Test(session_revive,
     an_event_stream_is_acknowledged_when_its_peer_has_taken_what_was_written_before)
{
    enter_stream();
    node_fixture_push("u", "1", 60);
    node_fixture_wait_ms(100);
    cr_assert_eq(subscriber.session->extra->stream.mark_seq, 1);
    successor_take();
    node_fixture_wait_ms(30000);
    successor_go();
    struct session *session = successor_session("u");
    cr_expect_eq(session->extra->stream.mark_seq, 1);
    node_fixture_wait_ms(500);
    cr_expect_eq(session->acked, 0);
    expect_part(subscriber_text(&subscriber), "data: 1\n");
    node_fixture_wait_ms(1100);
    cr_expect_eq(session->acked, 1);
}

Test(session_revive, an_event_stream_whose_queue_is_full_goes_on_within_its_event)
{
    enum { N = 40 };
    enter_stream();
    slow_subscriber_narrow(&subscriber);
    for (unsigned i = 0; i < N; i++)
        slow_subscriber_push("u", i, 3000, 60);
    cr_assert_gt(conn_queued_bytes(&subscriber.session->conn), 0);
    successor_take_over();
    const char *text = subscriber_read_all(&subscriber);
    for (unsigned i = 0; i < N; i++) {
        char start[32];
        snprintf(start, sizeof start, "data: \"%u ", i);
        const char *at = strstr(text, start);
        cr_assert_not_null(at, "%u has not come", i);
        cr_assert_eq(strcspn(at, "\n"), 3006);
        text = at + 3006;
        cr_assert_null(strstr(text, start), "%u comes twice", i);
    }
}

Test(session_revive, an_event_stream_that_takes_nothing_is_ended_after_the_time_that_was_left)
{
    fixture.options.slow_timeout = successor.options.slow_timeout = 15000;
    fixture.options.ping_interval = 3600000; /* a comment looks like progress on a unix socket */
    enter_stream();
    node_fixture_push("u", "1", 60);
    node_fixture_wait_ms(8000);
    successor_take();
    node_fixture_wait_ms(60000);
    successor_go();
    int64_t before = metrics_read(METRIC_CLOSED_SLOW);
    node_fixture_wait_ms(5000);
    cr_expect_eq(metrics_read(METRIC_CLOSED_SLOW), before);
    node_fixture_wait_ms(3500);
    cr_expect_eq(metrics_read(METRIC_CLOSED_SLOW), before + 1);
}

/* ---- strangers ---- */

static void read_keys(struct node *node)
{
    static struct options with_keys;
    char path[] = "/tmp/herald-unit-XXXXXX";
    char why[300] = "";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, TOKEN_SECRET, strlen(TOKEN_SECRET)), (ssize_t)strlen(TOKEN_SECRET));
    close(fd);
    with_keys = fixture.options;
    with_keys.auth = "jwt";
    with_keys.jwt_keys = path;
    cr_assert_eq(auth_open(&with_keys, &node->auth, why, sizeof why), ERR_OK, "%s", why);
    unlink(path);
}

static void begin_stranger(const char *user_id)
{
    struct claim claim = {.identity.user_id_len = strlen(user_id)};
    memcpy(claim.identity.user_id, user_id, strlen(user_id));
    read_keys(&fixture.node);
    read_keys(&successor.node);
    fixture.options.ping_interval = successor.options.ping_interval = 3600000;
    fixture.options.silence_timeout = successor.options.silence_timeout = 7200000;
    subscriber_open(&subscriber, (struct admission){.level = LEVEL_V1, .is_page = true});
    cr_assert_eq(session_await_auth(subscriber.session, &claim), ERR_OK);
}

static struct span auth_message(const char *payload)
{
    static char text[4096];
    struct token_text token = token_make(JWT_HS256, payload);
    int len = snprintf(text, sizeof text, "{\"type\":\"auth\",\"token\":\"%s\"}", token.text);
    return (struct span){text, (size_t)len};
}

static void send_token(void)
{
    subscriber_send(&subscriber, WS_TEXT, auth_message(TOKEN_PAYLOAD));
    node_fixture_turn();
}

static void expect_hello(void)
{
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\",\"expires\":1700000300000");
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
}

Test(session_revive, a_stranger_says_who_it_is_to_the_other_process)
{
    begin_stranger("anna");
    successor_take_over();
    cr_expect_eq(successor_session(NULL)->state, SESSION_AUTH);
    send_token();
    expect_hello();
    cr_expect_eq(successor_session("anna")->until_s, 1700000300);
    cr_expect_eq(successor.node.n_sessions, 1);
    cr_expect_eq(successor.node.n_sockets, 1);
    cr_expect_eq(fixture.node.n_sessions, 0);
}

Test(session_revive, a_stranger_may_be_no_other_user_than_it_has_claimed)
{
    begin_stranger("bert");
    successor_take_over();
    send_token();
    subscriber_expect_close(&subscriber, 4101);
}

Test(session_revive, a_stranger_has_as_much_time_left_as_it_had)
{
    begin_stranger("");
    node_fixture_wait_ms(7000);
    successor_take();
    node_fixture_wait_ms(60000);
    successor_go();
    node_fixture_wait_ms(2800);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(400);
    subscriber_expect_close(&subscriber, error_close_code(ERR_AUTH_TIMEOUT));
}

/* --max-message of the other process is less than what has come already. */
Test(session_revive, a_message_that_has_begun_may_become_as_long_as_was_allowed_then)
{
    static const uint8_t first[] = "\x01\x88\0\0\0\0{\"type\":";
    static const uint8_t second[] = "\x80\x87\0\0\0\0\"ping\"}";
    subscriber_enter(&subscriber, LEVEL_V1, "u", NULL);
    subscriber_text(&subscriber);
    subscriber_send_raw(&subscriber, first, sizeof first - 1);
    node_fixture_turn();
    successor.options.max_message = 4;
    successor_take_over();
    subscriber_send_raw(&subscriber, second, sizeof second - 1);
    node_fixture_turn();
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
}

/* Half of the auth message is here, half comes to the other process. */
Test(session_revive, a_stranger_is_read_on_after_half_of_its_token)
{
    static struct subscriber recorder;
    begin_stranger("");
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    recorder.fd = ends[0];
    subscriber_send(&recorder, WS_TEXT, auth_message(TOKEN_PAYLOAD));
    uint8_t bytes[4096];
    ssize_t n = recv(ends[1], bytes, sizeof bytes, 0);
    cr_assert_gt(n, 100);
    subscriber_send_raw(&subscriber, bytes, (size_t)n / 2);
    node_fixture_turn();
    cr_assert(subscriber.session->is_unfinished);
    successor_take_over();
    subscriber_send_raw(&subscriber, bytes + n / 2, (size_t)(n - n / 2));
    node_fixture_turn();
    expect_hello();
    close(ends[0]);
    close(ends[1]);
}

/* Its token is good, and its socket is full: it becomes a session of its user when all of that is
 * written. What came behind the token is read then. */
Test(session_revive, a_stranger_who_is_known_enters_its_client_when_its_queue_is_written)
{
    begin_stranger("");
    slow_subscriber_narrow(&subscriber);
    static const char pong_me[100];
    int64_t n_skipped = metrics_read(METRIC_ANSWERS_SKIPPED);
    for (int i = 0; i < 200 && conn_queued_bytes(&subscriber.session->conn) == 0; i++) {
        subscriber_send(&subscriber, WS_PING, (struct span){pong_me, sizeof pong_me});
        node_fixture_turn();
    }
    cr_assert_gt(conn_queued_bytes(&subscriber.session->conn), 0);
    subscriber_send(&subscriber, WS_TEXT, auth_message(TOKEN_PAYLOAD));
    subscriber_send(&subscriber, WS_TEXT, SPAN_LITERAL("{\"type\":\"ping\"}"));
    node_fixture_turn();
    cr_assert(session_is_identified(subscriber.session));
    successor_take_over();
    struct session *session = successor_session(NULL);
    cr_expect(session_is_identified(session));
    struct subscriber_frame frame;
    do
        cr_assert(slow_subscriber_next(&subscriber, &frame));
    while (frame.opcode == WS_PONG);
    cr_expect_eq(strncmp(frame.payload.bytes, "{\"type\":\"auth\"", 14), 0, "%s",
                 frame.payload.bytes);
    slow_subscriber_expect_part(&subscriber,
                                "\"type\":\"pong\""); /* its first page comes after it */
    slow_subscriber_expect_part(&subscriber, "\"type\":\"hello\"");
    cr_expect_eq(metrics_read(METRIC_ANSWERS_SKIPPED), n_skipped);
    cr_expect_eq(successor_session("anna")->state, SESSION_ENTERED);
}

/* A second token within the second after the first one waits, and so does what comes behind it. */
static void renew_early(void)
{
    begin_stranger("");
    send_token();
    expect_hello();
    subscriber_send(&subscriber, WS_TEXT, auth_message(TOKEN_PAYLOAD));
    subscriber_send(&subscriber, WS_TEXT, SPAN_LITERAL("{\"type\":\"ping\"}"));
    node_fixture_turn();
    subscriber_expect_nothing(&subscriber);
}

static void expect_renewed(void)
{
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
    subscriber_expect_nothing(&subscriber);
}

Test(session_revive, a_token_that_waits_for_its_second_is_verified_by_the_other_process)
{
    renew_early();
    node_fixture_wait_ms(400);
    successor_take();
    node_fixture_wait_ms(60000);
    successor_go();
    cr_expect(session_is_holding(successor_session("anna")));
    node_fixture_wait_ms(500);
    subscriber_expect_nothing(&subscriber);
    node_fixture_wait_ms(200);
    expect_renewed();
}

Test(session_revive, a_token_that_waits_for_its_turn_is_verified_by_the_other_process)
{
    begin_stranger("");
    conn_loop_count_work(&fixture.worker->loop, 100 * CONN_WORK_US_PER_MS);
    subscriber_send(&subscriber, WS_TEXT, auth_message(TOKEN_PAYLOAD));
    subscriber_send(&subscriber, WS_TEXT, SPAN_LITERAL("{\"type\":\"ping\"}"));
    node_fixture_turn();
    cr_assert(session_is_holding(subscriber.session));
    successor_take_over();
    node_fixture_wait_ms(10);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
    subscriber_expect(&subscriber, WS_TEXT, "{\"type\":\"pong\"}");
    subscriber_expect_start(&subscriber, "{\"type\":\"hello\"");
}

Test(session_revive, the_second_after_a_token_goes_on)
{
    begin_stranger("");
    send_token();
    expect_hello();
    node_fixture_wait_ms(400);
    successor_take_over();
    send_token();
    cr_expect(session_is_holding(successor_session("anna")));
    node_fixture_wait_ms(700);
    subscriber_expect_start(&subscriber, "{\"type\":\"auth\"");
}

/* ---- no session ---- */

static enum err revive(const struct carried_session *carried)
{
    int ours;
    struct session *session;
    subscriber_dial(&subscriber, &ours);
    enum err error = session_revive(successor.worker, successor.peers, carried, ours, &session);
    close(ours);
    subscriber_hang_up(&subscriber);
    return error;
}

#define EXPECT_REFUSED(...)                                                                        \
    do {                                                                                           \
        struct carried_session carried = {.user_id = SPAN_LITERAL("u"), .has_begun = true};        \
        struct carried_session *c = &carried;                                                      \
        __VA_ARGS__;                                                                               \
        cr_expect_eq(revive(&carried), ERR_PROTOCOL, "%s", #__VA_ARGS__);                          \
    } while (0)

Test(session_revive, refuses_what_contradicts_itself)
{
    static char long_text[CONN_REST_MAX_BYTES + 1];
    struct ws_decoder decoder = {.opcode = WS_TEXT, .max_message = 10, .message_len = 8};
    EXPECT_REFUSED(c->level = (enum handshake_level)4);
    EXPECT_REFUSED(c->user_id = SPAN_NONE);
    EXPECT_REFUSED(c->user_id = ((struct span){long_text, 129}));
    EXPECT_REFUSED(c->device = ((struct span){long_text, 65}));
    EXPECT_REFUSED(c->rest = ((struct span){long_text, sizeof long_text}));
    EXPECT_REFUSED(c->id = UINT64_C(1) << 48);
    EXPECT_REFUSED(c->acked = 2, c->sent = 1);
    EXPECT_REFUSED(c->has_begun = false, c->sent = 1);
    EXPECT_REFUSED(c->n_unmatched = 3);
    EXPECT_REFUSED(c->window_bits = 7);
    EXPECT_REFUSED(c->window_bits = 16);
    EXPECT_REFUSED(c->token = SPAN_LITERAL("t"));
    EXPECT_REFUSED(c->wants_resume = true);
    EXPECT_REFUSED(c->is_stranger = true);
    EXPECT_REFUSED(c->is_stranger = true, c->level = LEVEL_V1);
    EXPECT_REFUSED(c->is_stranger = c->is_known = true, c->level = LEVEL_V1, c->has_begun = false,
                   c->user_id = SPAN_NONE);
    EXPECT_REFUSED(c->is_unanswered = true, c->answer = SPAN_LITERAL("short"));
    EXPECT_REFUSED(c->is_unanswered = true, c->level = LEVEL_SSE);
    EXPECT_REFUSED(c->has_begun = false, c->is_unanswered = true, c->level = LEVEL_SSE,
                   c->unwritten = SPAN_LITERAL("x"));
    EXPECT_REFUSED(c->message = SPAN_LITERAL("x"));
    EXPECT_REFUSED(c->decoder = decoder, c->level = LEVEL_SSE);
    EXPECT_REFUSED(c->decoder = decoder, c->decoder.message_len = 11);
    EXPECT_REFUSED(c->decoder = decoder, c->decoder.remaining = 9);
    EXPECT_REFUSED(c->decoder = decoder, c->level = LEVEL_V1, c->decoder.remaining = 4,
                   c->message = SPAN_LITERAL("12345"));
    cr_expect_eq(successor.node.n_sessions, 0);
    cr_expect_eq(successor.node.n_sockets, 0);
}

static const char *turn_away(struct carried_session carried)
{
    int ours;
    subscriber_dial(&subscriber, &ours);
    session_turn_away(ours, &carried);
    subscriber_receive(&subscriber);
    cr_expect(subscriber_has_ended(&subscriber));
    return (const char *)subscriber.bytes;
}

Test(session_revive, what_could_not_be_made_hears_the_rest_and_comes_again)
{
    turn_away((struct carried_session){.unwritten = SPAN_LITERAL("\x81\x01"
                                                                 "1")});
    subscriber_expect(&subscriber, WS_TEXT, "1");
    struct span reason = subscriber_expect_close(&subscriber, 1012);
    cr_expect_eq(strncmp(reason.bytes, "restart retry_ms=", 17), 0, "%s", reason.bytes);
    subscriber_expect_nothing(&subscriber);
    expect_part(turn_away((struct carried_session){.is_unanswered = true}), "HTTP/1.1 503 ");
    const char *text =
        turn_away((struct carried_session){.level = LEVEL_SSE, .is_unanswered = true});
    expect_part(text, "HTTP/1.1 200 OK\r\n");
    expect_part(text, "\r\n\r\nretry: ");
    text = turn_away(
        (struct carried_session){.level = LEVEL_SSE, .unwritten = SPAN_LITERAL("data: 1\n\n")});
    cr_expect_eq(strncmp(text, "data: 1\n\nretry: ", 16), 0, "%s", text);
}

/* ---- its address ---- */

Test(session_revive, counts_for_the_address_that_a_proxy_has_named)
{
    struct carried_session carried = {.user_id = SPAN_LITERAL("u"),
                                      .is_proxied = true,
                                      .address = ip_from_v4((const uint8_t[]){192, 0, 2, 1})};
    int ours;
    struct session *session;
    successor.options.max_connections_per_address = 1;
    peers_free(successor.peers);
    cr_assert_eq(peers_new(&successor.options, &successor.peers), ERR_OK);
    for (int i = 0; i < 3; i++) {
        subscriber_dial(&subscriber, &ours);
        cr_assert_eq(session_revive(successor.worker, successor.peers, &carried, ours, &session),
                     ERR_OK);
        cr_assert_eq(delivery_enter(session, SPAN_LITERAL("u"), SPAN_NONE), ERR_OK);
        struct ip ip = conn_ops_of(&session->conn)->address(&session->conn);
        cr_expect(ip_equal(&ip, &carried.address));
    }
    struct peer *peer;
    cr_expect_eq(peer_arrive(successor.peers, &carried.address, &peer), ERR_OK);
    cr_expect_eq(peer_enter(peer), ERR_CROWDED);
    peer_leave(peer);
}
