/* POST /ack: the page of an event stream acknowledges (CONTRACT 2). */
#include "gateway/store/store.h"
#include "tests/support/node_fixture.h"
#include "tests/support/port_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(ack_route, .init = port_client_start, .fini = port_client_stop);

static char epoch[32];

/* An event stream of that query, which is sent the user's first notification; keeps its epoch. */
static int open_stream(const char *query)
{
    char request[300];
    snprintf(request, sizeof request, "GET /sse?%s HTTP/1.1\r\n" PORT_CLIENT_HOST "\r\n", query);
    int fd = port_client_send(request);
    const char *answer = port_client_read(fd);
    cr_assert_eq(strncmp(answer, "HTTP/1.1 200 ", 13), 0, "%s", answer);
    return fd;
}

static void read_epoch(int stream)
{
    const char *text = port_client_read(stream);
    const char *id = strstr(text, "id: ");
    cr_assert_not_null(id, "%s", text);
    cr_assert_eq(sscanf(id, "id: %31[^-]", epoch), 1);
}

static void expect_ack(const char *query, unsigned status, const char *text)
{
    char request[300];
    char line[32];
    snprintf(request, sizeof request, "POST /ack?%s HTTP/1.1\r\n" PORT_CLIENT_HOST "\r\n", query);
    snprintf(line, sizeof line, "HTTP/1.1 %u ", status);
    const char *answer = port_client_ask(request);
    cr_expect_eq(strncmp(answer, line, strlen(line)), 0, "%s: %s", query, answer);
    cr_expect_not_null(strstr(answer, text), "%s: no %s in %s", query, text, answer);
}

/* id=EPOCH-SEQ of the stream's epoch, after these members of the query. */
static const char *with_id(const char *query, unsigned seq)
{
    static char text[200];
    snprintf(text, sizeof text, "%s&id=%s-%u", query, epoch, seq);
    return text;
}

/* ---- what the store says ---- */

static void on_peeked(struct store_request *request)
{
    (void)request;
}

static unsigned count_pending(const char *user_id)
{
    struct store_peek peek = {.request = {.on_done = on_peeked}, .user_id = span_of(user_id)};
    store_peek(fixture.node.store, &peek);
    node_fixture_turn();
    cr_assert_eq(peek.error, ERR_OK);
    return (unsigned)peek.pending;
}

/* ---- tests ---- */

Test(ack_route, acknowledges_on_the_open_stream_that_was_sent_it)
{
    int stream = open_stream("userId=anna&ack=explicit");
    node_fixture_push("anna", "\"hello\"", 60);
    node_fixture_push("anna", "\"again\"", 60);
    read_epoch(stream);
    expect_ack(with_id("userId=anna", 1), 204, "\r\nConnection: keep-alive\r\n");
    node_fixture_wait_ms(2000);
    cr_expect_eq(count_pending("anna"), 1);
    expect_ack(with_id("userId=anna", 2), 204, "");
    node_fixture_wait_ms(2000);
    cr_expect_eq(count_pending("anna"), 0);
}

Test(ack_route, refuses_what_no_open_stream_was_sent)
{
    int stream = open_stream("userId=anna&ack=explicit");
    node_fixture_push("anna", "\"hello\"", 60);
    read_epoch(stream);
    expect_ack(with_id("userId=anna", 2), 409, "no open stream of this user was sent that");
    expect_ack("userId=anna&id=zzzzzzzz-1", 409, "\"field\":\"id\"");
    cr_expect_eq(count_pending("anna"), 1);
}

/* A page may acknowledge when its stream has ended. */
Test(ack_route, asks_the_store_when_no_stream_of_the_position_is_open)
{
    int stream = open_stream("userId=anna&device=tablet&ack=explicit");
    node_fixture_push("anna", "\"hello\"", 60);
    read_epoch(stream);
    expect_ack(with_id("userId=anna", 1), 204, "");
    node_fixture_wait_ms(2000);
    expect_ack(with_id("userId=anna", 7), 409, "no such notification was sent to this user");
    expect_ack("userId=berta&id=zzzzzzzz-1", 409, "no such notification was sent to this user");
}

Test(ack_route, answers_a_client_that_has_ended_its_side_after_the_request)
{
    int stream = open_stream("userId=anna&ack=explicit");
    node_fixture_push("anna", "\"hello\"", 60);
    read_epoch(stream);
    char request[300];
    snprintf(request, sizeof request, "POST /ack?%s HTTP/1.1\r\n" PORT_CLIENT_HOST "\r\n",
             with_id("userId=berta", 1));
    const char *answer = port_client_ask_last(request);
    cr_expect_eq(strncmp(answer, "HTTP/1.1 409 ", 13), 0, "%s", answer);
}

Test(ack_route, refuses_a_query_that_names_no_notification)
{
    expect_ack("userId=anna", 400, "\"field\":\"id\"");
    expect_ack("userId=anna&id=7", 400, "\"field\":\"id\"");
    expect_ack("id=abcdefgh-1", 400, "\"field\":\"userId\"");
}

/* With tickets only WebSockets are identified. */
Test(ack_route, refuses_without_credentials)
{
    fixture.options.auth = "ticket";
    port_client_identify_anew();
    expect_ack("userId=anna&id=abcdefgh-1", 401, "only WebSockets can say who they are");
}
