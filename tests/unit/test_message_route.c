/* POST /message: the page of an event stream says something to the backends (EVENTS, Client
 * messages). */
#include "gateway/node/client_message.h"
#include "tests/support/node_fixture.h"
#include "tests/support/port_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JSON_TYPE "Content-Type: application/json\r\n"

/* In place of the event log: one message at a time. */
static struct client_message taken;
static char texts[3][200];
static unsigned n_taken;
static enum err refusal;
static bool answers_at_once;

static struct span keep_text(char room[200], struct span text)
{
    cr_assert_lt(text.len, 200);
    if (text.len > 0)
        memcpy(room, text.bytes, text.len);
    return (struct span){room, text.len};
}

static struct letter answer_letter;
static enum err answer;

static void on_letter(struct letter *letter)
{
    (void)letter;
    taken.on_answer(&taken, answer);
}

static void answer_with(enum err error)
{
    answer = error;
    worker_post(taken.worker, &answer_letter, on_letter);
}

static enum err take(struct node *node, const struct client_message *message)
{
    (void)node;
    if (refusal != ERR_OK)
        return refusal;
    n_taken++;
    taken = *message;
    taken.said.user_id = keep_text(texts[0], message->said.user_id);
    taken.said.client_id = keep_text(texts[1], message->said.client_id);
    taken.said.data = keep_text(texts[2], message->said.data);
    if (answers_at_once)
        answer_with(ERR_OK);
    return ERR_OK;
}

static void start(void)
{
    port_client_start();
    fixture.node.take_message = take;
    n_taken = 0;
    refusal = ERR_OK;
    answers_at_once = true;
}

TestSuite(message_route, .init = start, .fini = port_client_stop);

static const char *ask(const char *query, const char *fields, const char *body)
{
    static char request[2000];
    snprintf(request, sizeof request,
             "POST /message?%s HTTP/1.1\r\n" PORT_CLIENT_HOST "%sContent-Length: %zu\r\n\r\n%s",
             query, fields, strlen(body), body);
    return port_client_ask(request);
}

static void expect(const char *text, unsigned status, const char *part)
{
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %u ", status);
    cr_expect_eq(strncmp(text, line, strlen(line)), 0, "%s", text);
    cr_expect_not_null(strstr(text, part), "no %s in %s", part, text);
}

Test(message_route, answers_202_with_the_id_when_the_message_is_kept)
{
    const char *text = ask("userId=anna&id=c%2017%22", JSON_TYPE, " {\"n\" : 9007199254740993 }\n");
    expect(text, 202, "\r\n\r\n{\"id\":\"c 17\\\"\"}\n");
    cr_expect_not_null(strstr(text, "\r\nConnection: keep-alive\r\n"));
    cr_assert_eq(n_taken, 1);
    cr_expect(span_equal(taken.said.user_id, SPAN_LITERAL("anna")));
    cr_expect_eq(taken.said.connection, 0);
    cr_expect_str_eq(taken.said.level, "http");
    cr_expect(span_equal(taken.said.client_id, SPAN_LITERAL("c 17\\\"")));
    cr_expect(span_equal(taken.said.data, SPAN_LITERAL("{\"n\" : 9007199254740993 }")));
    expect(ask("userId=anna&id=1", "Content-Type: Application/JSON; charset=utf-8\r\n", "7"), 202,
           "");
}

Test(message_route, waits_until_the_message_is_kept)
{
    answers_at_once = false;
    int fd =
        port_client_send("POST /message?userId=anna&id=1 HTTP/1.1\r\n" PORT_CLIENT_HOST JSON_TYPE
                         "Transfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n");
    cr_expect_str_eq(port_client_read(fd), "");
    cr_assert_eq(n_taken, 1);
    cr_expect(span_equal(taken.said.data, SPAN_LITERAL("[1,2]")));
    answer_with(ERR_OK);
    node_fixture_turn();
    expect(port_client_read(fd), 202, "");
}

Test(message_route, says_why_a_message_is_not_kept)
{
    static const struct {
        enum err error;
        unsigned status;
        const char *type;
    } rows[] = {
        {ERR_RATE, 429, "\"type\":\"rate-limited\""},
        {ERR_TOO_LARGE, 413, "\"type\":\"too-large\""},
        {ERR_FULL, 503, "\"type\":\"store-unavailable\""},
        {ERR_STORE_UNAVAILABLE, 503, "\"type\":\"store-unavailable\""},
        {ERR_NO_MEMORY, 503, "\"type\":\"store-unavailable\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        refusal = rows[i].error;
        const char *text = ask("userId=anna&id=1", JSON_TYPE, "1");
        expect(text, rows[i].status, rows[i].type);
        if (rows[i].status != 413)
            cr_expect_not_null(strstr(text, "\r\nRetry-After: "), "%s", text);
    }
    refusal = ERR_OK;
    answers_at_once = false;
    int fd =
        port_client_send("POST /message?userId=anna&id=1 HTTP/1.1\r\n" PORT_CLIENT_HOST JSON_TYPE
                         "Content-Length: 1\r\n\r\n1");
    answer_with(ERR_FULL);
    node_fixture_turn();
    expect(port_client_read(fd), 503, "\"type\":\"store-unavailable\"");
}

Test(message_route, refuses_what_is_no_message)
{
    static const struct {
        const char *query, *fields, *body;
        unsigned status;
        const char *part;
    } rows[] = {
        {"userId=anna", JSON_TYPE, "1", 400, "\"field\":\"id\""},
        {"userId=anna&id=", JSON_TYPE, "1", 400, "\"field\":\"id\""},
        {"userId=anna&id=%ff", JSON_TYPE, "1", 400, "\"field\":\"id\""},
        {"userId=anna&id=1&id=2", JSON_TYPE, "1", 400, "\"field\":\"id\""},
        {"userId=anna&id=01234567890123456789012345678901234567890123456789012345678901234",
         JSON_TYPE, "1", 400, "\"field\":\"id\""},
        {"id=1", JSON_TYPE, "1", 400, "\"field\":\"userId\""},
        {"userId=anna&id=1", "", "1", 415, "\"type\":\"unsupported-media-type\""},
        {"userId=anna&id=1", "Content-Type: text/plain\r\n", "1", 415, ""},
        {"userId=anna&id=1", JSON_TYPE, "", 400, "\"type\":\"bad-json\""},
        {"userId=anna&id=1", JSON_TYPE, "hello", 400, "\"type\":\"bad-json\""},
        {"userId=anna&id=1", JSON_TYPE, "1 2", 400, "\"type\":\"bad-json\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(ask(rows[i].query, rows[i].fields, rows[i].body), rows[i].status, rows[i].part);
    cr_expect_eq(n_taken, 0);
}

Test(message_route, takes_64_kib)
{
    enum { BYTES = CLIENT_MESSAGE_MAX_BYTES };
    static char request[BYTES + 400];
    for (int more = 0; more <= 1; more++) {
        int head = snprintf(request, sizeof request,
                            "POST /message?userId=anna&id=1 HTTP/1.1\r\n" PORT_CLIENT_HOST JSON_TYPE
                            "Content-Length: %d\r\n\r\n1",
                            BYTES + more);
        memset(request + head, ' ', BYTES - 1 + (size_t)more);
        int fd = port_client_send(request);
        node_fixture_wait_ms(100);
        expect(port_client_read(fd), more == 0 ? 202 : 413, "");
    }
    cr_expect_eq(n_taken, 1);
    const char *text =
        port_client_ask("POST /message?userId=anna&id=1 HTTP/1.1\r\n" PORT_CLIENT_HOST JSON_TYPE
                        "Content-Length: 1000000000\r\n\r\n");
    expect(text, 413, "\"type\":\"too-large\"");
}

Test(message_route, is_there_only_where_messages_are_taken)
{
    fixture.node.take_message = NULL;
    expect(ask("userId=anna&id=1", JSON_TYPE, "1"), 404, "--client-messages");
}

Test(message_route, is_refused_by_a_node_that_drains)
{
    atomic_store(&fixture.node.is_refusing, true);
    expect(ask("userId=anna&id=1", JSON_TYPE, "1"), 503, "\"type\":\"draining\"");
    atomic_store(&fixture.node.is_refusing, false);
}

Test(message_route, survives_a_page_that_goes_before_its_answer)
{
    answers_at_once = false;
    int fd =
        port_client_send("POST /message?userId=anna&id=1 HTTP/1.1\r\n" PORT_CLIENT_HOST JSON_TYPE
                         "Content-Length: 1\r\n\r\n1");
    int torn =
        port_client_send("POST /message?userId=anna&id=1 HTTP/1.1\r\n" PORT_CLIENT_HOST JSON_TYPE
                         "Content-Length: 10\r\n\r\n1");
    close(fd);
    close(torn);
    node_fixture_wait_ms(100);
    cr_assert_eq(n_taken, 1);
    answer_with(ERR_OK);
    node_fixture_turn();
}
