/* The strict JSON of the admin API: CONTRACT sections 3 and 4, and the bad inputs of a push. */
#include "tests/unit/push_json_calls.h"

#include <stdlib.h>

static void expect_bad(struct span body, size_t offset)
{
    struct json_problem problem = refusal(body);
    cr_expect_eq(problem.error, ERR_BAD_JSON, "%.*s: %s", (int)body.len, body.bytes,
                 problem.detail);
    cr_expect_eq(problem.offset, offset, "%.*s: byte %zu, not %zu: %s", (int)body.len, body.bytes,
                 problem.offset, offset, problem.detail);
}

/* What is taken */

static void expect_data(const char *data)
{
    char body[512];
    int len = snprintf(body, sizeof body, "{\"userId\":\"42\",\"data\": \t%s\r\n}", data);
    struct push_request request = parse((struct span){body, (size_t)len});
    cr_expect(span_equal(request.data, span_of(data)), "%.*s", (int)request.data.len,
              request.data.bytes);
    push_request_fini(&request);
}

Test(push_json, keeps_data_byte_for_byte)
{
    static const char *const values[] = {
        "9007199254740993",
        "1e400",
        "-0",
        "-0.0E+00",
        "12345678901234567890123456789012345678901234567890.5",
        "\"\\u0000\\uD800\\/\\b\\f\\n\\r\\t\\\\\\\"\"",
        "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \x7f\"",
        "\" leading and trailing \"",
        "\"\"",
        "{}",
        "[ ]",
        "{ \"a\" : [ 1 ,\t2\n,\r3 ] ,\r\n\"a\":{\"b\":{\"\":null}} }",
        "[true,false,null,[[[]]],{\"userId\":\"x\",\"ttl\":-1}]",
        "null",
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        expect_data(values[i]);
}

Test(push_json, reads_the_fields_in_any_order_and_with_any_white_space)
{
    struct push_request request =
        parse(SPAN_LITERAL("\r\n\t {\n\"ttl\"\t:\r60 , \"data\" :[1], \"userId\": \"4 2\"} \n"));
    cr_expect_eq(request.ttl_s, 60);
    cr_expect_not(request.is_list);
    cr_expect_eq(request.n_users, 1);
    expect_user(&request, 0, "4 2");
    cr_expect(span_equal(request.data, SPAN_LITERAL("[1]")));
    push_request_fini(&request);
}

Test(push_json, uses_the_default_ttl_when_none_is_given)
{
    struct push_request request = parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0}"));
    cr_expect_eq(request.ttl_s, 604800);
    push_request_fini(&request);
}

Test(push_json, takes_a_ttl_of_0_and_of_30_days)
{
    struct push_request request = parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"ttl\":0}"));
    cr_expect_eq(request.ttl_s, 0);
    push_request_fini(&request);
    request = parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"ttl\":2592000}"));
    cr_expect_eq(request.ttl_s, PUSH_MAX_TTL_S);
    push_request_fini(&request);
}

Test(push_json, decodes_escapes_in_a_user_id)
{
    struct push_request request =
        parse(SPAN_LITERAL("{\"userId\":\"a\\/\\\"\\\\\\u00e9\\uD83D\\uDE00\\u20ac\",\"data\":0}"));
    expect_user(&request, 0, "a/\"\\\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac");
    push_request_fini(&request);
}

Test(push_json, takes_a_field_name_written_with_escapes_as_the_same_name)
{
    struct push_request request = parse(
        SPAN_LITERAL("{\"\\u0075\\u0073\\u0065\\u0072\\u0049\\u0064\":\"a\",\"d\\u0061ta\":0}"));
    expect_user(&request, 0, "a");
    push_request_fini(&request);
    expect_bad(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"\\u0064ata\":1}"), 23);
}

/* A userId that stands twice gets two notifications: answers go by position. */
Test(push_json, keeps_the_order_and_the_repeats_of_userIds)
{
    struct push_request request =
        parse(SPAN_LITERAL("{\"userIds\":[\"b\", \"\\u0061\" ,\"b\",\"c\\/d\"],\"data\":0}"));
    cr_expect(request.is_list);
    cr_assert_eq(request.n_users, 4);
    expect_user(&request, 0, "b");
    expect_user(&request, 1, "a");
    expect_user(&request, 2, "b");
    expect_user(&request, 3, "c/d");
    push_request_fini(&request);
}

Test(push_json, takes_a_user_id_of_128_bytes_however_it_is_written)
{
    char body[1024];
    char id[128 * 6 + 1] = "";
    for (size_t i = 0; i < 128; i++)
        memcpy(id + i * 6, "\\u0061", 7);
    int len = snprintf(body, sizeof body, "{\"userId\":\"%s\",\"data\":0}", id);
    struct push_request request = parse((struct span){body, (size_t)len});
    cr_expect_eq(push_request_user(&request, 0).len, 128);
    push_request_fini(&request);
}

/* What is refused, field by field */

Test(push_json, refuses_a_missing_or_wrong_user_id_by_name)
{
    char long_id[256];
    snprintf(long_id, sizeof long_id, "{\"userId\":\"%0129d\",\"data\":0}", 0);
    expect_field("{\"data\":0}", ERR_INVALID_FIELD, "userId");
    expect_field("{}", ERR_INVALID_FIELD, "userId");
    expect_field("{\"userId\":\"\",\"data\":0}", ERR_INVALID_FIELD, "userId");
    expect_field(long_id, ERR_INVALID_FIELD, "userId");
    expect_field("{\"userId\":42,\"data\":0}", ERR_INVALID_FIELD, "userId");
    expect_field("{\"userId\":null,\"data\":0}", ERR_INVALID_FIELD, "userId");
    expect_field("{\"userId\":[\"a\"],\"data\":0}", ERR_INVALID_FIELD, "userId");
    expect_field("{\"userId\":\"a\\u0001\",\"data\":0}", ERR_INVALID_FIELD, "userId");
    expect_field("{\"userId\":\"a\\u0000b\",\"data\":0}", ERR_INVALID_FIELD, "userId");
    expect_field("{\"userId\":\"a\\n\",\"data\":0}", ERR_INVALID_FIELD, "userId");
    expect_field("{\"userId\":\"a\x7f\",\"data\":0}", ERR_INVALID_FIELD, "userId");
    expect_field("{\"userId\":\"a\\u0085\",\"data\":0}", ERR_INVALID_FIELD, "userId");
}

Test(push_json, refuses_wrong_userIds)
{
    expect_field("{\"userIds\":[],\"data\":0}", ERR_INVALID_FIELD, "userIds");
    expect_field("{\"userIds\":\"a\",\"data\":0}", ERR_INVALID_FIELD, "userIds");
    expect_field("{\"userIds\":{\"a\":1},\"data\":0}", ERR_INVALID_FIELD, "userIds");
    expect_field("{\"userIds\":[\"a\",7],\"data\":0}", ERR_INVALID_FIELD, "userIds");
    expect_field("{\"userIds\":[\"a\",[\"b\"]],\"data\":0}", ERR_INVALID_FIELD, "userIds");
    expect_field("{\"userIds\":[\"a\",\"\"],\"data\":0}", ERR_INVALID_FIELD, "userIds");
    expect_field("{\"userId\":\"a\",\"userIds\":[\"b\"],\"data\":0}", ERR_INVALID_FIELD, "userIds");
    struct json_problem problem = refusal(SPAN_LITERAL("{\"userIds\":[\"a\",\"\"],\"data\":0}"));
    cr_expect_not_null(strstr(problem.detail, "userIds[1]"), "%s", problem.detail);
}

/* `n` userIds and data of `data_bytes`. */
static struct span make_list(size_t n, size_t data_bytes)
{
    size_t cap = n * 4 + data_bytes + 64;
    char *body = malloc(cap);
    size_t len = (size_t)snprintf(body, cap, "{\"userIds\":[");
    for (size_t i = 0; i < n; i++, len += 4)
        memcpy(body + len, "\"a\",", 4);
    len--;
    len += (size_t)snprintf(body + len, cap - len, "],\"data\":\"");
    memset(body + len, 'x', data_bytes - 2);
    len += data_bytes - 2;
    memcpy(body + len, "\"}", 2);
    return (struct span){body, len + 2};
}

Test(push_json, takes_10000_userIds_and_no_more)
{
    struct span body = make_list(10000, 2);
    struct push_request request = parse(body);
    cr_expect_eq(request.n_users, 10000);
    push_request_fini(&request);
    free((void *)(uintptr_t)body.bytes);
    body = make_list(10001, 2);
    struct json_problem problem = refusal(body);
    cr_expect_eq(problem.error, ERR_INVALID_FIELD);
    cr_expect_str_eq(problem.field, "userIds");
    free((void *)(uintptr_t)body.bytes);
}

Test(push_json, refuses_too_much_data_by_name)
{
    static const struct {
        size_t n, bytes;
        enum err error;
    } rows[] = {
        {1, 65536, ERR_OK},           {1, 65537, ERR_TOO_LARGE}, {1024, 65536, ERR_OK},
        {1025, 65536, ERR_TOO_LARGE}, {10000, 6710, ERR_OK},     {10000, 6711, ERR_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span body = make_list(rows[i].n, rows[i].bytes);
        struct push_request request;
        struct json_problem problem = {.error = ERR_OK};
        enum err error = push_request_parse(body, &limits, &request, &problem);
        cr_expect_eq(error, rows[i].error, "row %zu", i);
        if (error != ERR_OK)
            cr_expect_str_eq(problem.field, "data");
        push_request_fini(&request);
        free((void *)(uintptr_t)body.bytes);
    }
}

Test(push_json, refuses_a_ttl_that_is_no_plain_whole_number)
{
    static const char *const ttls[] = {
        "-1",   "1.5",     "\"60\"",   "1e2",  "60.0", "-0",  "null",
        "true", "2592001", "99999999", "[60]", "{}",   "1E0", "18446744073709551616"};
    for (size_t i = 0; i < sizeof ttls / sizeof ttls[0]; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"userId\":\"a\",\"data\":0,\"ttl\":%s}", ttls[i]);
        expect_field(body, ERR_INVALID_FIELD, "ttl");
    }
}

/* EVENTS, "Alerts" */
Test(push_json, takes_an_alertAfter_of_1_second_to_what_is_left_of_30_days)
{
    struct push_request request =
        parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"ttl\":2,\"alertAfter\":1}"));
    cr_expect_eq(request.alert_after_s, 1);
    push_request_fini(&request);
    request = parse(SPAN_LITERAL(
        "{\"userIds\":[\"a\",\"b\"],\"alertAfter\":2591999,\"data\":0,\"ttl\":2592000}"));
    cr_expect_eq(request.alert_after_s, 2591999);
    push_request_fini(&request);
    request = parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0}"));
    cr_expect_eq(request.alert_after_s, 0);
    push_request_fini(&request);
}

Test(push_json, refuses_an_alertAfter_that_is_no_whole_number_from_1)
{
    static const char *const values[] = {"0",        "-1",   "1.5",  "\"30\"", "1e1",
                                         "30.0",     "null", "true", "{}",     "2592001",
                                         "99999999", "[30]", "-0"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"userId\":\"a\",\"data\":0,\"alertAfter\":%s}", values[i]);
        expect_field(body, ERR_INVALID_FIELD, "alertAfter");
    }
}

static void expect_alert_refused(const char *body, const struct push_limits *of, const char *part)
{
    struct push_request request;
    struct json_problem problem = {.error = ERR_OK};
    enum err error = push_request_parse(span_of(body), of, &request, &problem);
    cr_expect_eq(error, ERR_INVALID_FIELD, "%s", body);
    cr_expect_str_eq(problem.field, "alertAfter", "%s", body);
    cr_expect_not_null(strstr(problem.detail, part), "%s: %s", body, problem.detail);
}

Test(push_json, says_why_an_alertAfter_cannot_be_kept)
{
    struct push_limits without = limits;
    without.keeps_alerts = false;
    expect_alert_refused("{\"userId\":\"a\",\"data\":0,\"ttl\":0,\"alertAfter\":5}", &limits,
                         "alertAfter needs a ttl above 0");
    expect_alert_refused("{\"userId\":\"a\",\"data\":0,\"ttl\":5,\"alertAfter\":5}", &limits,
                         "less than ttl, which is 5");
    expect_alert_refused("{\"userId\":\"a\",\"data\":0,\"alertAfter\":604800}", &limits,
                         "less than ttl, which is 604800");
    expect_alert_refused("{\"userId\":\"a\",\"data\":0,\"alertAfter\":5}", &without,
                         "needs notification.unacknowledged in --events");
}

Test(push_json, takes_an_alertAfter_in_a_line)
{
    struct push_request request;
    struct json_problem problem;
    cr_assert_eq(push_line_parse(SPAN_LITERAL("{\"userId\":\"a\",\"data\":0,\"alertAfter\":9}"),
                                 &limits, &request, &problem),
                 ERR_OK);
    cr_expect_eq(request.alert_after_s, 9);
    push_request_fini(&request);
}

Test(push_json, refuses_missing_data_and_unknown_fields_by_name)
{
    expect_field("{\"userId\":\"a\"}", ERR_INVALID_FIELD, "data");
    expect_field("{\"userId\":\"a\",\"data\":0,\"extra\":1}", ERR_UNKNOWN_FIELD, "extra");
    expect_field("{\"userId\":\"a\",\"Data\":0}", ERR_UNKNOWN_FIELD, "Data");
    expect_field("{\"\":0}", ERR_UNKNOWN_FIELD, "");
    expect_field("{\"data\\u0000\":0}", ERR_UNKNOWN_FIELD, "data");
}

Test(push_json, cuts_the_name_of_an_unknown_field_between_characters)
{
    struct json_problem problem =
        refusal(SPAN_LITERAL("{\"12345678901234567890123456789012345678\xc3\xa9xyz\":0}"));
    cr_expect_str_eq(problem.field, "12345678901234567890123456789012345678");
    problem = refusal(SPAN_LITERAL("{\"1234567890123456789012345678901234567\xc3\xa9xyz\":0}"));
    cr_expect_str_eq(problem.field, "1234567890123456789012345678901234567\xc3\xa9");
}

/* What is not JSON, with the offset of the byte */

static const struct {
    const char *body;
    size_t offset;
} not_json[] = {
    {"", 0},
    {"  ", 2},
    {"[]", 0},
    {"\"a\"", 0},
    {"{", 1},
    {"{\"userId\"", 9},
    {"{\"userId\":", 10},
    {"{\"userId\":\"a", 12},
    {"{\"userId\":\"a\"", 13},
    {"{\"userId\" \"a\"}", 10},
    {"{userId:1}", 1},
    {"{'userId':1}", 1},
    {"{\"data\":1,}", 10},
    {"{,\"data\":1}", 1},
    {"{\"data\":[1,]}", 11},
    {"{\"data\":[1 2]}", 11},
    {"{\"data\":{1:2}}", 9},
    {"{\"data\":{\"a\":1]}", 14},
    {"{\"data\":[1}}", 10},
    {"{\"data\":01}", 9},
    {"{\"data\":-}", 9},
    {"{\"data\":1.}", 10},
    {"{\"data\":.5}", 8},
    {"{\"data\":+1}", 8},
    {"{\"data\":1e}", 10},
    {"{\"data\":1e+}", 11},
    {"{\"data\":0x1}", 9},
    {"{\"data\":NaN}", 8},
    {"{\"data\":nul}", 11},
    {"{\"data\":True}", 8},
    {"{\"data\":\"\\x\"}", 10},
    {"{\"data\":\"\\u12g4\"}", 13},
    {"{\"data\":\"a\tb\"}", 10},
    {"{\"data\":\"a\nb\"}", 10},
    {"{\"data\":1}x", 10},
    {"{\"data\":1}{}", 10},
    {"{\"data\":1}}", 10},
    {"{\"data\":1 /* no */}", 10},
    {"\xef\xbb\xbf{\"data\":1}", 0},
    {"{\"data\":\"\xff\"}", 9},
    {"{\"data\":\"a\xc3\"}", 10},
    {"{\"data\":\"\xc0\xaf\"}", 9},
    {"{\"data\":\"\xe0\x80\xaf\"}", 9},
    {"{\"data\":\"\xed\xa0\x80\"}", 9},
    {"{\"data\":\"\xf4\x90\x80\x80\"}", 9},
    {"{\"data\":\"\xf8\x88\x80\x80\x80\"}", 9},
    {"{\"data\":\"12345678\x80\"}", 17},
    {"{\"data\":\"1234567\x01\"}", 16},
    {"{\"userId\":\"\\uD800\",\"data\":0}", 11},
    {"{\"userId\":\"a\\uDC00\",\"data\":0}", 12},
    {"{\"userId\":\"\\uD800\\u0041\",\"data\":0}", 11},
    {"{\"userId\":\"\\uD800x\",\"data\":0}", 11},
    {"{\"x\\uD800\":0}", 3},
    {"{\"data\":1,\"data\":1}", 10},
    {"{\"ttl\":1,\"x\":2,\"ttl\":1}", 15},
};

Test(push_json, names_the_byte_where_the_json_ends_being_json)
{
    for (size_t i = 0; i < sizeof not_json / sizeof not_json[0]; i++)
        expect_bad(span_of(not_json[i].body), not_json[i].offset);
}

Test(push_json, refuses_nul_everywhere)
{
    expect_bad(SPAN_LITERAL("{\"data\":\"a\0b\"}"), 10);
    expect_bad(SPAN_LITERAL("{\"data\":1\0}"), 9);
    expect_bad(SPAN_LITERAL("{\"data\":1}\0"), 10);
    expect_bad(SPAN_LITERAL("\0{\"data\":1}"), 0);
    expect_bad(SPAN_LITERAL("{\"data\":\"\\\0\"}"), 10);
}

/* A body that is not JSON is bad-json, whatever else is wrong with it. */
Test(push_json, judges_the_json_before_the_fields)
{
    expect_bad(SPAN_LITERAL("{\"extra\":1,\"ttl\":-1,"), 20);
}

Test(push_json, takes_nesting_of_64_and_refuses_65)
{
    for (size_t depth = 63; depth <= 64; depth++) { /* the request itself is one more */
        char body[256];
        size_t len = (size_t)snprintf(body, sizeof body, "{\"userId\":\"a\",\"data\":");
        size_t begin = len;
        for (size_t i = 0; i < depth; i++)
            body[len++] = '[';
        for (size_t i = 0; i < depth; i++)
            body[len++] = ']';
        body[len++] = '}';
        if (depth == 63) {
            struct push_request request = parse((struct span){body, len});
            push_request_fini(&request);
        } else {
            expect_bad((struct span){body, len}, begin + 63);
        }
    }
}

Test(push_json, refuses_every_beginning_of_a_body)
{
    struct span whole = SPAN_LITERAL("{\"userIds\":[\"\xf0\x9f\x98\x80\\uD83D\\uDE00\"],\"data\":"
                                     "[-1.5e+7,true,false,null,{\"a\":\"12345678\"}],\"ttl\":5}");
    for (size_t len = 0; len < whole.len; len++) {
        struct json_problem problem = refusal((struct span){whole.bytes, len});
        cr_expect_eq(problem.error, ERR_BAD_JSON, "%zu", len);
        cr_expect_leq(problem.offset, len);
    }
    struct push_request request = parse(whole);
    push_request_fini(&request);
}

/* ---- memory ---- */

/* What most pushes look like: nothing is decoded, so nothing is copied. */
Test(push_json, of_one_user_takes_no_memory_without_escapes)
{
    struct push_request request =
        parse(SPAN_LITERAL("{\"userId\":\"anna\",\"data\":\"a\\nb\",\"collapseKey\":\"c\"}"));
    cr_expect_null(request.memory);
    expect_user(&request, 0, "anna");
    cr_expect(span_equal(request.collapse_key, SPAN_LITERAL("c")));
    push_request_fini(&request);
}

Test(push_json, decodes_the_keys_of_one_user_without_escapes_in_the_userId)
{
    struct push_request request =
        parse(SPAN_LITERAL("{\"userId\":\"anna\",\"data\":1,\"collapseKey\":\"\\u0063\","
                           "\"idempotencyKey\":\"\\u0069\"}"));
    expect_user(&request, 0, "anna");
    cr_expect(span_equal(request.collapse_key, SPAN_LITERAL("c")));
    cr_expect(span_equal(request.idempotency_key, SPAN_LITERAL("i")));
    push_request_fini(&request);
}
