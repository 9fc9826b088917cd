/* The routes of the subscriber port: what each path and method is answered, and which requests are
 * forbidden (CONTRACT 2). */
#include "gateway/port/port_routes.h"

#include "tests/support/node_fixture.h"
#include "tests/support/port_client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(port_routes, .init = port_client_start, .fini = port_client_stop);

/* The answer to METHOD PATH with these header lines. */
static const char *ask(const char *method, const char *path, const char *fields)
{
    char request[2000];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\n%s\r\n", method, path, fields);
    return port_client_ask(request);
}

static void expect_status(const char *method, const char *path, const char *fields, unsigned status)
{
    char line[32];
    const char *answer = ask(method, path, fields);
    snprintf(line, sizeof line, "HTTP/1.1 %u ", status);
    cr_expect(strncmp(answer, line, strlen(line)) == 0, "%s %s\n%s: %s", method, path, fields,
              answer);
}

static void expect_in_answer(const char *method, const char *path, const char *fields,
                             const char *text)
{
    const char *answer = ask(method, path, fields);
    cr_expect_not_null(strstr(answer, text), "%s %s: no %s in %s", method, path, text, answer);
}

/* ---- paths and methods ---- */

Test(port_routes, answers_each_path_by_its_route)
{
    atomic_store(&fixture.node.was_store_up, true);
    expect_status("GET", "/livez", PORT_CLIENT_HOST, 200);
    expect_status("GET", "/readyz", PORT_CLIENT_HOST, 200);
    expect_status("GET", "/ws?userId=anna", PORT_CLIENT_HOST PORT_CLIENT_UPGRADE, 101);
    expect_status("GET", "/getPushNews?userId=anna", PORT_CLIENT_HOST PORT_CLIENT_UPGRADE, 101);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST, 200);
    expect_status("POST", "/ack?userId=anna", PORT_CLIENT_HOST, 400);
    expect_status("POST", "/message?userId=anna&id=1", PORT_CLIENT_HOST, 404); /* none are taken */
}

Test(port_routes, refuses_a_path_that_it_does_not_have_and_says_which_it_has)
{
    expect_status("GET", "/", PORT_CLIENT_HOST, 404);
    expect_status("GET", "/ws/", PORT_CLIENT_HOST, 404);
    expect_status("GET", "/WS", PORT_CLIENT_HOST, 404);
    expect_status("POST", "/push", PORT_CLIENT_HOST, 404);
    expect_in_answer("GET", "/", PORT_CLIENT_HOST, "WebSockets are at /ws?userId=ID");
}

/* RFC 9110, 15.5.6: a 405 names the methods that there are. */
Test(port_routes, refuses_other_methods_and_names_its_own)
{
    static const struct {
        const char *method, *path, *allow;
    } rows[] = {
        {"POST", "/livez", "\r\nAllow: GET, HEAD\r\n"},
        {"DELETE", "/readyz", "\r\nAllow: GET, HEAD\r\n"},
        {"POST", "/ws?userId=anna", "\r\nAllow: GET\r\n"},
        {"PUT", "/getPushNews?userId=anna", "\r\nAllow: GET\r\n"},
        {"HEAD", "/sse?userId=anna", "\r\nAllow: GET, OPTIONS\r\n"},
        {"GET", "/ack?userId=anna&id=abcdefgh-1", "\r\nAllow: POST, OPTIONS\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_status(rows[i].method, rows[i].path, PORT_CLIENT_HOST, 405);
        expect_in_answer(rows[i].method, rows[i].path, PORT_CLIENT_HOST, rows[i].allow);
    }
}

Test(port_routes, wants_http_1_1_for_a_websocket)
{
    const char *answer =
        port_client_ask("GET /ws?userId=anna HTTP/1.0\r\n" PORT_CLIENT_UPGRADE "\r\n");
    cr_expect_eq(strncmp(answer, "HTTP/1.1 505 ", 13), 0, "%s", answer);
}

/* The Fetch standard's preflight. */
Test(port_routes, answers_options_with_what_pages_may_send)
{
    static char *more[] = {"X-Trace", "X-Span"};
    static const char fields[] = PORT_CLIENT_HOST "Origin: http://herald.example\r\n";
    fixture.options.cors_header = (struct option_list){more, 2};
    expect_status("OPTIONS", "/ack", fields, 204);
    expect_in_answer("OPTIONS", "/ack", fields,
                     "\r\nAccess-Control-Allow-Methods: POST, OPTIONS\r\n");
    expect_in_answer("OPTIONS", "/ack", fields,
                     "\r\nAccess-Control-Allow-Headers: Authorization, Content-Type, "
                     "Last-Event-ID, X-Trace, X-Span\r\n");
    expect_in_answer("OPTIONS", "/ack", fields,
                     "\r\nAccess-Control-Allow-Origin: http://herald.example\r\n");
    expect_in_answer("OPTIONS", "/ack", fields, "\r\nConnection: keep-alive\r\n");
    expect_in_answer("OPTIONS", "/sse", fields,
                     "\r\nAccess-Control-Allow-Methods: GET, OPTIONS\r\n");
    expect_status("OPTIONS", "/ws", fields, 405);
}

/* ---- what is forbidden ---- */

Test(port_routes, forbids_a_foreign_origin_on_each_path_before_it_looks_at_it)
{
    static const char *const paths[] = {"/ws?userId=anna", "/sse?userId=anna", "/ack", "/nowhere"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        expect_status("GET", paths[i], PORT_CLIENT_HOST "Origin: https://evil.example\r\n", 403);
        expect_in_answer("GET", paths[i], PORT_CLIENT_HOST "Origin: https://evil.example\r\n",
                         "--allowed-origin https://evil.example allows it");
    }
}

Test(port_routes, allows_its_own_origin_and_those_of_the_option)
{
    static char *allowed[] = {"https://app.example", "https://*.pages.example"};
    fixture.options.allowed_origin = (struct option_list){allowed, 2};
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Origin: http://herald.example\r\n",
                  200);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Origin: https://app.example\r\n",
                  200);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Origin: https://a.pages.example\r\n",
                  200);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Origin: http://app.example\r\n",
                  403);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Origin: https://pages.example\r\n",
                  403);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Origin: null\r\n", 403);
}

Test(port_routes, forbids_two_origins_though_each_is_allowed)
{
    expect_status(
        "GET", "/sse?userId=anna",
        PORT_CLIENT_HOST "Origin: http://herald.example\r\nOrigin: http://herald.example\r\n", 403);
}

/* What --allowed-origin would refuse is not given as advice. */
Test(port_routes, advises_no_option_that_would_be_refused)
{
    const char *answer =
        ask("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Origin: https://*.evil\r\n");
    cr_expect_eq(strncmp(answer, "HTTP/1.1 403 ", 13), 0, "%s", answer);
    cr_expect_null(strstr(answer, "allows it"), "%s", answer);
}

/* An image or a link sends no Origin, but the cookies (Fetch Metadata). */
Test(port_routes, forbids_an_event_stream_to_another_sites_page_that_sends_no_origin)
{
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Sec-Fetch-Site: cross-site\r\n",
                  403);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Sec-Fetch-Site: same-site\r\n", 403);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Sec-Fetch-Site: same-origin\r\n",
                  200);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST "Sec-Fetch-Site: none\r\n", 200);
    expect_status(
        "GET", "/sse?userId=anna",
        PORT_CLIENT_HOST "Sec-Fetch-Site: cross-site\r\nOrigin: http://herald.example\r\n", 200);
}

/* CONTRACT section 1: with --auth none the port is the developer's own. */
Test(port_routes, without_identity_forbids_proxies_and_hosts_that_are_not_this_machine)
{
    fixture.options.insecure = false;
    expect_status("GET", "/sse?userId=anna", "Host: localhost:8080\r\n", 200);
    expect_status("GET", "/sse?userId=anna", "Host: 127.0.0.1\r\n", 200);
    expect_status("GET", "/sse?userId=anna", PORT_CLIENT_HOST, 403);
    expect_status("GET", "/sse?userId=anna", "Host: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n",
                  403);
    expect_status("GET", "/nowhere", "Host: localhost\r\nVia: 1.1 proxy\r\n", 403);
    expect_in_answer("GET", "/sse?userId=anna", PORT_CLIENT_HOST, "--insecure allows it");
}

Test(port_routes, with_identity_forbids_them_with_the_demo_alone)
{
    fixture.options.insecure = false;
    fixture.options.auth = "ticket";
    port_client_identify_anew();
    expect_status("GET", "/nowhere", PORT_CLIENT_HOST "Via: 1.1 proxy\r\n", 404);
    fixture.options.demo = true;
    expect_status("GET", "/nowhere", PORT_CLIENT_HOST "Via: 1.1 proxy\r\n", 403);
}

/* ---- the health of the node (CONTRACT 3, on the subscriber port) ---- */

/* Balancers name the port as they like, and stand where proxies stand. */
Test(port_routes, tells_its_health_before_it_forbids_anything)
{
    static const char *const fields[] = {PORT_CLIENT_HOST "Origin: https://evil.example\r\n",
                                         PORT_CLIENT_HOST "Via: 1.1 proxy\r\n", "Host: a\r\n"};
    fixture.options.insecure = false;
    atomic_store(&fixture.node.was_store_up, true);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        expect_status("GET", "/livez", fields[i], 200);
        expect_status("HEAD", "/readyz", fields[i], 200);
        expect_in_answer("GET", "/livez", fields[i], "\r\nConnection: keep-alive\r\n");
    }
}

static void expect_health(const char *path, unsigned status, const char *body)
{
    expect_status("GET", path, PORT_CLIENT_HOST, status);
    expect_in_answer("GET", path, PORT_CLIENT_HOST, body);
}

Test(port_routes, tells_whether_the_node_is_ready)
{
    atomic_store(&fixture.node.is_store_up, false);
    expect_health("/readyz", 503, "\"type\":\"store-unavailable\"");
    atomic_store(&fixture.node.was_store_up, true);
    expect_health("/readyz", 200, "\r\n\r\n{\"degraded\":[\"store\"]}");
    atomic_store(&fixture.node.is_store_up, true);
    expect_health("/readyz", 200, "\r\n\r\n{\"status\":\"ready\"}");
    atomic_store(&fixture.node.is_draining, true);
    expect_health("/readyz", 503, "\"type\":\"draining\"");
}

Test(port_routes, reports_that_a_worker_hangs)
{
    expect_health("/livez", 200, "{\"status\":\"live\"}");
    atomic_fetch_sub(&fixture.worker->seen_ms, 60000);
    expect_health("/livez", 500, "a worker has not turned for 5 s");
}

/* ---- the demo ---- */

Test(port_routes, has_the_demo_with_its_option_alone)
{
    static const struct {
        const char *method, *path, *type;
    } rows[] = {
        {"GET", "/", "text/html"},
        {"GET", "/demo/page.css", "text/css"},
        {"GET", "/demo/page.js", "text/javascript"},
        {"GET", "/demo/facts", "application/json"},
    };
    fixture.options.admin_listen = "127.0.0.1:8081";
    fixture.options.admin_tls_cert = "";
    fixture.options.admin_keys = "";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture.options.demo = false;
        expect_status(rows[i].method, rows[i].path, PORT_CLIENT_HOST, 404);
        fixture.options.demo = true;
        expect_status(rows[i].method, rows[i].path, PORT_CLIENT_HOST, 200);
        expect_in_answer(rows[i].method, rows[i].path, PORT_CLIENT_HOST, rows[i].type);
        expect_in_answer(rows[i].method, rows[i].path, PORT_CLIENT_HOST, "default-src 'none'");
        expect_status("POST", rows[i].path, PORT_CLIENT_HOST, 405);
    }
}

static const char *push_by_demo(const char *body)
{
    char request[1000];
    snprintf(request, sizeof request,
             "POST /demo/push HTTP/1.1\r\n" PORT_CLIENT_HOST
             "Content-Type: application/json; charset=utf-8\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    return port_client_ask(request);
}

static void expect_push_by_demo(const char *body, const char *status, const char *text)
{
    const char *answer = push_by_demo(body);
    cr_expect_eq(strncmp(answer, status, strlen(status)), 0, "%s: %s", body, answer);
    cr_expect_not_null(strstr(answer, text), "%s: no %s in %s", body, text, answer);
}

Test(port_routes, takes_a_push_of_the_demos_page_for_one_user)
{
    fixture.options.demo = true;
    fixture.options.max_data = 4096;
    fixture.options.default_ttl = 60000;
    expect_push_by_demo("{\"userId\":\"anna\",\"data\":\"hi\"}", "HTTP/1.1 202 ",
                        "\"seq\":1,\"status\":\"stored\"");
    expect_push_by_demo("{\"userId\":\"anna\",\"data\":\"hi\",\"ttl\":0}", "HTTP/1.1 200 ",
                        "{\"status\":\"dropped\",\"online\":0");
    expect_push_by_demo("{\"userIds\":[\"a\",\"b\"],\"data\":\"hi\"}", "HTTP/1.1 400 ",
                        "one userId is taken here");
    expect_push_by_demo("{\"userId\":", "HTTP/1.1 400 ", "\"type\":\"bad-json\"");
}

Test(port_routes, refuses_a_push_of_the_demos_page_by_its_head)
{
    fixture.options.demo = true;
    fixture.options.max_data = 4096;
    expect_status("GET", "/demo/push", PORT_CLIENT_HOST, 405);
    expect_status("POST", "/demo/push",
                  PORT_CLIENT_HOST "Content-Type: text/plain\r\nContent-Length: 2\r\n", 415);
    expect_status("POST", "/demo/push", PORT_CLIENT_HOST "Content-Type: application/json\r\n", 413);
    expect_status("POST", "/demo/push",
                  PORT_CLIENT_HOST "Content-Type: application/json\r\nContent-Length: 5121\r\n",
                  413);
}

/* ---- requests that wait for their turn ---- */

/* Others use up more than the share of work all the time. */
static void use_up_work(void)
{
    conn_loop_count_work(&fixture.worker->loop, 1000000);
}

static void wait_s_in_vain(int64_t seconds)
{
    for (int64_t i = 0; i < seconds * 50; i++) {
        use_up_work();
        node_fixture_wait_ms(20);
    }
}

/* EventSource gives up on a 503 for good, and a page with a WebSocket does not see it. */
Test(port_routes, whose_turn_does_not_come_in_time_is_refused_as_its_kind_can_take_it)
{
    enum { REQUESTS = 4 };
    static const char *const requests[REQUESTS] = {
        "GET /sse?userId=1 HTTP/1.1\r\n" PORT_CLIENT_HOST "\r\n",
        "GET /ws?userId=1&ticket=t HTTP/1.1\r\n" PORT_CLIENT_HOST PORT_CLIENT_UPGRADE
        "Origin: http://herald.example\r\n\r\n",
        "GET /ws?userId=1&ticket=t HTTP/1.1\r\n" PORT_CLIENT_HOST PORT_CLIENT_UPGRADE "\r\n",
        "POST /ack?userId=1&id=abcdefgh-1 HTTP/1.1\r\n" PORT_CLIENT_HOST "\r\n",
    };
    int sockets[REQUESTS];
    fixture.options.auth = "ticket";
    port_client_identify_anew();
    for (int i = 0; i < REQUESTS; i++) {
        use_up_work();
        sockets[i] = port_client_send(requests[i]);
    }
    wait_s_in_vain(9);
    for (int i = 0; i < REQUESTS; i++)
        cr_assert_eq(port_client_read(sockets[i])[0], '\0', "%s", requests[i]);
    wait_s_in_vain(2);
    const char *answer = port_client_read(sockets[0]);
    cr_expect_eq(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17), 0, "%s", answer);
    cr_expect_not_null(strstr(answer, "\r\n\r\nretry: "), "%s", answer);
    answer = port_client_read(sockets[1]);
    cr_expect_eq(strncmp(answer, "HTTP/1.1 101 ", 13), 0, "%s", answer);
    cr_expect_not_null(strstr(answer, "\x03\xf5"), "1013: %s", answer);
    for (int i = 2; i < REQUESTS; i++) {
        answer = port_client_read(sockets[i]);
        cr_expect_eq(strncmp(answer, "HTTP/1.1 503 ", 13), 0, "%s", answer);
        cr_expect_not_null(strstr(answer, "Connection: close\r\n"), "%s", answer);
    }
}
