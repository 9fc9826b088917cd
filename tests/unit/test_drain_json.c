/* POST /drain (FLEET 6). */
#include "proto/note/drain_json.h"

#include "tests/support/guarded.h"

#include <criterion/criterion.h>

Test(drain_json, takes_its_fields_and_an_empty_body)
{
    static const struct {
        const char *body;
        struct drain_request request;
    } rows[] = {
        {"", {0}},
        {"{}", {0}},
        {"{\"cancel\":false}", {0}},
        {"{\"cancel\":true}", {.is_cancel = true}},
        {"{\"connections\":1,\"rate\":1}", {.connections = 1, .rate = 1}},
        {"{\"rate\": 1000000 , \"connections\":100000000,\"cancel\":false}",
         {.connections = 100000000, .rate = 1000000}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct drain_request request;
        struct json_problem problem;
        cr_assert_eq(drain_request_parse(guarded(span_of(rows[i].body)), &request, &problem),
                     ERR_OK, "%s", rows[i].body);
        cr_expect_eq(request.connections, rows[i].request.connections, "%s", rows[i].body);
        cr_expect_eq(request.rate, rows[i].request.rate, "%s", rows[i].body);
        cr_expect_eq(request.is_cancel, rows[i].request.is_cancel, "%s", rows[i].body);
    }
}

Test(drain_json, names_the_field_that_is_wrong)
{
    static const struct {
        const char *body;
        enum err error;
        const char *field;
        const char *detail;
    } rows[] = {
        {"{\"connections\":0}", ERR_INVALID_FIELD, "connections",
         "connections must be a whole number, 1..100000000"},
        {"{\"connections\":1.5}", ERR_INVALID_FIELD, "connections", NULL},
        {"{\"connections\":-1}", ERR_INVALID_FIELD, "connections", NULL},
        {"{\"connections\":\"3\"}", ERR_INVALID_FIELD, "connections", NULL},
        {"{\"connections\":null}", ERR_INVALID_FIELD, "connections", NULL},
        {"{\"connections\":100000001}", ERR_INVALID_FIELD, "connections", NULL},
        {"{\"rate\":0}", ERR_INVALID_FIELD, "rate", "rate must be a whole number, 1..1000000"},
        {"{\"rate\":1000001}", ERR_INVALID_FIELD, "rate", NULL},
        {"{\"rate\":true}", ERR_INVALID_FIELD, "rate", NULL},
        {"{\"cancel\":1}", ERR_INVALID_FIELD, "cancel", "cancel must be true or false"},
        {"{\"cancel\":\"true\"}", ERR_INVALID_FIELD, "cancel", NULL},
        {"{\"cancel\":true,\"connections\":1}", ERR_INVALID_FIELD, "connections",
         "connections cannot stand beside cancel"},
        {"{\"cancel\":true,\"rate\":1}", ERR_INVALID_FIELD, "rate",
         "rate cannot stand beside cancel"},
        {"{\"Rate\":1}", ERR_UNKNOWN_FIELD, "Rate", NULL},
        {"{\"rate\":1,\"rate\":1}", ERR_BAD_JSON, NULL, NULL},
        {"{\"rate\":1", ERR_BAD_JSON, NULL, NULL},
        {" ", ERR_BAD_JSON, NULL, NULL},
        {"7", ERR_BAD_JSON, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct drain_request request = {.rate = 9};
        struct json_problem problem;
        cr_expect_eq(drain_request_parse(guarded(span_of(rows[i].body)), &request, &problem),
                     rows[i].error, "%s", rows[i].body);
        if (rows[i].field != NULL)
            cr_expect_str_eq(problem.field, rows[i].field, "%s", rows[i].body);
        if (rows[i].detail != NULL)
            cr_expect_str_eq(problem.detail, rows[i].detail, "%s", rows[i].body);
        cr_expect_eq(request.rate, 0, "%s", rows[i].body);
    }
}
