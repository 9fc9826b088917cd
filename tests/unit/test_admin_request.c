/* What a request of the admin API does without the daemon: the parts of its address, the budget of
 * memory, its body, its refusals. The library's connection is not touched. */
#include "admin/request.h"

#include "admin/service.h"

#include <criterion/criterion.h>

static struct service service;
static struct request request;

static void set_up(void)
{
    service.max_body_bytes = 100;
    request.service = &service;
    buf_init(&request.body, service.max_body_bytes);
    json_out_init(&request.out, 65536);
}

static void tear_down(void)
{
    buf_fini(&request.body);
    json_out_fini(&request.out);
}

TestSuite(request, .init = set_up, .fini = tear_down);

static void expect_refused(unsigned status, const char *part)
{
    struct span answer = buf_span(&request.out.buf);
    cr_expect_eq(request.status, status);
    cr_expect_str_eq(request.content_type, PROBLEM_CONTENT_TYPE);
    cr_expect_not_null(memmem(answer.bytes, answer.len, part, strlen(part)), "%.*s has no %s",
                       (int)answer.len, answer.bytes, part);
}

/* ---- the address ---- */

static void expect_user(const char *segment, const char *user, size_t len)
{
    struct span found = {0};
    request.match.segments[0] = span_of(segment);
    cr_assert(request_path_user(&request, &found), "%s", segment);
    cr_expect(span_equal(found, (struct span){user, len}), "%s: %.*s", segment, (int)found.len,
              found.bytes);
    cr_expect_eq(request.status, 0);
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
    request.match.segments[0] = (struct span){segment, (size_t)3 * 128};
    cr_assert(request_path_user(&request, &found));
    cr_expect(span_equal(found, (struct span){user, sizeof user}));
    request.match.segments[0] = span_of(segment);
    cr_expect_not(request_path_user(&request, &found));
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
        request.match.segments[0] = span_of(rows[i].segment);
        cr_expect_not(request_path_user(&request, &found), "%s", rows[i].segment);
        expect_refused(400, rows[i].part);
    }
}

Test(request, reads_the_message_of_its_path)
{
    struct epoch epoch;
    uint64_t seq;
    request.match.segments[1] = SPAN_LITERAL("k3f9a2qd-7");
    cr_assert(request_path_message(&request, &epoch, &seq));
    cr_expect_eq(seq, 7);
    cr_expect_eq(memcmp(epoch.text, "k3f9a2qd", EPOCH_LEN), 0);
    request.match.segments[1] = SPAN_LITERAL("k3f9a2qd%2D8");
    cr_assert(request_path_message(&request, &epoch, &seq));
    cr_expect_eq(seq, 8);
    request.match.segments[1] = SPAN_LITERAL("k3f9a2qd");
    cr_expect_not(request_path_message(&request, &epoch, &seq));
    expect_refused(400, "a message id is EPOCH-SEQ");
}

/* ---- the body ---- */

static bool take(const char *bytes, size_t len)
{
    bool is_taken = request_take_body(&request, bytes, &len);
    cr_expect_eq(len, 0, "nothing of a collected body comes again");
    return is_taken;
}

Test(request, collects_a_body_up_to_max_body)
{
    static const char bytes[101];
    cr_expect(take(bytes, 60));
    cr_expect(take(bytes, 40));
    cr_expect_eq(request.refused, ERR_OK);
    cr_expect_eq(request.body.len, 100);
    cr_expect(take(bytes, 1), "the rest is read, so that the client sees its answer");
    cr_expect_eq(request.refused, ERR_TOO_LARGE);
    cr_expect_eq(request.body.len, 0);
}

Test(request, discards_16_MiB_of_a_refused_body_and_no_more)
{
    static const char bytes[1 << 20];
    request_refuse_head(&request, ERR_UNAUTHORIZED, NULL, NULL);
    for (size_t i = 0; i < 16; i++)
        cr_expect(take(bytes, sizeof bytes));
    cr_expect_not(take(bytes, 1));
}

Test(request, keeps_the_first_reason_that_it_is_refused_for)
{
    request_refuse_head(&request, ERR_NOT_FOUND, "field", "first");
    request_refuse_head(&request, ERR_BUSY, NULL, "second");
    request_run(&request);
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
    static const struct route_action action = {.take = take_half};
    static const struct route route = {.action = &action};
    static const char bytes[1000];
    size_t len = sizeof bytes;
    request.match.route = &route;
    cr_expect(request_take_body(&request, bytes, &len));
    cr_expect_eq(n_taken, 500);
    cr_expect_eq(len, 500, "the rest comes again");
    cr_expect_eq(request.body.len, 0);
}

/* ---- the budget, the answer ---- */

/* 256 MiB for the bodies, targets and results of all requests. */
Test(request, is_charged_until_the_budget_of_all_requests_is_used_up)
{
    const size_t budget = (size_t)256 << 20;
    cr_expect(request_charge(&request, budget - 1));
    cr_expect_not(request_charge(&request, 2));
    cr_expect_eq(atomic_load(&service.charged_bytes), budget - 1, "a refused charge costs nothing");
    cr_expect(request_charge(&request, 1));
    cr_expect_not(request_charge(&request, SIZE_MAX));
    cr_expect_eq(request.charged_bytes, budget);
}

Test(request, answers_a_problem_in_place_of_what_was_written)
{
    json_out_text(&request.out, "{\"half\":");
    request_refuse_with(&request, ERR_INVALID_FIELD, "limit", "limit must be a number");
    expect_refused(400, "\"field\":\"limit\"");
    cr_expect_eq(request.out.buf.bytes[1], '"');
    cr_expect_null(memmem(request.out.buf.bytes, request.out.buf.len, "half", 4));
}

Test(request, answers_a_problem_when_its_answer_could_not_be_written)
{
    request.out.has_failed = true;
    request_reply(&request, 200);
    expect_refused(503, "\"requestId\":\"");
    cr_expect_not(request.out.has_failed);
}

/* An operator finds a request in the log by its id. */
Test(request, gives_each_problem_an_id_of_its_own)
{
    char first[4096];
    request_refuse_with(&request, ERR_BUSY, NULL, NULL);
    size_t len = request.out.buf.len;
    cr_assert_leq(len, sizeof first);
    memcpy(first, request.out.buf.bytes, len);
    request_refuse_with(&request, ERR_BUSY, NULL, NULL);
    cr_expect_eq(request.out.buf.len, len);
    cr_expect_neq(memcmp(first, request.out.buf.bytes, len), 0);
}
