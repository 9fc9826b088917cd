/* The keys and the waiting of a push, its lines, and broadcasts (CONTRACT section 3). */
#include "tests/unit/push_json_calls.h"

/* A push to "a" with one member more. */
static void expect_member(const char *member, enum err error, const char *field)
{
    char body[1024];
    struct push_request request;
    struct json_problem problem = {.error = ERR_OK};
    int len = snprintf(body, sizeof body, "{\"userId\":\"a\",\"data\":0,%s}", member);
    struct span text = guarded((struct span){body, (size_t)len});
    enum err found = push_request_parse(text, &limits, &request, &problem);
    cr_expect_eq(found, error, "%s: %s", member, problem.detail);
    if (found != ERR_OK)
        cr_expect_str_eq(problem.field, field, "%s", member);
    push_request_fini(&request);
}

Test(push_fields, reads_keys_with_and_without_escapes)
{
    struct push_request request =
        parse(SPAN_LITERAL("{\"userId\":\"\\u0061\",\"data\":0,\"collapseKey\":\"sc\\u00f6re\","
                           "\"idempotencyKey\":\"o-\\uD83D\\uDE00\"}"));
    expect_user(&request, 0, "a");
    cr_expect(span_equal(request.collapse_key, SPAN_LITERAL("sc\xc3\xb6re")));
    cr_expect(span_equal(request.idempotency_key, SPAN_LITERAL("o-\xf0\x9f\x98\x80")));
    push_request_fini(&request);
    request =
        parse(SPAN_LITERAL("{\"userIds\":[\"\\u0061\",\"b\"],\"data\":0,\"collapseKey\":\"k\","
                           "\"idempotencyKey\":\"\\u006b\"}"));
    cr_expect(span_equal(request.collapse_key, SPAN_LITERAL("k")));
    cr_expect(span_equal(request.idempotency_key, SPAN_LITERAL("k")));
    expect_user(&request, 0, "a");
    push_request_fini(&request);
    request = parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0}"));
    cr_expect_eq(request.collapse_key.len + request.idempotency_key.len, 0);
    push_request_fini(&request);
}

Test(push_fields, takes_keys_of_1_to_64_bytes_however_they_are_written)
{
    static const char *const fields[] = {"collapseKey", "idempotencyKey"};
    for (size_t i = 0; i < 2; i++) {
        char member[600];
        snprintf(member, sizeof member, "\"%s\":\"%064d\"", fields[i], 0);
        expect_member(member, ERR_OK, "");
        snprintf(member, sizeof member, "\"%s\":\"%065d\"", fields[i], 0);
        expect_member(member, ERR_INVALID_FIELD, fields[i]);
        snprintf(member, sizeof member, "\"%s\":\"%063d\\u0061\"", fields[i], 0);
        expect_member(member, ERR_OK, "");
        snprintf(member, sizeof member, "\"%s\":\"%064d\\u0061\"", fields[i], 0);
        expect_member(member, ERR_INVALID_FIELD, fields[i]);
        snprintf(member, sizeof member, "\"%s\":\"\\u00e9%0300d\"", fields[i], 0);
        expect_member(member, ERR_INVALID_FIELD, fields[i]);
        static const char *const wrong[] = {"\"\"",     "7",           "null",        "[\"a\"]",
                                            "\"a\\n\"", "\"\\u0000\"", "\"\\u0085\"", "\"\x7f\""};
        for (size_t j = 0; j < sizeof wrong / sizeof wrong[0]; j++) {
            snprintf(member, sizeof member, "\"%s\":%s", fields[i], wrong[j]);
            expect_member(member, ERR_INVALID_FIELD, fields[i]);
        }
        snprintf(member, sizeof member, "\"%s\":\"\\uD800\"", fields[i]);
        expect_member(member, ERR_BAD_JSON, "");
    }
}

Test(push_fields, reads_wait_in_seconds_with_fractions)
{
    static const struct {
        const char *wait;
        uint32_t ms;
    } rows[] = {{"0", 0},       {"30", 30000},   {"2.5", 2500},     {"0.001", 1},
                {"1e1", 10000}, {"25E-1", 2500}, {"30.000", 30000}, {"-0", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[128];
        int len =
            snprintf(body, sizeof body, "{\"userId\":\"a\",\"data\":0,\"wait\":%s}", rows[i].wait);
        struct push_request request = parse((struct span){body, (size_t)len});
        cr_expect_eq(request.wait_ms, rows[i].ms, "%s: %u", rows[i].wait, request.wait_ms);
        push_request_fini(&request);
    }
}

Test(push_fields, refuses_a_wait_that_is_no_number_from_0_to_30)
{
    static const char *const waits[] = {"30.001", "31", "-1",   "-0.001", "1e400", "\"1\"",
                                        "null",   "[]", "true", "{}",     "1e2"};
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        char member[64];
        snprintf(member, sizeof member, "\"wait\":%s", waits[i]);
        expect_member(member, ERR_INVALID_FIELD, "wait");
    }
    char zeros[256];
    snprintf(zeros, sizeof zeros, "\"wait\":0.%0200d", 0);
    expect_member(zeros, ERR_INVALID_FIELD, "wait");
}

/* CONTRACT 3: with ttl 0 collapseKey, idempotencyKey and wait are invalid fields. */
Test(push_fields, refuses_keys_and_wait_where_nothing_is_kept)
{
    expect_member("\"ttl\":0,\"collapseKey\":\"a\"", ERR_INVALID_FIELD, "collapseKey");
    expect_member("\"ttl\":0,\"idempotencyKey\":\"a\"", ERR_INVALID_FIELD, "idempotencyKey");
    expect_member("\"ttl\":0,\"wait\":1", ERR_INVALID_FIELD, "wait");
    expect_member("\"wait\":0,\"ttl\":0", ERR_INVALID_FIELD, "wait");
    const struct push_limits nothing_kept = {.max_data_bytes = 100, .default_ttl_s = 0};
    struct push_request request;
    struct json_problem problem;
    cr_expect_eq(push_request_parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"wait\":1}"),
                                    &nothing_kept, &request, &problem),
                 ERR_INVALID_FIELD);
}

/* EVENTS, Client messages: an unknown connection is not an error. */
Test(push_fields, reads_a_connection_with_ttl_0)
{
    struct push_request request = parse(
        SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"ttl\":0,\"connection\":\"c-7f\\u0033a\"}"));
    cr_expect(request.is_to_connection);
    cr_expect_eq(request.connection, 0x7f3a);
    push_request_fini(&request);
    request =
        parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"ttl\":0,\"connection\":\"tab 7\"}"));
    cr_expect(request.is_to_connection);
    cr_expect_eq(request.connection, 0);
    push_request_fini(&request);
    request = parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"ttl\":0}"));
    cr_expect_not(request.is_to_connection);
    push_request_fini(&request);
}

Test(push_fields, refuses_a_connection_that_is_no_text_or_where_something_is_kept)
{
    expect_member("\"ttl\":0,\"connection\":\"\"", ERR_INVALID_FIELD, "connection");
    expect_member("\"ttl\":0,\"connection\":7", ERR_INVALID_FIELD, "connection");
    expect_member("\"ttl\":0,\"connection\":null", ERR_INVALID_FIELD, "connection");
    expect_member(
        "\"ttl\":0,\"connection\":\"c-0123456789012345678901234567890123456789012345678901"
        "23456789012\"",
        ERR_INVALID_FIELD, "connection");
    expect_member("\"ttl\":1,\"connection\":\"c-7f3a\"", ERR_INVALID_FIELD, "connection");
    expect_member("\"connection\":\"c-7f3a\"", ERR_INVALID_FIELD, "connection");
    expect_member("\"ttl\":0,\"connection\":\"\\ud800\"", ERR_BAD_JSON, "");
    expect_field("{\"userIds\":[\"a\"],\"data\":0,\"ttl\":0,\"connection\":\"c-7f3a\"}",
                 ERR_INVALID_FIELD, "connection");
}

Test(push_fields, refuses_to_wait_for_a_list)
{
    expect_field("{\"userIds\":[\"a\"],\"data\":0,\"wait\":1}", ERR_INVALID_FIELD, "wait");
}

Test(push_fields, refuses_waiting_in_a_line)
{
    struct push_request request;
    struct json_problem problem;
    cr_expect_eq(push_line_parse(guarded(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"wait\":0}")),
                                 &limits, &request, &problem),
                 ERR_INVALID_FIELD);
    cr_expect_str_eq(problem.field, "wait");
    cr_assert_eq(
        push_line_parse(
            SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"ttl\":9,\"idempotencyKey\":\"k\"}\r"),
            &limits, &request, &problem),
        ERR_OK);
    push_request_fini(&request);
}

/* The head's Idempotency-Key */

static enum err set_key(const char *body, struct span key)
{
    struct json_problem problem = {.error = ERR_OK};
    struct push_request request = parse(span_of(body));
    enum err error = push_request_set_key(&request, key, &problem);
    if (error == ERR_OK)
        cr_expect(span_equal(request.idempotency_key, key));
    else
        cr_expect_str_eq(problem.field, "idempotencyKey");
    push_request_fini(&request);
    return error;
}

Test(push_fields, takes_the_key_of_the_head_unless_the_body_has_another)
{
    static const char bare[] = "{\"userId\":\"a\",\"data\":0}";
    static const char keyed[] = "{\"userId\":\"a\",\"data\":0,\"idempotencyKey\":\"k\\u0031\"}";
    static const char fleeting[] = "{\"userId\":\"a\",\"data\":0,\"ttl\":0}";
    cr_expect_eq(set_key(bare, SPAN_LITERAL("k1")), ERR_OK);
    cr_expect_eq(set_key(keyed, SPAN_LITERAL("k1")), ERR_OK);
    cr_expect_eq(set_key(keyed, SPAN_LITERAL("k2")), ERR_INVALID_FIELD);
    cr_expect_eq(set_key(bare, SPAN_LITERAL("")), ERR_INVALID_FIELD);
    cr_expect_eq(set_key(bare, SPAN_LITERAL("a\tb")), ERR_INVALID_FIELD);
    cr_expect_eq(set_key(bare, SPAN_LITERAL("\xff")), ERR_INVALID_FIELD);
    cr_expect_eq(set_key(bare, span_of("00000000000000000000000000000000000000000000000000000000"
                                       "000000000")),
                 ERR_INVALID_FIELD);
    cr_expect_eq(set_key(fleeting, SPAN_LITERAL("k1")), ERR_INVALID_FIELD);
}

/* POST /broadcast */

Test(broadcast_json, takes_data_alone)
{
    struct span data;
    struct json_problem problem;
    cr_assert_eq(broadcast_request_parse(guarded(SPAN_LITERAL(" {\"data\": [1.0] }")), &limits,
                                         &data, &problem),
                 ERR_OK);
    cr_expect(span_equal(data, SPAN_LITERAL("[1.0]")));
    cr_expect_eq(broadcast_request_parse(SPAN_LITERAL("{}"), &limits, &data, &problem),
                 ERR_INVALID_FIELD);
    cr_expect_str_eq(problem.field, "data");
    cr_expect_eq(
        broadcast_request_parse(SPAN_LITERAL("{\"data\":1,\"ttl\":0}"), &limits, &data, &problem),
        ERR_UNKNOWN_FIELD);
    cr_expect_str_eq(problem.field, "ttl");
}
