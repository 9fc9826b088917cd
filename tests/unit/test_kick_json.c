/* POST /deleteClient and POST /tickets (CONTRACT sections 3 and 4). */
#include "proto/note/kick_json.h"

#include "tests/support/guarded.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct json_problem kick_refusal(const char *body)
{
    struct kick_request request;
    struct json_problem problem;
    cr_expect_neq(kick_request_parse(guarded(span_of(body)), &request, &problem), ERR_OK, "%s",
                  body);
    cr_expect_eq(request.user_id_len, 0);
    return problem;
}

Test(kick_json, takes_a_user_a_reason_and_what_asks_for_nothing)
{
    struct kick_request request;
    struct json_problem problem;
    cr_assert_eq(
        kick_request_parse(guarded(SPAN_LITERAL("{\"userId\":\"\\u00e9\",\"reason\":\"b\\u0079"
                                                "e\",\"purge\":false,\"blockFor\":0}")),
                           &request, &problem),
        ERR_OK);
    cr_expect_eq(request.user_id_len, 2);
    cr_expect_eq(memcmp(request.user_id, "\xc3\xa9", 2), 0);
    cr_expect_eq(request.reason_len, 3);
    cr_expect_eq(memcmp(request.reason, "bye", 3), 0);
}

Test(kick_json, takes_a_purge_and_a_block_of_up_to_a_day)
{
    static const struct {
        const char *body;
        uint32_t block_s;
    } rows[] = {
        {"{\"userId\":\"a\",\"purge\":true}", 0},
        {"{\"userId\":\"a\",\"purge\":true,\"blockFor\":0}", 0},
        {"{\"userId\":\"a\",\"purge\":true,\"blockFor\":1}", 1},
        {"{\"userId\":\"a\",\"purge\":true,\"blockFor\": 86400 }", 86400},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kick_request request;
        struct json_problem problem;
        cr_assert_eq(kick_request_parse(guarded(span_of(rows[i].body)), &request, &problem),
                     ERR_OK);
        cr_expect(request.is_purge);
        cr_expect_eq(request.block_s, rows[i].block_s);
    }
}

Test(ticket_json, takes_a_user_and_nothing_else)
{
    static const struct {
        const char *body;
        const char *field;
        enum err error;
    } rows[] = {
        {"{\"userId\":\"\\u00e9\"}", NULL, ERR_OK},
        {"{}", "userId", ERR_INVALID_FIELD},
        {"{\"userId\":\"\"}", "userId", ERR_INVALID_FIELD},
        {"{\"userId\":7}", "userId", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"ttl\":1}", "ttl", ERR_UNKNOWN_FIELD},
        {"{\"userId\":\"a\",\"userId\":\"b\"}", "", ERR_BAD_JSON},
        {"{\"userId\":\"a\"", "", ERR_BAD_JSON},
        {"", "", ERR_BAD_JSON},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char user_id[USER_ID_MAX_BYTES];
        size_t len = 0;
        struct json_problem problem = {0};
        enum err error =
            ticket_request_parse(guarded(span_of(rows[i].body)), user_id, &len, &problem);
        cr_expect_eq(error, rows[i].error, "%s", rows[i].body);
        if (error == ERR_OK)
            cr_expect(span_equal((struct span){user_id, len}, SPAN_LITERAL("\xc3\xa9")));
        else
            cr_expect_str_eq(problem.field, rows[i].field, "%s", rows[i].body);
    }
}

Test(kick_json, refuses_what_it_cannot_do_by_name)
{
    static const struct {
        const char *body;
        const char *field;
        enum err error;
    } rows[] = {
        {"{}", "userId", ERR_INVALID_FIELD},
        {"{\"userId\":7}", "userId", ERR_INVALID_FIELD},
        {"{\"userId\":\"\\u0007\"}", "userId", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"purge\":1}", "purge", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"blockFor\":86401}", "blockFor", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"blockFor\":4294967297}", "blockFor", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"blockFor\":-1}", "blockFor", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"blockFor\":1.0}", "blockFor", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"blockFor\":1e2}", "blockFor", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"blockFor\":\"1\"}", "blockFor", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"blockFor\":false}", "blockFor", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"reason\":1}", "reason", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"reason\":\"\\n\"}", "reason", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"reason\":\"\\u0080\"}", "reason", ERR_INVALID_FIELD},
        {"{\"userId\":\"a\",\"data\":1}", "data", ERR_UNKNOWN_FIELD},
        {"{\"userId\":\"a\",\"userId\":\"a\"}", "", ERR_BAD_JSON},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json_problem problem = kick_refusal(rows[i].body);
        cr_expect_eq(problem.error, rows[i].error, "%s", rows[i].body);
        cr_expect_str_eq(problem.field, rows[i].field, "%s", rows[i].body);
    }
}

Test(kick_json, refuses_a_user_id_of_129_bytes_and_a_reason_of_65)
{
    char body[512];
    snprintf(body, sizeof body, "{\"userId\":\"%0129d\"}", 0);
    cr_expect_str_eq(kick_refusal(body).field, "userId");
    snprintf(body, sizeof body, "{\"userId\":\"a\",\"reason\":\"%065d\"}", 0);
    cr_expect_str_eq(kick_refusal(body).field, "reason");
}
