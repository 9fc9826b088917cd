/* GET /ws and GET /sse: from a request to a session of its user, or to a refusal that the kind of
 * client can take (CONTRACT 2). */
#include "gateway/port/subscribe.h"

#include "gateway/base/clock.h"
#include "gateway/requests/requests.h"
#include "tests/support/node_fixture.h"
#include "tests/support/port_client.h"
#include "tests/support/store_double.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_up(void)
{
    port_client_start();
    store_double_start();
}

TestSuite(subscribe, .init = set_up, .fini = port_client_stop);

#define PAGE "Origin: http://herald.example\r\n"

/* The request for PATH with these header lines. Valid until the next call. */
static const char *get(const char *path, const char *fields)
{
    static char request[2000];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" PORT_CLIENT_HOST "%s\r\n", path,
             fields);
    return request;
}

static void expect_in(const char *answer, const char *start, const char *part)
{
    cr_expect_eq(strncmp(answer, start, strlen(start)), 0, "%s is not %s", answer, start);
    cr_expect_not_null(strstr(answer, part), "no %s in %s", part, answer);
}

static void expect_answer(const char *path, const char *fields, const char *start, const char *part)
{
    expect_in(port_client_ask(get(path, fields)), start, part);
}

/* A page is upgraded, and then closed with this code and reason. */
static void expect_closed_page(const char *path, unsigned code, const char *reason)
{
    const char *answer = port_client_ask(get(path, PORT_CLIENT_UPGRADE PAGE));
    const char *frame = strstr(answer, "\r\n\r\n");
    cr_expect_eq(strncmp(answer, "HTTP/1.1 101 ", 13), 0, "%s", answer);
    cr_assert_not_null(frame);
    const uint8_t *close = (const uint8_t *)frame + 4;
    cr_assert_eq(close[0], 0x88, "%s", answer);
    cr_expect_eq((unsigned)(close[2] << 8 | close[3]), code);
    cr_expect_eq(strncmp(frame + 8, reason, strlen(reason)), 0, "%s is not %s", frame + 8, reason);
}

static size_t count_sessions(const char *user_id)
{
    return client_map_count(fixture.node.map, span_of(user_id));
}

/* ---- tickets ---- */

static void on_ticket(struct gateway_ticket *ticket)
{
    (void)ticket;
}

/* "/ws?QUERY&ticket=T" with a new ticket of that user. */
static const char *path_with_ticket(const char *query, const char *user_id)
{
    static char path[300];
    struct gateway_ticket ticket = {.on_done = on_ticket, .user_id = span_of(user_id)};
    fixture.options.auth = "ticket";
    port_client_identify_anew();
    gateway_ticket(&fixture.node, &ticket);
    node_fixture_turn();
    cr_assert_eq(ticket.error, ERR_OK);
    snprintf(path, sizeof path, "/ws?%s&ticket=%s", query, ticket.text);
    return path;
}

Test(subscribe, with_a_ticket_becomes_a_session_of_its_user_once)
{
    const char *path = path_with_ticket("device=phone", "anna");
    expect_answer(path, PORT_CLIENT_UPGRADE, "HTTP/1.1 101 ", "");
    cr_expect_eq(count_sessions("anna"), 1);
    expect_answer(path, PORT_CLIENT_UPGRADE, "HTTP/1.1 401 ",
                  "the ticket is unknown, used or too old");
    cr_expect_eq(count_sessions("anna"), 1);
    expect_closed_page(path, 4101, "the ticket is unknown, used or too old");
}

Test(subscribe, with_a_ticket_may_name_its_user_and_no_other)
{
    expect_answer(path_with_ticket("userId=berta", "anna"), PORT_CLIENT_UPGRADE, "HTTP/1.1 401 ",
                  "the token is for another user than userId says");
    expect_answer(path_with_ticket("userId=anna", "anna"), PORT_CLIENT_UPGRADE, "HTTP/1.1 101 ",
                  "");
    cr_expect_eq(count_sessions("anna"), 1);
}

Test(subscribe, needs_a_ticket_which_is_for_websockets_alone)
{
    const char *path = path_with_ticket("device=phone", "anna");
    expect_answer("/ws?userId=anna", PORT_CLIENT_UPGRADE, "HTTP/1.1 401 ", "a ticket is needed");
    expect_answer("/ws?ticket=", PORT_CLIENT_UPGRADE, "HTTP/1.1 401 ", "a ticket is needed");
    expect_answer("/sse?ticket=x", "", "HTTP/1.1 401 ", "tickets are for WebSockets");
    expect_answer(path, PORT_CLIENT_UPGRADE, "HTTP/1.1 101 ", "");
}

/* What the client sends while the store is asked is the session's. */
Test(subscribe, keeps_what_comes_before_the_store_has_found_its_ticket)
{
    static const char ping[] = {(char)0x89, (char)0x82, 0, 0, 0, 0, 'h', 'i'};
    store_double_hold(STORE_OP_TICKET_TAKE);
    int fd =
        port_client_send(get(path_with_ticket("device=phone", "anna"), PORT_CLIENT_UPGRADE PAGE));
    cr_assert_eq(send(fd, ping, sizeof ping, MSG_NOSIGNAL), (ssize_t)sizeof ping);
    node_fixture_turn();
    cr_expect_eq(port_client_read(fd)[0], '\0');
    cr_expect_eq(fixture.node.n_sessions, 0);
    store_double_release(STORE_OP_TICKET_TAKE);
    node_fixture_turn();
    expect_in(port_client_read(fd), "HTTP/1.1 101 ", "\r\n\r\n\x8a\x02hi");
}

Test(subscribe, is_not_admitted_when_it_has_gone_before_its_ticket_was_found)
{
    store_double_hold(STORE_OP_TICKET_TAKE);
    int fd =
        port_client_send(get(path_with_ticket("device=phone", "anna"), PORT_CLIENT_UPGRADE PAGE));
    shutdown(fd, SHUT_RDWR);
    node_fixture_turn();
    store_double_release(STORE_OP_TICKET_TAKE);
    node_fixture_turn();
    cr_expect_eq(count_sessions("anna"), 0);
    cr_expect_eq(fixture.node.n_sessions, 0);
    cr_expect_eq(fixture.node.n_sockets, 0);
}

/* ---- tokens ---- */

static void identify_by_tokens(void)
{
    static const char secret[] = "a-secret-of-more-than-thirty-two-bytes";
    char path[] = "/tmp/herald-unit-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, secret, sizeof secret - 1) == sizeof secret - 1);
    close(fd);
    fixture.options.auth = "jwt";
    fixture.options.jwt_keys = path;
    port_client_identify_anew();
    unlink(path);
    fixture.options.jwt_keys = "";
}

/* CONTRACT 2, "auth": only herald.v1 has a message that brings the token. */
Test(subscribe, without_a_token_is_admitted_by_herald_v1_alone)
{
    identify_by_tokens();
    expect_answer("/ws?userId=anna", PORT_CLIENT_UPGRADE, "HTTP/1.1 401 ", "a token is needed");
    expect_answer("/sse?userId=anna", "", "HTTP/1.1 401 ", "a token is needed");
    expect_closed_page("/ws?userId=anna", 4101, "a token is needed");
    cr_expect(list_is_empty(&fixture.worker->unauthenticated));
    expect_answer("/ws?userId=anna", PORT_CLIENT_UPGRADE "Sec-WebSocket-Protocol: herald.v1\r\n",
                  "HTTP/1.1 101 ", "");
    cr_expect_not(list_is_empty(&fixture.worker->unauthenticated));
    cr_expect_eq(count_sessions("anna"), 0);
}

/* ---- no room ---- */

/* A page does not see a status, and EventSource gives up on every one but 200. */
static void expect_refused_for_a_while(const char *title, unsigned code, const char *reason)
{
    expect_answer("/ws?userId=anna", PORT_CLIENT_UPGRADE, "HTTP/1.1 503 ", title);
    expect_closed_page("/ws?userId=anna", code, reason);
    expect_answer("/sse?userId=anna", PAGE, "HTTP/1.1 200 ", "\r\n\r\nretry: ");
    cr_expect_eq(fixture.node.n_sessions, 0);
}

Test(subscribe, at_a_full_node_gets_a_time_to_retry)
{
    fixture.node.max_connections = 0;
    expect_refused_for_a_while("too many connections", 1013, "full retry_ms=");
}

Test(subscribe, at_a_draining_node_gets_a_time_to_retry)
{
    atomic_store(&fixture.node.is_refusing, true);
    expect_refused_for_a_while("\"type\":\"draining\"", 1013, "draining retry_ms=");
}

/* FLEET 5: SIGTERM refuses nobody; balancers have a time to notice. */
Test(subscribe, at_a_node_that_will_end_is_taken_in_as_before)
{
    atomic_store(&fixture.node.is_draining, true);
    expect_answer("/ws?userId=anna", PORT_CLIENT_UPGRADE, "HTTP/1.1 101 ", "");
}

/* ---- --max-handshakes-per-second ---- */

static void expect_admitted(const char *path)
{
    expect_answer(path, PORT_CLIENT_UPGRADE, "HTTP/1.1 101 ", "");
}

static void expect_too_many(const char *path)
{
    expect_answer(path, PORT_CLIENT_UPGRADE, "HTTP/1.1 503 ",
                  "too many new sessions in this second");
}

Test(subscribe, beyond_the_handshakes_of_this_second_gets_a_time_to_retry)
{
    fixture.options.max_handshakes_per_second = 2;
    expect_admitted("/ws?userId=anna");
    expect_answer("/sse?userId=berta", "", "HTTP/1.1 200 ", "");
    expect_too_many("/ws?userId=clara");
    expect_closed_page("/ws?userId=clara", 1013, "full retry_ms=");
    expect_answer("/sse?userId=clara", PAGE, "HTTP/1.1 200 ", "\r\n\r\nretry: ");
    cr_expect_eq(count_sessions("clara"), 0);
    cr_expect_eq(fixture.node.n_sessions, 2);
    node_fixture_stall_ms(500);
    expect_admitted("/ws?userId=clara");
    expect_too_many("/ws?userId=dora");
    fixture.options.max_handshakes_per_second = 0;
    expect_admitted("/ws?userId=dora");
}

/* What is refused for another reason takes nothing from the others. */
Test(subscribe, that_becomes_no_session_takes_no_handshake_of_this_second)
{
    fixture.options.max_handshakes_per_second = 1;
    const char *path = path_with_ticket("device=phone", "anna");
    expect_answer("/ws?userId=anna", PORT_CLIENT_UPGRADE, "HTTP/1.1 401 ", "a ticket is needed");
    expect_answer("/ws?ticket=none", PORT_CLIENT_UPGRADE, "HTTP/1.1 401 ", "");
    fixture.node.max_connections = 0;
    expect_answer("/ws?ticket=none", PORT_CLIENT_UPGRADE, "HTTP/1.1 401 ", "");
    fixture.node.max_connections = 100;
    expect_admitted(path);
}

/* A ticket is good for one connection, so it is not used up for nothing. */
Test(subscribe, beyond_the_handshakes_of_this_second_keeps_its_ticket)
{
    const char *path = path_with_ticket("device=phone", "anna");
    fixture.options.max_handshakes_per_second = 1;
    cr_assert(shared_rate_take(&fixture.node.handshakes, clock_monotonic_us(), 1));
    expect_too_many(path);
    node_fixture_stall_ms(1000);
    expect_admitted(path);
}

Test(subscribe, at_a_draining_node_is_told_so_whatever_came_in_this_second)
{
    fixture.options.max_handshakes_per_second = 1;
    expect_admitted("/ws?userId=anna");
    atomic_store(&fixture.node.is_refusing, true);
    expect_answer("/ws?userId=berta", PORT_CLIENT_UPGRADE, "HTTP/1.1 503 ",
                  "\"type\":\"draining\"");
}

/* ---- where to resume ---- */

static int open_stream(const char *path, const char *fields)
{
    int fd = port_client_send(get(path, fields));
    node_fixture_turn();
    return fd;
}

Test(subscribe, resumes_after_last_event_id_rather_than_after_its_query)
{
    char epoch[32];
    char path[200];
    char fields[200];
    int fd = open_stream("/sse?userId=u&ack=explicit", "");
    node_fixture_push("u", "\"first\"", 60);
    node_fixture_push("u", "\"second\"", 60);
    const char *id = strstr(port_client_read(fd), "id: ");
    cr_assert_not_null(id);
    cr_assert_eq(sscanf(id, "id: %31[^-]", epoch), 1);
    snprintf(path, sizeof path, "/sse?userId=u&ack=explicit&after=%s-0", epoch);
    expect_in(port_client_read(open_stream(path, "")), "HTTP/1.1 200 ", "\"first\"");
    snprintf(fields, sizeof fields, "Last-Event-ID: %s-1\r\n", epoch);
    const char *text = port_client_read(open_stream(path, fields));
    cr_expect_null(strstr(text, "\"first\""), "%s", text);
    cr_expect_not_null(strstr(text, "\"second\""), "%s", text);
}

Test(subscribe, refuses_a_position_or_a_query_that_it_cannot_read)
{
    expect_answer("/sse?userId=u", "Last-Event-ID: 7\r\n", "HTTP/1.1 400 ",
                  "Last-Event-ID must be EPOCH-SEQ");
    expect_answer("/sse?userId=u", "Last-Event-ID: abcdefgh-1\r\nLast-Event-ID: abcdefgh-1\r\n",
                  "HTTP/1.1 400 ", "Last-Event-ID is given twice");
    expect_answer("/ws?userId=u&after=7", PORT_CLIENT_UPGRADE, "HTTP/1.1 400 ",
                  "\"field\":\"after\"");
    expect_answer("/ws", PORT_CLIENT_UPGRADE, "HTTP/1.1 400 ", "\"field\":\"userId\"");
    expect_answer("/ws?userId=u", "", "HTTP/1.1 426 ", "\"type\":\"upgrade-required\"");
    expect_answer("/sse?userId=u", "Content-Length: 5\r\n", "HTTP/1.1 400 ", "");
    cr_expect_eq(count_sessions("u"), 0);
}
