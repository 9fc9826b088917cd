/* What a request of the admin API does without a connection: the parts of its address, its body,
 * its refusals, its deadline, and the answers of the gateway. The clock is the fixture's. */
#include "admin/request.h"

#include "admin/service.h"
#include "tests/support/node_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { MAX_BODY = 100 };

static char head_bytes[1024];
static struct http_head head;
static struct http_field head_fields[8];
static struct service *service;
static struct admin_worker *home;
static struct request *request;
static unsigned n_answered, n_room;

static void count_answered(struct request *answered)
{
    cr_expect_eq(answered, request);
    n_answered++;
}

static void count_room(struct request *resumed)
{
    cr_expect_eq(resumed, request);
    n_room++;
}

static const struct request_engine engine = {.on_answered = count_answered, .on_room = count_room};

/* Begins a request whose head this is. */
static void set_head(const char *text)
{
    size_t len = strlen(text);
    memcpy(head_bytes, text, len);
    http_head_init(&head, sizeof head_bytes, head_fields, 8);
    cr_assert_eq(http_head_parse(&head, head_bytes, len), HTTP_HEAD_DONE, "%s", text);
    request->head = &head;
    request->head_bytes = head_bytes;
}

static void set_up(void)
{
    static const struct route routes[1];
    static const struct route_table table = {routes, 0};
    char why[200] = "";
    node_fixture_start();
    worker_be_here(fixture.worker); /* what is answered here needs no letter */
    fixture.options.admin_keys = fixture.options.admin_tls_cert = "";
    fixture.options.admin_listen = "127.0.0.1:0";
    fixture.options.max_body = MAX_BODY;
    cr_assert_eq(service_new(&fixture.options, &table, &fixture.node, &service, why, sizeof why),
                 ERR_OK, "%s", why);
    service->request_bytes = sizeof(struct request);
    cr_assert_eq(admin_worker_new(fixture.worker, service, &home), ERR_OK);
    request = request_new(home, &engine);
    cr_assert_eq(access_check(service->access, &home->view, SPAN_LITERAL(""), 0, &request->account),
                 ERR_OK);
    set_head("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

static void tear_down(void)
{
    if (request != NULL)
        request_end(request);
    cr_expect_eq(home->n_allocated, 0);
    cr_expect_eq(home->n_requests, 0);
    cr_expect(list_is_empty(&home->requests));
    cr_expect_eq(home->n_running, 0);
    admin_worker_close(home);
    service_unref(service);
    node_fixture_stop();
}

TestSuite(request, .init = set_up, .fini = tear_down);

static void expect_refused(unsigned status, const char *part)
{
    struct span answer = buf_span(&request->out.buf);
    cr_expect_eq(request->status, status);
    cr_expect_str_eq(request->content_type, PROBLEM_CONTENT_TYPE);
    cr_expect_not_null(memmem(answer.bytes, answer.len, part, strlen(part)), "%.*s has no %s",
                       (int)answer.len, answer.bytes, part);
}

/* ---- the address ---- */

/* The path is /users/ and the segment. */
static void set_segment(size_t i, struct span segment)
{
    char text[sizeof head_bytes];
    snprintf(text, sizeof text, "GET /users/%.*s HTTP/1.1\r\nHost: localhost\r\n\r\n",
             (int)segment.len, segment.bytes);
    set_head(text);
    request->match.segments[i] =
        (struct http_part){(uint16_t)strlen("/users/"), (uint16_t)segment.len};
}

static void expect_user(const char *segment, const char *user, size_t len)
{
    struct span found = {0};
    set_segment(0, span_of(segment));
    cr_assert(request_path_user(request, &found), "%s", segment);
    cr_expect(span_equal(found, (struct span){user, len}), "%s: %.*s", segment, (int)found.len,
              found.bytes);
    cr_expect_eq(request->status, 0);
}

Test(request, decodes_the_user_of_its_path)
{
    expect_user("42", "42", 2);
    expect_user("a%2Fb", "a/b", 3);
    expect_user("a%2fb", "a/b", 3);
    expect_user("%C3%A4", "\xc3\xa4", 2);
    expect_user("100%25", "100%", 4);
    expect_user("a%3Fb%23c", "a?b#c", 5);
}

/* A `+` is a space in a query alone (CONTRACT section 2). */
Test(request, leaves_a_plus_in_its_path_as_it_is)
{
    expect_user("a+b", "a+b", 3);
}

Test(request, takes_a_user_of_128_bytes_and_refuses_one_of_129)
{
    char segment[3 * 129 + 1];
    char user[USER_ID_MAX_BYTES];
    for (size_t i = 0; i < 129; i++)
        memcpy(segment + 3 * i, "%61", sizeof "%61");
    memset(user, 'a', sizeof user);
    struct span found;
    set_segment(0, (struct span){segment, (size_t)3 * 128});
    cr_assert(request_path_user(request, &found));
    cr_expect(span_equal(found, (struct span){user, sizeof user}));
    set_segment(0, span_of(segment));
    cr_expect_not(request_path_user(request, &found));
    expect_refused(400, "userId must be 1 to 128 bytes");
}

Test(request, refuses_a_user_that_is_none)
{
    static const struct {
        const char *segment, *part;
    } rows[] = {
        {"", "userId must be 1 to 128 bytes"},
        {"a%", "userId has a bad percent-escape"},
        {"a%4", "userId has a bad percent-escape"},
        {"a%zz", "userId has a bad percent-escape"},
        {"%FF", "\"field\":\"userId\""},
        {"a%00b", "\"field\":\"userId\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span found;
        set_segment(0, span_of(rows[i].segment));
        cr_expect_not(request_path_user(request, &found), "%s", rows[i].segment);
        expect_refused(400, rows[i].part);
    }
}

Test(request, reads_the_message_of_its_path)
{
    struct epoch epoch;
    uint64_t seq;
    set_segment(1, SPAN_LITERAL("k3f9a2qd-7"));
    cr_assert(request_path_message(request, &epoch, &seq));
    cr_expect_eq(seq, 7);
    cr_expect_eq(memcmp(epoch.text, "k3f9a2qd", EPOCH_LEN), 0);
    set_segment(1, SPAN_LITERAL("k3f9a2qd%2D8"));
    cr_assert(request_path_message(request, &epoch, &seq));
    cr_expect_eq(seq, 8);
    set_segment(1, SPAN_LITERAL("k3f9a2qd"));
    cr_expect_not(request_path_message(request, &epoch, &seq));
    expect_refused(400, "a message id is EPOCH-SEQ");
}

/* ---- the body ---- */

static bool take(const char *bytes, size_t len)
{
    bool is_taken = request_take_body(request, bytes, &len);
    cr_expect_eq(len, 0, "nothing of a collected body comes again");
    return is_taken;
}

Test(request, collects_a_body_up_to_max_body)
{
    static const char bytes[101];
    cr_expect(take(bytes, 60));
    cr_expect(take(bytes, 40));
    cr_expect_eq(request->refused, ERR_OK);
    cr_expect_eq(request->body.len, 100);
    cr_expect(take(bytes, 1), "the rest is read, so that the client sees its answer");
    cr_expect_eq(request->refused, ERR_TOO_LARGE);
    cr_expect_eq(request->body.len, 0);
}

Test(request, discards_16_MiB_of_a_refused_body_and_no_more)
{
    static const char bytes[1 << 20];
    request_refuse_head(request, ERR_UNAUTHORIZED, NULL, NULL);
    for (size_t i = 0; i < 16; i++)
        cr_expect(take(bytes, sizeof bytes));
    cr_expect_not(take(bytes, 1));
}

Test(request, keeps_the_first_reason_that_it_is_refused_for)
{
    request_refuse_head(request, ERR_NOT_FOUND, "field", "first");
    request_refuse_head(request, ERR_BUSY, NULL, "second");
    cr_expect(request_execute(request));
    expect_refused(404, "\"detail\":\"first\"");
}

static size_t n_taken;

static void take_half(struct request *taker, const char *bytes, size_t *inout_len)
{
    (void)taker, (void)bytes;
    n_taken += *inout_len - *inout_len / 2;
    *inout_len /= 2;
}

Test(request, leaves_its_body_to_a_route_that_takes_it_piece_by_piece)
{
    static const struct route_action action = {.take = take_half, .is_direct = true};
    static const struct route route = {.action = &action};
    static const char bytes[1000];
    size_t len = sizeof bytes;
    request->match.route = &route;
    cr_expect(request_take_body(request, bytes, &len));
    cr_expect_eq(n_taken, 500);
    cr_expect_eq(len, 500, "the rest comes again");
    cr_expect_eq(request->body.len, 0);
}

/* ---- the answer ---- */

Test(request, answers_a_problem_in_place_of_what_was_written)
{
    json_out_text(&request->out, "{\"half\":");
    request_refuse_with(request, ERR_INVALID_FIELD, "limit", "limit must be a number");
    expect_refused(400, "\"field\":\"limit\"");
    cr_expect_eq(request->out.buf.bytes[1], '"');
    cr_expect_null(memmem(request->out.buf.bytes, request->out.buf.len, "half", 4));
}

Test(request, answers_a_problem_when_its_answer_could_not_be_written)
{
    request->out.has_failed = true;
    request_reply(request, 200);
    expect_refused(503, "\"requestId\":\"");
    cr_expect_not(request->out.has_failed);
}

/* An operator finds a request in the log by its id. */
Test(request, gives_each_problem_an_id_of_its_own)
{
    char first[4096];
    request_refuse_with(request, ERR_BUSY, NULL, NULL);
    size_t len = request->out.buf.len;
    cr_assert_leq(len, sizeof first);
    memcpy(first, request->out.buf.bytes, len);
    request_refuse_with(request, ERR_BUSY, NULL, NULL);
    cr_expect_eq(request->out.buf.len, len);
    cr_expect_neq(memcmp(first, request->out.buf.bytes, len), 0);
}

/* ---- the head ---- */

Test(request, finds_a_header_whatever_its_case_and_counts_it)
{
    struct span value = {0};
    set_head("GET / HTTP/1.1\r\nHost: h\r\nidempotency-KEY:  a b \r\nX: 1\r\n"
             "Idempotency-Key: c\r\n\r\n");
    cr_expect_eq(request_header(request, "Idempotency-Key", &value), 2);
    cr_expect(span_equal(value, SPAN_LITERAL("c")));
    cr_expect_eq(request_header(request, "Idempotency", &value), 0);
}

static void expect_query(const char *query, enum err error, const char *value)
{
    char text[256];
    char found[8] = "";
    snprintf(text, sizeof text, "GET /x?%s HTTP/1.1\r\nHost: h\r\n\r\n", query);
    set_head(text);
    cr_expect_eq(request_query(request, "after", found, sizeof found), error, "%s", query);
    if (error == ERR_OK)
        cr_expect_str_eq(found, value, "%s", query);
}

Test(request, decodes_a_parameter_of_its_query_once)
{
    expect_query("after=7", ERR_OK, "7");
    expect_query("limit=3&after=a%2B+b&x", ERR_OK, "a+ b");
    expect_query("after=", ERR_OK, "");
    expect_query("", ERR_NOT_FOUND, "");
    expect_query("afte=1&aafter=2", ERR_NOT_FOUND, "");
    expect_query("after=1&after=1", ERR_INVALID_FIELD, "");
    expect_query("after=%zz", ERR_INVALID_FIELD, "");
    expect_query("after=a%00b", ERR_INVALID_FIELD, "");
    expect_query("after=12345678", ERR_INVALID_FIELD, "");
}

/* ---- the gateway, and the deadline ---- */

static bool is_answered_inside;
static struct request *asked;

static void ask_gateway(struct request *runner)
{
    request_hand_over(runner);
    asked = runner;
    if (is_answered_inside)
        request_done(runner);
}

static void reply_ok(struct request *finished)
{
    json_out_text(&finished->out, "{}");
    request_reply(finished, 200);
}

static const struct route_action asking_action = {
    .request_bytes = sizeof(struct request), .run = ask_gateway, .finish = reply_ok};
static const struct route asking_route = {.method = "GET", .action = &asking_action};

/* The request is the gateway's. */
static void ask(void)
{
    request->match.route = &asking_route;
    cr_assert_not(request_execute(request));
    cr_assert_eq(n_answered, 0);
}

Test(request, is_answered_at_once_when_the_gateway_has_answered_inside_the_call)
{
    is_answered_inside = true;
    request->match.route = &asking_route;
    cr_expect(request_execute(request));
    cr_expect_eq(request->status, 200);
    cr_expect_eq(n_answered, 0, "the engine knows it already");
    cr_expect_not(timer_is_set(&request->deadline), "and no timer was needed");
}

Test(request, is_answered_when_the_gateway_has_answered_on_its_thread)
{
    ask();
    request_done(asked);
    cr_expect_eq(n_answered, 1);
    cr_expect_eq(request->status, 200);
    cr_expect_not(timer_is_set(&request->deadline));
}

Test(request, is_answered_on_its_own_thread_when_the_gateway_answers_on_another)
{
    ask();
    worker_be_here(NULL); /* this thread is not the worker's */
    request_done(asked);
    cr_expect_eq(n_answered, 0);
    node_fixture_turn();
    cr_expect_eq(n_answered, 1);
    cr_expect_eq(request->status, 200);
}

/* CONTRACT 3: a request that the gateway does not answer is answered 503 after its deadline. */
Test(request, is_answered_at_its_deadline_and_not_before)
{
    ask();
    node_fixture_wait_ms(REQUEST_DEADLINE_MS - 1000);
    cr_expect_eq(n_answered, 0);
    node_fixture_wait_ms(2000);
    cr_expect_eq(n_answered, 1);
    expect_refused(503, PROBLEM_LATE_DETAIL);
    request_done(asked); /* too late */
    cr_expect_eq(n_answered, 1);
    cr_expect_eq(request->status, 503);
}

Test(request, adds_the_time_that_a_push_waits_to_its_deadline)
{
    request->wait_ms = 20000;
    ask();
    node_fixture_wait_ms(REQUEST_DEADLINE_MS + 20000 - 1000);
    cr_expect_eq(n_answered, 0);
    node_fixture_wait_ms(2000);
    cr_expect_eq(n_answered, 1);
    request_done(asked);
}

Test(request, is_overdue_at_once_when_a_stop_waits_no_longer)
{
    home->has_given_up = true;
    request->match.route = &asking_route;
    cr_expect(request_execute(request));
    expect_refused(503, PROBLEM_LATE_DETAIL);
    request_done(asked);
}

Test(request, is_not_carried_out_once_herald_stops)
{
    atomic_store(&service->is_stopping, true);
    request->match.route = &asking_route;
    cr_expect(request_execute(request));
    expect_refused(503, "draining");
    cr_expect_null(asked);
}

static unsigned n_given_up;

static void count_give_up(struct request *waiter)
{
    (void)waiter;
    n_given_up++;
}

/* A push that waits for an acknowledgement makes room for another when its client hangs up; the
 * memory stays until the gateway has answered. */
Test(request, outlives_its_client_while_the_gateway_has_it)
{
    request->give_up = count_give_up;
    ask();
    request_client_gone(request);
    request = NULL;
    cr_expect_eq(n_given_up, 1);
    cr_expect_eq(home->n_requests, 0);
    cr_expect_eq(home->n_allocated, 1);
    request_done(asked);
    cr_expect_eq(n_answered, 0);
    cr_expect_eq(home->n_allocated, 0);
}

Test(request, frees_what_it_was_charged_with_its_last_reference)
{
    size_t before = atomic_load(&service->budget.large_left);
    cr_assert(request_charge(request, (size_t)1 << 20));
    ask();
    request_client_gone(request);
    request = NULL;
    cr_expect_lt(atomic_load(&service->budget.large_left), before);
    request_done(asked);
    cr_expect_eq(atomic_load(&service->budget.large_left), before);
}

/* ---- a body that its route takes ---- */

Test(request, takes_more_of_its_body_when_its_route_resumes)
{
    request_pause(request);
    request_resume(request);
    request_resume(request);
    cr_expect_eq(n_room, 1);
    cr_expect_not(request->is_late);
    cr_expect_not(timer_is_set(&request->deadline));
}

Test(request, takes_more_of_its_body_when_its_route_does_not_resume_in_time)
{
    request_pause(request);
    node_fixture_wait_ms(REQUEST_DEADLINE_MS - 1000);
    cr_expect_eq(n_room, 0);
    node_fixture_wait_ms(2000);
    cr_expect_eq(n_room, 1);
    cr_expect(request->is_late);
}
